"""The order of work in a row-wise kernel: what each value is, and after which pass it is known.

A tensor of a row-wise op is full [rows, columns], a row statistic [rows], shared [columns] or a
scalar; an input may have some of the axes only, and counts as what it varies along. What is shared
and made from shared things alone needs no row: it is a prologue. A sum over the columns is known
only after a pass over the row; a sum over the rows (the gradient of something shared, the mean of a
loss) only after all rows, so what depends on it is left to an epilogue.

A sum over some of the row axes is added up by programs that each walk over the rows of one group,
which share what is not summed. Is it over the innermost columns, too, it is taken in two steps: a
row leaves what it comes to for each place along the outer columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from sympy import Expr

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
from derive.notation.op import declared_as
from derive.notation.text import equation_text
from derive.plan.axes import Axis
from derive.plan.nested import inner_sum
from derive.plan.program import Program
from derive.plan.roles import Roles
from derive.plan.space import Space, is_early
from derive.plan.statement import Statement
from derive.plan.work import FULL, PART, ROW, SCALAR, SHARED, RowSum, Work


class Schedule:
    """The statements of one kernel, classified and ordered.

    `accumulates`: programs add up sums over rows, each over the rows that it walks; if `in_groups`,
    these may be of one group.
    """

    def __init__(
        self,
        program: Program,
        statements: Iterable[Statement],
        before: Schedule | None = None,
        *,
        accumulates: bool = False,
        in_groups: bool = False,
    ) -> None:
        self.program, self.roles, self.accumulates = program, program.roles, accumulates
        self.in_groups = in_groups
        self.kept: tuple[Axis, ...] = ()  # the row axes that number the groups
        self.axes: dict[Tensor, tuple[Axis, ...]] = dict(_declared(program))
        self.axes |= before.axes if before else {}
        self._levels: dict[Tensor, int] = {}
        self._count = 0
        self.prologue: list[Work] = []
        self.work: list[Work] = []
        self.epilogue: list[Work] = []
        self.left_for: dict[Tensor, Tensor] = {}  # what rows leave for an epilogue, for which
        self.outer: tuple[Axis, ...] = ()  # the columns along which a row leaves parts
        self._parts: set[Tensor] = set()  # what has a number for each of these
        self._late: set[Tensor] = set()  # known only after all rows
        for statement in statements:
            for nested in self._nested(statement):
                for part in self._parted(nested):
                    work = self._classify(part)
                    self._place(work).append(work)

    def _place(self, work: Work) -> list[Work]:
        if work.over_rows and self._is_early(work.statement):
            return self.prologue
        if work.over_rows or work.uses & self._late:
            self._late.add(work.target.tensor)
            return self.epilogue
        used = {_kind(self.roles, self.axes[c.tensor]) for c in work.statement.uses}
        shared = {*used, work.kind} <= {SHARED, SCALAR}
        return self.prologue if shared or self._is_constant(work) else self.work

    def _is_early(self, statement: Statement) -> bool:
        inputs, used = self.program.op.inputs, {c.tensor for c in statement.uses}
        space, target = self._space, self.axes[statement.target.tensor]
        given = used <= {c.tensor for c in inputs}
        return given and is_early(space, target, (self.axes[t] for t in used))

    @property
    def _space(self) -> Space:
        return Space(self.roles.rows, self.roles.columns)

    def _is_constant(self, work: Work) -> bool:
        """Is it a number for each place along some of the axes? Many rows would write it."""
        rows, columns = self.roles.rows, self.roles.columns
        partial = self.axes[work.target.tensor] not in ((*rows, *columns), rows)
        return partial and not work.statement.uses and not work.expr.atoms(Position)

    @property
    def left(self) -> list[Component]:
        """What the rows give for the epilogue alone."""
        used = {t for w in self.epilogue for t in w.uses_after}
        return [w.target for w in self.work if w.target.tensor in used]

    # -- sums within sums -------------------------------------------------------------------------

    def _nested(self, statement: Statement) -> Iterator[Statement]:
        """The statement, after the inner sums of its own, which are known before."""
        letters, expr = self._letters(statement), statement.expr
        for total in _outer(statement.expr):
            left: Expr = total
            while isinstance(left, Contraction):
                body, dummies = left.open()
                inner = inner_sum(body, dummies, self._places(body, letters))
                if inner is None:
                    break
                name = f"{statement.target.tensor.name}_inner"
                places = self._places(inner.total, letters)
                made, found = self._named(name, inner.total, places)
                yield made
                left = inner.around(found)
            expr = expr.xreplace({total: left})
        yield statement.with_expr(expr)

    def _named(
        self, name: str, value: Expr, places: dict[Index, Axis]
    ) -> tuple[Statement, Component]:
        """A statement for a part of another, and what stands for it there."""
        order = (*self.roles.rows, *self.roles.columns)
        own = sorted(free_indices(value), key=lambda i: order.index(places[i]))
        spare = self._spare(own)
        self._count += 1
        tensor = Tensor(self._unused(name), 10**6 + self._count)
        self.axes[tensor] = tuple(places[i] for i in own)
        target, value = Component(tensor, *(spare[i] for i in own)), value.xreplace(spare)
        note = equation_text(target, value, self.program.op.letters)
        return Statement(target, value, note), Component(tensor, *own)

    # -- sums that no program can add up ----------------------------------------------------------

    def _parted(self, statement: Statement) -> Iterator[Statement]:
        """The statement, after what the rows must leave in memory for its sums."""
        letters = self._letters(statement)
        expr = statement.expr
        for total in _outer(statement.expr):
            if self._waits(total):
                continue
            asks = self._needs_memory(self._sum(total, letters), letters, statement.target)
            if asks or self._comes_before(total, letters, statement):
                left = self._left(total, statement, letters)
                if left is not None:
                    yield left[0]
                    expr = expr.xreplace({total: left[1]})
        yield statement.with_expr(expr)

    def _needs_memory(self, total: RowSum, letters: dict[Index, Axis], target: Component) -> bool:
        """Is it neither a sum of a row, nor one that each program can add up for its rows?"""
        rows, columns = set(self.roles.rows), set(self.roles.columns)
        carried, summed = self._axes_of(total.total, letters)
        if not summed & rows:
            return bool(carried & columns) and not total.over_column
        kept = tuple(letters[i] for i in free_indices(total.total) if i in letters)
        whole = rows <= summed and rows <= carried and kept in ((), self.roles.columns)
        whole &= carried & columns in (set(), columns)  # else some columns would count twice
        whole |= self._is_of_group(carried, summed, [letters[i] for i in target.indices])
        return not (self.accumulates and whole and total.word == "sum")

    def _comes_before(self, total: Bound, letters: dict[Index, Axis], statement: Statement) -> bool:
        """Is it a row's own sum, in a statement that waits for all rows?"""
        carried, summed = self._axes_of(total, letters)
        own = {*self.roles.rows, *self.roles.columns} <= carried and not summed & {*self.roles.rows}
        return own and bool(self._late & {c.tensor for c in statement.uses})

    def _waits(self, total: Bound) -> bool:
        """Is it a sum of what is known only after all rows?"""
        return bool(self._late & {c.tensor for c in total.atoms(Component)})

    def _is_of_group(self, carried: set[Axis], summed: set[Axis], target: list[Axis]) -> bool:
        """Is it a sum over the rows of a group, of which each column stays?"""
        rows, columns = self.roles.rows, self.roles.columns
        kept = tuple(a for a in rows if a not in summed)
        fits = {*rows, *columns} <= carried and not summed & {*columns}
        if not (self.in_groups and kept and columns and fits and target == [*kept, *columns]):
            return False
        self.kept = self.kept or kept
        return self.kept == kept

    def _left(
        self, total: Bound, statement: Statement, letters: dict[Index, Axis]
    ) -> tuple[Statement, Expr] | None:
        """What the rows leave, and the sum over it; None if what is summed is there already."""
        body, dummies = total.open()
        places = self._places(body, letters)
        is_there = {c.tensor for c in body.atoms(Component)} <= self._given
        is_full = {*self.roles.rows, *self.roles.columns} <= self._axes_of(total, letters)[0]
        if is_there and not is_full:
            return None
        inner = self._within({d: places[d] for d in dummies if d in places}, parts=is_full)
        inner = () if isinstance(total, Extremum) else inner
        if isinstance(body, Component) and not inner:
            return None
        value = Contraction(body, *inner) if inner else body
        made, left = self._named(f"{statement.target.tensor.name}_terms", value, places)
        tensor = left.tensor
        self.left_for[tensor] = statement.target.tensor
        if inner and set(self.axes[tensor]) & set(self.roles.columns):
            self._parts.add(tensor)
            self._late.add(tensor)
        if len({*self.axes[tensor]}) < len(left.indices):  # two letters along one axis
            return None
        rest = tuple(d for d in dummies if d not in inner)
        return made, total.func(left, *rest) if rest else left

    def _within(self, places: dict[Index, Axis], *, parts: bool) -> tuple[Index, ...]:
        """The dummies over which a row adds up: of all columns, or of the innermost: into `parts`.

        All parts of a kernel are along the same outer columns.
        """
        columns = self.roles.columns
        summed = [a in places.values() for a in columns]
        count = summed[::-1].index(False) if False in summed else len(columns)
        outer = columns[: len(columns) - count]
        if outer:
            if not (count and parts and self.accumulates) or len(outer) > len(self.outer or outer):
                return ()
            outer = self.outer = self.outer or outer
        return tuple(d for d, a in places.items() if a in columns and a not in outer)

    def _spare(self, indices: list[Index]) -> dict[Index, Index]:
        """Letters of the op for the dummies among some indices, and the letters themselves."""
        chosen = {i: i for i in indices if not i.is_dummy}
        for index in (i for i in indices if i.is_dummy):
            spare = (i for i in self.program.op.letters if i.size == index.size)
            chosen[index] = next((i for i in spare if i not in chosen.values()), index)
        return chosen

    def _unused(self, name: str) -> str:
        taken = {t.name for t in self.axes} | set(self.program.op.tensors)
        names = (name if k == 0 else f"{name}_{k}" for k in range(1000))
        return next(n for n in names if n not in taken)

    @property
    def _given(self) -> set[Tensor]:
        """What the host has before the rows are walked."""
        program = self.program
        backward = (*program.cotangents, *program.saved)
        given = backward if self.accumulates else program.op.inputs
        return {c.tensor for c in (*given, *(w.target for w in self.prologue))}

    def _places(self, expr: Expr, letters: dict[Index, Axis]) -> dict[Index, Axis]:
        """The axis along which each letter runs; one that is only compared has that of its size."""
        places = self._asked(p.index for p in expr.atoms(Position)) | letters
        for component in sorted(expr.atoms(Component), key=str):
            places |= zip(component.indices, self.axes[component.tensor], strict=True)
        return places

    def _asked(self, indices: Iterable[Index]) -> dict[Index, Axis]:
        """The axes of the same sizes."""
        axes = {self.size_of(a): a for a in (*self.roles.rows, *self.roles.columns)}
        return {i: axes[i.size] for i in indices if i.size in axes}

    def _axes_of(self, total: Bound, letters: dict[Index, Axis]) -> tuple[set[Axis], set[Axis]]:
        """The axes that a summand carries, and those that are summed over."""
        body, dummies = total.open()
        inner = self._places(body, letters)
        carried = {inner[i] for i in free_indices(body) if i in inner}
        return carried, {inner[d] for d in dummies if d in inner}

    # -- what there is ----------------------------------------------------------------------------

    @cached_property
    def accumulated(self) -> tuple[tuple[Work, RowSum], ...]:
        """The sums over rows, with the statements that use them."""
        return tuple((w, s) for w in self.epilogue for s in w.sums if s.over_rows)

    @cached_property
    def columns(self) -> tuple[Size, ...]:
        """The sizes of the axes that a row runs along."""
        return tuple(self.size_of(a) for a in self.roles.columns)

    @cached_property
    def rows(self) -> tuple[Size, ...]:
        """The sizes of the row axes."""
        return tuple(self.size_of(a) for a in self.roles.rows)

    def size_of(self, axis: Axis) -> Size:
        return self.index_of(axis).size

    def index_of(self, axis: Axis) -> Index:
        """The letter of a class of axes, as the largest tensor has it."""
        tensors = sorted(self.program.op.tensors.values(), key=lambda c: -len(c.indices))
        axes = self.roles.classes
        pairs = ((i, a) for c in tensors for i, a in zip(c.indices, axes.of(c), strict=True))
        return next(i for i, a in pairs if a == axis)

    def axis_of(self, size: Size) -> Axis:
        """The one axis of the space that has a size."""
        axes = (*self.roles.rows, *self.roles.columns)
        return next(a for a in axes if self.size_of(a) == size)

    @cached_property
    def live_sums(self) -> list[Expr]:
        """The summands of the sums over rows."""
        return [s.body for _, s in self.accumulated]

    @property
    def vectors(self) -> set[Tensor]:
        """The tensors that run along the column."""
        return {t for t, axes in self.axes.items() if _kind(self.roles, axes) in (FULL, SHARED)}

    def kind(self, component: Component) -> str:
        if component.tensor in self._parts:
            return PART
        return _kind(self.roles, self.axes[component.tensor])

    def level_of(self, expr: Expr) -> int:
        return max((self._levels.get(c.tensor, 0) for c in expr.atoms(Component)), default=0)

    def _classify(self, statement: Statement) -> Work:
        letters = self._letters(statement)
        target = statement.target
        self.axes.setdefault(target.tensor, tuple(letters[i] for i in target.indices))
        sums, expr, late = [], statement.expr, False
        for total in _outer(statement.expr):
            found = self._sum(total, letters)
            of_host = found.over_rows and self._is_early(statement)
            of_host |= self._waits(total) or self._needs_memory(found, letters, target)
            if target.tensor not in self._parts and of_host:
                late = True
                continue
            sums.append(found)
            expr = expr.xreplace({total: found.marker})
        column_sums = [s for s in sums if not s.over_rows]
        body_level = max((self.level_of(s.body) for s in column_sums), default=0)
        level = max(self.level_of(expr), body_level + 1 if column_sums else 0)
        kind = self.kind(target)
        level = body_level if kind == PART else level  # each part is known in the walk itself
        self._levels[target.tensor] = level
        return Work(statement, expr, tuple(sums), kind, level, body_level, late)

    def _sum(self, total: Bound, letters: dict[Index, Axis]) -> RowSum:
        body, _ = total.open()
        carried, summed = self._axes_of(total, letters)
        self._count += 1
        marker = Component(Tensor(f"_sum_{self._count}", 10**7 + self._count))
        over_column = set(self.roles.columns) <= summed
        over_rows = bool(summed & set(self.roles.rows))
        of_group = over_rows and not set(self.roles.rows) <= summed
        self.axes[marker.tensor] = () if over_rows else self.roles.rows
        kind = _kind(self.roles, carried)
        return RowSum(marker, total, body, kind, over_rows, over_column, of_group)

    def _letters(self, statement: Statement) -> dict[Index, Axis]:
        """Which axis class each free letter of a statement runs along."""
        letters = self._asked(statement.target.indices)
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
    has_rows = bool(set(roles.rows) & axes) or not roles.rows
    has_columns = bool(set(roles.columns) & axes)
    return {(True, True): FULL, (True, False): ROW, (False, True): SHARED, (False, False): SCALAR}[
        has_rows, has_columns
    ]
