"""Tensors of integers: as an index, in deltas and comparisons; repeated, ignored, out of range."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan

import pytest
import torch
from torch import Tensor

from derive import differentiate, prove
from derive.emit.backends import BACKENDS
from derive.emit.files import source
from derive.higher import backward
from derive.notation.conditions import Iverson, Position, iverson
from derive.notation.nodes import Contraction, Labels
from derive.verify.exact import exact
from derive.verify.reference import composed
from tests.notation.reading import (
    again,
    check_means_the_same,
    helped,
    latex,
    marking,
    read,
    refusals,
    shown,
)
from tests.running import EXACT, made, run

F = torch.nn.functional
HEAD = "op f(x[b,c], t[b]: int[c], r[b]: int[c], n[b]: int; skip = -1) -> y[b], u[b,c]\n"
USES = "u[b,c] = x[b,c]*delta[c,t[b]]*where(r[b] == n[b], skip, 2)\n"


def op_of(right: str, left: str = "y[b]") -> str:
    return f"{HEAD.replace('y[b]', left, 1)}{USES}{left} = {right}\n"


def labels(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64)


# -- what is read ---------------------------------------------------------------------------------


def test_a_tensor_of_integers_has_a_kind_and_no_gradient() -> None:
    op = read(op_of("x[b,t[b]]"))
    x, t, r, n = (c.tensor for c in op.inputs)
    assert [isinstance(tensor, Labels) for tensor in (x, t, r, n)] == [False, True, True, True]
    assert t.values == r.values == op.letters[1].size
    assert n.values is None
    assert op.differentiable == op.inputs[:1]
    assert list(differentiate(op).gradients) == ["x"]


def test_a_label_picks_by_a_delta() -> None:
    op = read(op_of("x[b,t[b]]"))
    x, t, *_ = op.inputs
    _, c = x.indices
    assert op.equations[-1].expr == Contraction(iverson("==", Position(c), t) * x, c)
    (picked,) = op.equations[-1].expr.atoms(Iverson)
    assert picked.picks == t


SAME = [  # two right sides of y[b] that mean the same
    ("x[b,t[b]]", "delta[c,t[b]]*x[b,c]"),
    ("x[b,t[b]]", "sum[c](delta[t[b],c]*x[b,c])"),
    ("x[b,t[b]]", "sum[c](where(c == t[b], x[b,c], 0))"),
    ("x[b,t[b]]*x[b,r[b]]", "delta[c,t[b]]*x[b,c]*sum[d](delta[d,r[b]]*x[b,d])"),
    ("x[b,t[b]]^2", "delta[c,t[b]]*x[b,c]^2"),
    ("delta[t[b],r[b]]*x[b,c]*1[c]", "where(t[b] == r[b], sum[c](x[b,c]), 0)"),
    ("exp(x[b,t[b]])", "delta[c,t[b]]*exp(x[b,c])"),
    ("where(t[b] != skip, x[b,t[b]], 0)", "where(t[b] == skip, 0, x[b,t[b]])"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_ways_to_write_it(one: str, other: str) -> None:
    check_means_the_same(read(op_of(one)), read(op_of(other)))


def test_an_index_inside_a_label_counts_as_a_factor() -> None:
    """`b` stands twice in x[b,t[b]], so it is summed where it is not on the left."""
    check_means_the_same(
        read(op_of("x[b,t[b]]", "y")), read(op_of("sum[b](sum[c](delta[c,t[b]]*x[b,c]))", "y"))
    )


def test_labels_of_one_letter_more() -> None:
    op = read("op f(W[v,h], t[b,s]: int[v]) -> y[b]\ny[b] = W[t[b,s],h]*W[t[b,s],h]\n")
    assert set(op.equations[0].expr.free_symbols) & set(op.letters) == {op.letters[2]}


BARE = "op f(w[v,d], t: int[v], x[d]) -> y\ny = w[t,d]*x[d]\n"


def test_a_label_without_indices_is_written_bare() -> None:
    w, t, x = read(BARE).inputs
    v, d = w.indices
    picked = Contraction(iverson("==", Position(v), t) * w, v)
    assert read(BARE).equations[0].expr == Contraction(picked * x, d)
    assert again(read(BARE)).equations[0].expr == read(BARE).equations[0].expr


def test_an_index_of_the_header_is_no_label() -> None:
    """`t` is the index there; the tensor of this name is compared."""
    op = read("op f(x[t,d], t: int) -> y[d]\ny[d] = where(t == 1, x[t,d]*1[t], 0)\n")
    assert op.equations


def test_what_labels_are_compared_with_is_no_value() -> None:
    text = op_of("where(t[b] == skip, 0, where(r[b] == -7, 0, x[b,t[b]]))")
    labels = [c.tensor for c in read(text).inputs if isinstance(c.tensor, Labels)]
    found = {t.name: [str(n) for n in t.sentinels] for t in labels if t.sentinels}
    assert found == {"t": ["skip"], "r": ["-7"]}


# -- printed --------------------------------------------------------------------------------------

PRINTED = {  # a right side, as it is printed, in LaTeX
    "x[b,t[b]]": ("x[b,t[b]]", "x_{b t_{b}}"),
    "delta[c,t[b]]*x[b,c]": ("x[b,t[b]]", "x_{b t_{b}}"),
    "x[b,t[b]]^2": ("x[b,t[b]]^2", r"x_{b t_{b}}^{2}"),
    "x[b,t[b]]*x[b,r[b]]": ("x[b,t[b]]*x[b,r[b]]", "x_{b t_{b}} x_{b r_{b}}"),
    "x[b,t[b]]*where(t[b] == r[b], 1, 0)": (
        "x[b,t[b]]*where(t[b] == r[b], 1, 0)",
        r"x_{b t_{b}} \left[t_{b} = r_{b}\right]",
    ),
    "where(t[b] == skip, 0, x[b,t[b]])": (
        "x[b,t[b]]*where(t[b] == skip, 0, 1)",
        r"x_{b t_{b}} \left[t_{b} \ne \mathrm{skip}\right]",
    ),
    "where(2*t[b] > 3, x[b,t[b]], 0)": (
        "x[b,t[b]]*where(2*t[b] > 3, 1, 0)",
        r"x_{b t_{b}} \left[2 t_{b} > 3\right]",
    ),
}


@pytest.mark.parametrize("right", PRINTED)
def test_what_is_printed(right: str) -> None:
    op = read(op_of(right))
    text, tex = PRINTED[right]
    assert shown(op)[-1] == f"y[b] = {text}"
    assert latex(op) == f"y_{{b}} = {tex}"


@pytest.mark.parametrize("right", PRINTED)
def test_what_is_printed_reads_the_same(right: str) -> None:
    op = read(op_of(right))
    if right != "delta[c,t[b]]*x[b,c]":
        assert [e.expr for e in again(op).equations] == [e.expr for e in op.equations]
    check_means_the_same(again(op), op)


@pytest.mark.parametrize("right", dict.fromkeys(right for pair in SAME for right in pair))
def test_what_is_printed_means_the_same(right: str) -> None:
    op = read(op_of(right))
    check_means_the_same(again(op), op)


def test_a_delta_of_a_label_is_printed_as_one() -> None:
    op = read(op_of("where(t[b] == c, x[b,c], 0)", "y[b,c]"))
    assert shown(op)[-1] == "y[b,c] = x[b,c]*delta[c,t[b]]"
    assert latex(op) == r"y_{b c} = x_{b c} \delta_{c t_{b}}"


# -- refused --------------------------------------------------------------------------------------

REFUSED = {  # a right side of y[b], what is marked in braces; the code
    "x[b,t[b]]*{t[b]}": "E506",
    "x[b,t[b]] + exp({r[b]})": "E506",
    "x[b,t[b]]*sum[k]({n[k]})": "E506",
    "where(t[b] == 1, x[b,t[b]], {t[b]})": "E506",
    "max(x[b,t[b]], {t[b]})": "E506",
    "x[b,{u[b,c]}]": "E505",
    "x[b,{x[b,c]}]": "E505",
    "x[b,{q[b]}]": "E201",
    "x[b,{t[b,c]}]": "E304",
    "x[b,{t[t[b]]}]": "E111",
    "x[b,{exp(t[b])}]": "E111",
    "x[b,t[{d}]]": "E301",
    "{x[t[b]]}": "E304",
    "x[{t[b]},c]*1[c]": "E305",
    "delta[b,{t[b]}]*x[b,c]*1[c]": "E305",
    "{delta[t[b]]}*x[b,c]*1[c]": "E304",
    "x[b,t[b]]*1[{t[b]}]": "E111",
    "sum[{t[b]}](x[b,c])": "E111",
}


@pytest.mark.parametrize("right", REFUSED)
def test_what_is_refused(right: str) -> None:
    text, wanted = marking(op_of(right), REFUSED[right])
    assert refusals(text)[0] == wanted


HEADS = {  # the head of an op, what is marked in braces; the code
    "x[b,c], t[b]{: float[c]}) -> y[b]": "E501",
    "x[b,c], t[b]{: int[c,c]}) -> y[b]": "E501",
    "x[b,c], t[b]: int[{C}]) -> y[b]": "E111",
    "x[b,c], t[b]: int[{t[b]}]) -> y[b]": "E111",
    "x[b,c], t[b]: int[c]) -> {y[b]: int[c]}": "E501",
    "x[b,c], t[b]: int[c]; {k: int = 3}) -> y[b]": "E501",
    "x[b,c], t[b] {int[c]}) -> y[b]": "E101",
}


@pytest.mark.parametrize("head", HEADS)
def test_heads_that_are_refused(head: str) -> None:
    text, wanted = marking(f"op f({head}\ny[b] = x[b,t[b]]\n", HEADS[head])
    found = refusals(text)[0]
    assert found.code == wanted.code
    assert found.place == wanted.place


def test_an_op_takes_numbers() -> None:
    found = refusals("op f(t[b]: int) -> y[b]\ny[b] = where(t[b] == 0, 1, 0)\n")
    assert [(r.code, r.marked) for r in found] == [("E112", "f")]


def test_the_values_of_a_label_have_a_size() -> None:
    text = "op f(x[b], t[b]: int[{c}]) -> y[b]\ny[b] = where(t[b] == 0, x[b], 0)\n"
    text, wanted = marking(text, "E311")
    assert refusals(text) == [wanted]


def test_the_help_names_the_kind() -> None:
    assert "`t[b]: int[c]`" in helped("op f(x[b,c], t[b]) -> y[b]\ny[b] = x[b,t[b]]\n")


def test_the_gradient_of_a_label_is_no_name_that_is_taken() -> None:
    assert read("op f(x[b,c], t[b]: int[c]) -> y[b]\ndt[b] = x[b,t[b]]\ny[b] = 2*dt[b]\n")


# -- derived --------------------------------------------------------------------------------------

DERIVED = [
    "op f(x[b,c], t[b]: int[c]) -> y[b]\ny[b] = x[b,t[b]]^2\n",
    "op f(W[v,h], t[s]: int[v]) -> y[s,h]\ny[s,h] = W[t[s],h]^2\n",
    "op f(W[v,h], t[s]: int[v]) -> y[s,u]\ny[s,u] = W[t[s],h]*W[t[u],h]\n",
    "op f(A[c,c], t[b]: int[c]) -> y[b]\ny[b] = A[t[b],t[b]]^2\n",
    "op f(x[s], t[s]: int[c], w[c]) -> y[c]\ny[c] = delta[c,t[s]]*x[s]*w[c]\n",
    BARE,
    """op f(x[b,c], t[b]: int[c]; skip = -1) -> y
