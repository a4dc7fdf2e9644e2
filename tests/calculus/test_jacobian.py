"""Every derivative against numerical differentiation; at kinks, the documented subgradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mpmath
import pytest
from sympy import Expr, Float, Rational

from derive.calculus.jacobian import LAWS, differentiate, jacobian
from derive.notation.functions import ROWS, Row, call
from derive.notation.nodes import (
    Component,
    Contraction,
    Differentiate,
    Index,
    Size,
    Tensor,
    delta,
)
from derive.notation.text import to_text
from derive.rewrite import Chain, Law, keeping_shape
from derive.simplify.laws import CONTRACTING
from tests.samples import DIGITS, Pair, World, differs, op_for, pair

SMOOTH = ("0.3", "1.7", "-0.8", "2.25", "-3.1")
POSITIVE = ("0.3", "1.7", "4.5")  # for the logarithm
NUMERICAL = mpmath.mpf(10) ** -15

B = Size("B", 0)
b, p, q = Index("b", B, 0), Index("p", B, 1), Index("q", B, 2)
x = Tensor("x", 0)


def derivatives(row: Row, args: tuple[Any, ...]) -> list[Any]:
    """The partial derivatives of a function at a point, by its row of the table."""
    tensors = [Component(Tensor(f"a{k}", k)) for k in range(row.arity)]
    values = {t.tensor: a for t, a in zip(tensors, args, strict=True)}
    world = World(op_for(""))
    world.evaluator.lookup = lambda component, place: values[component.tensor]
    found = (jacobian(call(row.name, *tensors), t) for t in tensors)
    return [world.value(f, {}) for f in found]


def slope(row: Row, args: tuple[Any, ...], place: int) -> Any:
    """The partial derivative by one argument, numerically."""
    if row.arity == 1:
        return mpmath.diff(row.value, args[0])
    return mpmath.diff(row.value, args, tuple(int(k == place) for k in range(row.arity)))


def points(row: Row) -> Iterator[tuple[Any, ...]]:
    """Points away from every kink."""
    numbers = POSITIVE if row.name == "log" else SMOOTH
    for k, first in enumerate(numbers):
        others = numbers[k + 1 :] + numbers[:k]
        yield tuple(map(mpmath.mpf, (first, *others)[: row.arity]))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_function_of_the_table(row: Row) -> None:
    with mpmath.workdps(DIGITS):
        for args in points(row):
            for k, got in enumerate(derivatives(row, args)):
                want = slope(row, args, k)
                assert not differs(got, want, NUMERICAL), (row.name, args, k)


KINKS = [
    ("abs", ("0",), ("0",)),
    ("sign", ("0",), ("0",)),
    ("relu", ("0",), ("0",)),
    ("min", ("0.7", "0.7"), ("0.5", "0.5")),
    ("max", ("0.7", "0.7"), ("0.5", "0.5")),
    ("min", ("0.7", "0.8"), ("1", "0")),
    ("max", ("0.7", "0.8"), ("0", "1")),
]


@pytest.mark.parametrize(("name", "args", "want"), KINKS)
def test_at_a_kink(name: str, args: tuple[str, ...], want: tuple[str, ...]) -> None:
    """Torch's own: 0 for abs, sign, relu; half to each argument at a tie."""
    row = next(r for r in ROWS if r.name == name)
    assert derivatives(row, tuple(map(mpmath.mpf, args))) == [mpmath.mpf(w) for w in want]


# -- expressions ---------------------------------------------------------------------------------

