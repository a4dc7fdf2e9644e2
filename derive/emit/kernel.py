"""One schedule as a Triton kernel: for a row that fits in a block, and for one walked in tiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sympy import Expr

from derive.emit.names import Namer
from derive.emit.source import Line, assign, bracketed
from derive.emit.triton_printer import TritonPrinter
from derive.notation.conditions import Position
from derive.notation.nodes import Component, Labels, Scalar, Size, Tensor
from derive.plan.rows import FULL, ROW, SCALAR, SHARED, RowSum, Schedule, Work


@dataclass(frozen=True)
class Pass:
    """One walk over the columns of a row."""

    starts: tuple[str, ...]  # accumulators before the walk
    loads: tuple[str, ...]
    lines: tuple[Line, ...]
    adds: tuple[str, ...]
    stores: tuple[str, ...]
    after: tuple[Line, ...]  # statistics, known once the row was walked


@dataclass(frozen=True)
class Kernel:
    """What a kernel loads once, what it does for each row, what it stores at the end."""

    signature: str
    sizes: tuple[str, ...]
    shared_loads: tuple[str, ...]  # once for all rows
    starts: tuple[str, ...]
    row_loads: tuple[str, ...]
    row_lines: tuple[Line, ...]  # what needs no pass over the row
    passes: tuple[Pass, ...]
    row_stores: tuple[str, ...]  # and what a whole row adds to sums over rows
    ends: tuple[str, ...]  # stores after the last row


@dataclass(frozen=True)
class Partial:
    """A sum over rows: each program adds up its part, the host adds up the parts."""

    work: Work
    total: RowSum
    name: str


def partials(schedule: Schedule, name: Namer) -> tuple[Partial, ...]:
    """The sums over rows with the names of their parts."""
    found = []
    for work, total in schedule.accumulated:
        several = [s for s in work.sums if s.over_rows]
        suffix = f"_{several.index(total)}" if len(several) > 1 else ""
        found.append(Partial(work, total, name(f"{work.target.tensor.name}_partial{suffix}")))
    return tuple(found)


def _indented(condition: str, lines: Iterable[str]) -> str:
    return "\n".join([f"if {condition}:", *(f"    {line}" for line in lines)])


class KernelWriter:
    """Writes the kernels of one schedule.

    `results` come with the names they are stored under. A persistent kernel walks over many rows,
    and a pointer to a result that nobody wants is None.
    """

    def __init__(
        self,
        schedule: Schedule,
        name: Namer,
        given: Sequence[Component],
        results: Sequence[tuple[Component, str]],
        scalars: Sequence[Scalar],
        *,
        persistent: bool,
    ) -> None:
        self.schedule, self.name, self.given, self.scalars = schedule, name, given, scalars
        self.results = results
        self.partials = partials(schedule, name)
        self.persistent = persistent

    # -- what is there --------------------------------------------------------------------------

    @cached_property
    def live(self) -> list[Work]:
        """The statements that a result or a sum over rows depends on."""
        wanted = {c.tensor for c, _ in self.results} | _tensors(self.schedule.live_sums)
        live: list[Work] = []
        for work in reversed(self.schedule.work):
            if work.target.tensor in wanted:
                wanted |= work.uses
                live.append(work)
        return live[::-1]

    @cached_property
    def expressions(self) -> list[Expr]:
        """All that the kernel computes."""
        inner = [s.body for w in self.live for s in w.sums]
        return [*(w.expr for w in self.live), *inner, *self.schedule.live_sums]

    @cached_property
    def used(self) -> list[Component]:
        """The given tensors that some statement reads."""
        tensors = _tensors(self.expressions)
        return [c for c in self.given if c.tensor in tensors]

    @cached_property
    def numbers(self) -> set[Size]:
        """The sizes that occur as numbers."""
        return {s for e in self.expressions for s in e.atoms(Size)}

    @cached_property
    def sizes(self) -> list[Size]:
        """The column's size, then the others that occur."""
        column = self.schedule.column
        return [column, *sorted(self.numbers - {column}, key=lambda s: s.rank)]

    def arguments(self) -> list[str]:
        """What the host passes, in order; constants follow."""
        pointers = [*(c.tensor.name for c in self.used), *(n for _, n in self.results)]
        rows = [self.name("rows")] if self.persistent else []
        parts = [p.name for p in self.partials]
        numbers = [s.name for s in (*self.sizes, *self.scalars)]
        return [*pointers, *parts, *rows, *numbers]

    def _signature(self, kernel: str) -> str:
        plain = {self.name("rows"), *(s.name for s in self.sizes)}
        constants = {s.name for s in self.scalars}
        items = [
            a if a in plain else f"{a}: tl.constexpr" if a in constants else self._pointer(a)
            for a in self.arguments()
        ]
        items += ["BLOCK: tl.constexpr", "ACC: tl.constexpr"]
        return bracketed(f"def {kernel}(", items, "):", 0)

    def _pointer(self, name: str) -> str:
        return self.name(f"{name}_ptr")

    def _size_lines(self) -> tuple[str, ...]:
        return tuple(
            f"{self.name(f'size_{s.name}')} = tl.full((), {s.name}, ACC)"
            for s in self.sizes
            if s in self.numbers
        )

    # -- loads and stores -----------------------------------------------------------------------

    def _address(self, name: str, kind: str) -> tuple[str, bool]:
        """Where a value lives, and whether it is a vector."""
        row, columns = self.name("row"), self.name("columns")
        pointer = self._pointer(name)
        places = {
            FULL: (f"{pointer} + {row} * {self.schedule.column.name} + {columns}", True),
            ROW: (f"{pointer} + {row}", False),
            SHARED: (f"{pointer} + {columns}", True),
            SCALAR: (pointer, False),
        }
        return places[kind]

    def _load(self, component: Component) -> str:
        name = component.tensor.name
        place, vector = self._address(name, self.schedule.kind(component))
        zero = "0" if isinstance(component.tensor, Labels) else "0.0"
        mask = f", mask={self.name('inside')}, other={zero}" if vector else ""
        cast = "" if isinstance(component.tensor, Labels) else ".to(ACC)"
        return f"{name} = tl.load({place}{mask}){cast}"

    def _store(self, component: Component, shown: str) -> str:
        place, vector = self._address(shown, self.schedule.kind(component))
        mask = f", mask={self.name('inside')}" if vector else ""
        line = f"tl.store({place}, {component.tensor.name}{mask})"
        wanted = f"{self._pointer(shown)} is not None"
        return _indented(wanted, [line]) if self.persistent else line

    def _is_long(self, component: Component) -> bool:
        return self.schedule.kind(component) in (FULL, SHARED)

    def _part_address(self, part: Partial) -> str:
        program, columns = self.name("program"), self.name("columns")
        if not part.total.keeps_column:
            return f"{self._pointer(part.name)} + {program}"
        return f"{self._pointer(part.name)} + {program} * {self.schedule.column.name} + {columns}"

    def _part_store(self, part: Partial) -> str:
        mask = f", mask={self.name('inside')}" if part.total.keeps_column else ""
        line = f"tl.store({self._part_address(part)}, {part.name}{mask})"
        return _indented(f"{self._pointer(part.name)} is not None", [line])

    def _text(self, expr: Expr, sums: dict[str, str] | None = None) -> str:
        schedule = self.schedule
        column = schedule.column
        return TritonPrinter(sums or {}, self.name, schedule.vectors, column).text(expr, ())

    # -- statements -----------------------------------------------------------------------------

    def _line(self, work: Work, sums: dict[str, str], indent: int) -> Line:
        code = self._text(work.expr, sums)
        if not work.expr.atoms(Component, Size, Position):
            code = f"tl.full((), {code}, ACC)"  # a bare constant has no type
        return Line(work.statement.note, assign(work.target.tensor.name, code, indent))

    def _masked(self, body: str) -> str:
        """The summand, zero beyond the end of the row; what was loaded is zero there already."""
        loaded = {c.tensor.name for c in self.used if self._is_long(c)}
        return body if body in loaded else f"tl.where({self.name('inside')}, {body}, 0.0)"

    def _added(self, part: Partial) -> str:
        """What one row (or one tile of it) adds to a sum over rows."""
        body = self._text(part.total.body)
        vector = part.total.kind in (FULL, SHARED)
        return (
            f"tl.sum({self._masked(body)}, 0)" if vector and not part.total.keeps_column else body
        )

    # -- a row in a block -----------------------------------------------------------------------

    def block(self, kernel: str) -> Kernel:
        """The row stays in registers; each sum is taken where it stands."""
        shared = [c for c in self.used if self.schedule.kind(c) in (SHARED, SCALAR)]
        zeros = {True: "[BLOCK]", False: "()"}
        return Kernel(
            self._signature(kernel),
            self._size_lines(),
            tuple(map(self._load, shared)),
            tuple(
                f"{p.name} = tl.zeros({zeros[p.total.keeps_column]}, ACC)" for p in self.partials
            ),
            tuple(self._load(c) for c in self.used if c not in shared),
            tuple(self._block_line(w) for w in self.live),
            (),
            (
                *(f"{p.name} += {self._added(p)}" for p in self.partials),
                *(self._store(c, n) for c, n in self.results),
            ),
            tuple(map(self._part_store, self.partials)),
        )

    def _reduced(self, total: RowSum) -> str:
        """A sum, or the largest or smallest value, of what stands inside the row."""
        body = self._text(total.body)
        if total.word == "sum":
            return f"tl.sum({self._masked(body)}, 0)"
        helper, least = EXTREMA[total.word][:2]
        return f"{helper}(tl.where({self.name('inside')}, {body}, {least}))"

    def _block_line(self, work: Work) -> Line:
        sums = {s.marker.tensor.name: self._reduced(s) for s in work.sums}
        return self._line(work, sums, 8 if self.persistent else 4)

    # -- a row in tiles -------------------------------------------------------------------------

    def tiles(self, kernel: str) -> Kernel:
        """The row is walked once for each sum that waits for another; loads are repeated."""
        rows = [c for c in self.used if self.schedule.kind(c) == ROW]
        scalars = [c for c in self.used if self.schedule.kind(c) == SCALAR]
        first = [w for w in self.live if w.kind in (ROW, SCALAR) and w.level == 0]
        passes = (self._pass(level) for level in range(self._last_level() + 1))
        scalar_parts = [p for p in self.partials if not p.total.keeps_column]
        return Kernel(
            self._signature(kernel),
            self._size_lines(),
            tuple(map(self._load, scalars)),
            tuple(f"{p.name} = tl.zeros((), ACC)" for p in scalar_parts),
            tuple(map(self._load, rows)),
            tuple(self._line(w, {}, 8 if self.persistent else 4) for w in first),
            tuple(p for p in passes if p is not None),
            (
                *(
                    f"{p.name} += {self._added(p)}"
                    for p in self.partials
                    if not _is_vector(p.total)
                ),
                *(self._store(c, n) for c, n in self.results if not self._is_long(c)),
            ),
            tuple(map(self._part_store, scalar_parts)),
        )

    def _last_level(self) -> int:
        levels = [w.body_level if w.sums else w.level for w in self.live]
        return max([*levels, *map(self.schedule.level_of, self.schedule.live_sums), 0])

    def _pass(self, level: int) -> Pass | None:
        """What can be done in the walk before which `level` others came."""
        summed = [(w, s) for w in self.live for s in w.sums if w.body_level == level]
        stored = [
            (c, n)
            for c, n in self.results
            if self._is_long(c) and self.schedule.level_of(c) == level
        ]
        added = [
            p
            for p in self.partials
            if _is_vector(p.total) and self.schedule.level_of(p.total.body) == level
        ]
        after = [w for w in self.live if w.kind in (ROW, SCALAR) and w.level == level + 1]
        if not (summed or stored or added or after):
            return None
        bodies = [*(s.body for _, s in summed), *(p.total.body for p in added)]
        needed = {c.tensor for c, _ in stored} | _tensors(bodies)
        inner = self._recomputed(needed)
        indent = 12 if self.persistent else 8
        known = ((w, s) for w in after for s in w.sums)  # a sum may wait for what else is needed
        sums = {s.marker.tensor.name: _joined(s, self._parts(w, s)) for w, s in known}
        return Pass(
            tuple(self._start_of(w, s) for w, s in summed),
            tuple(self._load(c) for c in self.used if c.tensor in needed and self._is_long(c)),
            tuple(self._line(w, {}, indent) for w in inner),
            (
                *(self._part_of(w, s) for w, s in summed),
                *map(self._tile_add, added),
            ),
            tuple(self._store(c, n) for c, n in stored),
            tuple(self._line(w, sums, indent - 4) for w in after),
        )

    def _recomputed(self, needed: set[Tensor]) -> list[Work]:
        """The vectors that a walk needs; what they need is added to `needed`."""
        inner: list[Work] = []
        for work in reversed(self.live):
            if work.target.tensor in needed and work.kind in (FULL, SHARED):
                needed |= work.uses
                inner.append(work)
        return inner[::-1]

    def _start_of(self, work: Work, total: RowSum) -> str:
        """What each column of a tile has come to before the first one."""
        start = "tl.zeros([BLOCK], ACC)"
        if total.word != "sum":
            start = f"tl.full([BLOCK], {EXTREMA[total.word][1]}, ACC)"
        return f"{self._parts(work, total)} = {start}"

    def _part_of(self, work: Work, total: RowSum) -> str:
        """What a tile makes of it."""
        parts, body = self._parts(work, total), self._text(total.body)
        if total.word == "sum":
            return f"{parts} += {self._masked(body)}"
        _, least, join = EXTREMA[total.word]
        return f"{parts} = {join}({parts}, tl.where({self.name('inside')}, {body}, {least}))"

    def _parts(self, work: Work, total: RowSum) -> str:
        suffix = f"_{work.sums.index(total)}" if len(work.sums) > 1 else ""
        return self.name(f"{work.target.tensor.name}_parts{suffix}")

    def _tile_add(self, part: Partial) -> str:
        """A tile's part of a sum over rows; it is kept in memory where it keeps the column."""
        if not part.total.keeps_column:
            return f"{part.name} += {self._added(part)}"
        place, inside = self._part_address(part), self.name("inside")
        return _indented(
            f"{self._pointer(part.name)} is not None",
            [
                f"{part.name} = tl.load({place}, mask={inside}, other=0.0)",
                f"tl.store({place}, {part.name} + {self._added(part)}, mask={inside})",
            ],
        )


# How a row's extremum is taken, what changes none, and how two parts of it are joined.
EXTREMA = {
    "max": ("_largest", 'float("-inf")', "_maximum"),
    "min": ("_smallest", 'float("inf")', "_minimum"),
}


def _joined(total: RowSum, parts: str) -> str:
    """The whole, from what each column of the tiles came to."""
    return f"tl.sum({parts}, 0)" if total.word == "sum" else f"{EXTREMA[total.word][0]}({parts})"


def _is_vector(total: RowSum) -> bool:
    """Does the summand run along the column? Otherwise each row adds it once."""
    return total.kind in (FULL, SHARED)


def _tensors(expressions: Iterable[Expr]) -> set[Tensor]:
    return {c.tensor for e in expressions for c in e.atoms(Component)}
