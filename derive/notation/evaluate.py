"""What an expression comes to, number by number: sums as loops, in whatever arithmetic is given.

Slow and plain on purpose: it shares nothing with the laws, so laws, proofs and refutations can be
held against it. Arithmetic is in as many digits as are set, unless another one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Protocol

import mpmath
from sympy import Add, Expr, KroneckerDelta, Mul, Pow, Rational, S

from derive.notation.functions import Elementwise, Row
from derive.notation.nodes import Component, Contraction, Index, Scalar, Size

Point = Mapping[Index, int]  # a value for each free index, counting from 0
Lookup = Callable[[Component, tuple[int, ...]], Any]


class Arithmetic(Protocol):
    """What values are, and how they are combined."""

    def number(self, p: int, q: int = 1) -> Any: ...

    def pi(self) -> Any: ...

    def total(self, terms: Iterable[Any]) -> Any: ...

    def product(self, factors: Iterable[Any]) -> Any: ...

    def power(self, base: Any, exponent: Any) -> Any: ...

    def apply(self, row: Row, args: Sequence[Any]) -> Any: ...


class Digits:
    """Numbers of mpmath."""

    def number(self, p: int, q: int = 1) -> Any:
        return mpmath.mpf(p) / q

    def pi(self) -> Any:
        return +mpmath.pi

    def total(self, terms: Iterable[Any]) -> Any:
        return mpmath.fsum(terms)

    def product(self, factors: Iterable[Any]) -> Any:
        return mpmath.fprod(factors)

    def power(self, base: Any, exponent: Any) -> Any:
        return mpmath.power(base, exponent)

    def apply(self, row: Row, args: Sequence[Any]) -> Any:
        return row.value(*args)


DIGITS = Digits()


class Evaluator:
    """Values of expressions for given sizes, scalars and components."""

    def __init__(
        self,
        sizes: Mapping[Size, int],
        scalars: Mapping[Scalar, Any],
        lookup: Lookup,
        arithmetic: Arithmetic = DIGITS,
    ) -> None:
        self.sizes, self.scalars, self.lookup = sizes, scalars, lookup
        self.arithmetic = arithmetic

    def value(self, expr: Expr, at: Point) -> Any:
        """The expression where its free indices have the values `at`."""
        if isinstance(expr, Component):
            return self.lookup(expr, tuple(at[i] for i in expr.indices))
        if isinstance(expr, Contraction):
            return self._sum(expr, at)
        if isinstance(expr, KroneckerDelta):
            i, j = expr.args
            return self.arithmetic.number(int(at[i] == at[j]))
        if isinstance(expr, Size):
            return self.arithmetic.number(self.sizes[expr])
        if isinstance(expr, Scalar):
            return self.scalars[expr]
        if expr.is_Rational or expr.is_Float:
            exact = Rational(expr)
            return self.arithmetic.number(int(exact.p), int(exact.q))
        if expr is S.Pi:
            return self.arithmetic.pi()
        return self._applied(expr, [self.value(a, at) for a in expr.args])

    def _applied(self, expr: Expr, args: list[Any]) -> Any:
        if isinstance(expr, Add):
            return self.arithmetic.total(args)
        if isinstance(expr, Mul):
            return self.arithmetic.product(args)
        if isinstance(expr, Pow):
            return self.arithmetic.power(*args)
        if isinstance(expr, Elementwise):
            return self.arithmetic.apply(expr.row, args)
        raise TypeError(f"{type(expr).__name__} has no value")

    def _sum(self, total: Contraction, at: Point) -> Any:
        ranges = (range(self.sizes[d.size]) for d in total.dummies)
        points = (dict(zip(total.dummies, values, strict=True)) for values in product(*ranges))
        return self.arithmetic.total(self.value(total.body, {**at, **point}) for point in points)


def constant(expr: Expr) -> float:
    """An expression without index, tensor or scalar, as a double."""

    def nothing(component: Component, place: tuple[int, ...]) -> Any:
        raise TypeError(f"{component} is no constant {place}")

    with mpmath.workdps(30):
        return float(Evaluator({}, {}, nothing).value(expr, {}))
