"""A kernel whose rows fit in a block: they stay in registers, each sum is taken where it stands."""

from __future__ import annotations

from derive.emit.kernel import EXTREMA, Kernel, KernelWriter
from derive.emit.source import Line
from derive.plan.rows import FULL, ROW, SCALAR, SHARED, RowSum, Work


class BlockWriter(KernelWriter):
    """A few rows at once, as a matrix."""

    several = True

    def kernel(self, kernel: str) -> Kernel:
        """The kernel of this name."""
        shared = [c for c in self.used if self.schedule.kind(c) in (SHARED, SCALAR)]
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
            tuple(self._line_of(w) for w in self.live),
            (),
            (
                *(f"{p.name} += {self._added(p)}" for p in self.partials),
                *(self._store(c, n) for c, n in self.results),
            ),
            tuple(map(self._part_store, self.partials)),
            once=bool(self.partials) or not self.layout.columns,
        )

    def _reduced(self, total: RowSum) -> str:
        """A sum, or the largest or smallest value, of what stands inside the row."""
        body, axis = self._text(total.body, total.kind), self.layout.axis
        if total.word == "sum":
            return f"tl.sum({self._masked(body, total.kind)}, {axis})"
        helper, least = EXTREMA[total.word][:2]
        return f"{helper}(tl.where({self.name('inside')}, {body}, {least}), {axis})"

    def _line_of(self, work: Work) -> Line:
        sums = {s.marker.tensor.name: self._reduced(s) for s in work.sums}
        return self._line(work, sums, 8 if self.persistent else 4)
