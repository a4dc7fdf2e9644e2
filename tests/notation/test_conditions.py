"""`where`, comparisons, `max[h]`, `min[h]`: read, refused, printed, derived, run on hard values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from sympy import Expr, Integer, S

from derive import build, differentiate, parse, prove
from derive.higher import backward
from derive.notation.conditions import Position, iverson
from derive.notation.nodes import Component, Contraction, Maximum, Minimum
from derive.notation.op import Op
from derive.verify.exact import exact
from tests.notation.reading import (
    again,
    check_means_the_same,
    helped,
    latex,
    marking,
    read,
    refusals,
)
from tests.running import EXACT, made, run

HEAD = "op f(x[i,j], z[i], s; k = 2) -> y[i,j], w[i]\nw[i] = k*s*x[i,j]*z[i]*1[j]\n"
INF, NAN = float("inf"), float("nan")


def op_of(right: str, left: str = "y[i,j]") -> Op:
    """An op in which the equation under test is the last."""
    return read(f"{HEAD.replace('y[i,j]', left)}{left} = {right}\n")


class Pieces:
    """The components of an op of `HEAD`, its letters and their positions."""

    def __init__(self, op: Op) -> None:
        self.x, self.z, self.s = op.inputs
        self.k = op.parameters[0].symbol
        self.i, self.j = self.x.indices
        self.at_i, self.at_j = Position(self.i), Position(self.j)

    def row(self, j: object) -> Component:
        return Component(self.x.tensor, self.i, j)


def where(holds: Expr, taken: Expr, other: Expr) -> Expr:
    return holds * taken + (1 - holds if holds.is_number else holds.contrary) * other


# -- what is read ---------------------------------------------------------------------------------

READ: dict[str, Callable[[Pieces], Expr]] = {
    "where(x[i,j] > 0, x[i,j], 0)": lambda p: iverson("<", S.Zero, p.x) * p.x,
    "where(0 < x[i,j], x[i,j], 0)": lambda p: iverson("<", S.Zero, p.x) * p.x,
    "where(x[i,j] >= s, 1, 0)": lambda p: iverson("<=", p.s, p.x),
    "where(x[i,j] == k, 1, 0)": lambda p: iverson("==", p.x, p.k),
    "where(x[i,j] != k, 1, 0)": lambda p: iverson("==", p.x, p.k).contrary,
    "where(x[i,j] < 1, 2, 3)": lambda p: where(iverson("<", p.x, S.One), Integer(2), Integer(3)),
    "where(z[i] > 0, x[i,j], 0)": lambda p: iverson("<", S.Zero, p.z) * p.x,
    "where(j <= i, x[i,j], 0)": lambda p: iverson("<=", p.at_j, p.at_i) * p.x,
    "where(i - j < 2, x[i,j], 0)": lambda p: iverson("<", p.at_i - p.at_j, Integer(2)) * p.x,
    "where(2*j < J, x[i,j], 0)": lambda p: iverson("<", 2 * p.at_j, p.j.size) * p.x,
    "where(j < k, x[i,j], 0)": lambda p: iverson("<", p.at_j, p.k) * p.x,
    "where(s > j, x[i,j], 0)": lambda p: iverson("<", p.at_j, p.s) * p.x,
    "where(1 < 2, x[i,j], 0)": lambda p: p.x,
    "where(2 == 1, 0, x[i,j])": lambda p: p.x,
    "where(j == j, x[i,j], 0)": lambda p: p.x,
}


@pytest.mark.parametrize("right", READ)
def test_what_is_read(right: str) -> None:
    op = op_of(right)
    assert op.equations[-1].expr == READ[right](Pieces(op))


def test_two_indices_of_one_size_that_are_equal_make_a_delta() -> None:
    op = read("op f(A[i,i]) -> y[i,j]\ny[i,j] = where(i == j, A[i,j], 0)\n")
    other = read("op f(A[i,i]) -> y[i,j]\ny[i,j] = delta[i,j]*A[i,j]\n")
    check_means_the_same(op, other)


SUMMED = {  # an equation, and one without the shorthand
    "y[i] = 1[j]*where(j <= i, x[i,j], 0)": "y[i] = sum[j](where(j <= i, x[i,j], 0))",
    "y[i] = where(j <= i, 1, 0)*x[i,j]": "y[i] = sum[j](where(j <= i, x[i,j], 0))",
    "y[i] = where(i > 0, 1[j]*x[i,j], 0)": "y[i] = where(i > 0, sum[j](x[i,j]), 0)",
    "y[i] = where(x[i,j]*z[i] > 0, 1, 0)*1[j]": "y[i] = sum[j](where(x[i,j]*z[i] > 0, 1, 0))",
    "y[i] = where(x[i,j]*1[j] > 0, z[i], 0)": "y[i] = where(sum[j](x[i,j]) > 0, z[i], 0)",
    "y[i] = where(j < 2, 1, 0)*1[j]*z[i]": "y[i] = sum[j](where(j < 2, 1, 0))*z[i]",
    "y[i] = z[i]*max[j](x[i,j])": "y[i] = max[j](x[i,j])*z[i]",
    "y[i] = max[j](x[i,j]*where(j < 2, 1, 0))": "y[i] = max[j](where(j < 2, x[i,j], 0))",
}


@pytest.mark.parametrize("equation", SUMMED)
def test_where_sums_stand(equation: str) -> None:
    first, second = (
        op_of(text.partition(" = ")[2], "y[i]") for text in (equation, SUMMED[equation])
    )
    check_means_the_same(first, second)


@pytest.mark.parametrize(
    ("right", "kind"), [("max[j](x[i,j])", Maximum), ("min[j](x[i,j]^2)", Minimum)]
)
def test_a_reduction_to_the_largest_is_one(right: str, kind: type) -> None:
    op = op_of(right, "y[i]")
    found = op.equations[-1].expr
    assert isinstance(found, kind)
    assert found.free_symbols & set(op.letters) == {op.letters[0]}


def test_largest_of_several_indices_and_of_a_largest() -> None:
    op = op_of("max[i,j](x[i,j]) - min[i](max[j](x[i,j]))", "y")
    assert not op.equations[-1].expr.free_symbols & set(op.letters)
    assert len(op.equations[-1].expr.atoms(Maximum)) == 2


# -- printed --------------------------------------------------------------------------------------

PRINTED = {  # a right side, as it is printed, in LaTeX
    "where(x[i,j] > 0, x[i,j], 0)": (
        "x[i,j]*where(x[i,j] > 0, 1, 0)",
        r"x_{i j} \left[x_{i j} > 0\right]",
    ),
    "where(0 >= x[i,j], 2, 3)": (
        "where(x[i,j] <= 0, 2, 3)",
        r"\begin{cases} 2 & x_{i j} \le 0 \\ 3 & \text{otherwise} \end{cases}",
    ),
    "where(x[i,j] != 0, 1/x[i,j], 0)": (
        "where(x[i,j] == 0, 0, 1)/x[i,j]",
        r"\frac{\left[x_{i j} \ne 0\right]}{x_{i j}}",
    ),
    "where(x[i,j] < s, 0, x[i,j])": (
        "x[i,j]*where(x[i,j] < s, 0, 1)",
        r"x_{i j} \left[x_{i j} \not< s\right]",
    ),
    "where(i - j < 2, x[i,j], -x[i,j])": (
        "where(i - j < 2, x[i,j], -x[i,j])",
        r"\begin{cases} x_{i j} & i-j < 2 \\ -x_{i j} & \text{otherwise} \end{cases}",
    ),
    "where(j > i, 0, x[i,j])": (
        "x[i,j]*where(j <= i, 1, 0)",
        r"x_{i j} \left[j \le i\right]",
    ),
    "where(x[i,j] > 0, where(j < 2, x[i,j], 1), 0)": (
        "where(j < 2, x[i,j], 1)*where(x[i,j] > 0, 1, 0)",
        (
            r"\left(\begin{cases} x_{i j} & j < 2 \\ 1 & \text{otherwise} \end{cases}\right)"
            r" \left[x_{i j} > 0\right]"
        ),
    ),
    "x[i,j]*max[l](x[i,l])": (
        "x[i,j]*max[l](x[i,l])",
        r"x_{i j} \max_{l}\left(x_{i l}\right)",
    ),
    "x[i,j]*min[l,m](x[l,m])": (
        "x[i,j]*min[l,m](x[l,m])",
        r"x_{i j} \min_{l m}\left(x_{l m}\right)",
    ),
}


@pytest.mark.parametrize("right", PRINTED)
def test_what_is_printed(right: str) -> None:
    op = op_of(right)
    text, tex = PRINTED[right]
    assert f"y[i,j] = {text}" == str_of(op)
    assert latex(op) == rf"y_{{i j}} = {tex}"


def str_of(op: Op) -> str:
    return again(op).equations[-1].text


@pytest.mark.parametrize("right", [*READ, *PRINTED])
def test_what_is_printed_reads_the_same(right: str) -> None:
    op = op_of(right)
    assert [e.expr for e in again(op).equations] == [e.expr for e in op.equations]


# -- refused --------------------------------------------------------------------------------------

REFUSED = {  # a right side of y[i,j], what is marked in braces; the code
    "{where(x[i,j] > 0, x[i,j])}": "E502",
    "{where(x[i,j], 1, 0)}": "E502",
    "{where(x[i,j], x[i,j] > 0, 0)}": "E502",
    "{where(x[i,j] > 0, 1, 0, 0)}": "E502",
    "exp({x[i,j] > 0})": "E502",
    "max(x[i,j], {x[i,j] > 0})": "E502",
    "where(0 < x[i,j] {<} 1, 1, 0)": "E502",
    "where((x[i,j] {>} 0), 1, 0)": "E502",
    "x[i,j]*(j {<} 2)": "E502",
    "where(x[i,j] > {z}, x[i,j], 0)": "E311",
    "where(x[i,j] > 0, {z[i]}, 0)": "E302",
    "where(j <= i, {z[i]}, 0)": "E302",
    "where(z[i] > 0, x[i,j], {z[i]})": "E302",
    "where(z[i] > 0, x[i,j], {s})": "E302",
    "where(x[i,{l}] > 0, x[i,j], 0)": "E301",
    "{where(i > 0, z[i], 0)}": "E303",
    "{where(i > 0, 1, 0)}": "E303",
    "1[j]*max[{j}](x[i,j])": "E309",
    "x[i,j]*max[{i}](z[i])": "E309",
    "x[i,j]*max[{l}](z[i])": "E310",
    "x[i,j]*max[{l}](2)": "E310",
    "x[i,j]*{max[](z[i])}": "E114",
    "x[i,j]*{max[l](x[i,l], 0)}": "E114",
    "x[i,j]*max[{2}](z[i])": "E111",
    "x[i,j]*max[l](x[i,l])*{min[l](x[i,l])}": "E307",
    "x[i,j]*{argmax}[l](x[i,l])": "E202",
    "x[i,j]^{where(z[i] > 0, 1, 2)}": "E312",
}


@pytest.mark.parametrize("right", REFUSED)
def test_what_is_refused(right: str) -> None:
    """That names are not used, may follow."""
    text, wanted = marking(f"{HEAD}y[i,j] = {right}\n", REFUSED[right])
    assert [r for r in refusals(text) if r.code != "E208"] == [wanted]


def test_an_index_that_only_a_condition_names_has_no_size() -> None:
    found = refusals(f"{HEAD}y[i,j] = x[i,j]*where(q < 2, 1, 0)*1[q]\n")
    assert [(r.code, r.marked) for r in found] == [("E311", "q")]


def test_the_help_broadcasts_the_branch() -> None:
    assert "write `1[j]*z[i]`" in helped(f"{HEAD}y[i,j] = where(z[i] > 0, x[i,j], z[i])\n")


# -- derived --------------------------------------------------------------------------------------

DERIVED = [
    "op f(x[b,h]) -> y[b,h]\ny[b,h] = where(x[b,h] > 0, x[b,h]^2, -x[b,h])\n",
    "op f(x[b,h], z[b]) -> y[b,h]\ny[b,h] = where(z[b] < 1, x[b,h]*1[h]*z[b], 0)\n",
    "op f(s[i,j]) -> y[i]\ny[i] = 1[j]*where(j <= i, s[i,j]^2, 0)\n",
    "op f(x[b,h], c) -> y[b,h]\ny[b,h] = where(abs(x[b,h]) <= c, x[b,h], 1[b,h]*c)\n",
    "op f(x[b,h]) -> y[b]\ny[b] = max[h](x[b,h]^2)\n",
    "op f(x[b,h], w[h]) -> y[b]\ny[b] = min[h](x[b,h]*w[h]) * max[k](w[k])\n",
    "op f(x[b,h]) -> y\ny = max[b](min[h](x[b,h])) + max[b,h](x[b,h])\n",
    "op f(x[b,h]) -> y[b,h]\nm[b] = max[h](x[b,h])\ny[b,h] = x[b,h]/(1 + 1[h]*m[b]^2)\n",
]


@pytest.mark.parametrize("text", DERIVED)
def test_gradients_are_exact(text: str) -> None:
    report = exact(read(text))
    assert report.components
    assert report.mismatch is None


@pytest.mark.parametrize("text", DERIVED[:4])
def test_gradients_of_gradients_are_exact(text: str) -> None:
    report = exact(backward(read(text)))
    assert report.components
    assert report.mismatch is None


PROVED = {
    DERIVED[0]: "dx[b,h] = dy[b,h]*where(x[b,h] > 0, 2*x[b,h], -1)",
    DERIVED[2]: "ds[i,j] = 2*dy[i]*where(j <= i, s[i,j], 0)",
}


@pytest.mark.parametrize("text", PROVED)
def test_gradients_are_proved(text: str) -> None:
    assert prove(read(text), PROVED[text])
    assert not prove(read(text), PROVED[text].replace("2*", "3*"))


def test_a_condition_has_no_gradient() -> None:
    op = read("op f(x[b], z[b]) -> y[b]\ny[b] = where(z[b] > 0, x[b], 0)\n")
    assert differentiate(op).gradients["z"] == 0


def test_a_contraction_under_a_condition_of_its_dummy_stays_one() -> None:
    op = op_of("1[j]*where(j <= i, x[i,j], 0)", "y[i]")
    assert len(op.equations[-1].expr.atoms(Contraction)) == 1


# -- the branch that is not taken -----------------------------------------------------------------

SAFE = {  # a right side, values of x, the slope that is wanted where 1 arrives
    "where(x[b] > 0, log(x[b]), 0)": ([2.0, 0.0, -1.0, NAN], [0.5, 0, 0, 0]),
    "where(x[b] > 0, sqrt(x[b]), 0)": ([4.0, 0.0, -1.0, NAN], [0.25, 0, 0, 0]),
    "where(x[b] != 0, 1/x[b], 0)": ([2.0, 0.0, -1.0], [-0.25, 0, -1]),
    "where(x[b] == 0, 0, 1/x[b])": ([2.0, 0.0, -1.0], [-0.25, 0, -1]),
    "where(abs(x[b]) < 5, x[b]^2, 0)": ([2.0, INF, -INF, NAN], [4, 0, 0, 0]),
    "where(b < 2, x[b]^2, 0)": ([2.0, 3.0, INF, NAN], [4, 6, 0, 0]),
    "where(b < 2, 0, 1/x[b])": ([0.0, NAN, 2.0], [0, 0, -0.25]),
    "where(x[b] > 0, log(x[b]), where(x[b] < 0, log(-x[b]), 0))": (
        [2.0, 0.0, -4.0],
        [0.5, 0, -0.25],
    ),
}


def slopes(right: str, values: Sequence[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """The values of f(x) and the gradients of their sum."""
    x = torch.tensor(values, dtype=torch.float64)
    (y,), (dx,) = run(made(f"op f(x[b]) -> y[b]\ny[b] = {right}\n"), [x], [torch.ones_like(x)])
    return y, dx


@pytest.mark.parametrize("right", SAFE)
def test_the_branch_that_is_not_taken_contributes_nothing(right: str) -> None:
    values, wanted = SAFE[right]
    _, dx = slopes(right, values)
    want = torch.tensor(wanted, dtype=torch.float64)
    torch.testing.assert_close(dx, want, rtol=EXACT, atol=0, equal_nan=True)


def test_a_masked_row_of_infinities_leaves_the_sum_alone() -> None:
    x = torch.tensor([[1.0, INF, NAN], [2.0, 3.0, -INF]], dtype=torch.float64)
    call = made("op f(x[i,j]) -> y[i]\ny[i] = 1[j]*where(j <= i, x[i,j]^2, 0)\n")
    (y,), (dx,) = run(call, [x], [torch.ones(2, dtype=torch.float64)])
    assert y.tolist() == [1, 13]
    assert dx.tolist() == [[2, 0, 0], [4, 6, 0]]


def test_comparisons_with_nan() -> None:
    """Only `!=` holds."""
    for relation, want in {"<": 0, "<=": 0, "==": 0, ">": 0, ">=": 0, "!=": 1}.items():
        call = made(f"op f(x[b], z[b]) -> y[b]\ny[b] = where(x[b] {relation} 1, z[b], -z[b])\n")
        (y,), _ = run(call, [torch.tensor([NAN]), torch.tensor([1.0])])
        assert y.item() == (1 if want else -1), relation


def test_what_equals_itself_is_a_number() -> None:
    y, dx = slopes("where(x[b] == x[b], x[b], 0)", [2.0, NAN])
    assert (y.tolist(), dx.tolist()) == ([2, 0], [1, 0])


# -- ties -----------------------------------------------------------------------------------------

TIES = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [-1.0, 0.0, 5.0], [0.0, -0.0, 0.0]])


@pytest.mark.parametrize("word", ["max", "min"])
def test_ties_share_as_in_torch(word: str) -> None:
    x, g = TIES.double(), torch.tensor([1.0, -2.0, 3.0, 4.0]).double()
    native = {"max": torch.amax, "min": torch.amin}[word]
    got = run(made(f"op f(x[b,h]) -> y[b]\ny[b] = {word}[h](x[b,h])\n"), [x], [g])
    assert_same(got, run(lambda t: native(t, -1), [x], [g]))


@pytest.mark.parametrize("word", ["max", "min"])
def test_ties_over_several_indices(word: str) -> None:
    x, g = TIES.double(), torch.tensor(2.0).double()
    native = {"max": torch.amax, "min": torch.amin}[word]
    got = run(made(f"op f(x[b,h]) -> y\ny = {word}[b,h](x[b,h])\n"), [x], [g])
    assert_same(got, run(lambda t: native(t, (0, 1)), [x], [g]))


def assert_same(got: object, want: object) -> None:
    torch.testing.assert_close(got, want, rtol=EXACT, atol=0)


@pytest.mark.parametrize("shape", [(0, 3), (0, 0)])
def test_no_rows(shape: tuple[int, int]) -> None:
    x = torch.zeros(shape, dtype=torch.float64)
    call = made("op f(x[b,h]) -> y[b,h]\ny[b,h] = where(h < 2, x[b,h], 0)\n")
    (y,), (dx,) = run(call, [x])
    assert y.shape == dx.shape == shape


def test_there_is_no_largest_of_no_numbers() -> None:
    call = made("op f(x[b,h]) -> y[b]\ny[b] = max[h](x[b,h])\n")
    (y,), (dx,) = run(call, [torch.zeros((0, 3))])
    assert (y.shape, dx.shape) == ((0,), (0, 3))
    with pytest.raises(IndexError, match="non-zero size"):
        call(torch.zeros((2, 0)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NumPy, which interprets kernels
@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_a_parameter_decides(backend: str) -> None:
    """Of what is not taken nothing is seen, be it infinite."""
    (op,) = parse(
        "op f(x[b,h]; p = 0) -> y[b,h]\n"
        "y[b,h] = where(p > 0, p/x[b,h], x[b,h]) + 1[b,h]*where(p != 0, 1, 2)\n"
    )
    function = build(op, backend).f
    x = torch.tensor([[0.0, 3.0, -1.5]], dtype=torch.float64, requires_grad=True)
    for p, y, dx in ((0.0, x + 2, torch.ones_like(x)), (2.0, 2 / x + 1, -2 / x**2)):
        found = function(x, p=p)
        assert torch.equal(found, y)
        assert torch.equal(torch.autograd.grad(found.sum(), x)[0], dx)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NumPy, which interprets kernels
@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_logits_that_are_masked_out_cost_nothing(backend: str) -> None:
    x = torch.randn(3, 5, dtype=torch.float64)
    x[0, 2] = x[2, 0] = -torch.inf
    labels = torch.tensor([1, 0, 3])
    x.requires_grad_()
    found = build("cross_entropy", backend).cross_entropy(x, labels)
    want = torch.nn.functional.cross_entropy(x, labels)
    torch.testing.assert_close(found, want)
    got, exact = (torch.autograd.grad(loss, x)[0] for loss in (found, want))
    torch.testing.assert_close(got, exact)
