"""Real algebraic numbers, exact: fractions, and sums of products of roots.

A fraction is a product of primes, so a root of it is a product of roots of primes: sqrt(8) is
2 sqrt(2), sqrt(4/9) is 2/3, sqrt(6) is sqrt(2) sqrt(3), with no search for relations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from math import floor, prod
from typing import Any, TypeAlias

import mpmath
from sympy import QQ, factorint
from sympy.polys.matrices import DomainMatrix
from sympy.polys.matrices.exceptions import DMNonInvertibleMatrixError

Exact: TypeAlias = "Fraction | Algebraic"
Monomial: TypeAlias = "frozenset[tuple[Exact, Fraction]]"  # Π atom^e, 0 < e < 1

_ONE: Monomial = frozenset()
_MOST_MONOMIALS = 32  # that a number to be divided by may reach
_MOST_BITS = 100_000  # of all coefficients of a number
_FACTORED = 100_000  # smaller primes are found; what is left of a number counts as one


class Outside(ArithmeticError):
    """A root of a negative number, or a logarithm of one that is not positive."""


class Intractable(Exception):
    """Exact arithmetic does not give the number, or not in the time that a check may take."""


class Algebraic:
    """Σ c Π a^e, no fraction: c is one, 0 < e < 1, each atom a is prime or itself such a sum.

    Products of roots of primes are independent over the rationals (Besicovitch 1940), so that equal
    numbers have equal terms. Of roots of sums that is not so, sqrt(3 + 2 sqrt(2)) = 1 + sqrt(2):
    there, numbers are equal if they follow from a^(1/q)^q = a alone, as what a law says does.
    """

    def __init__(self, terms: Mapping[Monomial, Fraction]) -> None:
        self.terms = terms

    def __add__(self, other: Exact | int) -> Exact:
        return _collect(chain(self.terms.items(), _terms(other).items()))

    def __mul__(self, other: Exact | int) -> Exact:
        if not isinstance(other, Algebraic):
            return _collect((m, c * other) for m, c in self.terms.items())
        return _collect(
            (monomial, c * d * e)
            for m, c in self.terms.items()
            for n, d in other.terms.items()
            for monomial, e in _terms(_times(m, n)).items()
        )

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Exact:
        return self * -1

    def __sub__(self, other: Exact | int) -> Exact:
        return self + -1 * other

    def __rsub__(self, other: Exact | int) -> Exact:
        return other + -self

    def __truediv__(self, other: Exact | int) -> Exact:
        return self * power(other, -1)

    def __rtruediv__(self, other: Exact | int) -> Exact:
        return power(self, -1) * other

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Algebraic) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __repr__(self) -> str:
        return mpmath.nstr(real(self))


def _terms(number: Exact | int) -> Mapping[Monomial, Fraction]:
    return number.terms if isinstance(number, Algebraic) else {_ONE: Fraction(number)}


def _collect(pairs: Iterable[tuple[Monomial, Fraction]]) -> Exact:
    """Equal monomials together; what has none is a fraction."""
    terms: dict[Monomial, Fraction] = {}
    for monomial, c in pairs:
        terms[monomial] = terms.get(monomial, Fraction(0)) + c
    terms = {monomial: c for monomial, c in terms.items() if c}
    return terms.get(_ONE, Fraction(0)) if terms.keys() <= {_ONE} else Algebraic(terms)


@lru_cache(maxsize=8192)
def _times(left: Monomial, right: Monomial) -> Exact:
    exponents = dict(left)
    for atom, e in right:
        exponents[atom] = exponents.get(atom, Fraction(0)) + e
    return _multiplied(exponents)


def _multiplied(exponents: Mapping[Exact, Fraction]) -> Exact:
    """Π atom^e for any e: whole powers are multiplied out."""
    roots = frozenset((atom, e % 1) for atom, e in exponents.items() if e % 1)
    whole = (_whole_power(atom, floor(e)) for atom, e in exponents.items())
    return prod(whole, start=_collect([(roots, Fraction(1))]))


# -- powers ---------------------------------------------------------------------------------------


def power(base: Exact | int, exponent: Fraction | int) -> Exact:
    """base^exponent, the real one."""
    exponent = Fraction(exponent)
    if exponent.denominator == 1:
        return _whole_power(base, int(exponent))
    if sign(base) < 0:
        raise Outside
    if base == 0:
        return _whole_power(base, 1 if exponent > 0 else -1)
    return _multiplied({atom: e * exponent for atom, e in _factors(base).items()})


def _whole_power(base: Exact | int, exponent: int) -> Exact:
    if not isinstance(base, Algebraic):
        return Fraction(base) ** exponent
    if exponent < 0:
        return _whole_power(_inverse(base), -exponent)
    half = _whole_power(base, exponent // 2) if exponent > 1 else Fraction(1)
    return half * half * (base if exponent % 2 else 1)


@lru_cache(maxsize=1024)
def _factors(number: Exact) -> Mapping[Exact, Fraction]:
    """A positive number as Π atom^e: 9/8 = 3^2 2^-3, 2 + 6 sqrt(2) = 2 (1 + 3 sqrt(2))."""
    if not isinstance(number, Algebraic):
        primes = factorint(number.numerator, _FACTORED) | {
            p: -e for p, e in factorint(number.denominator, _FACTORED).items()
        }
        return {Fraction(p): Fraction(e) for p, e in primes.items()}
    first = min(number.terms, key=_order)
    factors = dict(_factors(abs(number.terms[first])))
    for atom, e in first:
        factors[atom] = factors.get(atom, Fraction(0)) + e
    if len(number.terms) > 1:
        factors[number / _multiplied(factors)] = Fraction(1)
    return factors


def _order(monomial: Monomial) -> tuple[Any, ...]:
    """Monomials in an order that depends on nothing else; 1 comes first."""
    return len(monomial), sorted((_key(atom), e) for atom, e in monomial)


def _key(number: Exact) -> list[tuple[Any, ...]]:
    return sorted((_order(m), c) for m, c in _terms(number).items())


@lru_cache(maxsize=1024)
def _inverse(number: Algebraic) -> Exact:
    """1/u, from the linear equation u v = 1 among the monomials that u reaches."""
    if len(number.terms) == 1:
        ((monomial, c),) = number.terms.items()
        return _multiplied({atom: -e for atom, e in monomial}) * (1 / c)
    reached = _reached(number)
    columns = [_terms(number * Algebraic({m: Fraction(1)})) for m in reached]
    rows = [[_rational(column.get(m, Fraction(0))) for column in columns] for m in reached]
    one = [[QQ(m == _ONE)] for m in reached]
    size = len(reached)
    try:
        solution = DomainMatrix(rows, (size, size), QQ).lu_solve(DomainMatrix(one, (size, 1), QQ))
    except DMNonInvertibleMatrixError as error:  # roots of sums that depend on each other
        raise Intractable from error
    values = (Fraction(int(v.numerator), int(v.denominator)) for (v,) in solution.to_list())
    return _collect(zip(reached, values, strict=True))


def _rational(number: Fraction) -> Any:
    return QQ(number.numerator, number.denominator)


def _reached(number: Algebraic) -> list[Monomial]:
    """1, and the monomials of all powers of a number."""
    reached = {_ONE: True}
    for m in (todo := [_ONE]):
        for n in number.terms:
            new = [k for k in _terms(_times(m, n)) if k not in reached]
            reached |= dict.fromkeys(new, True)
            todo += new
        if len(todo) > _MOST_MONOMIALS:
            raise Intractable
    return todo


# -- digits ---------------------------------------------------------------------------------------


def sign(number: Exact | int) -> int:
    """-1, 0 or 1."""
    value = real(number) if isinstance(number, Algebraic) else number
    return int(value > 0) - int(value < 0)


def real(number: Exact) -> Any:
    """The number to fifteen digits; a sum that vanishes to 3000 is 0."""
    for digits in (30, 300, 3000):
        with mpmath.workdps(digits):
            terms = _real_terms(number)
            value, scale = mpmath.fsum(terms), mpmath.fsum(terms, absolute=True)
            if abs(value) > scale * mpmath.mpf(10) ** (15 - digits):
                return value
    return mpmath.mpf(0)


def _real_terms(number: Exact) -> list[Any]:
    """The terms of a number, each in as many digits as are set."""
    return [
        mpmath.fprod(mpmath.fsum(_real_terms(a)) ** _quotient(e) for a, e in m) * _quotient(c)
        for m, c in _terms(number).items()
    ]


def _quotient(number: Fraction) -> Any:
    return mpmath.mpf(number.numerator) / number.denominator


def bounded(number: Exact) -> Exact:
    """The number itself, unless it is so long that computing with it takes too much time."""
    parts = (n for c in _terms(number).values() for n in c.as_integer_ratio())
    if sum(n.bit_length() for n in parts) > _MOST_BITS:
        raise Intractable
    return number
