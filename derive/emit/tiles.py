"""A kernel for rows that are walked in tiles: once for each sum that waits for another.

A few rows are walked at once, so that what they share is brought from memory, and its gradient
added up there, once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from derive.emit.kernel import (
    EXTREMA,
    Kernel,
    KernelWriter,
    Partial,
    Pass,
    indented,
    is_vector,
)
from derive.emit.layout import AXIS
from derive.emit.registers import tensors_of
from derive.emit.source import Line, assign
from derive.notation.nodes import Component, Tensor
from derive.plan.work import FULL, PART, ROW, SCALAR, SHARED, RowSum, Work


class TileWriter(KernelWriter):
    """Some rows after others, a matrix at a time; loads are repeated in each walk."""

    def kernel(self, kernel: str) -> Kernel:
        """The kernel of this name."""
        rows = [c for c in self.used if self.schedule.kind(c) == ROW]
        scalars = [c for c in self.used if self.schedule.kind(c) == SCALAR]
        first = [w for w in self.live if w.kind in (ROW, SCALAR) and w.level == 0]
        passes = (self._pass(level) for level in range(self._last_level() + 1))
        scalar_parts = [p for p in self.partials if not p.total.keeps_column]
        return Kernel(
            self._signature(kernel),
            (*self._size_lines(), *self._chunks()),
            tuple(map(self._load, scalars)),
            tuple(f"{p.name} = tl.zeros({self.layout.shape(ROW)}, ACC)" for p in scalar_parts),
            (*self._coordinates(of_rows=True), *map(self._load, rows)),
            tuple(self._line(w, {}, 8 if self.persistent else 4) for w in first),
            tuple(p for p in passes if p is not None),
            (
                *(f"{p.name} += {self._added(p)}" for p in self.partials if not is_vector(p.total)),
                *(self._store(*r) for r in self.results if r not in self._walked),
            ),
            tuple(map(self._part_store, scalar_parts)),
            self._tile_of_parts() if self.schedule.outer else self._columns(self.name("start")),
            self._tiles_of_parts if self.schedule.outer else f"0, {self.at.length}, BLOCK",
            self.walk,
            once=bool(self.partials),
            in_memory=self.adds_in_memory,
            single=not self.schedule.rows,
        )

    # -- rows in parts ----------------------------------------------------------------------------

    def _chunks(self) -> list[str]:
        """The line that tells how many tiles a part takes: one without numbers, too, to be zero."""
        count = f"tl.maximum(tl.cdiv({self.at.of_inner}, {self.name('INNER')}), 1)"
        return [f"{self.name('chunks')} = {count}"] if self.schedule.outer else []

    @property
    def _tiles_of_parts(self) -> str:
        return f"tl.cdiv({self.at.of_outer}, {self.layout.parts}) * {self.name('chunks')}"

    def _tile_of_parts(self) -> tuple[str, ...]:
        """A tile holds some places of one part, or some whole parts."""
        within = f"{self.name('start')} % {self.name('chunks')} * {self.name('INNER')} + "
        return self._columns_in_parts(self._first_part, within)

    @property
    def _first_part(self) -> str:
        start, chunks = self.name("start"), self.name("chunks")
        return f"{start} // {chunks} * ({self.layout.parts}) + "

    def _known_parts(self) -> tuple[str, ...]:
        """A part is known after its last tile."""
        start, chunks = self.name("start"), self.name("chunks")
        return self._part_lines(self._first_part, f" & ({start} % {chunks} == {chunks} - 1)")

    def _add_to_parts(self, work: Work, indent: int) -> Line:
        """What each part comes to with this tile: without earlier ones, if it is the first."""
        name, start, chunks = work.target.tensor.name, self.name("start"), self.name("chunks")
        earlier = f"tl.where({start} % {chunks} == 0, 0.0, {name})"
        code = assign(name, f"{earlier} + {self._parts_of(work)}", indent)
        return Line(work.statement.note, code)

    def _last_level(self) -> int:
        levels = [w.body_level if w.sums else w.level for w in self.live]
        return max([*levels, *map(self.schedule.level_of, self.schedule.live_sums), 0])

    def _pass(self, level: int) -> Pass | None:
        """What can be done in the walk before which `level` others came."""
        parts = [w for w in self.live if self._is_part(w.target) and w.level == level]
        summed, added = self._summed(level), self._added_up(level)
        stored = [r for r in self._walked if self.schedule.level_of(r[0]) == level]
        after = [w for w in self.live if w.kind in (ROW, SCALAR) and w.level == level + 1]
        if not (summed or stored or added or after):
            return None
        bodies = [s.body for w in parts for s in w.sums]
        bodies += [*(s.body for _, s in summed), *(p.total.body for p in added)]
        needed = {c.tensor for c, _ in stored} | tensors_of(bodies)
        inner = self._recomputed(needed)
        loads = [c for c in self.used if c.tensor in needed and self._is_long(c)]
        shown, computed = [*loads, *(c for c, _ in stored)], [*bodies, *(w.expr for w in inner)]
        places = self.at.coordinates(shown, computed, of_rows=False)
        known = self._known_parts() if parts else ()
        indent = 12 if self.persistent else 8
        lines = [self._line(w, {}, indent) for w in inner]
        lines += [self._add_to_parts(w, indent) for w in parts]
        return Pass(
            (*(self._start_of(w, s) for w, s in summed), *map(self._start_of_parts, parts)),
            (*known, *places, *map(self._load, loads)),
            tuple(lines),
            (*map(self._tile_add, added), *(self._store(c, n) for c, n in stored)),
            tuple(self._part_of(w, s) for w, s in summed),
            tuple(self._lines_after(after, indent - 4)),
        )

    @property
    def _walked(self) -> list[tuple[Component, str]]:
        """The results that are stored tile by tile."""
        return [(c, n) for c, n in self.results if self._is_long(c) or self._is_part(c)]

    def _summed(self, level: int) -> list[tuple[Work, RowSum]]:
        """The sums of a row that a walk adds up."""
        works = [w for w in self.live if w.body_level == level and not self._is_part(w.target)]
        return [(w, s) for w in works for s in w.sums]

    def _added_up(self, level: int) -> list[Partial]:
        """The sums over rows to which a walk adds."""
        vectors = [p for p in self.partials if is_vector(p.total)]
        found = [p for p in vectors if self.schedule.level_of(p.total.body) == level]
        return sorted(found, key=attrgetter("uses"))

    def _lines_after(self, works: list[Work], indent: int) -> Iterator[Line]:
        """What a whole row gives; a sum may wait for what else is needed."""
        known = ((w, s) for w in works for s in w.sums)
        sums = {s.marker.tensor.name: _joined(s, self._parts(w, s)) for w, s in known}
        return (self._line(w, sums, indent) for w in works)

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
        shape = self.layout.shape(total.kind)
        start = f"tl.zeros({shape}, ACC)"
        if total.word != "sum":
            start = f"tl.full({shape}, {EXTREMA[total.word][1]}, ACC)"
        return f"{self._parts(work, total)} = {start}"

    def _start_of_parts(self, work: Work) -> str:
        return f"{work.target.tensor.name} = tl.zeros({self.layout.shape(PART)}, ACC)"

    def _part_of(self, work: Work, total: RowSum) -> str:
        """What a tile makes of it."""
        parts, body = self._parts(work, total), self._text(total.body, total.kind)
        if total.word == "sum":
            return f"{parts} += {self._masked(body, total.kind)}"
        _, least, join = EXTREMA[total.word]
        return f"{parts} = {join}({parts}, tl.where({self.name('inside')}, {body}, {least}))"

    def _parts(self, work: Work, total: RowSum) -> str:
        suffix = f"_{work.sums.index(total)}" if len(work.sums) > 1 else ""
        return self.name(f"{work.target.tensor.name}_parts{suffix}")

    def _tile_add(self, part: Partial) -> str:
        """A tile's part of a sum over rows; it is kept in memory where it keeps the column."""
        if not part.total.keeps_column:
            return f"{part.name} += {self._added(part)}"
        place, earlier, along, again = map(self.name, ("place", "earlier", "along", "again"))
        return indented(
            f"{self._pointer(part.name)} is not None",
            [
                f"{place} = {self._part_address(part)}",
                f"{earlier} = tl.load({place}, mask={along} & {again}, other=0.0)",
                f"{part.name} = tl.sum({self._added(part)}, 0)",
                f"tl.store({place}, {earlier} + {part.name}, mask={along})",
            ],
        )


def _joined(total: RowSum, parts: str) -> str:
    """The whole, from what each column of the tiles came to."""
    helper = "tl.sum" if total.word == "sum" else EXTREMA[total.word][0]
    return f"{helper}({parts}, {AXIS})"
