"""How a kernel holds values: several rows as a matrix, what they share as a vector."""

from __future__ import annotations

from dataclasses import dataclass

from derive.emit.names import Namer
from derive.plan.work import FULL, PART, ROW, SHARED

AXIS = 1  # along which a row runs


@dataclass(frozen=True)
class Layout:
    """Shapes and masks of values by their kind; a scalar is a scalar.

    Several rows of no columns are a vector.
    """

    name: Namer
    columns: bool = True

    def shape(self, kind: str) -> str:
        """The shape of what is held for a kind."""
        rows = self.name("ROWS")
        shapes = {FULL: f"[{rows}, BLOCK]", ROW: f"[{rows}]", SHARED: "[BLOCK]"}
        shapes[PART] = f"[{rows}, {self.parts}]"
        return shapes.get(kind, "()")

    @property
    def parts(self) -> str:
        """How many places along the outer columns a block has."""
        return f"BLOCK // {self.name('INNER')}"

    def of_parts(self, text: str) -> str:
        """What a value along the columns comes to for each place along the outer ones."""
        return f"_part_sums({text}, {self.name('INNER')})"

    def mask(self, kind: str) -> str:
        """Which values of a kind are there; empty if all are: each row is one of the rows."""
        if kind == PART:
            return self.name("whole")
        if kind not in (FULL, SHARED):
            return self.name("here") if kind == ROW and not self.columns else ""
        return self.name("along" if kind == SHARED else "inside")

    def once(self, kind: str) -> str:
        """Which rows are there for the first time: the last may come again."""
        here = self.name("here")
        return self.across(here) if kind == FULL else here

    def beside(self, text: str) -> str:
        """What runs along the columns, as a single row."""
        return f"{text}[None, :]"

    def across(self, text: str) -> str:
        """One number a row, beside values that run along the columns."""
        return f"{text}[:, None]"
