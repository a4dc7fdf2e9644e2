"""Arithmetic as an index, `x[b,s-k]`, `x[b,0]`: zero outside the axis; several indices on one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from derive import build, prove
from derive.higher import backward
from derive.notation.conditions import Position, iverson
from derive.notation.nodes import Component, Contraction, fresh_index
from derive.notation.op import gradient
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
HEAD = "op f(x[b,s], w[k], t[b]: int[s], a; eps = 2) -> u[b,s], y[b,s]\n"
USES = "u[b,s] = x[b,s]*w[k]*1[k]*x[b,t[b]]*a*eps\n"


def op_of(right: str, left: str = "y[b,s]") -> str:
    return f"{HEAD.replace('y[b,s]', left)}{USES}{left} = {right}\n"


# -- what is read ---------------------------------------------------------------------------------


def test_arithmetic_picks_by_an_equation() -> None:
    """x[s-k] is Σ_r [r = s - k] x_r."""
    op = read("op f(x[s], w[k]) -> y[s]\ny[s] = x[s-k]*w[k]\n")
    x, w = op.inputs
    s, k = op.letters
    r = fresh_index(s)
    picked = iverson("==", Position(r), Position(s) - Position(k))
    inner = Contraction(picked * Component(x.tensor, r), r)
    assert op.equations[0].expr == Contraction(inner * w, k)


SAME = [  # two right sides of y[b,s] that mean the same
    ("x[b,s-1]", "sum[r](delta[r,s-1]*x[b,r])"),
    ("x[b,s-1]", "x[b,-1+s]"),
    ("x[b,s+1]", "where(s < S - 1, x[b,s+1], 0)"),
    ("x[b,0]*1[s]", "sum[r](where(r == 0, x[b,r], 0))*1[s]"),
    ("x[b,S-1]*1[s]", "sum[r](where(r == S - 1, x[b,r], 0))*1[s]"),
    ("x[b,S-1-s]", "x[b,S-s-1]"),
    ("x[b,s-k]*w[k]", "sum[k](x[b,s-k]*w[k])"),
    ("x[b,s-k]*w[k]", "sum[r](x[b,r]*w[s-r])"),
    ("x[b,2*s]", "sum[r](where(r == 2*s, 1, 0)*x[b,r])"),
    ("x[b,2*s+k]*w[k]", "sum[k](w[k]*sum[r](where(r == 2*s + k, 1[s,k]*x[b,r], 0)))"),
    ("x[b,s-s]", "x[b,0]*1[s]"),
    ("x[b,s-1]^2", "x[b,s-1]*x[b,s-1]"),
    ("delta[s,0]*x[b,s]", "where(s == 0, x[b,s], 0)"),
    ("x[b,t[b]]*1[s]", "sum[r](delta[r,t[b]]*x[b,r])*1[s]"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_ways_to_write_it(one: str, other: str) -> None:
    check_means_the_same(read(op_of(one)), read(op_of(other)))


def test_arithmetic_may_hold_labels() -> None:
    text = "op f(x[b,s], t[b]: int[s]) -> y[b]\ny[b] = {}\n"
    one, other = (
        read(text.format(right))
        for right in ("x[b,t[b]+1]", "sum[r](where(r == t[b] + 1, x[b,r], 0))")
    )
    check_means_the_same(one, other)


SUMMED = {  # what stands in arithmetic is contained in the component
    "x[b,s-1]*1[s]": "sum[s](x[b,s-1])",
    "x[b,s-k]*1[s]*w[k]": "sum[s](sum[k](x[b,s-k]*w[k]))",
    "x[b,0]": "sum[s](where(s == 0, x[b,s], 0))",
}


@pytest.mark.parametrize("right", SUMMED)
def test_where_sums_stand(right: str) -> None:
    one, other = (read(op_of(text, "y[b]")) for text in (right, SUMMED[right]))
    check_means_the_same(one, other)


# -- printed --------------------------------------------------------------------------------------

PRINTED = {  # a right side, as it is printed, in LaTeX
    "x[b,s-1]": ("x[b,s-1]", "x_{b (s-1)}"),
    "x[b,s+2]": ("x[b,s+2]", "x_{b (s+2)}"),
    "x[b,2*s]": ("x[b,2*s]", "x_{b (2 s)}"),
    "x[b,-s]": ("x[b,-s]", "x_{b (-s)}"),
    "x[b,S-1-s]": ("x[b,S-s-1]", "x_{b (S-s-1)}"),
    "x[b,s-k]*w[k]": ("x[b,s-k]*w[k]", "x_{b (s-k)} w_{k}"),
    "x[b,0]*1[s]": ("1[s]*x[b,0]", r"\mathbf{1}_{s} x_{b 0}"),
    "x[b,s] - x[b,s-1]": ("x[b,s] - x[b,s-1]", "x_{b s}-x_{b (s-1)}"),
    "exp(x[b,s-1])": ("exp(x[b,s-1])", r"\exp\left(x_{b (s-1)}\right)"),
}


@pytest.mark.parametrize("right", PRINTED)
def test_what_is_printed(right: str) -> None:
    op = read(op_of(right))
    text, tex = PRINTED[right]
    assert shown(op)[-1] == f"y[b,s] = {text}"
    assert latex(op) == f"y_{{b s}} = {tex}"
    assert [e.expr for e in again(op).equations] == [e.expr for e in op.equations]


@pytest.mark.parametrize("right", dict.fromkeys(right for pair in SAME for right in pair))
def test_what_is_printed_means_the_same(right: str) -> None:
    op = read(op_of(right))
    check_means_the_same(again(op), op)


# -- refused --------------------------------------------------------------------------------------

REFUSED = {  # a right side of y[b,s], what is marked in braces; the code
    "x[b,s/{2}]": "E111",
    "x[b,s+{0.5}]": "E111",
    "x[b,s+{a}]": "E111",
    "x[b,s+{eps}]": "E111",
    "x[b,s-1+{x[b,s]}]": "E111",
    "x[b,s*{exp(s)}]": "E111",
    "x[b,s+{s^2}]": "E111",
    "x[b,{s^2}]": "E111",
    "x[b,{exp(s)}]": "E111",
    "x[b,{S}]": "E111",
    "x[b,{-1}]": "E111",
    "{x[s-1]}*1[b]": "E304",
    "{x[b,s-1,0]}": "E304",
    "x[b,s]*x[b,{q}-1]": "E311",
    "x[b,s-{k}]": "E301",
    "x[b,s]*1[{s-1}]": "E111",
    "sum[{s-1}](x[b,s])": "E111",
    "max[{s-1}](x[b,s])": "E111",
}


@pytest.mark.parametrize("right", REFUSED)
def test_what_is_refused(right: str) -> None:
    text, wanted = marking(op_of(right), REFUSED[right])
    assert [r for r in refusals(text) if r.code != "E208"] == [wanted]


HEADS = {  # an op, what is marked in braces; the code
    "op f(x[{s-1}]) -> y[s]\ny[s] = x[s]\n": "E111",
    "op f(x[s]) -> y[s]\ny[{s-1}] = x[s]\n": "E111",
    "op f(x[s]) -> y[s]\ny[{0}] = x[s]\n": "E111",
    "op f(x[i,j]) -> y[{d}]\ny[d] = x[i,i+d]*1[i]\n": "E311",
}


@pytest.mark.parametrize("text", HEADS)
def test_what_is_defined_has_letters(text: str) -> None:
    text, wanted = marking(text, HEADS[text])
    assert wanted in refusals(text)


def test_the_help_says_of_what_an_index_is_made() -> None:
    assert "indices, sizes and integers" in helped(op_of("x[b,s+a]"))


# -- derived --------------------------------------------------------------------------------------

CONVOLVED = """op f(x[b,s,c], w[k,c], bias[c]) -> y[b,s,c]
y[b,s,c] = x[b,s-k,c]*w[k,c] + 1[b]*1[s]*bias[c]
"""
FILTERED = "op f(x[n,i,j], w[k,l]) -> y[n,i,j]\ny[n,i,j] = x[n,i+k,j+l]*w[k,l]\n"
DERIVED = [
    CONVOLVED,
    FILTERED,
    "op f(x[b,s,c]) -> y[b,c]\ny[b,c] = x[b,0,c]*x[b,S-1,c]\n",
    "op f(x[b,s]) -> y[b,s]\ny[b,s] = (x[b,s] - x[b,s-1])^2\n",
    "op f(x[b,s]) -> y[b,s]\ny[b,s] = x[b,S-1-s]*x[b,s]\n",
    "op f(x[s], w[k]) -> y[s]\ny[s] = x[2*s+k]*w[k]\n",
    "op f(r[d], x[j], a[i]) -> y[i]\ny[i] = r[i-j]*x[j]*a[i]\n",
    "op f(x[s,v], t[s]: int[v]) -> y[s]\ny[s] = x[s-1,t[s]]^2\n",
    "op f(x[b,s]) -> y[b,s]\ny[b,s] = exp(x[b,s-1])*x[b,s]\n",
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
    CONVOLVED: "dx[b,s,c] = dy[b,s+k,c]*w[k,c]",
    FILTERED: "dw[k,l] = dy[n,i,j]*x[n,i+k,j+l]",
}


@pytest.mark.parametrize("text", PROVED)
def test_gradients_are_proved(text: str) -> None:
    assert prove(read(text), PROVED[text])
    assert not prove(read(text), PROVED[text].replace("+k", "-k"))


# -- run ------------------------------------------------------------------------------------------


def numbers(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def causal(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
    """[b s c], [k c], [c] -> [b s c]"""
    padded = F.pad(x.mT, (len(w) - 1, 0))
    return F.conv1d(padded, w.flip(0).T[:, None], bias, groups=w.shape[1]).mT


def correlated(x: Tensor, w: Tensor) -> Tensor:
    """[n i j], [k l] -> [n i j]"""
    padded = F.pad(x, (0, w.shape[1] - 1, 0, w.shape[0] - 1))
    return F.conv2d(padded[:, None], w[None, None])[:, 0]


def shifted(x: Tensor, by: int) -> Tensor:
    """x[b,s-by]"""
    found = torch.zeros_like(x)
    found[:, by:] = x[:, : x.shape[1] - by]
    return found


NATIVE: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    CONVOLVED: (causal, (numbers(2, 5, 3), numbers(3, 3), numbers(3))),
    FILTERED: (correlated, (numbers(2, 5, 4), numbers(3, 2))),
    "op f(x[b,s]) -> y[b,s]\ny[b,s] = x[b,s-1]\n": (lambda x: shifted(x, 1), (numbers(2, 4),)),
    "op f(x[b,s]) -> y[b,s]\ny[b,s] = x[b,s-9]\n": (torch.zeros_like, (numbers(2, 4),)),
    "op f(x[b,s]) -> y[b,s]\ny[b,s] = x[b,S-1-s]\n": (lambda x: x.flip(1), (numbers(2, 4),)),
    "op f(x[b,s]) -> y[b]\ny[b] = x[b,0]\n": (lambda x: x[:, 0].clone(), (numbers(2, 4),)),
    "op f(x[b,s]) -> y[b]\ny[b] = x[b,2]\n": (lambda x: x[:, 2].clone(), (numbers(2, 4),)),
    "op f(x[b,s]) -> y[b]\ny[b] = x[b,S-1]\n": (lambda x: x[:, -1].clone(), (numbers(2, 4),)),
}


@pytest.mark.parametrize("text", NATIVE)
def test_against_torch(text: str) -> None:
    native, inputs = NATIVE[text]
    cotangents = [torch.ones_like(native(*inputs))]
    got = run(made(text), inputs, cotangents)
    want = run(lambda *t: native(*t) + 0 * t[0].sum(), inputs, cotangents)
    torch.testing.assert_close(got, want, rtol=EXACT, atol=1e-13)


@pytest.mark.parametrize("text", DERIVED)
def test_against_composed_operations(text: str) -> None:
    op = read(text)
    sizes = dict.fromkeys(i.size for i in op.letters)
    lengths = dict(zip(sizes, (4, 5, 3, 2, 2), strict=False))
    shapes = [[lengths[i.size] for i in c.indices] for c in op.inputs]
    inputs = [numbers(*shape, seed=k) for k, shape in enumerate(shapes)]
    if "int" in op.header:
        inputs[1] = torch.arange(len(inputs[1])) % inputs[0].shape[1]
    got, want = run(made(text), inputs), run(composed(op), inputs)
    torch.testing.assert_close(got, want, rtol=EXACT, atol=1e-13)


def test_beside_a_label_outside_is_zero() -> None:
    """Of labels nothing is known: an offset may lead beyond either end."""
    text = "op f(x[b,c], t[b]: int[c]) -> y[b]\ny[b] = x[b,t[b]-1]^2 + exp(x[b,2*t[b]])\n"
    inputs = [numbers(3, 4), torch.tensor([0, 3, 1])]
    got, want = run(made(text), inputs), run(composed(read(text)), inputs)
    torch.testing.assert_close(got, want, rtol=EXACT, atol=1e-13)


def test_what_lies_outside_may_be_anything() -> None:
    """The zero outside is no product: an infinity at the edge leaves the rest alone."""
    x = torch.tensor([[float("inf"), 1.0, 2.0]], dtype=torch.float64)
    call = made("op f(x[b,s]) -> y[b,s]\ny[b,s] = x[b,s+1]\n")
    (y,), (dx,) = run(call, [x], [torch.ones_like(x)])
    assert y.tolist() == [[1, 2, 0]]
    assert dx.tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("text", [CONVOLVED, FILTERED])
def test_no_rows(text: str) -> None:
    _, (x, *rest) = NATIVE[text]
    (y,), grads = run(made(text), [x[:0], *rest])
    assert y.shape == x[:0].shape
    assert not any(g.any() for g in grads)


# -- several indices on one axis ------------------------------------------------------------------

GROUPED = "op f(x[n,g*S+s]; G = 2) -> y[n,g]\ny[n,g] = x[n,g*S+s]*x[n,g*S+s]\n"


def test_an_axis_of_several_indices_is_read_and_written_as_declared() -> None:
    op = read(GROUPED)
    assert [i.name for i in op.inputs[0].indices] == ["n", "g", "s"]
    assert shown(op) == ["y[n,g] = 1[s]*x[n,g*S+s]^2"]
    assert latex(op) == r"y_{n g} = \mathbf{1}_{s} x_{n (g S+s)}^{2}"
    check_means_the_same(again(op), op)


def test_a_size_is_a_parameter() -> None:
    x = numbers(3, 12)
    for groups in (2, 3, 4):
        call = lambda t, g=groups: made(GROUPED)(t, G=g)  # noqa: E731  # a function of tensors
        native = lambda t, g=groups: t.reshape(3, g, -1).square().sum(-1)  # noqa: E731  # as above
        torch.testing.assert_close(run(call, [x]), run(native, [x]), rtol=EXACT, atol=0)


MERGED = {  # an op, what is marked in braces; the code
    "op f({x[n,g*S+s]}) -> y[n,g]\ny[n,g] = x[n,g*S+s]*1[s]\n": "E311",
    "op f(x[n,g*S+s]; {G = 1/2}) -> y[n,g]\ny[n,g] = x[n,g*S+s]*1[s]\n": "E603",
    "op f(x[n,g*S+s]; {G = 0}) -> y[n,g]\ny[n,g] = x[n,g*S+s]*1[s]\n": "E603",
    "op f(x[n,g]; {G = 2}) -> y[n]\ny[n] = x[n,g]*1[g]\n": "E210",
    "op f(x[n,g*S+s]; G = 2) -> y[n,g]\ny[n,g] = x[n,{g}]\n": "E304",
    "op f(x[n,{g*S}]; G = 2) -> y[n,g]\ny[n,g] = x[n,g*S]\n": "E111",
    "op f(x[n,{s+S*2}]; G = 2) -> y[n,g]\ny[n,g] = x[n,g]\n": "E111",
}


@pytest.mark.parametrize("text", MERGED)
def test_axes_that_are_refused(text: str) -> None:
    text, wanted = marking(text, MERGED[text])
    assert wanted in refusals(text)


def test_an_op_of_the_same_names_leaves_no_trace() -> None:
    """What one op shows as one axis, another that is read later may show as two."""
    plain = GROUPED.replace("g*S+s", "g,s").replace("; G = 2", "")
    first, second = read(GROUPED), read(plain)
    assert first.inputs[0] != second.inputs[0]
    assert gradient(first.inputs[0]).tensor.groups == (1, 2)
    assert gradient(second.inputs[0]).tensor.groups == ()


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_a_place_that_an_axis_has_not_is_zero(backend: str) -> None:
    """Whatever the axis: brackets would raise there, or count from the end."""
    op = read("op f(x[b,s]) -> y[b,s]\ny[b,s] = x[b,s]*x[b,1] + exp(x[b,S-2])*1[s]\n")
    for length in (1, 2, 3):
        x = torch.randn(2, length, dtype=torch.float64)
        cotangent = torch.randn_like(x)
        want = run(composed(op), (x,), (cotangent,))
        got = run(build(op, backend).f, (x,), (cotangent,))
        for ours, theirs in zip([*got[0], *got[1]], [*want[0], *want[1]], strict=True):
            assert torch.allclose(ours, theirs, rtol=EXACT, atol=EXACT)
