"""Small tensors of short decimal numbers, at which an equation may be seen to be wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice, product
from math import prod
from typing import Any

from sympy import Expr

from derive.notation.draw import draw_label
from derive.notation.effort import Exhausted, bounded, spend
from derive.notation.evaluate import DIGITS, FLOATS, Arithmetic, Evaluator
from derive.notation.nodes import Bound, Component, Index, Labels, Tensor, free_indices
from derive.notation.op import Op, gradient

_LENGTHS = (2, 3, 2, 3)
_ROUNDING = 1e-6  # of sums of a few numbers near 1
_MOST_NUMBERS = 20_000
_MOST_PLACES = 16


class _Remembering(Evaluator):
    """An evaluator that counts nodes, and sums once what stands in several sums."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.free: dict[int, list[Index]] = {}  # by the identity of a sum: to compare takes long
        self.sums: dict[tuple[int, tuple[int, ...]], Any] = {}
        self.kept: list[Expr] = []

    def value(self, expr: Expr, at: Mapping[Index, int]) -> Any:
        spend(1)
        if not isinstance(expr, Bound):
            return super().value(expr, at)
        if id(expr) not in self.free:
            self.free[id(expr)] = free_indices(expr)
            self.kept.append(expr)
        key = (id(expr), tuple(at[i] for i in self.free[id(expr)]))
        if key not in self.sums:
            self.sums[key] = super().value(expr, at)
        return self.sums[key]


class Sample:
    """Small tensors of short decimal numbers, and everything the op makes of them."""

    def __init__(
        self,
        op: Op,
        lengths: tuple[int, ...],
        seed: int,
        positive: bool,
        arithmetic: Arithmetic = DIGITS,
    ) -> None:
        self.op, self.arithmetic = op, arithmetic
        names = dict.fromkeys(i.size for i in op.letters)
        self.sizes = {s: lengths[k % len(lengths)] for k, s in enumerate(names)}
        self.positive = positive
        self.random = random.Random(seed)  # noqa: S311  # numbers to look at, no secret
        self.scalars = {
            p.symbol: arithmetic.number(p.default.numerator, p.default.denominator)
            for p in op.parameters
        }
        self.known: dict[tuple[Tensor, tuple[int, ...]], Any] = {}
        self.evaluator = _Remembering(self.sizes, self.scalars, self._component, arithmetic)
        for component in (*op.inputs, *(gradient(c) for c in op.outputs)):
            spend(prod(self.sizes[i.size] for i in component.indices))
            for place in product(*(range(self.sizes[i.size]) for i in component.indices)):
                self.known[component.tensor, place] = self._draw(component.tensor)

    def _draw(self, tensor: Tensor) -> Any:
        if isinstance(tensor, Labels):
            return self.arithmetic.number(draw_label(tensor, self.random, self.sizes, self.scalars))
        tenths = self.random.randint(1, 19)
        sign = 1 if self.positive else self.random.choice((1, -1))
        return self.arithmetic.number(sign * tenths, 10)

    def _component(self, component: Component, place: tuple[int, ...]) -> Any:
        key = (component.tensor, place)
        if key not in self.known:
            equation = self.op.definitions[component.tensor]
            at = dict(zip(equation.target.indices, place, strict=True))
            self.known[key] = self.evaluator.value(equation.expr, at)
        return self.known[key]

    def shown(self) -> dict[str, Any]:
        """The inputs and cotangents as nested lists."""
        components = (*self.op.inputs, *(gradient(c) for c in self.op.outputs))
        return {c.tensor.name: self._nested(c, ()) for c in components}

    def _nested(self, component: Component, place: tuple[int, ...]) -> Any:
        if len(place) == len(component.indices):
            return float(self.known[component.tensor, place])
        size = self.sizes[component.indices[len(place)].size]
        return [self._nested(component, (*place, k)) for k in range(size)]


class Glance:
    """One point, in numbers of the machine, at which most of what is not zero shows that."""

    def __init__(self, op: Op) -> None:
        self.op = op
        self.is_too_large = False

    def may_vanish(self, expr: Expr) -> bool:
        """False if it is not zero; True if it seems so, or has no value that is soon found."""
        if self.is_too_large:
            return True
        try:
            with bounded(_MOST_NUMBERS, within=False):
                return not any(abs(v) > _ROUNDING for v in self._values(expr))
        except (Exhausted, TypeError, ValueError, ArithmeticError, LookupError):
            return True

    @cached_property
    def _sample(self) -> Sample:
        self.is_too_large = True  # unless it can be drawn
        sample = Sample(self.op, _LENGTHS, 0, positive=True, arithmetic=FLOATS)
        self.is_too_large = False
        return sample

    def _values(self, expr: Expr) -> Iterator[Any]:
        free = free_indices(expr)
        places = product(*(range(self._sample.sizes[i.size]) for i in free))
        for values in islice(places, _MOST_PLACES):
            yield self._sample.evaluator.value(expr, dict(zip(free, values, strict=True)))
