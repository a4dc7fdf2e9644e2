"""The normal form on random expressions: of equal value, and one for all that are equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import mpmath
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from sympy import Add, Expr, Integer, Mul, Pow, Rational
from sympy.polys.polyerrors import PolynomialError

from derive.notation.functions import call
from derive.notation.nodes import Component, Contraction, Index, Size, Tensor, delta
from derive.notation.op import Op
from derive.rewrite import keeping_shape
from derive.simplify.normal import TooLarge, normal
from derive.simplify.zero import is_zero
from tests.samples import World, different

B, H = Size("B", 0), Size("H", 1)
b, h, p, q = Index("b", B, 0), Index("h", H, 1), Index("p", B, 2), Index("q", H, 3)
FREE = (b, h, p, q)
SHAPES = {"x": (B, H), "y": (B, H), "u": (B,), "w": (H,), "A": (H, H), "s": ()}

bounded = settings(
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)

# A recipe is a tree of tuples, so that it can be built in several ways.
Recipe = tuple[Any, ...]
Scope = tuple[tuple[Index, ...], ...]  # the letters of size B, and those of size H


@st.composite
def recipes(
    draw: st.DrawFn,
    depth: int = 3,
    scope: tuple[int, int] = (2, 2),
    roots: bool = True,
    calls: tuple[str, ...] = ("exp", "tanh", "sin"),
) -> Recipe:
    """A random expression; `scope` counts the letters of each size that may be used."""
    kinds = ["tensor", "tensor", "number", "size", "delta"]
    if depth:
        kinds = ["sum", "product", "product", "power", "call", "total", *kinds[:2]]
        kinds += ["root"] * roots
    kind = draw(st.sampled_from(kinds))
    inner = partial(recipes, depth - 1, roots=roots, calls=calls)
    if kind == "tensor":
        name = draw(st.sampled_from(sorted(SHAPES)))
        places = [draw(st.integers(0, scope[s == H] - 1)) for s in SHAPES[name]]
        return (kind, name, *places)
    if kind == "number":
        return (kind, draw(st.sampled_from([-2, -1, 1, 2, 3])), draw(st.sampled_from([1, 2, 3])))
    if kind == "size":
        return (kind, draw(st.booleans()))
    if kind == "delta":
        which = draw(st.booleans())
        return (kind, which, *(draw(st.integers(0, scope[which] - 1)) for _ in range(2)))
    if kind in ("sum", "product"):
        return (kind, *(draw(inner(scope)) for _ in range(draw(st.integers(2, 3)))))
    if kind == "total":
        which = draw(st.booleans())
        return (kind, which, draw(inner((scope[0] + (not which), scope[1] + which))))
    extra = {
        "power": st.sampled_from([2, 3, -1, -2]),
        "root": st.sampled_from([(1, 2), (-1, 2), (3, 2), (-3, 2)]),
        "call": st.sampled_from(calls),
    }
    return (kind, draw(extra[kind]), draw(inner(scope)))


class Builder:
    """Builds a recipe; `names` renames its tensors, `back` reverses the order of all arguments."""

    def __init__(
        self,
        names: Callable[[str], str] = str,
        back: bool = False,
        disguise: Callable[[Expr], Expr] | None = None,
    ) -> None:
        self.names, self.back, self.disguise = names, back, disguise
        self.letters = 0

    def build(self, recipe: Recipe, scope: Scope = ((b, p), (h, q))) -> Expr:
        expr = self._node(recipe, scope)
        return self.disguise(expr) if self.disguise else expr

    def _node(self, recipe: Recipe, scope: Scope) -> Expr:
        kind, *rest = recipe
        if kind in ("sum", "product"):
            args = [self.build(r, scope) for r in rest]
            return (Add if kind == "sum" else Mul)(*(reversed(args) if self.back else args))
        if kind == "total":
            return self._total(rest[0], rest[1], scope)
        if kind in ("power", "root", "call"):
            return self._applied(kind, rest[0], self.build(rest[1], scope))
        return self._leaf(kind, rest, scope)

    def _leaf(self, kind: str, rest: list[Any], scope: Scope) -> Expr:
        if kind == "tensor":
            name, *places = rest
            letters = [scope[s == H][k] for s, k in zip(SHAPES[name], places, strict=True)]
            return component(name, *letters, names=self.names)
        if kind == "number":
            return Rational(*rest)
        if kind == "size":
            return H if rest[0] else B
        return delta(*(scope[rest[0]][k] for k in rest[1:]))

    def _total(self, which: bool, inner: Recipe, scope: Scope) -> Expr:
        self.letters += 1
        name = f"k{self.letters}" if not self.back else f"a{1000 - self.letters}"
        letter = Index(name, H if which else B, (50 - self.letters) if self.back else self.letters)
        wider = list(scope)
        wider[which] = (*scope[which], letter)
        return Contraction(self.build(inner, tuple(wider)), letter)

    def _applied(self, kind: str, what: Any, inner: Expr) -> Expr:
        """Roots and divisors of something positive; functions of something small."""
        if kind == "call":
            return call(what, inner / 4)
        if kind == "power" and what > 0:
            return Pow(inner, what)
        return Pow(2 + inner**2, Rational(*what) if kind == "root" else what)


def component(name: str, *letters: Index, names: Callable[[str], str] = str) -> Expr:
    return Component(Tensor(names(name), list(SHAPES).index(name)), *letters)


WORLD_OP = Op("sample", (), (), (), (), FREE)


@contextmanager
def reasonable() -> Iterator[None]:
    """Examples are left out that grow too large, or that SymPy itself cannot tell the sign of."""
    try:
        yield
    except (TooLarge, PolynomialError):
        assume(False)


def built(recipe: Recipe, **how: Any) -> Expr:
    with reasonable():
        return Builder(**how).build(recipe)


def form(expr: Expr) -> Expr:
    with reasonable():
        return normal(expr)


def decided(expr: Expr) -> bool:
    with reasonable():
        return is_zero(expr)


def values(expr: Expr) -> list[Any]:
    """The expression at all values of its free letters."""
    with mpmath.workdps(60):
        return World(WORLD_OP, (2, 3), 0).values(expr, FREE)


@bounded
@given(recipes())
def test_the_value_stays(recipe: Recipe) -> None:
    expr = built(recipe)
    assert not different(values(form(expr)), values(expr))


@bounded
@given(recipes())
def test_a_normal_form_is_its_own(recipe: Recipe) -> None:
    once = form(built(recipe))
    assert form(once) == once


@bounded
@given(recipes())
def test_the_order_of_factors_and_the_letters_of_sums_do_not_matter(recipe: Recipe) -> None:
    assert form(built(recipe, back=True)) == form(built(recipe))


@bounded
@given(recipes())
def test_the_names_of_tensors_do_not_matter(recipe: Recipe) -> None:
    """`x … A` are called `z … `, in the opposite alphabetical order; ranks stay."""
    renamed = {name: f"t{9 - k}" for k, name in enumerate(SHAPES)}
    got = form(built(recipe, names=renamed.__getitem__))
    assert got.xreplace(_back(renamed)) == form(built(recipe))


def _back(renamed: dict[str, str]) -> dict[Expr, Expr]:
    ranks = list(SHAPES)
    return {
        Tensor(new, ranks.index(old)): Tensor(old, ranks.index(old)) for old, new in renamed.items()
    }


# -- the same, written in another way ------------------------------------------------------------


def _expanded(expr: Expr) -> Expr:
    """Multiplied out, but for divisors: (2+s²)² there is not recognised once it is multiplied."""
    whole = all(p.exp.is_Integer and p.exp > 0 for p in expr.atoms(Pow))
    return expr.expand() if whole else expr


def _squares(expr: Expr) -> Expr:
    """e = ((e+1)² - (e-1)²)/4."""
    return Mul(Rational(1, 4), Add(Pow(expr + 1, 2), -Pow(expr - 1, 2)))


_k = Index("disguise", B, 70)
DISGUISES: tuple[Callable[[Expr], Expr], ...] = (
    lambda e: e,
    lambda e: Add(e, component("s"), -component("s")),
    lambda e: Mul(e, component("u", b), Pow(component("u", b), -1)),
    lambda e: Contraction(Mul(e, Pow(B, -1)), _k),
    lambda e: Contraction(Mul(e.xreplace({b: _k}), delta(_k, b)), _k),
    _expanded,
    lambda e: Add(Mul(Rational(1, 3), e), Mul(Rational(2, 3), e)),
    _squares,
)


@bounded
@given(recipes(depth=2), st.data())
def test_the_difference_of_equals_is_zero(recipe: Recipe, data: st.DataObject) -> None:
    expr = built(recipe)
    other = _disguised(recipe, data)
    assert decided(expr - other)
    assert not different(values(other), values(expr))


@bounded
@given(recipes(depth=2), st.data())
def test_the_difference_of_unequals_is_not_zero(recipe: Recipe, data: st.DataObject) -> None:
    extra = data.draw(st.sampled_from(EXTRAS))
    assert not decided(built(recipe) - _disguised(recipe, data) + extra)


EXTRAS = (
    Integer(1),
    Rational(1, 10**9),
    component("u", p),
    Contraction(component("w", q), q),
    Mul(component("x", b, h), component("y", b, h)),
    call("exp", component("s")),
    Pow(component("s"), Rational(1, 2)),
    delta(b, p),
)


def _disguised(recipe: Recipe, data: st.DataObject) -> Expr:
    def disguise(expr: Expr) -> Expr:
        return data.draw(st.sampled_from(DISGUISES))(expr)

    return built(recipe, disguise=disguise)


def test_whole_and_half_powers_of_a_sum_meet() -> None:
    """(Σ_k 1/(B √(2+s²)))² = 1/(2+s²), inside a function too."""
    with keeping_shape():
        inner = Add(2, Pow(component("s"), 2))
        root = Contraction(Pow(inner, Rational(-1, 2)) / B, _k)
        assert normal(Pow(root, 2)) == normal(1 / inner)
        assert is_zero(call("sin", Pow(root, 2)) - call("sin", 1 / inner))


def test_numbers_that_are_no_fractions_are_multiplied_out() -> None:
    with keeping_shape():
        e = call("exp", Rational(1, 2))
        assert is_zero(Pow(Add(e, 1), 2) - Pow(e, 2) - 2 * e - Integer(1))
        assert not is_zero(Pow(Add(e, 1), 2) - Pow(e, 2) - e - Integer(1))


# -- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [6, 64])
def test_what_would_be_too_large_is_refused(power: int) -> None:
    letters = [Component(Tensor(f"t{k}", k)) for k in range(12)]
    with pytest.raises(TooLarge):
        normal(Pow(Add(*letters), power))


def test_many_factors_are_refused_before_they_are_multiplied() -> None:
    factors = [Add(component("s"), Integer(k + 2), component("u", b)) for k in range(40)]
    with pytest.raises(TooLarge):
        is_zero(Mul(*factors))


def test_a_sum_of_many_terms_is_not_too_large() -> None:
    total = Add(*(Component(Tensor(f"t{k}", k)) for k in range(100)))
    assert normal(total) == total