EXPRESSIONS = [  # free letters, expression, by which tensor
    ("b,h", "x[b,h]", "x"),
    ("b,h", "y[b,h]", "x"),
    ("b,h", "x[b,h]*y[b,h]*z[h]", "x"),
    ("b,h", "x[b,h]*x[b,h]*z[h]", "x"),
    ("b,h", "x[b,h]^3 - 2*x[b,h]^2 + x[b,h]", "x"),
    ("b,h", "x[b,h]^-2", "x"),
    ("b,h", "x[b,h]^(1/3)", "x"),
    ("b,h", "x[b,h]/y[b,h]", "y"),
    ("b,h", "x[b,h]/(1 + x[b,h]^2)", "x"),
    ("b,h", "sqrt(1 + x[b,h]*y[b,h])", "y"),
    ("b", "1[h]*x[b,h]", "x"),
    ("b", "x[b,h]*z[h]", "z"),
    ("b", "sqrt(x[b,h]*x[b,h])", "x"),
    ("b", "log(1[h]*exp(x[b,h]))", "x"),
    ("b", "exp(z[h]*x[b,h])*1[h]", "z"),
    ("b", "(1[h]*(x[b,h]*z[h])^2)^2", "z"),
    ("b", "1[h]*sin(x[b,h]*(x[b,k]*x[b,k]))", "x"),
    ("b", "1[h]*x[b,h]*tanh(1[k]*(x[b,k] + 1[b]*z[k])^2)", "x"),
    ("b", "1[h]*x[b,h]*tanh(1[k]*(x[b,k] + 1[b]*z[k])^2)", "z"),
    ("", "u[i]*A[i,j]*u[j]", "A"),
    ("", "u[i]*A[i,j]*u[j]", "u"),
    ("", "A[i,j]*A[j,i]", "A"),
    ("", "A[i,j]*A[j,k]*A[k,i]", "A"),
    ("i", "A[i,i]", "A"),
    ("", "1[i]*A[i,i]^2", "A"),
    ("i,j", "A[i,j] - A[j,i]", "A"),
    ("i,j", "delta[i,j]*u[i]^2", "u"),
    ("i,j", "u[i]*u[j]*A[i,j]", "u"),
    ("b,h", "max(x[b,h], y[b,h]) + min(x[b,h], 1[b]*z[h])", "x"),
    ("b,h", "relu(x[b,h] - y[b,h])^2 + abs(x[b,h])", "x"),
]


def reading(free: str, text: str) -> Pair:
    """Over x, y [b h], z [h], u [i] and A [i i]; every k has the size that its tensor wants."""
    sizes = "delta[h,k] delta[i,j]" if "A[" not in text else "delta[i,j] delta[i,k]"
    return pair(free, text, text, op_for(f"{sizes} x[b,h] y[b,h] z[h] u[i] A[i,j]"))


def by(case: Pair, name: str) -> tuple[Component, Expr]:
    """The Jacobian by one tensor in letters of its own."""
    declared = case.op.tensors[name]
    letters = (Index(f"p{k}", i.size, 700 + k) for k, i in enumerate(declared.indices))
    wrt = Component(declared.tensor, *letters)
    return wrt, jacobian(case.before, wrt)


def wrong(case: Pair, name: str, got: Expr) -> list[object]:
    """Where the Jacobian is not the numerical derivative."""
    wrt, _ = by(case, name)
    world = World(case.op, (3, 2, 3), 5, 0.2, 1.5)
    found: list[object] = []
    for at in world.points(case.free):
        for place in world.places(wrt.indices):
            world.component(wrt, place)
            with mpmath.workdps(DIGITS):
                want = world.slope(lambda at=at: world.value(case.before, at), wrt.tensor, place)
                here = world.value(got, {**at, **dict(zip(wrt.indices, place, strict=True))})
            found += [(at, place, here, want)] if differs(here, want, NUMERICAL) else []
    return found


@pytest.mark.parametrize(("free", "text", "name"), EXPRESSIONS)
def test_against_numbers(free: str, text: str, name: str) -> None:
    with keeping_shape():
        case = reading(free, text)
        _, got = by(case, name)
        assert not wrong(case, name, got)


@pytest.mark.parametrize(("free", "text", "name"), EXPRESSIONS)
def test_contracting_changes_no_value(free: str, text: str, name: str) -> None:
    with keeping_shape():
        case = reading(free, text)
        chain = Chain(case.before, by(case, name)[1])
        chain.run(CONTRACTING)
        assert not wrong(case, name, chain.expr)


def test_a_wrong_derivative_would_be_caught() -> None:
    case = reading("b,h", "x[b,h]^3 - 2*x[b,h]^2 + x[b,h]")
    _, got = by(case, "x")
    assert wrong(case, "x", -got)
    assert wrong(case, "x", got + Rational(1, 10**9))


# -- letters -------------------------------------------------------------------------------------


