"""Which memory a statement may write over: that of tensors made here which nothing needs any more.

A result may lie in the memory of what it is computed from: no pass then waits for new memory, and
the passes together hold less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sympy import Add, Expr, KroneckerDelta, Mul, Pow

from derive.notation.conditions import Iverson
from derive.notation.functions import Elementwise
from derive.notation.nodes import Component, Contraction, Tensor, free_indices
from derive.notation.op import Op
from derive.plan.statement import Statement

Spent = Mapping[int, frozenset[Tensor]]


def width(op: Op) -> int:
    """The axes of the largest tensors of an op: passes over these are what takes time."""
    return max(1, *(len(c.indices) for c in op.tensors.values()))


def spent(statements: Sequence[Statement], results: Iterable[Component]) -> Spent:
    """For each statement, by its id: the tensors over which it may write."""
    pinned = {c.tensor for c in results}
    last: dict[Tensor, int] = {}
    for place, statement in enumerate(statements):
        last |= {c.tensor: place for c in statement.uses}
        if not _is_new(statement):  # it may share memory with what it names
            pinned |= {statement.target.tensor, *(c.tensor for c in statement.uses)}
    made: set[Tensor] = set()
    found: dict[int, frozenset[Tensor]] = {}
    for place, statement in enumerate(statements):
        used = _once(statement.expr)
        found[id(statement)] = frozenset(t for t in used & made if last[t] == place)
        made |= {statement.target.tensor} - pinned
    return found


def is_new(expr: Expr) -> bool:
    """Is what is computed no other tensor, nor a view of one?"""
    if isinstance(expr, Contraction):
        return not expr.atoms(Iverson, KroneckerDelta)
    if isinstance(expr, Mul):
        return len([f for f in expr.args if not f.is_number]) > 1
    return isinstance(expr, Add | Pow | Elementwise)


def _is_new(statement: Statement) -> bool:
    whole = set(free_indices(statement.expr)) == set(statement.target.indices)
    return statement.across is None and whole and is_new(statement.expr)


def _once(expr: Expr) -> set[Tensor]:
    """The tensors that occur in one place only."""
    seen: set[Tensor] = set()
    again: set[Tensor] = set()
    todo = [expr]
    while todo:
        node = todo.pop()
        if isinstance(node, Component):
            again |= {node.tensor} & seen
            seen.add(node.tensor)
        else:
            todo += node.args
    return seen - again
