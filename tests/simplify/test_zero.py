"""The form that decides: it keeps the value of random expressions, where they have a real one."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import mpmath
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sympy import Add, Expr, Integer, Mul, Pow, Rational

from derive.notation.evaluate import Evaluator, Point
from derive.notation.functions import FUNCTIONS, call
from derive.notation.nodes import Component, Contraction, Index, Tensor
from derive.rewrite import keeping_shape
from derive.simplify.normal import TooLarge, normal
from derive.simplify.zero import _DECIDING, is_plainly_zero, is_zero, is_zero_by_laws
from tests.samples import World, different
from tests.simplify.test_normal import (
    FREE,
    WORLD_OP,
    B,
    Builder,
    Recipe,
    b,
    bounded,
    component,
    p,
    reasonable,
    recipes,
)

FEW = 40  # operations: what is larger takes long, and tells no more


class Bare(Builder):
    """Roots, divisors and functions of anything, whether or not they have a real value."""

    def _applied(self, kind: str, what: Any, inner: Expr) -> Expr:
        if kind != "call":
            return Pow(inner, Rational(*what) if kind == "root" else what)
        return call(what, *(inner, component("s"))[: FUNCTIONS[what].arity])


class Reals(Evaluator):
    """Refuses an expression that is real only because of parts that are not."""

    def value(self, expr: Expr, at: Point) -> Any:
        value = super().value(expr, at)
        if mpmath.im(value) != 0:
            raise ValueError
        return value


def bare(recipe: Recipe) -> Expr:
    with reasonable(), keeping_shape():
        expr = Bare().build(recipe)
    assume(expr.is_finite is not False and expr.count_ops() <= FEW)
    return expr


def form(expr: Expr) -> Expr:
    with reasonable(), keeping_shape():
        try:
            return _DECIDING.normal(expr)
        except ZeroDivisionError:
            assume(False)


def compared(expr: Expr, other: Expr, low: float, high: float) -> list[tuple[Any, Any]]:
    """The pairs of values that differ, where the first has a real value that is no giant."""
    world = World(WORLD_OP, (2, 2), 0, low, high)
    world.evaluator = Reals(world.sizes, world.scalars, world.component)
    found = []
    with mpmath.workdps(60):
        for at in world.points(FREE):
            try:
                value = world.value(expr, at)
            except (ValueError, TypeError, ZeroDivisionError, OverflowError):
                continue
            if mpmath.isfinite(value) and abs(value) < 1e6:
                found += different([value], [world.value(other, at)], mpmath.mpf(10) ** -20)
    return found


@pytest.mark.parametrize(("low", "high"), [(0.2, 1.5), (-1.5, 1.5)])
@bounded
@given(recipe=recipes(calls=tuple(FUNCTIONS)))
def test_the_value_stays_where_there_is_one(low: float, high: float, recipe: Recipe) -> None:
    expr = bare(recipe)
    assert not compared(expr, form(expr), low, high)


@bounded
@given(recipes(depth=2, calls=tuple(FUNCTIONS)), st.sampled_from([1, 2, 3]))
def test_what_is_plainly_zero_is_zero_by_laws(recipe: Recipe, times: int) -> None:
    expr = bare(recipe)
    with reasonable(), keeping_shape():
        try:
            rest = Add(Mul(times, expr), Mul(-times, normal(expr)))
            assert is_zero_by_laws(rest) or not is_plainly_zero(rest)
        except ZeroDivisionError:
            assume(False)


# -- divisors inside sums -------------------------------------------------------------------------

x, u, k = component("s"), component("u", b), Index("inside", B, 70)
inner = component("u", k)


def total(body: Expr) -> Expr:
    return Contraction(body, k)


@pytest.mark.parametrize("shift", [Integer(1), x, call("exp", x), B])
@pytest.mark.parametrize("exponent", [-1, -2, Rational(-1, 2), Rational(-5, 2)])
def test_a_numerator_is_divided_by_what_stands_below(shift: Expr, exponent: Expr) -> None:
    """Σ u³ Dⁿ, with D = u + c, by the remainder of u³ = ((D - c)³)."""
    with keeping_shape():
        divisor = Add(inner, shift)
        powers = [(1, 3), (-3 * shift, 2), (3 * shift**2, 1), (-(shift**3), 0)]
        terms = [total(Mul(c, Pow(divisor, exponent + n))) for c, n in powers]
        direct = total(Mul(Pow(inner, 3), Pow(divisor, exponent)))
        assert is_zero(direct - Add(*terms))
        for wrong in range(4):
            assert not is_zero(direct - Add(*terms[:wrong], 2 * terms[wrong], *terms[wrong + 1 :]))


def test_the_letter_of_a_divisor_matters() -> None:
    """Σ_k u_k/(u_k + s) is no B - s/(u_b + s), and u_p is not u_b."""
    with keeping_shape():
        ratio = total(inner / (inner + x))
        assert is_zero(ratio - B + x * total(1 / (inner + x)))
        assert not is_zero(ratio - B + x * B / (u + x))
        other = component("u", p)
        assert not is_zero(total(inner / (u + x)) - total(inner / (other + x)))


def test_a_sum_below_cancels_only_the_same_sum() -> None:
    """Σ_b Σ_j e_bj / Σ_j e_bj = B, but not with e_pj above, nor with a weight inside."""
    with keeping_shape():
        j = Index("other", B, 71)
        e = Component(Tensor("e", 9), k, j)
        below = Contraction(e, j)
        assert is_zero(Contraction(e / below, j, k) - B)
        moved = Component(Tensor("e", 9), b, j)
        assert not is_zero(Contraction(moved / below, j, k) - B)
        assert not is_zero(Contraction(e * component("u", j) / below, j, k) - B)
        assert not is_zero(Contraction(e**2 / below, j, k) - total(below))
        assert is_zero(Contraction(e * below**2 / below**3, j, k) - B)


# -- bounds ---------------------------------------------------------------------------------------


def test_fractions_that_chase_each_other_end() -> None:
    """Many divisors with the same leading term: an answer, or none, but soon."""
    with keeping_shape():
        divisors = [Add(inner, Mul(n, x), n) for n in range(1, 9)]
        expr = total(Mul(Pow(inner, 6), *(Pow(d, -2) for d in divisors)))
        with suppress(TooLarge):
            assert not is_zero_by_laws(expr)


def test_dividing_by_what_vanishes_proves_nothing() -> None:
    with keeping_shape():
        nothing = Add(call("sin", x) ** 2, call("cos", x) ** 2, -1)
        assert not is_zero_by_laws(x / nothing)
        assert not is_zero_by_laws(x / nothing - x / nothing + x)
