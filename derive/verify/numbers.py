"""Two arithmetics for the evaluator: exact numbers, and dual numbers over them.

The value of a transcendental function is a random rational, one for each function and argument: a
formula that is right for such values is right for all, with probability near 1 (Schwartz 1980,
Zippel 1979). What is kept of the functions: signs, f(0), exp(-u) exp(u) = 1, tanh and sigmoid by
exp, sin² + cos² = 1 and tan by them. What is not: exp(a + b) = exp(a) exp(b), exp(log u) = u; no
derivation uses these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, reduce
from math import prod
from random import Random
from typing import Any, TypeAlias

from sympy import Expr

from derive.notation.evaluate import COMPARE, Evaluator
from derive.notation.functions import Row
from derive.notation.nodes import Component, Tensor
from derive.verify.algebraic import Algebraic, Exact, Intractable, Outside, power, sign


class ExactNumbers:
    """Fractions and their roots; functions have random values, the same for the same argument."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.drawn: dict[tuple[str, Any], Fraction] = {}

    def number(self, p: int, q: int = 1) -> Exact:
        return Fraction(p, q)

    def pi(self) -> Exact:
        return 3 + self.draw("pi", ())

    def total(self, terms: Iterable[Exact]) -> Exact:
        return sum(terms, start=Fraction(0))

    def product(self, factors: Iterable[Exact]) -> Exact:
        return prod(factors, start=Fraction(1))

    def power(self, base: Exact, exponent: Exact) -> Exact:
        if isinstance(exponent, Algebraic):
            raise Intractable
        return power(base, exponent)

    def apply(self, row: Row, args: Sequence[Exact]) -> Exact:
        if row.name in _PIECEWISE:
            return _PIECEWISE[row.name](*args)
        if row.name in _SMOOTH:
            return _SMOOTH[row.name](self.draw, *args)
        return self.draw(row.name, tuple(args))

    def extremum(self, word: str, values: Sequence[Exact]) -> Exact:
        return reduce(_PIECEWISE[word], values)

    def compare(self, relation: str, left: Exact, right: Exact) -> bool:
        return COMPARE[relation](sign(left - right), 0)

    def draw(self, family: str, key: Any) -> Fraction:
        """A random number between 0 and 1, always the same for the same key."""
        if (family, key) not in self.drawn:
            q = self.random.randint(2, 40)
            self.drawn[family, key] = Fraction(self.random.randint(1, q - 1), q)
        return self.drawn[family, key]


Draw: TypeAlias = Callable[[str, Any], Fraction]


def _abs(u: Exact) -> Exact:
    return u * sign(u)


def _exp(draw: Draw, u: Exact) -> Exact:
    return draw("exp", _abs(u)) ** -sign(u)


def _log(draw: Draw, u: Exact) -> Exact:
    if sign(u) <= 0:
        raise Outside
    return sign(u - 1) * draw("log", u)


def _tan_half(draw: Draw, u: Exact) -> Exact:
    return sign(u) * draw("tan", _abs(u))


_PIECEWISE: dict[str, Callable[..., Exact]] = {
    "abs": _abs,
    "sign": lambda u: Fraction(sign(u)),
    "relu": lambda u: u if sign(u) > 0 else Fraction(0),
    "min": lambda a, b: a if sign(a - b) < 0 else b,
    "max": lambda a, b: a if sign(a - b) > 0 else b,
}
_SMOOTH: dict[str, Callable[[Draw, Exact], Exact]] = {
    "exp": _exp,
    "log": _log,
    "sin": lambda draw, u: 2 * (t := _tan_half(draw, u)) / (1 + t * t),
    "cos": lambda draw, u: (1 - (t := _tan_half(draw, u)) * t) / (1 + t * t),
    "tan": lambda draw, u: 2 * (t := _tan_half(draw, u)) / (1 - t * t),
    "tanh": lambda draw, u: ((e := _exp(draw, u)) * e - 1) / (e * e + 1),
    "sigmoid": lambda draw, u: (e := _exp(draw, u)) / (1 + e),
    "softplus": lambda draw, u: draw("softplus", u),
    "erf": lambda draw, u: sign(u) * draw("erf", _abs(u)),
}

Seed: TypeAlias = tuple[Tensor, tuple[int, ...]]  # a component that has an ε of its own


@dataclass(frozen=True)
class Dual:
    """value + Σ slope ε, with all products of ε's zero."""

    value: Exact
    slopes: Mapping[Seed, Exact]


class DualNumbers:
    """Dual numbers over exact ones: every rule is the chain rule for its partial derivatives."""

    def __init__(self, numbers: ExactNumbers) -> None:
        self.numbers = numbers

    def number(self, p: int, q: int = 1) -> Dual:
        return Dual(self.numbers.number(p, q), {})

    def pi(self) -> Dual:
        return Dual(self.numbers.pi(), {})

    def total(self, terms: Iterable[Dual]) -> Dual:
        terms = tuple(terms)
        value = self.numbers.total(t.value for t in terms)
        return chained(value, ((Fraction(1), t) for t in terms))

    def product(self, factors: Iterable[Dual]) -> Dual:
        return reduce(_product, factors, self.number(1))

    def power(self, base: Dual, exponent: Dual) -> Dual:
        """(u^e)' = e u^(e-1) u'."""
        assert not exponent.slopes, "an exponent holds no tensor"
        e = exponent.value
        value = self.numbers.power(base.value, e)
        if not base.slopes or e == 0:
            return Dual(value, {})
        return chained(value, [(e * self.numbers.power(base.value, e - 1), base)])

    def extremum(self, word: str, values: Sequence[Dual]) -> Dual:
        """The mean of those that attain it."""
        best = self.numbers.extremum(word, [v.value for v in values])
        equal = [v for v in values if v.value == best]
        return chained(best, ((Fraction(1, len(equal)), v) for v in equal))

    def compare(self, relation: str, left: Dual, right: Dual) -> bool:
        return self.numbers.compare(relation, left.value, right.value)

    def apply(self, row: Row, args: Sequence[Dual]) -> Dual:
        values = [a.value for a in args]
        value = self.numbers.apply(row, values)
        if not any(a.slopes for a in args):
            return Dual(value, {})
        known = [*values, value]
        inside = Evaluator({}, {}, lambda place, _: known[place.tensor.rank], self.numbers)
        return chained(
            value, [(inside.value(d, {}), a) for d, a in zip(_partials(row), args, strict=True)]
        )


def _product(a: Dual, b: Dual) -> Dual:
    return chained(a.value * b.value, ((b.value, a), (a.value, b)))


def chained(value: Exact, parts: Iterable[tuple[Exact, Dual]]) -> Dual:
    """f(u, v, …) from its value, and each ∂f/∂u with u."""
    slopes: dict[Seed, Exact] = {}
    for partial, dual in parts:
        for seed, slope in dual.slopes.items():
            slopes[seed] = slopes.get(seed, Fraction(0)) + partial * slope
    return Dual(value, slopes)


@cache
def _partials(row: Row) -> tuple[Expr, ...]:
    """The derivatives of a function in places for its arguments, and one for its value."""
    places = [Component(Tensor(f"_{k}", k)) for k in range(row.arity + 1)]
    return tuple(derivative(*places) for derivative in row.derivatives)
