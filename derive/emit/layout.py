"""How a kernel holds values: several rows as a matrix, or one row as a vector."""

from __future__ import annotations

from dataclasses import dataclass

from derive.emit.names import Namer
from derive.plan.rows import FULL, ROW, SHARED


@dataclass(frozen=True)
class Layout:
    """Shapes, masks and axes of values by their kind; a scalar is a scalar in both.

    Several rows of no columns are a vector.
    """

    name: Namer
    several: bool  # rows
    columns: bool = True

    @property
    def axis(self) -> int:
        """The axis along which a row runs."""
        return 1 if self.several else 0

    def shape(self, kind: str) -> str:
        """The shape of what is held for a kind."""
        if not self.several:
            return "[BLOCK]" if kind in (FULL, SHARED) else "()"
        rows = self.name("ROWS")
        shapes = {FULL: f"[{rows}, BLOCK]", ROW: f"[{rows}]", SHARED: "[BLOCK]"}
        return shapes.get(kind, "()")

    def mask(self, kind: str) -> str:
        """Which values of a kind are there; empty if all are: each row is one of the rows."""
        if kind not in (FULL, SHARED):
            return self.name("here") if kind == ROW and not self.columns else ""
        return self.name("along" if self.several and kind == SHARED else "inside")

    def once(self, kind: str) -> str:
        """Which rows are there for the first time; empty if all are: the last may come again."""
        if not self.several:
            return ""
        return self.across(self.name("here")) if kind == FULL else self.name("here")

    def across(self, text: str) -> str:
        """One number a row, beside values that run along the columns."""
        return f"{text}[:, None]" if self.several else text
