"""A kernel whose rows fit in a block: they stay in registers, each sum is taken where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from operator import attrgetter

from derive.emit.kernel import EXTREMA, Kernel, KernelWriter
from derive.emit.layout import AXIS
from derive.emit.registers import tensors_of
from derive.emit.source import Line, assign
from derive.notation.nodes import Component
from derive.plan.work import FULL, ROW, SCALAR, SHARED, RowSum, Work


class BlockWriter(KernelWriter):
    """A few rows at once, as a matrix."""

    def kernel(self, kernel: str) -> Kernel:
        """The kernel of this name."""
        shared = [c for c in self.used if self._is_shared(c)]
        zeros = {True: self.layout.shape(FULL), False: self.layout.shape(ROW)}
        return Kernel(
            self._signature(kernel),
            (*self._coordinates(of_rows=False), *self._size_lines()),
            tuple(self._load(c) for c in shared if c not in self.late),
            tuple(
                f"{p.name} = tl.zeros({zeros[p.total.keeps_column]}, ACC)" for p in self.partials
            ),
            (
                *self._coordinates(of_rows=True),
                *(self._load(c) for c in self.used if c not in shared),
            ),
            tuple(self._lines()),
            (),
            (),
            tuple(map(self._part_store, self.partials)),
            self._there(),
            rows=self.walk,
            once=bool(self.partials) or not self.layout.columns,
            single=not self.schedule.rows,
        )

    def _there(self) -> tuple[str, ...]:
        """Lines that tell what there is of a row."""
        if not self.layout.columns:
            return self._numbers()
        if not self.schedule.outer:
            return self._columns()
        return (*self._columns_in_parts(), *self._part_lines())

    @property
    def _indent(self) -> int:
        return 8 if self.persistent else 4

    def _is_shared(self, component: Component) -> bool:
        return self.schedule.kind(component) in (SHARED, SCALAR) or self.at.is_of_group(component)

    @cached_property
    def late(self) -> list[Component]:
        """What all rows share and no sum needs, where a program has a few rows.

        It is loaded after the sums, from a cache by then, and takes no registers before.
        """
        needed = tensors_of(self.schedule.live_sums)
        for work in reversed(self.live):
            if work.sums or work.target.tensor in needed:
                needed |= work.uses
        summed = not self.persistent and any(w.sums for w in self.live)
        shared = [c for c in self.used if summed and self.schedule.kind(c) == SHARED]
        return [c for c in shared if c.tensor not in needed and not self.at.is_of_group(c)]

    def _lines(self) -> Iterator[Line]:
        """What a row computes; what is done with it at once is not held: less is.

        A sum over rows is added to as early as can be, and the one that needs least comes first.
        """
        left, told = sorted(self.partials, key=attrgetter("uses")), set()
        late = [*self.late]
        unknown = {w.target.tensor for w in self.live}
        for work in (None, *self.live):
            if work is not None:
                yield from (self._inside(self._load(c)) for c in late if c.tensor in work.uses)
                late = [c for c in late if c.tensor not in work.uses]
                yield self._line_of(work)
                results = (r for r in self.results if r[0].tensor == work.target.tensor)
                yield from (self._inside(self._store(*r)) for r in results)
                unknown.remove(work.target.tensor)
            ready = [p for p in left if not unknown & tensors_of([p.total.body])]
            left = [p for p in left if p not in ready]
            for part in ready:
                note = part.work.statement.note
                code = assign(f"{part.name} +", self._added(part), 8).replace(" + = ", " += ", 1)
                yield Line("" if note in told else note, code)
                told.add(note)

    def _inside(self, code: str) -> Line:
        """Lines among those of a row."""
        return Line("", code.replace("\n", "\n" + " " * self._indent))

    def _reduced(self, total: RowSum) -> str:
        """A sum, or the largest or smallest value, of what stands inside the row."""
        body = self._text(total.body, total.kind)
        if total.word == "sum":
            return f"tl.sum({self._masked(body, total.kind)}, {AXIS})"
        helper, least = EXTREMA[total.word][:2]
        return f"{helper}(tl.where({self.name('inside')}, {body}, {least}), {AXIS})"

    def _line_of(self, work: Work) -> Line:
        if self._is_part(work.target):
            code = assign(work.target.tensor.name, self._parts_of(work), self._indent)
            return Line(work.statement.note, code)
        sums = {s.marker.tensor.name: self._reduced(s) for s in work.sums}
        return self._line(work, sums, self._indent)
