"""May a pass run on a few rows at a time? Then what it computes for them stays in the cache.

It may where no row needs another: each result has a value for each row, or is linear in a sum over
the rows. These are the rules by which rows are shared out among ranks, with nothing exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from derive.notation.nodes import Component, Size
from derive.plan.program import Program
from derive.plan.sharding import Sharded, sharded
from derive.plan.statement import Statement


@dataclass(frozen=True)
class Blocks:
    """The places of what is cut along its rows among the inputs, and of results that are joined.

    The other results are added up.
    """

    cut: tuple[int, ...]
    joined: tuple[int, ...]


def blocks(program: Program) -> tuple[Blocks | None, Blocks | None]:
    """Of the forward and of the backward pass."""
    leading = program.roles.leading
    if leading is None or leading.size in program.saved_sizes:
        return None, None
    made = sharded(program)
    if leading.size not in made.sizes:
        return None, None
    op, rows = program.op, leading.size
    given = (*program.cotangents, *program.saved)
    forward = _blocks(made, made.program.forward, op.inputs, (*op.outputs, *program.kept), rows)
    return forward, _blocks(made, made.program.backward, given, program.gradients, rows)


def _blocks(
    made: Sharded,
    statements: Sequence[Statement],
    given: Sequence[Component],
    results: Sequence[Component],
    rows: Size,
) -> Blocks | None:
    if any(s.across and rows in s.across.sizes for s in statements):
        return None
    if any(made.whole[rows] in s.expr.atoms(Size) for s in statements):
        return None
    if not all(_leads(c, rows) for c in (*given, *results)):
        return None
    cut = tuple(k for k, c in enumerate(given) if _carries(c, rows))
    joined = tuple(k for k, c in enumerate(results) if _carries(c, rows))
    added = (c for c in results if not _carries(c, rows))
    whole = all(rows in made.partial.get(c.tensor, ()) for c in added)
    return Blocks(cut, joined) if whole and cut else None


def _carries(component: Component, rows: Size) -> bool:
    return any(i.size == rows for i in component.indices)


def _leads(component: Component, rows: Size) -> bool:
    """Does it number the rows along its first axis, if along any?"""
    return not any(i.size == rows for i in component.indices[1:])
