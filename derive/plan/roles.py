"""Index roles, read off the equations: which axes are rows, reduced, shared or contracted.

Two axes belong together when one letter of an equation runs along both. From the classes of axes
that this gives follow the class of kernel and the letter that may stand for any number of axes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from sympy import Add, Expr, KroneckerDelta, Mul

from derive.notation.conditions import Position
from derive.notation.nodes import (
    Bound,
    Component,
    Contraction,
    Extremum,
    Index,
    Size,
    Tensor,
    free_indices,
)
from derive.notation.op import Equation, Op
from derive.notation.solution import Solution

Axis = tuple[Tensor, int]

ROW_WISE, ELEMENT_WISE, PRODUCT, GENERAL = "row-wise", "element-wise", "matrix product", "general"


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
        self._mixed: list[tuple[Axis, Axis]] = []  # axes of a dummy and of a free index beside it
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
        dummies: set[Index] = set()
        extremal: set[Index] = set()
        body = _opened(equation.expr, dummies, extremal)
        self.opened.append((equation, body))
        places = self._join_letters([equation.target, *sorted(body.atoms(Component), key=str)])
        self.summed |= {axes[0] for i, axes in places.items() if i in dummies}
        self._only_counted |= any(p.index not in places for p in body.atoms(Position))
        self._mixed += [
            (places[d][0], places[i][0])
            for bound in equation.expr.atoms(Bound)
            for d in dummies
            for i in free_indices(bound)
            if d.size == i.size and d in places and i in places
        ]
        self._extremal |= {axes[0] for i, axes in places.items() if i in extremal}

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


def _opened(expr: Expr, dummies: set[Index], extremal: set[Index]) -> Expr:
    """The expression with its sums and extrema opened; their dummies are added to the sets."""
    if isinstance(expr, Bound):
        body, own = expr.open()
        dummies.update(own)
        extremal.update(own if isinstance(expr, Extremum) else ())
        return _opened(body, dummies, extremal)
    if not expr.args or isinstance(expr, Component):
        return expr
    return expr.func(*(_opened(a, dummies, extremal) for a in expr.args))


@dataclass(frozen=True)
class Roles:
    """How a kernel walks the tensors of an op.

    `kind` is the class of kernel. For the row-wise and element-wise ones, `rows` are the classes of
    the leading axes and `column` that of the last one. `leading` is the letter that may stand for
    any number of axes, if there is one.
    """

    kind: str
    rows: tuple[Axis, ...]
    column: Axis | None
    leading: Index | None
    classes: AxisClasses

    def is_row(self, component: Component) -> bool:
        """Does the tensor have the row axes? (With no row axis at all, every tensor does.)"""
        return self.classes.of(component)[: len(self.rows)] == self.rows

    def has_column(self, component: Component) -> bool:
        return self.column in self.classes.of(component)


def roles(op: Op) -> Roles:
    """The roles of the indices of an op."""
    classes = AxisClasses(op)
    leading = _leading(op, classes)
    found = _row_wise(op, classes)
    if found is None:
        kind = PRODUCT if all(_is_product(e.expr) for e in op.equations) else GENERAL
        return Roles(kind, (), None, leading, classes)
    rows, column = found
    kind = ROW_WISE if classes.contracted else ELEMENT_WISE
    return Roles(kind, rows, column, leading, classes)


def kernel_class(op: Op) -> str:
    """element-wise, row-wise, matrix product, or general (a sequence of these)."""
    return roles(op).kind


def _row_wise(op: Op, classes: AxisClasses) -> tuple[tuple[Axis, ...], Axis] | None:
    """The row classes and the column class, if each tensor has all rows or none of them."""
    tensors = list(op.tensors.values())
    if classes.has_delta or classes.has_relation or classes.is_mixed or len(classes.contracted) > 1:
        return None
    if any(max(Counter(classes.of(c)).values(), default=1) > 1 for c in tensors):
        return None
    widest = max((classes.of(c) for c in tensors), key=len)
    if not widest:
        return None
    column = next(iter(classes.contracted), widest[-1])
    rows = tuple(a for a in widest if a != column)
    if not _countable(op, classes, rows, column) or not classes.extremal <= {column}:
        return None
    allowed = {(*rows, column), rows, (column,), ()}
    return (rows, column) if all(classes.of(c) in allowed for c in tensors) else None


def _countable(op: Op, classes: AxisClasses, rows: tuple[Axis, ...], column: Axis) -> bool:
    """Are the positions that conditions compare those of the column or of the one row axis?"""
    axes: dict[Size, set[Axis]] = {}
    for component in op.tensors.values():
        for index, axis in zip(component.indices, classes.of(component), strict=True):
            axes.setdefault(index.size, set()).add(axis)
    allowed = {column, *(rows if len(rows) == 1 else ())}
    return all(len(axes.get(s, ())) == 1 and axes[s] <= allowed for s in classes.counted)


def _leading(op: Op, classes: AxisClasses) -> Index | None:
    """The first letter that leads every tensor that carries it and is never summed."""
    for component in op.inputs:
        if not component.indices:
            continue
        mine = classes.of(component)[0]
        carriers = [classes.of(c) for c in op.tensors.values() if mine in classes.of(c)]
        leads = all(c[0] == mine and c.count(mine) == 1 for c in carriers)
        leads = leads and _is_only(component.indices[0].size, mine, op, classes)
        leads = leads and component.indices[0].size not in classes.counted
        leads = leads and not classes.has_relation
        if leads and mine not in classes.contracted and not classes.has_delta:
            return component.indices[0]
    return None


def _is_only(size: Size, axis: Axis, op: Op, classes: AxisClasses) -> bool:
    """Has no axis of another class this size? It could not grow with the leading axes."""
    tensors = op.tensors.values()
    pairs = ((i, a) for c in tensors for i, a in zip(c.indices, classes.of(c), strict=True))
    return all(a == axis for i, a in pairs if i.size == size)


def _is_product(expr: Expr) -> bool:
    """Sums of products of components: nothing but matrix products and additions."""
    for term in Add.make_args(expr):
        for factor in Mul.make_args(term):
            inner = factor.body if isinstance(factor, Contraction) else factor
            parts = Mul.make_args(inner)
            if not all(p.is_number or isinstance(p, Component) for p in parts):
                return False
    return True
