"""The space of a row kernel: which axes number the rows, and along which a row is summed.

A row may run along several axes, x[n,c,p] along n and p for batch normalization; what is summed
over rows, the mean of a loss, is added up after all rows are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sympy import KroneckerDelta

from derive.notation.nodes import Bound, Component, Extremum, Index, Size, Tensor
from derive.notation.op import Equation, Op
from derive.plan.axes import Axis, AxisClasses


@dataclass(frozen=True)
class Space:
    """The classes of the axes of rows and of columns, both in the order of the largest tensor.

    With no columns a row is a single number.
    """

    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]


def row_space(op: Op, classes: AxisClasses, equations: Sequence[Equation]) -> Space | None:
    """The space in which each of these equations is about one row, or comes after all; if any.

    Neighbours in a row lie beside each other in memory: the last axis of the largest tensor is one
    of its columns.
    """
    if any(e.expr.atoms(KroneckerDelta) for e in equations):
        return None
    if classes.has_relation or classes.is_mixed:
        return None
    axes = [classes.of(c) for c in op.tensors.values()]
    wide: tuple[Axis, ...] = max(axes, key=len)
    if not wide or any(len(set(a)) < len(a) or not set(a) <= set(wide) for a in axes):
        return None
    if not _countable(op, classes, wide):
        return None
    if _is_flat(axes, equations, classes):
        return Space(wide, ())
    found = [
        space
        for columns in _candidates(op, classes, wide)
        if _holds(op, equations, classes, space := _beside(columns, wide))
    ]
    return next((space for space in found if space.rows), found[0] if found else None)


def is_early(space: Space, target: Sequence[Axis], used: Iterable[tuple[Axis, ...]]) -> bool:
    """Does the host know a sum over rows before these are walked, if what it uses is given?

    It does if that is a number for each row, and the sum is a number for all.
    """
    return bool(space.columns) and not target and set(used) <= {space.rows, ()}


def _beside(columns: tuple[Axis, ...], wide: tuple[Axis, ...]) -> Space:
    """The space with these columns: all other axes number rows."""
    return Space(tuple(a for a in wide if a not in columns), columns)


def _is_flat(
    axes: list[tuple[Axis, ...]], equations: Sequence[Equation], classes: AxisClasses
) -> bool:
    """Is each number computed from those at the same place, whatever place it is?"""
    summed = any(s.axes for e in equations for s in _sums(e, classes))
    return len({a for a in axes if a}) == 1 and not summed and not classes.counted


def _candidates(op: Op, classes: AxisClasses, wide: tuple[Axis, ...]) -> list[tuple[Axis, ...]]:
    """The axes that some sum runs over, or the last axis alone."""
    sums = [s.axes for e in op.equations for s in _sums(e, classes)]
    columns = [tuple(a for a in wide if a in axes) for axes in sums]
    return [c for c in dict.fromkeys([*columns, wide[-1:]]) if wide[-1] in c]


@dataclass(frozen=True)
class _Sum:
    bound: Bound
    axes: frozenset[Axis]  # that it runs over


def _sums(equation: Equation, classes: AxisClasses) -> Iterator[_Sum]:
    """The sums and extrema of an equation, those inside others too."""
    for bound in sorted(equation.expr.atoms(Bound), key=str):
        body, dummies = bound.open()
        places: dict[Index, Axis] = {}
        for component in body.atoms(Component):
            places |= zip(component.indices, classes.of(component), strict=True)
        yield _Sum(bound, frozenset(places[d] for d in dummies if d in places))


@dataclass
class _Reading:
    """What the equations so far have shown of a space."""

    classes: AxisClasses
    space: Space
    inputs: frozenset[Tensor]
    late: set[Tensor] = field(default_factory=set)  # known only after all rows

    def admits(self, equation: Equation) -> bool:
        rows, columns = set(self.space.rows), set(self.space.columns)
        target = set(self.classes.of(equation.target))
        if target not in (rows | columns, rows, columns, set()):
            return False
        late = bool(self.late & {c.tensor for c in equation.expr.atoms(Component)})
        early = self._is_early(equation)
        for found in _sums(equation, self.classes):
            if found.axes & rows:
                late |= not early
                if isinstance(found.bound, Extremum):
                    return False
            elif found.axes and found.axes != columns:  # what nothing carries is counted
                return False
        if late:
            self.late.add(equation.target.tensor)
        return not late or not target & rows

    def _is_early(self, equation: Equation) -> bool:
        found = equation.expr.atoms(Component)
        target, used = self.classes.of(equation.target), map(self.classes.of, found)
        return is_early(self.space, target, used) and {c.tensor for c in found} <= self.inputs


def _holds(op: Op, equations: Sequence[Equation], classes: AxisClasses, space: Space) -> bool:
    reading = _Reading(classes, space, frozenset(c.tensor for c in op.inputs))
    return all(map(reading.admits, equations))


def _countable(op: Op, classes: AxisClasses, wide: tuple[Axis, ...]) -> bool:
    """Are the positions that conditions compare those of axes that can be told apart?"""
    axes: dict[Size, set[Axis]] = {}
    for component in op.tensors.values():
        for index, axis in zip(component.indices, classes.of(component), strict=True):
            axes.setdefault(index.size, set()).add(axis)
    return all(len(axes.get(s, ())) == 1 and axes[s] <= set(wide) for s in classes.counted)