def test_a_sum_captures_no_letter() -> None:
    """∂/∂x_q Σ_q x_q² = 2 x_q, though the sum may be called by the same letter."""
    total = Contraction(Component(x, q) ** 2, q)
    got = Chain(total, jacobian(total, Component(x, q)))
    got.run(CONTRACTING)
    assert got.expr == 2 * Component(x, q)


def test_a_nested_sum_captures_no_letter() -> None:
    inner = Contraction(Component(x, p) ** 2, p)
    total = Contraction(Component(x, q) * inner, q)
    got = Chain(total, jacobian(total, Component(x, q)))
    got.run(CONTRACTING)
    assert got.expr == inner + 2 * Component(x, q) * Contraction(Component(x, p), p)


def test_another_tensor_is_held_fixed() -> None:
    assert jacobian(Component(Tensor("y", 1), b) ** 2, Component(x, p)) == 0
    assert jacobian(B * delta(b, q), Component(x, p)) == 0


def test_what_has_no_rule_is_refused() -> None:
    class Unknown(Expr):
        is_commutative = True

    with pytest.raises(TypeError, match="Unknown"):
        jacobian(Unknown(Component(x, b)), Component(x, p))


# -- each rule by itself -------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
class TestRule:
    def test_gives_its_example(self, law: Law) -> None:
        with keeping_shape():
            case = single(law.example[0])
            wrt = Component(case.op.tensors["x"].tensor, _letter(case))
            after = law.apply(Differentiate(case.before, wrt))
            assert after is not None
            assert to_text(after, (*case.free, *wrt.indices), case.op.letters) == law.example[1]

    def test_is_true_of_numbers(self, law: Law) -> None:
        """The operators that are left stand for numerical slopes."""
        with keeping_shape():
            case = single(law.example[0])
            wrt = Component(case.op.tensors["x"].tensor, _letter(case))
            after = law.apply(Differentiate(case.before, wrt))
            assert after is not None
            if any(t.atoms(Differentiate) for t in after.atoms(Contraction)):
                after = carried_out(after, wrt)  # a dummy has no value at which to take a slope
            for seed in range(3):
                world = World(case.op, (3,), seed, 0.2, 1.5)
                for at in world.points((*case.free, *wrt.indices)):
                    want = _slope(world, case.before, wrt, at)
                    inner = {
                        d: Float(_slope(world, d.expr, wrt, at), DIGITS)
                        for d in after.atoms(Differentiate)
                    }
                    assert not differs(world.value(after.xreplace(inner), at), want, NUMERICAL)


def carried_out(expr: Expr, wrt: Component) -> Expr:
    """What the rules make of all operators that are left."""
    chain = Chain(wrt, expr)
    differentiate(chain)
    return chain.expr


def single(text: str) -> Pair:
    """Over x, z [b]; c is another letter for what runs along b."""
    return pair("b", text, text, op_for("x[b] z[b] delta[b,c]"))


def _letter(case: Pair) -> Index:
    return Index("p", case.free[0].size, 700)


def _slope(world: World, expr: Expr, wrt: Component, at: dict[Index, int]) -> Any:
    place = tuple(at[i] for i in wrt.indices)
    world.component(wrt, place)
    world.value(expr, at)
    return world.slope(lambda: world.value(expr, at), wrt.tensor, place)


def test_a_wrong_rule_would_be_caught() -> None:
    case = single("x[b]^3")
    wrt = Component(case.op.tensors["x"].tensor, _letter(case))
    world = World(case.op, (3,), 0, 0.2, 1.5)
    wrongly = 2 * case.before
    points = list(world.points((*case.free, *wrt.indices)))
    assert any(
        differs(world.value(wrongly, at), _slope(world, case.before, wrt, at), NUMERICAL)
        for at in points
    )


def test_a_step_for_each_rule() -> None:
    case = reading("b,h", "x[b,h]*exp(y[b,h])/sqrt(1 + x[b,h]^2)")
    wrt, _ = by(case, "x")
    with keeping_shape():
        chain = Chain(case.before, Differentiate(case.before, wrt))
        differentiate(chain)
    assert [s.law for s in chain.steps][:4] == [
        "the derivative is linear",
        "product rule",
        "power rule",
        "components are independent",
    ]
    assert not chain.expr.atoms(Differentiate)
