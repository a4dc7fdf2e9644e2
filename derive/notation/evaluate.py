"""What an expression comes to, number by number: sums as loops, in whatever arithmetic is given.

Slow and plain on purpose: it shares nothing with the laws, so laws, proofs and refutations can be
held against it. Arithmetic is in as many digits as are set, unless another one is asked for.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Protocol

import mpmath
from sympy import Add, Expr, KroneckerDelta, Mul, Pow, Rational, S

from derive.notation.conditions import Iverson, Position
from derive.notation.functions import Elementwise, Row
from derive.notation.nodes import Bound, Component, Contraction, Extremum, Index, Scalar, Size
from derive.notation.solution import Solution

Point = Mapping[Index, int]  # a value for each free index, counting from 0
Lookup = Callable[[Component, tuple[int, ...]], Any]
_MOST_BITS = 4096  # before the point, of what a function is taken of


COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
}


class Arithmetic(Protocol):
    """What values are, and how they are combined."""

    def number(self, p: int, q: int = 1) -> Any: ...

    def pi(self) -> Any: ...

    def total(self, terms: Iterable[Any]) -> Any: ...

    def product(self, factors: Iterable[Any]) -> Any: ...

    def power(self, base: Any, exponent: Any) -> Any: ...

    def apply(self, row: Row, args: Sequence[Any]) -> Any: ...

    def extremum(self, word: str, values: Sequence[Any]) -> Any:
        """The largest or the smallest; where several attain it, all have an equal part in it."""
        ...

    def compare(self, relation: str, left: Any, right: Any) -> bool: ...


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
        """OverflowError if its digits would fill the memory, as those of exp(exp(exp(100))) do."""
        if any(mpmath.mag(a) > _MOST_BITS for a in args):
            raise OverflowError("a number with too many digits")
        return row.value(*args)

    def extremum(self, word: str, values: Sequence[Any]) -> Any:
        return max(values) if word == "max" else min(values)

    def compare(self, relation: str, left: Any, right: Any) -> bool:
        return COMPARE[relation](left, right)


class Floats(Digits):
    """Numbers of the machine: fast, for what need only be seen to differ."""

    def number(self, p: int, q: int = 1) -> float:
        return p / q

    def pi(self) -> float:
        return math.pi

    def total(self, terms: Iterable[Any]) -> Any:
        return sum(terms)

    def product(self, factors: Iterable[Any]) -> Any:
        return math.prod(factors)

    def power(self, base: Any, exponent: Any) -> Any:
        return base**exponent

    def apply(self, row: Row, args: Sequence[Any]) -> float:
        return float(row.value(*args))


DIGITS = Digits()
FLOATS = Floats()


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
            return self.arithmetic.total(self._values(expr, at))
        if isinstance(expr, Extremum):
            return self.arithmetic.extremum(expr.word, list(self._values(expr, at)))
        if isinstance(expr, Iverson | KroneckerDelta | Position | Size):
            return self.arithmetic.number(self._whole(expr, at))
        if isinstance(expr, Scalar):
            return self.scalars[expr]
        if expr.is_Atom and expr.is_number:
            return self._number(expr)
        if isinstance(expr, Mul) and self._is_excluded(expr, at):
            return self.arithmetic.number(0)
        if isinstance(expr, Solution):
            return self._solved(expr, at)
        return self._applied(expr, [self.value(a, at) for a in expr.args])

    def _whole(self, expr: Iverson | KroneckerDelta | Position | Size, at: Point) -> int:
        """What counts, or says whether a condition holds."""
        if isinstance(expr, Iverson):
            return int(self._holds(expr, at) == expr.holds)
        if isinstance(expr, KroneckerDelta):
            i, j = expr.args
            return int(at[i] == at[j])
        return at[expr.index] if isinstance(expr, Position) else self.sizes[expr]

    def _number(self, expr: Expr) -> Any:
        if expr is S.Pi:
            return self.arithmetic.pi()
        exact = Rational(expr)
        return self.arithmetic.number(int(exact.p), int(exact.q))

    def _is_excluded(self, product: Mul, at: Point) -> bool:
        """Does a condition not hold? Then the other factors need have no value."""
        brackets = (f for f in product.args if isinstance(f, Iverson))
        return any(self._holds(b, at) != b.holds for b in brackets)

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

    def _values(self, bound: Bound, at: Point) -> Iterator[Any]:
        """The body for each value of the dummies."""
        return (self.value(bound.body, {**at, **point}) for point in self._points(bound.dummies))

    def _solved(self, relation: Solution, at: Point) -> Any:
        """One unknown, by elimination."""
        rows, columns = ([*self._points(i)] for i in (relation.rows, relation.columns))
        shared = {i: n for i, n in at.items() if i not in relation.columns}
        system = [
            [
                *(self.value(relation.matrix, {**shared, **r, **c}) for c in columns),
                self.value(relation.right, {**shared, **r}),
            ]
            for r in rows
        ]
        unknown = columns.index({i: at[i] for i in relation.columns})
        return self._eliminated(system)[unknown]

    def _points(self, indices: Sequence[Index]) -> Iterator[Point]:
        """All values of some indices."""
        for values in product(*(range(self.sizes[i.size]) for i in indices)):
            yield dict(zip(indices, values, strict=True))

    def _eliminated(self, system: list[list[Any]]) -> list[Any]:
        """The unknowns of a system, its right side in the last column (Gauss, Jordan)."""
        ring, minus = self.arithmetic, self.arithmetic.number(-1)
        zero = ring.number(0)
        for k in range(len(system)):
            pivots = (
                n for n in range(k, len(system)) if not ring.compare("==", system[n][k], zero)
            )
            pivot = next(pivots, None)
            if pivot is None:
                raise ZeroDivisionError("the relation is singular")
            system[k], system[pivot] = system[pivot], system[k]
            inverse = ring.power(system[k][k], minus)
            system[k] = [ring.product([v, inverse]) for v in system[k]]
            for n in (n for n in range(len(system)) if n != k):
                factor = ring.product([minus, system[n][k]])
                pairs = zip(system[n], system[k], strict=True)
                system[n] = [ring.total([v, ring.product([factor, w])]) for v, w in pairs]
        return [row[-1] for row in system]

    def _holds(self, bracket: Iverson, at: Point) -> bool:
        sides = (self.value(side, at) for side in (bracket.left, bracket.right))
        return self.arithmetic.compare(bracket.relation, *sides)


def constant(expr: Expr) -> float:
    """An expression without index, tensor or scalar, as a double."""

    def nothing(component: Component, place: tuple[int, ...]) -> Any:
        raise TypeError(f"{component} is no constant {place}")

    with mpmath.workdps(30):
        return float(Evaluator({}, {}, nothing).value(expr, {}))


def is_real(expr: Expr) -> bool:
    """Has a constant a value among the real numbers?"""
    try:
        return math.isfinite(constant(expr))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return False
