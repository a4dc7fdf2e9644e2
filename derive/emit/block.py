"""A kernel whose rows fit in a block: they stay in registers, each sum is taken where it stands."""

from __future__ import annotations

from collections.abc import Iterator

from derive.emit.kernel import EXTREMA, Kernel, KernelWriter
from derive.emit.layout import AXIS
from derive.emit.registers import tensors_of
from derive.emit.source import Line, assign
from derive.plan.work import FULL, ROW, SCALAR, SHARED, RowSum, Work


class BlockWriter(KernelWriter):
    """A few rows at once, as a matrix."""

    def kernel(self, kernel: str) -> Kernel:
        """The kernel of this name."""
        shared = [
            c
            for c in self.used
            if self.schedule.kind(c) in (SHARED, SCALAR) or self.at.is_of_group(c)
        ]
        zeros = {True: self.layout.shape(FULL), False: self.layout.shape(ROW)}
        return Kernel(
            self._signature(kernel),
            (*self._coordinates(of_rows=False), *self._size_lines()),
            tuple(map(self._load, shared)),
            tuple(
                f"{p.name} = tl.zeros({zeros[p.total.keeps_column]}, ACC)" for p in self.partials
            ),
            (
                *self._coordinates(of_rows=True),
                *(self._load(c) for c in self.used if c not in shared),
            ),
            tuple(self._lines()),
            (),
            tuple(self._store(c, n) for c, n in self.results),
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

    def _lines(self) -> Iterator[Line]:
        """What a row computes; a sum over rows is added to as early as can be: less is held."""
        left, told = list(self.partials), set()
        unknown = {w.target.tensor for w in self.live}
        for work in (None, *self.live):
            if work is not None:
                yield self._line_of(work)
                unknown.remove(work.target.tensor)
            ready = [p for p in left if not unknown & tensors_of([p.total.body])]
            left = [p for p in left if p not in ready]
            for part in ready:
                note = part.work.statement.note
                code = assign(f"{part.name} +", self._added(part), 8).replace(" + = ", " += ", 1)
                yield Line("" if note in told else note, code)
                told.add(note)

    def _reduced(self, total: RowSum) -> str:
        """A sum, or the largest or smallest value, of what stands inside the row."""
        body = self._text(total.body, total.kind)
        if total.word == "sum":
            return f"tl.sum({self._masked(body, total.kind)}, {AXIS})"
        helper, least = EXTREMA[total.word][:2]
        return f"{helper}(tl.where({self.name('inside')}, {body}, {least}), {AXIS})"

    def _line_of(self, work: Work) -> Line:
        if self._is_part(work.target):
            name, indent = work.target.tensor.name, 8 if self.persistent else 4
            return Line(work.statement.note, assign(name, self._parts_of(work), indent))
        sums = {s.marker.tensor.name: self._reduced(s) for s in work.sums}
        return self._line(work, sums, 8 if self.persistent else 4)