y = where(t[b] == skip, 0, log(1[c]*exp(x[b,c])) - x[b,t[b]])*1[b]
""",
    """op f(x[b,c], t[b]: int[c], r[b]: int[c]) -> y[b]
y[b] = where(t[b] < r[b], x[b,t[b]], x[b,r[b]]^2)
""",
]


@pytest.mark.parametrize("text", DERIVED)
def test_gradients_are_exact(text: str) -> None:
    report = exact(read(text))
    assert report.components
    assert report.mismatch is None


@pytest.mark.parametrize("text", DERIVED)
def test_gradients_of_gradients_are_exact(text: str) -> None:
    report = exact(backward(read(text)))
    assert report.components
    assert report.mismatch is None


PROVED = {
    DERIVED[0]: "dx[b,c] = dy[b]*2*x[b,c]*delta[c,t[b]]",
    DERIVED[1]: "dW[v,h] = dy[s,h]*2*W[v,h]*delta[v,t[s]]",
    DERIVED[4]: "dw[c] = dy[c]*delta[c,t[s]]*x[s]",
}


@pytest.mark.parametrize("text", PROVED)
def test_gradients_are_proved(text: str) -> None:
    op, statement = read(text), PROVED[text]
    assert prove(op, statement)
    assert not prove(op, statement.replace(" = ", " = 3*"))


NO_VALUE = [
    """op sample(x[b,c], t[b]: int[c]; skip = -1) -> y[b]
