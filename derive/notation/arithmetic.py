"""Bounds on exact arithmetic, asked before it is done: `9^9^9` is refused, not computed."""

from __future__ import annotations

from collections.abc import Iterable
from math import lcm

from sympy import Expr, Rational

MOST_EXPONENT = 64
MOST_BITS = 8192


def bits(expr: Expr) -> int:
    """The size of the numbers that stand as factors of an expression."""
    if isinstance(expr, Rational):
        return int(expr.p).bit_length() + int(expr.q).bit_length() - 2 + (expr.p == 0)
    if expr.is_Mul:
        return sum(bits(a) for a in expr.args if a.is_Rational or a.is_Pow)
    if expr.is_Pow and isinstance(expr.exp, Rational) and expr.base.is_Rational:
        return int(bits(expr.base) * abs(expr.exp)) + 1
    return 0


def exponent_is_small(exponent: Expr) -> bool:
    """Is it of absolute value 64 at most, as far as its value is known?"""
    if isinstance(exponent, Rational):
        return bool(abs(exponent) <= MOST_EXPONENT)
    return True


def power_is_small(base: Expr, exponent: Expr) -> bool:
    """Would base^exponent hold numbers of moderate size only?"""
    if not isinstance(exponent, Rational):
        return True
    nested = [abs(f.exp * exponent) for f in _factors(base) if f.is_Pow and f.exp.is_Rational]
    return bits(base) * abs(exponent) <= MOST_BITS and all(n <= MOST_EXPONENT**2 for n in nested)


def product_is_small(factors: Iterable[Expr]) -> bool:
    return sum(bits(f) for f in factors) <= MOST_BITS


def sum_is_small(terms: Iterable[Expr]) -> bool:
    """Have the coefficients of the terms a common denominator of moderate size?"""
    common = 1
    for term in terms:
        number = _factors(term)[0]
        common = lcm(common, int(number.q) if isinstance(number, Rational) else 1)
        if common.bit_length() > MOST_BITS or bits(number) > MOST_BITS:
            return False
    return True


def is_imaginary(number: Expr) -> bool:
    """Is this a number, and not a real one?"""
    return bool(
        number.is_number
        and number.is_comparable is False
        and not number.is_extended_real
        and number.is_extended_real is not None
    )


def _factors(expr: Expr) -> tuple[Expr, ...]:
    return tuple(expr.args) if expr.is_Mul else (expr,)
