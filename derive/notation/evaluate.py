"""What an expression comes to, number by number: sums as loops, in as many digits as wanted.

Slow and plain on purpose: it shares nothing with the laws, so laws, proofs and refutations can be
held against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import mpmath
from sympy import Add, Expr, KroneckerDelta, Mul, Pow, S

from derive.notation.functions import Elementwise
from derive.notation.nodes import Component, Contraction, Index, Scalar, Size

Point = Mapping[Index, int]  # a value for each free index, counting from 0
Lookup = Callable[[Component, tuple[int, ...]], Any]


class Evaluator:
    """Values of expressions for given sizes, scalars and components."""

    def __init__(
        self, sizes: Mapping[Size, int], scalars: Mapping[Scalar, Any], lookup: Lookup
    ) -> None:
        self.sizes, self.scalars, self.lookup = sizes, scalars, lookup

    def value(self, expr: Expr, at: Point) -> Any:
        """The expression where its free indices have the values `at`."""
        if isinstance(expr, Component):
            return self.lookup(expr, tuple(at[i] for i in expr.indices))
        if isinstance(expr, Contraction):
            return self._sum(expr, at)
        if isinstance(expr, KroneckerDelta):
            i, j = expr.args
            return mpmath.mpf(at[i] == at[j])
        if isinstance(expr, Size):
            return mpmath.mpf(self.sizes[expr])
        if isinstance(expr, Scalar):
            return self.scalars[expr]
        if expr.is_Rational:
            return mpmath.mpf(expr.p) / expr.q
        return self._applied(expr, at)

    def _applied(self, expr: Expr, at: Point) -> Any:
        args = [self.value(a, at) for a in expr.args]
        if isinstance(expr, Add):
            return mpmath.fsum(args)
        if isinstance(expr, Mul):
            return mpmath.fprod(args)
        if isinstance(expr, Pow):
            return mpmath.power(*args)
        if isinstance(expr, Elementwise):
            return expr.row.value(*args)
        if expr is S.Pi:
            return +mpmath.pi
        if expr.is_Float:
            return mpmath.mpmathify(expr)
        raise TypeError(f"{type(expr).__name__} has no value")

    def _sum(self, total: Contraction, at: Point) -> Any:
        ranges = (range(self.sizes[d.size]) for d in total.dummies)
        points = (dict(zip(total.dummies, values, strict=True)) for values in product(*ranges))
        return mpmath.fsum(self.value(total.body, {**at, **point}) for point in points)


def constant(expr: Expr) -> float:
    """An expression without index, tensor or scalar, as a double."""

    def nothing(component: Component, place: tuple[int, ...]) -> Any:
        raise TypeError(f"{component} is no constant {place}")

    with mpmath.workdps(30):
        return float(Evaluator({}, {}, nothing).value(expr, {}))
