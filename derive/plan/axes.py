"""Classes of axes: two axes belong together when one letter of an equation runs along both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from sympy import Expr, KroneckerDelta

from derive.notation.conditions import Position
from derive.notation.nodes import Bound, Component, Extremum, Index, Tensor, free_indices
from derive.notation.op import Equation, Op
from derive.notation.solution import Solution

Axis = tuple[Tensor, int]


class AxisClasses:
    """The classes of axes of an op, and which of them some equation sums over."""

    def __init__(self, op: Op) -> None:
        self.op = op
        self._parent: dict[Axis, Axis] = {}
        self.summed: set[Axis] = set()
        self.has_delta = any(e.expr.atoms(KroneckerDelta) for e in op.equations)
        self.has_relation = any(isinstance(e.expr, Solution) for e in op.equations)
        self.counted = {p.index.size for e in op.equations for p in e.expr.atoms(Position)}
        self.opened: list[tuple[Equation, Expr]] = []
        self._extremal: set[Axis] = set()
        self._mixed: list[tuple[Axis, Axis]] = []  # axes of a dummy and of a letter beside it
        self._only_counted = False  # is there an index of which nothing is asked but its value?
        self._join_letters([*op.inputs, *op.outputs])
        for equation in op.equations:
            self._read(equation)

    def _join_letters(self, components: Iterable[Component]) -> dict[Index, list[Axis]]:
        """Axes along which one letter runs belong together; the axes of each letter."""
        places: dict[Index, list[Axis]] = {}
        for component in components:
            for k, index in enumerate(component.indices):
                places.setdefault(index, []).append((component.tensor, k))
        for axes in places.values():
            for other in axes[1:]:
                self._join(axes[0], other)
        return places

    def _read(self, equation: Equation) -> None:
        read = _Opened()
        body = read.open(equation.expr)
        self.opened.append((equation, body))
        places = self._join_letters([equation.target, *sorted(body.atoms(Component), key=str)])
        self.summed |= {axes[0] for i, axes in places.items() if i in read.dummies}
        self._only_counted |= any(p.index not in places for p in body.atoms(Position))
        self._mixed += [
            (places[d][0], places[i][0])
            for d, i in read.pairs
            if d.size == i.size and d in places and i in places
        ]
        self._extremal |= {axes[0] for i, axes in places.items() if i in read.extremal}

    def _join(self, a: Axis, b: Axis) -> None:
        self._parent[self.find(a)] = self.find(b)

    def find(self, axis: Axis) -> Axis:
        while self._parent.get(axis, axis) != axis:
            axis = self._parent[axis]
        return axis

    def of(self, component: Component) -> tuple[Axis, ...]:
        """The class of each axis of a tensor."""
        return tuple(self.find((component.tensor, k)) for k in range(len(component.indices)))

    @cached_property
    def is_mixed(self) -> bool:
        """Does a sum along an axis have a value for each place on this axis, as in a window?"""
        return self._only_counted or any(self.find(a) == self.find(b) for a, b in self._mixed)

    @cached_property
    def extremal(self) -> set[Axis]:
        """The classes of axes along which an extremum is taken."""
        return {self.find(a) for a in self._extremal}

    @cached_property
    def contracted(self) -> set[Axis]:
        return {self.find(a) for a in self.summed}


@dataclass
class _Opened:
    """An expression with its sums and extrema opened, and what stood in them."""

    dummies: set[Index] = field(default_factory=set)
    extremal: set[Index] = field(default_factory=set)  # the dummies of extrema
    pairs: list[tuple[Index, Index]] = field(default_factory=list)  # a dummy, a letter beside it

    def open(self, expr: Expr) -> Expr:
        if isinstance(expr, Bound):
            body, own = expr.open()
            self.dummies.update(own)
            self.extremal.update(own if isinstance(expr, Extremum) else ())
            beside = free_indices(body)
            self.pairs += [(d, i) for d in own for i in beside if i != d]
            return self.open(body)
        if not expr.args or isinstance(expr, Component):
            return expr
        return expr.func(*(self.open(a) for a in expr.args))
