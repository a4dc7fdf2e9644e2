"""A statement of a row-wise kernel: of what kind its value is, and the sums in it."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr

from derive.notation.nodes import Bound, Component, Extremum, Tensor
from derive.plan.statement import Statement

FULL, ROW, SHARED, SCALAR = "full", "row", "shared", "scalar"
PART = "part"  # of a row: a number for each place along its outer columns


@dataclass(frozen=True)
class RowSum:
    """A sum in a statement: `marker` stands for it there; `over_rows` tells which sum it is."""

    marker: Component
    total: Bound
    body: Expr
    kind: str  # of the body
    over_rows: bool
    over_column: bool  # over all columns
    of_group: bool = False  # over the rows of a group

    @property
    def word(self) -> str:
        """sum, max or min."""
        return self.total.word if isinstance(self.total, Extremum) else "sum"

    @property
    def keeps_column(self) -> bool:
        """Is the sum still a vector along the column?"""
        return self.kind in (FULL, SHARED) and not self.over_column


@dataclass(frozen=True)
class Work:
    """A statement of a kernel; `level` counts the passes over the row before it is known."""

    statement: Statement
    expr: Expr  # with markers for sums
    sums: tuple[RowSum, ...]
    kind: str
    level: int
    body_level: int  # the pass in which its sums are taken
    late: bool = False  # it holds a sum that is taken of what the rows left, after all of them

    @property
    def target(self) -> Component:
        return self.statement.target

    @property
    def uses(self) -> set[Tensor]:
        """Tensors that the statement or its sums need."""
        exprs = [self.expr, *(s.body for s in self.sums)]
        return {c.tensor for e in exprs for c in e.atoms(Component)}

    @property
    def uses_after(self) -> set[Tensor]:
        """Tensors that an epilogue reads itself."""
        return {c.tensor for c in self.after_rows.atoms(Component)}

    @property
    def after_rows(self) -> Expr:
        """The expression with markers only for sums over rows: what an epilogue computes."""
        return self.expr.xreplace({s.marker: s.total for s in self.sums if not s.over_rows})

    @property
    def over_rows(self) -> bool:
        return self.late or any(s.over_rows for s in self.sums)
