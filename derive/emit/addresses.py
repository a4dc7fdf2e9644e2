"""Where the tensors of a row kernel lie: a row has a number, and so has each place in it.

What has all the axes in the order of rows and columns lies at `row * length + columns`. So do rows
that are given, but further apart, at `row * x_row + columns`. Where a row is one number, those that
lie side by side are a line, and lines may be apart, too. Anything else, a tensor with some of the
axes or with others first, is found by its own strides: the number of the row, and that of the
place, are taken apart into one along each axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sympy import Expr

from derive.emit.layout import Layout
from derive.emit.names import Namer
from derive.notation.conditions import Position
from derive.notation.nodes import Component, Size
from derive.plan.axes import Axis
from derive.plan.rows import Schedule
from derive.plan.work import PART


@dataclass(frozen=True)
class Addresses:
    """Offsets in elements, as Triton source."""

    schedule: Schedule
    name: Namer

    @cached_property
    def length(self) -> str:
        """The name of the length of a row: a size, or the product of several."""
        columns = self.schedule.columns
        return columns[0].name if len(columns) == 1 else self.name("length")

    @property
    def of_length(self) -> str:
        """The length of a row, in sizes."""
        return " * ".join(s.name for s in self.schedule.columns) or "1"

    @property
    def of_outer(self) -> str:
        """How many parts a row has: the places along the outer columns."""
        return " * ".join(self.schedule.size_of(a).name for a in self.schedule.outer)

    @property
    def times_outer(self) -> str:
        """The same as a factor."""
        return f"({self.of_outer})" if len(self.schedule.outer) > 1 else self.of_outer

    @property
    def of_inner(self) -> str:
        """How many places of a row there are in each of its parts."""
        return " * ".join(self.schedule.size_of(a).name for a in self._inner)

    @property
    def times_inner(self) -> str:
        """The same as a factor."""
        return f"({self.of_inner})" if len(self._inner) > 1 else self.of_inner

    @property
    def _inner(self) -> tuple[Axis, ...]:
        return self.schedule.roles.columns[len(self.schedule.outer) :]

    def is_whole(self, component: Component) -> bool:
        """Is it a matrix of rows?"""
        return self.schedule.roles.is_whole(self._axes(component))

    def place(self, component: Component, layout: Layout, apart: str = "") -> str:
        """The offset of a tensor's value for this row and these columns; empty for a scalar.

        `apart`: how far apart its rows lie, if not by their length.
        """
        axes = self._axes(component)
        rows, columns = self.schedule.roles.rows, self.schedule.roles.columns
        row, place = self.name("row"), self.name("columns")
        if axes == rows:
            return f"{self.name('line')} * {apart} + {self.name('place')}" if apart else row
        if self.schedule.kind(component) == PART:
            return f"{layout.across(row)} * {self.times_outer} + {self.name('parts')}"
        if axes == (*rows, *columns):
            return f"{layout.across(row)} * {apart or self.length} + {place}"
        if axes in (columns, ()):
            return place if axes else ""
        sizes = [i.size.name for i in component.indices]
        along = bool(set(axes) & set(columns))
        places = [self._at(axis, layout if along else None) for axis in axes]
        return " + ".join(" * ".join([p, *sizes[k + 1 :]]) for k, p in enumerate(places))

    def is_of_group(self, component: Component) -> bool:
        """Has it one row for each group?"""
        kept = self.schedule.kept
        return bool(kept) and self._axes(component) == (*kept, *self.schedule.roles.columns)

    def position(self, size: Size, layout: Layout | None) -> str:
        """Where along the axis of a size this row, or these columns, are.

        `layout`: that of values which run along the columns, if it stands beside such.
        """
        return self._at(self.schedule.axis_of(size), layout)

    def _at(self, axis: Axis, layout: Layout | None) -> str:
        text = self._coordinate(axis)
        is_row = axis in self.schedule.roles.rows
        return layout.across(text) if layout is not None and is_row else text

    def coordinates(
        self, shown: Iterable[Component], expressions: Iterable[Expr], *, of_rows: bool
    ) -> tuple[str, ...]:
        """Lines that take the number of the row, or of the columns, apart.

        A place in memory needs 64 bits; a place along an axis, that is only compared, does not.
        """
        roles, shown = self.schedule.roles, list(shown)
        group = roles.rows if of_rows else roles.columns
        wanted = self._apart(shown, expressions)
        found = {a for c in shown if not self._is_simple(c) for a in self._axes(c)}
        bits = {a: 64 if a in found else 32 for a in group if a in wanted}
        taken = {a: self._taken(a, group, of_rows) for a in bits}
        whole = {a: text if text.isidentifier() else f"({text})" for a, text in taken.items()}
        return tuple(f"{self._coordinate(a)} = {whole[a]}.to(tl.int{bits[a]})" for a in bits)

    def sizes(self, shown: Iterable[Component], expressions: Iterable[Expr]) -> set[Size]:
        """The sizes that offsets are made of, beside the length of a row."""
        shown = list(shown)
        wanted = self._apart(shown, expressions)
        apart = [group for group in self._groups if wanted & set(group)]
        found = {self.schedule.size_of(axis) for group in apart for axis in group[1:]}
        if self.schedule.outer:
            found |= set(self.schedule.columns)
        if self.schedule.kept:
            found |= set(self.schedule.rows)
        for component in shown:
            if not self._is_simple(component):
                found |= {i.size for i in component.indices[1:]}
        return found

    def held(self, shown: Iterable[Component]) -> int:
        """Numbers held for each place: two for one of 64 bits that is not just counted."""
        columns = set(self.schedule.roles.columns)
        return 2 * any(not self._is_simple(c) and columns & {*self._axes(c)} for c in shown)

    # -- axes -------------------------------------------------------------------------------------

    @property
    def _groups(self) -> tuple[Sequence[Axis], ...]:
        return self.schedule.roles.rows, self.schedule.roles.columns

    def _axes(self, component: Component) -> tuple[Axis, ...]:
        return self.schedule.axes[component.tensor]

    def _is_simple(self, component: Component) -> bool:
        rows, columns = self._groups
        simple = ((*rows, *columns), tuple(rows), tuple(columns), ())
        return self.schedule.kind(component) == PART or self._axes(component) in simple

    def _coordinate(self, axis: Axis) -> str:
        """A name for the place along an axis: where it is the only one, the number itself."""
        for group, whole in zip(self._groups, ("row", "columns"), strict=True):
            if axis in group and len(group) == 1:
                return self.name(whole)
        return self.name(f"at_{self.schedule.index_of(axis).name}")

    def _apart(self, shown: Iterable[Component], expressions: Iterable[Expr]) -> set[Axis]:
        """The axes along which a place of its own is needed, of groups of several axes."""
        several = {a for group in self._groups if len(group) > 1 for a in group}
        axes = {a for c in shown if not self._is_simple(c) for a in self._axes(c)}
        counted = {p.index.size for e in expressions for p in e.atoms(Position)}
        return several & (axes | {self.schedule.axis_of(s) for s in counted})

    def _taken(self, axis: Axis, group: Sequence[Axis], of_rows: bool) -> str:
        number = self.name("row" if of_rows else "columns")
        if self.schedule.outer and not of_rows:
            is_outer = axis in self.schedule.outer
            number = self.name("part" if is_outer else "within")
            group = self.schedule.outer if is_outer else self._inner
        at = list(group).index(axis)
        below = [self.schedule.size_of(a).name for a in group[at + 1 :]]
        divisor = below[0] if len(below) == 1 else f"({' * '.join(below)})"
        text = f"{number} // {divisor}" if below else number
        if at:
            text += f" % {self.schedule.size_of(axis).name}"
        return text
