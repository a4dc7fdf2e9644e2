"""One schedule as a Triton kernel: for a row that fits in a block, and for one walked in tiles."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sympy import Expr

from derive.emit.addresses import Addresses
from derive.emit.layout import AXIS, Layout
from derive.emit.names import Namer
from derive.emit.registers import Registers, tensors_of
from derive.emit.source import Line, assign, bracketed
from derive.emit.triton_printer import TritonPrinter
from derive.emit.walk import Walk, walk
from derive.notation.conditions import Position
from derive.notation.nodes import Component, Labels, Scalar, Size
from derive.plan.rows import Schedule
from derive.plan.work import FULL, PART, ROW, SHARED, RowSum, Work


@dataclass(frozen=True)
class Pass:
    """One walk over the columns of a row."""

    starts: tuple[str, ...]  # accumulators before the walk
    loads: tuple[str, ...]
    lines: tuple[Line, ...]
    stores: tuple[str, ...]  # results, and sums over rows that are kept in memory
    adds: tuple[str, ...]  # to sums of a row: what stays in registers comes after what leaves them
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
    columns: tuple[str, ...] = ()  # which a block holds, or a tile; which numbers, without any
    tiles: str = ""  # of a row
    rows: Walk | None = None  # how a program walks over them, if it does
    once: bool = False  # must it be known which rows come again?
    in_memory: bool = False  # are sums over rows added up there?
    single: bool = False  # is there one row?


@dataclass(frozen=True)
class Partial:
    """A sum over rows: each program adds up its part, the host adds up the parts."""

    work: Work
    total: RowSum
    name: str

    @property
    def uses(self) -> int:
        """How many tensors a summand is made of."""
        return len(tensors_of([self.total.body]))


def partials(schedule: Schedule, name: Namer) -> tuple[Partial, ...]:
    """The sums over rows with the names of their parts."""
    found = []
    for work, total in schedule.accumulated:
        several = [s for s in work.sums if s.over_rows]
        suffix = f"_{several.index(total)}" if len(several) > 1 else ""
        found.append(Partial(work, total, name(f"{work.target.tensor.name}_partial{suffix}")))
    return tuple(found)


def indented(condition: str, lines: Iterable[str]) -> str:
    return "\n".join([f"if {condition}:", *(f"    {line}" for line in lines)])


class KernelWriter:
    """Writes the kernels of one schedule.

    `results` come with the names they are stored under. A persistent kernel walks over many rows.
    Of results that are `optional`, and of what may be `absent`, a pointer may be None.
    """

    optional: Sequence[str] = ()
    absent: Container[str] = ()

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
        columns = bool(schedule.roles.columns)
        self.layout = Layout(name, columns=columns)

    # -- what is there --------------------------------------------------------------------------

    @cached_property
    def live(self) -> list[Work]:
        """The statements that a result or a sum over rows depends on."""
        wanted = {c.tensor for c, _ in self.results} | tensors_of(self.schedule.live_sums)
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
        tensors = tensors_of(self.expressions)
        return [c for c in self.given if c.tensor in tensors]

    @cached_property
    def spaced(self) -> dict[Component, str]:
        """The given matrices, and how far apart the rows of each lie, or its lines of numbers."""
        whole = (c for c in self.used if self.at.is_whole(c))
        what = "row" if self.layout.columns else "line"
        return {c: self.name(f"{c.tensor.name}_{what}") for c in whole}

    @cached_property
    def shown(self) -> list[Component]:
        """What is found by the number of its row."""
        found = (c for c in self.used if not self.at.is_of_group(c))
        return [*found, *(c for c, _ in self.results)]

    @cached_property
    def numbers(self) -> set[Size]:
        """The sizes that occur as numbers."""
        return {s for e in self.expressions for s in e.atoms(Size)}

    @cached_property
    def at(self) -> Addresses:
        """Where tensors lie."""
        return Addresses(self.schedule, self.name)

    @cached_property
    def sizes(self) -> list[str]:
        """The length of a row, then the names of other sizes that occur."""
        wanted = self.numbers | self.at.sizes(self.shown, self.expressions)
        names = (s.name for s in sorted(wanted, key=lambda s: s.rank))
        return list(dict.fromkeys([self.at.length, *names] if self.layout.columns else names))

    def arguments(self) -> list[str]:
        """What the host passes, in order; constants follow."""
        pointers = [*(c.tensor.name for c in self.used), *(n for _, n in self.results)]
        parts = [p.name for p in self.partials]
        numbers = [*self.counts, *self.sizes, *self.spaced.values()]
        return [*pointers, *parts, *numbers, *(s.name for s in self.scalars)]

    @property
    def counts(self) -> list[str]:
        """How many rows there are, or lines of numbers, of what length, in how many blocks."""
        if self.schedule.kept:
            return []
        if self.layout.columns:
            return [self.name("rows")]
        words = ["lines", "length", "blocks", *(["count"] if self.persistent else [])]
        return [*map(self.name, words)]

    def _signature(self, kernel: str) -> str:
        plain = {*self.counts, *self.sizes, *self.spaced.values()}
        constants = {s.name for s in self.scalars}
        items = [
            a if a in plain else f"{a}: tl.constexpr" if a in constants else self._pointer(a)
            for a in self.arguments()
        ]
        items.append(f"{self.name('ROWS')}: tl.constexpr")
        items.append("BLOCK: tl.constexpr")
        if self.layout.columns:
            items += [f"{self.name('INNER')}: tl.constexpr"] if self.schedule.outer else []
            items.append(f"{self.name('EVEN')}: tl.constexpr")
        items.append("ACC: tl.constexpr")
        return bracketed(f"def {kernel}(", items, "):", 0)

    def _pointer(self, name: str) -> str:
        return self.name(f"{name}_ptr")

    def _size_lines(self) -> tuple[str, ...]:
        return tuple(
            f"{self.name(f'size_{s.name}')} = tl.full((), {s.name}, ACC)"
            for s in sorted(self.numbers, key=lambda s: (s.name != self.at.length, s.rank))
        )

    @property
    def moved(self) -> tuple[Component, ...]:
        """What the kernel loads and stores once each, and what an epilogue reads of that size."""
        large = {c.tensor: c for c in (*self.given, *self.schedule.left)}
        read = [t for w in self.schedule.epilogue for t in sorted(w.uses_after, key=str)]
        results = (c for c, _ in self.results)
        return (*self.used, *results, *(large[t] for t in read if t in large))

    @cached_property
    def share(self) -> int:
        """One n-th of the longest row is taken where many values for each number live at once."""
        held = sum(p.total.keeps_column for p in self.partials) + self.at.held(self.shown)
        results = [c for c, _ in self.results]
        return Registers(self.schedule, self.live, self.used, results, held).share

    @property
    def walk(self) -> Walk | None:
        """How a program walks over rows, where it takes more than a few."""
        return walk(self.schedule, self.name) if self.persistent else None

    @property
    def adds_in_memory(self) -> bool:
        """Do tiles add up a sum over rows that is as long as a row?"""
        return any(p.total.keeps_column for p in self.partials)

    # -- loads and stores -----------------------------------------------------------------------

    def _address(self, name: str, component: Component, apart: str = "") -> str:
        """Where a value lives."""
        place = self.at.place(component, self.layout, apart)
        return self._pointer(name) + (f" + {place}" if place else "")

    def _coordinates(self, *, of_rows: bool) -> tuple[str, ...]:
        """Lines that tell where a row or its columns are, along each of several axes."""
        return self.at.coordinates(self.shown, self.expressions, of_rows=of_rows)

    def _load(self, component: Component) -> str:
        name = component.tensor.name
        place = self._address(name, component, self.spaced.get(component, ""))
        if self.at.is_of_group(component):  # one row, beside any
            columns = self.layout.beside(self.name("columns"))
            place = f"{self._pointer(name)} + {self.name('group')} * {self.at.length} + {columns}"
        other = "0.0" if self.layout.columns else "1.0"  # of which a logarithm may be taken
        other = "0" if isinstance(component.tensor, Labels) else other
        there = self.layout.mask(self.schedule.kind(component))
        mask = f", mask={there}, other={other}" if there else ""
        cast = "" if isinstance(component.tensor, Labels) else ".to(ACC)"
        load = f"{name} = tl.load({place}{mask}){cast}"
        if name not in self.absent:
            return load
        shape = self.layout.shape(self.schedule.kind(component))
        there = indented(f"{self._pointer(name)} is not None", [load])
        return f"{name} = tl.zeros({shape}, ACC)  # what needs it may not be asked for\n{there}"

    def _store(self, component: Component, shown: str) -> str:
        place = self._address(shown, component)
        there = self.layout.mask(self.schedule.kind(component))
        mask = f", mask={there}" if there else ""
        line = f"tl.store({place}, {component.tensor.name}{mask})"
        wanted = f"{self._pointer(shown)} is not None"
        return indented(wanted, [line]) if shown in self.optional else line

    def _is_long(self, component: Component) -> bool:
        return self.schedule.kind(component) in (FULL, SHARED)

    def _is_part(self, component: Component) -> bool:
        return self.schedule.kind(component) == PART

    def _columns(self, first: str = "") -> tuple[str, ...]:
        """Lines that tell which columns are there, from the `first` of a tile."""
        columns, along, even = map(self.name, ("columns", "along", "EVEN"))
        start = f"{first} + " if first else ""
        return (
            f"{columns} = {start}tl.arange(0, BLOCK)",
            f"{along} = ({columns} < {self.at.length}) | {even}",
            f"{self.name('inside')} = {along}[None, :]",
        )

    def _numbers(self) -> tuple[str, ...]:
        """Lines that tell which numbers are there: some places of one line, or of several."""
        words = ("first", "lanes", "line", "place", "blocks", "ROWS")
        first, lanes, line, place, blocks, rows = map(self.name, words)
        lines, length = self.name("lines"), self.name("length")
        number = f"{self.name('row')} = {line} * {length} + {place}"
        return (
            f"{lanes} = tl.arange(0, {rows})",
            f"{line} = ({first} // {blocks}).to(tl.int64) * ({rows} // BLOCK) + {lanes} // BLOCK",
            f"{place} = ({first} % {blocks}).to(tl.int64) * BLOCK + {lanes} % BLOCK",
            f"{self.name('here')} = ({line} < {lines}) & ({place} < {length})",
            *([number] if self._are_numbered else []),
        )

    @property
    def _are_numbered(self) -> bool:
        """Is something found by the number of a row?"""
        lying = (c for c in self.shown if c not in self.spaced)
        counted = any(e.atoms(Position) for e in self.expressions)
        return counted or any(c.indices for c in lying)

    def _columns_in_parts(self, part: str = "", within: str = "") -> tuple[str, ...]:
        """The same where a row has parts, some places of each part; from the first of a tile."""
        names = ("columns", "along", "EVEN", "INNER", "part", "within")
        columns, along, even, inner, of, at = map(self.name, names)
        return (
            f"{of} = {part}tl.arange(0, BLOCK) // {inner}",
            f"{at} = {within}tl.arange(0, BLOCK) % {inner}",
            f"{columns} = {of} * {self.at.times_inner} + {at}",
            f"{along} = (({of} < {self.at.of_outer}) & ({at} < {self.at.of_inner})) | {even}",
            f"{self.name('inside')} = {along}[None, :]",
        )

    def _part_lines(self, part: str = "", known: str = "") -> tuple[str, ...]:
        """Lines that tell which parts are there, and of which all is `known`."""
        parts = self.name("parts")
        return (
            f"{parts} = {part}tl.arange(0, {self.layout.parts})",
            f"{self.name('whole')} = ({parts} < {self.at.of_outer})[None, :]{known}",
        )

    def _part_address(self, part: Partial) -> str:
        program, columns = self.name("program"), self.name("columns")
        if not part.total.keeps_column:
            return f"{self._pointer(part.name)} + {program}"
        return f"{self._pointer(part.name)} + {program} * {self.at.length} + {columns}"

    def _part_store(self, part: Partial) -> str:
        mask = f", mask={self.layout.mask(SHARED)}" if part.total.keeps_column else ""
        line = f"tl.store({self._part_address(part)}, tl.sum({part.name}, 0){mask})"
        return indented(f"{self._pointer(part.name)} is not None", [line])

    def _text(self, expr: Expr, kind: str, sums: dict[str, str] | None = None) -> str:
        """An expression beside values of a kind."""
        schedule, along = self.schedule, kind in (FULL, SHARED, PART)

        def position(size: Size) -> str:
            return self.at.position(size, self.layout if along else None)

        def across(component: Component) -> bool:
            return along and schedule.kind(component) == ROW

        exact = self.layout.columns and not along  # one number a row: it costs nothing
        vectors = schedule.vectors
        printer = TritonPrinter(sums or {}, self.name, vectors, position, across, exact=exact)
        return printer.text(expr, ())

    # -- statements -----------------------------------------------------------------------------

    def _line(self, work: Work, sums: dict[str, str], indent: int) -> Line:
        code = self._text(work.expr, work.kind, sums)
        if not work.expr.atoms(Component, Size, Position):
            code = f"tl.full({self.layout.shape(work.kind)}, {code}, ACC)"  # it has no type
        elif not self._fills(work):
            code = f"tl.zeros({self.layout.shape(work.kind)}, ACC) + ({code})"
        return Line(work.statement.note, assign(work.target.tensor.name, code, indent))

    def _fills(self, work: Work) -> bool:
        """Has a value the shape of its kind: has it rows, and columns, if its kind has?"""
        known = {s.marker.tensor: ROW for s in work.sums}
        kinds = {known.get(c.tensor) or self.schedule.kind(c) for c in work.expr.atoms(Component)}
        rows = kinds & {FULL, ROW} or work.kind not in (FULL, ROW)
        return bool(rows and (kinds & {FULL, SHARED} or work.kind not in (FULL, SHARED)))

    def _parts_of(self, work: Work) -> str:
        """What each part of a row comes to."""
        (total,) = work.sums
        return self.layout.of_parts(self._masked(self._text(total.body, total.kind), total.kind))

    def _masked(self, body: str, kind: str) -> str:
        """The summand, zero beyond the end of the row; what was loaded is zero there already."""
        loaded = {c.tensor.name for c in self.used if self._is_long(c)}
        there = self.layout.mask(kind)
        return body if body in loaded or not there else f"tl.where({there}, {body}, 0.0)"

    def _added(self, part: Partial) -> str:
        """What rows (or one tile of each) add to a sum over rows."""
        kind = part.total.kind
        body = self._text(part.total.body, kind)
        if is_vector(part.total) and not part.total.keeps_column:
            body, kind = f"tl.sum({self._masked(body, kind)}, {AXIS})", ROW
        return f"tl.where({self.layout.once(kind)}, {body}, 0.0)"


# How a row's extremum is taken, what changes none, and how two parts of it are joined.
EXTREMA = {
    "max": ("_largest", 'float("-inf")', "_maximum"),
    "min": ("_smallest", 'float("inf")', "_minimum"),
}


def is_vector(total: RowSum) -> bool:
    """Does the summand run along the column? Otherwise each row adds it once."""
    return total.kind in (FULL, SHARED)