u[b,c] = x[b,c] - 1[c]*x[b,0]
y[b] = where(t[b] == skip, 1, 2)*u[b,t[b]]
""",
    """op sample(x[b], w[c], t[b]: int[c]) -> y[b]
z[b,c] = x[b]*delta[c,t[b]]
y[b] = 1[c]*z[b,c] + where(t[b] == -1, x[b]^2, 0) + 0*w[c]*1[c]*1[b]
""",
]


# -- run ------------------------------------------------------------------------------------------

LOOKED_UP = made("op f(W[v,h], t[s]: int[v]) -> y[s,h]\ny[s,h] = W[t[s],h]\n")
PICKED = made("op f(x[b,c], t[b]: int[c]) -> y[b]\ny[b] = x[b,t[b]]\n")
COUNTED = made("op f(x[s], t[s]: int[c], w[c]) -> y[c]\ny[c] = delta[c,t[s]]*x[s]*w[c]\n")
PADDED = made(
    "op f(W[v,h], t[s]: int[v]; pad = -1) -> y[s,h]\ny[s,h] = where(t[s] == pad, 0, W[t[s],h])\n"
)
ENTROPY = made(
    "op f(x[b,c], t[b]: int[c]; ignore = -100) -> y[b]\nm[b] = max[c](x[b,c])\n"
    "y[b] = where(t[b] == ignore, 0, m[b] + log(1[c]*exp(x[b,c] - 1[c]*m[b])) - x[b,t[b]])\n"
)


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_labels_that_repeat_add_up() -> None:
    W, t, g = numbers(4, 3), labels(1, 1, 3, 1), numbers(4, 3)
    (y,), (dW,) = run(LOOKED_UP, [W, t], [g])
    (want,), (want_dW,) = run(lambda w: F.embedding(t, w), [W], [g])
    torch.testing.assert_close((y, dW), (want, want_dW), rtol=EXACT, atol=0)
    assert not dW[[0, 2]].any()


def test_counts() -> None:
    x, t, w = numbers(5), labels(2, 0, 2, 2, 1), numbers(4)
    (y,), (dx, dw) = run(COUNTED, [x, t, w], [torch.ones(4).double()])
    sums = torch.zeros(4, dtype=torch.float64).index_add(0, t, x)
    torch.testing.assert_close((y, dx, dw), (sums * w, w[t], sums), rtol=EXACT, atol=0)


def test_a_label_that_is_ignored_gives_nothing() -> None:
    x, t, g = numbers(4, 3), labels(2, -100, 0, -100), numbers(4)
    got = run(ENTROPY, [x, t], [g])
    want = run(lambda u: F.cross_entropy(u, t, reduction="none"), [x], [g])
    torch.testing.assert_close(got, want, rtol=EXACT, atol=1e-15)
    assert not got[1][0][[1, 3]].any()


def test_the_ignored_label_is_a_parameter() -> None:
    x, t, g = numbers(2, 3), labels(2, 1), numbers(2)
    call = lambda u, v: ENTROPY(u, v, ignore=1)  # noqa: E731  # a function of tensors
    want = run(lambda u: F.cross_entropy(u, t, reduction="none", ignore_index=1), [x], [g])
    torch.testing.assert_close(run(call, [x, t], [g]), want, rtol=EXACT, atol=1e-15)


def test_padding_may_be_infinite() -> None:
    """What a label that is ignored would have picked is not looked at."""
    W = torch.tensor([[float("nan")], [2.0]], dtype=torch.float64)
    (y,), (dW,) = run(PADDED, [W, labels(-1, 1, -1)], [numbers(3, 1) * 0 + 1])
    assert y.flatten().tolist() == [0, 2, 0]
    assert dW.flatten().tolist() == [0, 1]


OUTSIDE = {  # functions, and what else they take besides two labels of three values
    "looked up": (LOOKED_UP, numbers(3, 2), ()),
    "picked": (PICKED, numbers(2, 3), ()),
    "padded": (PADDED, numbers(3, 2), ()),
    "counted": (COUNTED, numbers(2), (numbers(3),)),
    "bare": (lambda w, t: made(BARE)(w, t[1], w[0]), numbers(3, 2), ()),
}


@pytest.mark.parametrize("kind", OUTSIDE)
@pytest.mark.parametrize("label", [3, 7, -2, -3])
def test_a_label_out_of_range_is_an_error(kind: str, label: int) -> None:
    """Neither another row nor zero, and nothing is counted from the end."""
    call, first, rest = OUTSIDE[kind]
    with pytest.raises((IndexError, RuntimeError), match="out of|index"):
        call(first, labels(0, label), *rest)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_integers_of_any_width(dtype: torch.dtype) -> None:
    x, t = numbers(2, 3), labels(2, 0)
    got = run(PICKED, [x, t.to(dtype)], [numbers(2)])
    torch.testing.assert_close(got, run(PICKED, [x, t], [numbers(2)]), rtol=0, atol=0)


def test_labels_are_integers() -> None:
    with pytest.raises((TypeError, IndexError, RuntimeError)):
        PICKED(numbers(2, 3), torch.tensor([0.0, 1.5]))


@pytest.mark.parametrize(
    ("call", "shape"), [(PICKED, (0, 3)), (LOOKED_UP, (3, 2)), (PADDED, (3, 2))]
)
def test_no_labels(call: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
    x, t = numbers(*shape), labels()
    (y,), (dx,) = run(call, [x, t])
    assert y.shape[0] == 0
    assert dx.shape == x.shape
    assert not dx.any()


def test_a_label_of_no_said_size_indexes_any_axis() -> None:
    text = "op f(x[b,c], t[b]: int) -> y[b]\ny[b] = x[b,t[b]]\n"
    x, t = numbers(3, 4), labels(3, 0, 1)
    got = run(made(text), [x, t], [numbers(3)])
    torch.testing.assert_close(got, run(PICKED, [x, t], [numbers(3)]), rtol=0, atol=0)
    want = run(composed(read(text)), [x, t], [numbers(3)])
    torch.testing.assert_close(got, want, rtol=EXACT, atol=0)


def test_what_labels_pick_from_several_tensors_is_made_first() -> None:
    """(dy/n)[t], without an axis for each label beside that of the values."""
    text = "op f(x[n,d], t[n]: int[k], p[k]) -> y[k,d]\ny[k,d] = delta[k,t[n]]*x[n,d]/exp(p[k])\n"
    op = read(text)
    code = source(op, BACKENDS["torch"])
    assert "index_select(0, t)" in code
    assert ".gather(" not in code
    inputs = [numbers(3, 2), labels(3, 0, 3), numbers(4)]
    got, want = run(made(text), inputs), run(composed(op), inputs)
    torch.testing.assert_close(got, want, rtol=EXACT, atol=1e-13)


def test_a_label_that_is_only_asked_about_has_one_branch() -> None:
    """Out of range it is an error where something is picked; here nothing is."""
    x, t, g = numbers(2, 3), labels(1, 5), numbers(2)
    asks = made("op f(x[b,c], t[b]: int[c]) -> y[b]\ny[b] = where(t[b] < C, x[b,0]^2, x[b,1]^3)\n")
    (y,), (dx,) = run(asks, [x, t], [g])
    want = torch.zeros_like(x)
    want[0, 0], want[1, 1] = 2 * x[0, 0] * g[0], 3 * x[1, 1] ** 2 * g[1]
    torch.testing.assert_close(dx, want, rtol=EXACT, atol=0)
    torch.testing.assert_close(y, torch.stack((x[0, 0] ** 2, x[1, 1] ** 3)), rtol=EXACT, atol=0)


WEIGHED = "y[b] = where(t[b] == pad, 3, 1) * x[b,t[b]]\n"


@pytest.mark.parametrize("pad", [0, 2, -1, 7, float("nan")])
def test_a_number_picks_where_it_is_a_value(pad: float) -> None:
    x, t = numbers(3, 3), labels(0, 2, 1)
    t = t if isnan(pad) else t.masked_fill(t == 0, int(pad))
    f = made(f"op f(x[b,c], t[b]: int[c]; pad = 0) -> y[b]\n{WEIGHED}")
    leaf = x.clone().requires_grad_()
    y = f(leaf, t, pad=pad)
    weight, inside = torch.where(t == pad, 3.0, 1.0).double(), (t >= 0) & (t < 3)
    places = (inside[:, None] & (t[:, None] == torch.arange(3))) * weight[:, None]
    (dx,) = torch.autograd.grad(y.sum(), leaf)
    torch.testing.assert_close((y, dx), ((places * x).sum(1), places), rtol=EXACT, atol=0)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_a_tangent_needs_no_number_that_it_does_not_mention() -> None:
    f = made("op f(u[b,j]; pad = -1) -> y[b]\ny[b] = u[b,0] + 1[b]*pad\n")
    u = numbers(2, 3)
    y, moved = torch.func.jvp(f, (u,), (torch.ones_like(u),))
    torch.testing.assert_close((y, moved), (u[:, 0] - 1, torch.ones(2).double()), rtol=0, atol=0)
