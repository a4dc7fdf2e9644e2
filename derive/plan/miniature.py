"""A few statements as an op in miniature: the rows that they walk, and the kernel's schedule.

Two axes may have one size, as in x[i,d] x[j,d]; where a condition compares places along them, the
second has a size of its own name, and Kronecker's delta is such a condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sympy import Expr, KroneckerDelta

from derive.notation.conditions import EQUAL, Position, iverson
from derive.notation.nodes import Bound, Component, Index, Labels, Size, Tensor
from derive.notation.op import Equation, Op
from derive.plan.axes import Axis, AxisClasses
from derive.plan.program import Program
from derive.plan.roles import ELEMENT_WISE, ROW_WISE, Roles
from derive.plan.rows import Schedule
from derive.plan.space import row_space
from derive.plan.statement import Statement
from derive.plan.trim import missing_sizes, scalars_in
from derive.plan.work import Work

_OF_KERNELS = ("ROWS", "BLOCK", "EVEN", "ACC")  # what their constants are called


@dataclass(frozen=True, eq=False)
class Miniature:
    """A program that is given `saved`, and whose way back is the statements."""

    program: Program
    schedule: Schedule


def miniature(
    op: Op, statements: Sequence[Statement], declared: Mapping[Tensor, Component]
) -> Miniature | None:
    """None if the statements do not walk over the same rows, matrices of them."""
    if any(c.tensor not in declared for s in statements for c in s.uses):
        return None
    words = _Words(op, statements, declared)
    small, told = words.op()
    classes = AxisClasses(small)
    if words.compares(small, classes):
        words.sizes = words.apart(classes)
        small, told = words.op()
        classes = AxisClasses(small)
    space = row_space(small, classes, small.equations)
    if space is None or not space.rows or len({*space.rows, *space.columns}) < 2:
        return None
    kind = ROW_WISE if classes.contracted else ELEMENT_WISE
    roles = Roles(kind, space.rows, space.columns, None, classes)
    sizes = sorted(missing_sizes(told, small.inputs), key=lambda s: s.rank)
    known = scalars_in(told)
    scalars = tuple(p.symbol for p in op.parameters if p.symbol in known)
    program = Program(small, roles, (), told, small.inputs, tuple(sizes), scalars, ())
    schedule = Schedule(program, told, accumulates=True)
    return Miniature(program, schedule) if _is_whole(schedule, told) else None


def _is_whole(schedule: Schedule, statements: Sequence[Statement]) -> bool:
    """Do the rows give all that is asked for, or add it up, with nothing to do before or after?"""
    done = len(schedule.work) + len(schedule.epilogue) == len(statements)
    return done and not schedule.left_for and all(map(is_sum, schedule.epilogue))


def is_sum(work: Work) -> bool:
    """Is it a sum over rows and nothing more?"""
    return any(work.after_rows in (s.marker, s.total) for s in work.sums if s.over_rows)


@dataclass
class _Words:
    """Tells statements by tensors, and maybe sizes, of an op in miniature."""

    outer: Op
    statements: Sequence[Statement]
    declared: Mapping[Tensor, Component]
    sizes: dict[Axis, Size] = field(default_factory=dict)
    classes: AxisClasses | None = None

    def __post_init__(self) -> None:
        made = [s.target.tensor for s in self.statements]
        used = {c.tensor for s in self.statements for c in s.uses} - set(made)
        self.given = sorted(used, key=lambda t: t.rank)
        order = sorted({*used, *made}, key=lambda t: t.rank)
        self.tensors = {t: _ranked(t, rank) for rank, t in enumerate(order)}

    def op(self) -> tuple[Op, tuple[Statement, ...]]:
        """The op, and the statements, which are its equations."""
        told = tuple(map(self._told, self.statements))
        inputs = tuple(self._declared(t) for t in self.given)
        equations = tuple(Equation(s.target, s.expr, s.note) for s in told)
        parameters = self.outer.parameters
        return Op("group", inputs, parameters, (), equations, self.outer.letters), told

    def compares(self, op: Op, classes: AxisClasses) -> bool:
        """Are places compared along one of two axes that have the same size?"""
        axes: dict[Size, set[Axis]] = {}
        for component in op.tensors.values():
            for index, axis in zip(component.indices, classes.of(component), strict=True):
                axes.setdefault(index.size, set()).add(axis)
        return classes.has_delta or any(len(axes.get(s, ())) > 1 for s in classes.counted)

    def apart(self, classes: AxisClasses) -> dict[Axis, Size]:
        """A size for each class of axes."""
        self.classes = classes
        taken = {*self.outer.tensors, *(i.size.name for i in self.outer.letters)}
        taken |= {p.symbol.name for p in self.outer.parameters}
        taken |= {*(t.name for t in self.tensors), *_OF_KERNELS}
        chosen: dict[Axis, Size] = {}
        for tensor in self.tensors.values():
            component = self._first(tensor)
            for index, axis in zip(component.indices, classes.of(component), strict=True):
                if axis in chosen:
                    continue
                size, name = index.size, index.name.upper()
                if size in chosen.values():
                    while name in taken:
                        name += "_"
                    size = Size(name, 10_000 + len(chosen))
                    taken.add(name)
                chosen[axis] = size
        return chosen

    def _first(self, tensor: Tensor) -> Component:
        old = next(t for t, new in self.tensors.items() if new == tensor)
        return Component(tensor, *self.declared[old].indices)

    # -- in other words ---------------------------------------------------------------------------

    def _declared(self, tensor: Tensor) -> Component:
        return self._component(Component(self.tensors[tensor], *self.declared[tensor].indices))

    def _component(self, component: Component) -> Component:
        """A component of the op in miniature, its letters in the sizes of their axes."""
        if self.classes is None:
            return component
        axes = zip(component.indices, self.classes.of(component), strict=True)
        sizes = self.sizes
        return Component(component.tensor, *(_sized(i, sizes.get(a, i.size)) for i, a in axes))

    def _told(self, statement: Statement) -> Statement:
        target = self._renamed(statement.target)
        letters = self._letters(target, statement.expr)
        expr = self._expr(statement.expr, letters)
        return replace(statement, target=self._component(target), expr=expr)

    def _renamed(self, component: Component) -> Component:
        return Component(self.tensors[component.tensor], *component.indices)

    def _letters(self, *exprs: Expr) -> dict[Index, Index]:
        """What the letters of some components become."""
        found: dict[Index, Index] = {}
        for expr in exprs:
            for component in sorted(expr.atoms(Component), key=str):
                known = component
                if component.tensor in self.tensors:
                    known = self._renamed(component)
                found |= zip(component.indices, self._component(known).indices, strict=True)
        return found

    def _expr(self, expr: Expr, letters: Mapping[Index, Index]) -> Expr:
        if isinstance(expr, Bound):
            body, dummies = expr.open()
            own = {**letters, **self._letters(body)}
            return expr.func(self._expr(body, own), *(own.get(d, d) for d in dummies))
        if isinstance(expr, Component):
            indices = (letters.get(i, i) for i in expr.indices)
            return Component(self.tensors[expr.tensor], *indices)
        if isinstance(expr, Position):
            return Position(letters.get(expr.index, expr.index))
        if isinstance(expr, KroneckerDelta) and self.classes is not None:
            left, right = (Position(letters.get(i, i)) for i in expr.args)
            return iverson(EQUAL, left, right)
        if not expr.args:
            return expr
        return expr.func(*(self._expr(a, letters) for a in expr.args))


def _sized(index: Index, size: Size) -> Index:
    return index if index.size == size else Index(index.name, size, index.rank)


def _ranked(tensor: Tensor, rank: int) -> Tensor:
    """The same name, sorted otherwise; axes that show several indices are taken apart."""
    if isinstance(tensor, Labels):
        return Labels(tensor.name, rank, tensor.values, (), tensor.sentinels)
    return Tensor(tensor.name, rank)
