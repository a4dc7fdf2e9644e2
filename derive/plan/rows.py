"""The order of work in a row-wise kernel: what each value is, and after which pass it is known.

A tensor of a row-wise op is full [rows, column], a row statistic [rows], shared [column] or a
scalar. What is shared and made from shared things alone needs no row: it is a prologue. A sum over
the column is known only after a pass over the row; a sum over the rows (the gradient of something
shared) only after all rows, so what depends on it is left to an epilogue.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from sympy import Expr

from derive.notation.nodes import Bound, Component, Extremum, Index, Size, Tensor, free_indices
from derive.notation.op import declared_as
from derive.plan.program import Program
from derive.plan.roles import Axis, Roles
from derive.plan.statement import Statement

FULL, ROW, SHARED, SCALAR = "full", "row", "shared", "scalar"


@dataclass(frozen=True)
class RowSum:
    """A sum in a statement: `marker` stands for it there; `over_rows` tells which sum it is."""

    marker: Component
    total: Bound
    body: Expr
    kind: str  # of the body
    over_rows: bool
    over_column: bool

    @property
    def word(self) -> str:
        """sum, max or min."""
        return self.total.word if isinstance(self.total, Extremum) else "sum"

    @property
    def keeps_column(self) -> bool:
        """Is the sum still a vector along the column?"""
        return self.kind in (FULL, SHARED) and not self.over_column


@dataclass(frozen=True)
class Work:
    """A statement of a kernel; `level` counts the passes over the row before it is known."""

    statement: Statement
    expr: Expr  # with markers for sums
    sums: tuple[RowSum, ...]
    kind: str
    level: int
    body_level: int  # the pass in which its sums are taken

    @property
    def target(self) -> Component:
        return self.statement.target

    @property
    def uses(self) -> set[Tensor]:
        """Tensors that the statement or its sums need."""
        exprs = [self.expr, *(s.body for s in self.sums)]
        return {c.tensor for e in exprs for c in e.atoms(Component)}

    @property
    def after_rows(self) -> Expr:
        """The expression with markers only for sums over rows: what an epilogue computes."""
        return self.expr.xreplace({s.marker: s.total for s in self.sums if not s.over_rows})

    @property
    def over_rows(self) -> bool:
        return any(s.over_rows for s in self.sums)


class Schedule:
    """The statements of one kernel, classified and ordered."""

    def __init__(
        self, program: Program, statements: Iterable[Statement], before: Schedule | None = None
    ) -> None:
        self.program, self.roles = program, program.roles
        self.axes: dict[Tensor, tuple[Axis, ...]] = dict(_declared(program))
        self.axes |= before.axes if before else {}
        self._levels: dict[Tensor, int] = {}
        self._count = 0
        self.prologue: list[Work] = []
        self.work: list[Work] = []
        self.epilogue: list[Work] = []
        self._late: set[Tensor] = set()  # known only after all rows
        for statement in statements:
            work = self._classify(statement)
            self._place(work).append(work)

    def _place(self, work: Work) -> list[Work]:
        if work.over_rows or work.uses & self._late:
            self._late.add(work.target.tensor)
            return self.epilogue
        used = {_kind(self.roles, self.axes[c.tensor]) for c in work.statement.uses}
        shared = {*used, work.kind} <= {SHARED, SCALAR}
        return self.prologue if shared else self.work

    @cached_property
    def accumulated(self) -> tuple[tuple[Work, RowSum], ...]:
        """The sums over rows, with the statements that use them."""
        return tuple((w, s) for w in self.epilogue for s in w.sums if s.over_rows)

    @cached_property
    def column(self) -> Size:
        """The size of the axis that a kernel walks along."""
        return next(size for size, axis in self._sizes if axis == self.roles.column)

    @cached_property
    def rows(self) -> tuple[Size, ...]:
        """The sizes of the row axes."""
        return tuple(next(s for s, a in self._sizes if a == row) for row in self.roles.rows)

    @cached_property
    def _sizes(self) -> list[tuple[Size, Axis]]:
        tensors = self.program.op.tensors.values()
        axes = self.roles.classes
        return [(i.size, a) for c in tensors for i, a in zip(c.indices, axes.of(c), strict=True)]

    @cached_property
    def live_sums(self) -> list[Expr]:
        """The summands of the sums over rows."""
        return [s.body for _, s in self.accumulated]

    @property
    def vectors(self) -> set[Tensor]:
        """The tensors that run along the column."""
        return {t for t, axes in self.axes.items() if _kind(self.roles, axes) in (FULL, SHARED)}

    def kind(self, component: Component) -> str:
        return _kind(self.roles, self.axes[component.tensor])

    def level_of(self, expr: Expr) -> int:
        return max((self._levels.get(c.tensor, 0) for c in expr.atoms(Component)), default=0)

    def _classify(self, statement: Statement) -> Work:
        letters = self._letters(statement)
        target = statement.target
        axes = self.axes.setdefault(target.tensor, tuple(letters[i] for i in target.indices))
        sums, expr = [], statement.expr
        for total in _outer(statement.expr):
            found = self._sum(total, letters)
            sums.append(found)
            expr = expr.xreplace({total: found.marker})
        column_sums = [s for s in sums if not s.over_rows]
        body_level = max((self.level_of(s.body) for s in column_sums), default=0)
        level = max(self.level_of(expr), body_level + 1 if column_sums else 0)
        self._levels[target.tensor] = level
        return Work(statement, expr, tuple(sums), _kind(self.roles, axes), level, body_level)

    def _sum(self, total: Bound, letters: dict[Index, Axis]) -> RowSum:
        body, dummies = total.open()
        inner = dict(letters)
        for component in body.atoms(Component):
            inner |= zip(component.indices, self.axes[component.tensor], strict=True)
        carried = {inner[i] for i in free_indices(body) if i in inner}
        summed = {inner[d] for d in dummies}
        self._count += 1
        marker = Component(Tensor(f"_sum_{self._count}", 10**7 + self._count))
        over_rows = bool(summed & set(self.roles.rows))
        return RowSum(
            marker, total, body, _kind(self.roles, carried), over_rows, self.roles.column in summed
        )

    def _letters(self, statement: Statement) -> dict[Index, Axis]:
        """Which axis class each free letter of a statement runs along."""
        letters: dict[Index, Axis] = {}
        for component in [statement.target, *statement.expr.atoms(Component)]:
            axes = self.axes.get(component.tensor)
            if axes is not None:
                letters |= dict(zip(component.indices, axes, strict=True))
        return letters


def _outer(expr: Expr) -> list[Bound]:
    """The sums and extrema of an expression that stand inside no other."""
    if isinstance(expr, Bound):
        return [expr]
    return list(dict.fromkeys(b for a in expr.args for b in _outer(a)))


def _declared(program: Program) -> Iterable[tuple[Tensor, tuple[Axis, ...]]]:
    """The axes of the op's own tensors and of their gradients."""
    own = {c.tensor for c in program.op.tensors.values()}
    statements = (*program.forward, *program.backward)
    every = {c for s in statements for c in (s.target, *s.uses)}
    every |= {*program.op.inputs, *program.cotangents, *program.gradients}
    for component in every:
        declared = declared_as(program.op, component)
        if declared.tensor in own:
            yield component.tensor, program.roles.classes.of(declared)


def _kind(roles: Roles, axes: Iterable[Axis]) -> str:
    """With no row axis at all there is one row, and every tensor belongs to it."""
    axes = set(axes)
    has_rows = set(roles.rows) <= axes
    has_column = roles.column in axes
    return {(True, True): FULL, (True, False): ROW, (False, True): SHARED, (False, False): SCALAR}[
        has_rows, has_column
    ]
