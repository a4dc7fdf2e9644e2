"""One line of a program."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sympy import Expr

from derive.notation.nodes import Component, Size


@dataclass(frozen=True)
class Across:
    """A sum or an extremum that is taken over all ranks which have a part of these sizes."""

    word: str  # sum, max, min
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Statement:
    """`target = expr`, with the equation (or the reason) that stands above it as a comment."""

    target: Component
    expr: Expr
    note: str
    across: Across | None = None

    @property
    def uses(self) -> set[Component]:
        """The components that occur on the right, inside sums too."""
        return set(self.expr.atoms(Component))

    def with_expr(self, expr: Expr) -> Statement:
        """The same statement, its right side written in another way."""
        return self if expr == self.expr else replace(self, expr=expr)
