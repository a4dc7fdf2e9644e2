"""Which results are copies: whoever changes one in place changes nothing else.

A statement that only names a tensor, `y = x` or `dx = dy`, gives another view of its memory. An
output must share none with an input or with what is saved, and a gradient none with a cotangent or
with another gradient: autograd adds to gradients in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sympy import Expr, Mul

from derive.notation.conditions import Iverson, Position
from derive.notation.nodes import Component, Contraction, Tensor, free_indices
from derive.plan.statement import Statement


def copied_outputs(
    forward: Iterable[Statement],
    inputs: Iterable[Component],
    outputs: Iterable[Component],
    kept: Iterable[Component],
) -> set[Tensor]:
    """The outputs and kept tensors that are copies. What is broadcast gets memory of its own."""
    forward, outputs = tuple(forward), tuple(outputs)
    ours = {c.tensor for c in outputs}
    broadcast = {s.target.tensor for s in forward if s.target.tensor in ours and _broadcasts(s)}
    return broadcast | _shared(forward, inputs, (*outputs, *kept))


def copied_gradients(
    backward: Sequence[Statement], given: Iterable[Component], gradients: Iterable[Component]
) -> set[Tensor]:
    """The gradients that are copies. Autograd changes none in place that is broadcast."""
    broadcast = {s.target.tensor for s in backward if _broadcasts(s)}
    return _shared(backward, given, gradients) - broadcast


def _shared(
    statements: Iterable[Statement], given: Iterable[Component], results: Iterable[Component]
) -> set[Tensor]:
    """The results that lie in memory which is given, or is that of a result defined before."""
    wanted, taken = {c.tensor for c in results}, {c.tensor for c in given}
    home: dict[Tensor, Tensor] = {}  # the tensor in whose memory a tensor lies
    shared = set()
    for target, expr in ((s.target.tensor, s.expr) for s in statements):
        named = next((c.tensor for c in (expr, _slice(expr)) if isinstance(c, Component)), target)
        home[target] = home.get(named, named)
        if target in wanted:
            shared |= {target} if home[target] in taken else set()
            taken.add(home[target])
    return shared


def _slice(expr: Expr) -> Expr | None:
    """x_b0 as Σ_c [c = 0] x_bc: a view of x."""
    factors = Mul.make_args(expr.body) if isinstance(expr, Contraction) else ()
    brackets = [f for f in factors if isinstance(f, Iverson)]
    others = [f for f in factors if f not in brackets]
    fixed = all(not b.right.atoms(Position, Component) for b in brackets)
    return others[0] if brackets and fixed and len(others) == 1 else None


def _broadcasts(statement: Statement) -> bool:
    """Is the right side a tensor that lacks an index of the left, and holds for all its values?"""
    lacks = set(free_indices(statement.expr)) < set(statement.target.indices)
    return lacks and bool(statement.expr.atoms(Component))
