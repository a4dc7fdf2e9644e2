"""Sums of an op's tensors that its definitions give: Σ softmax = 1, Σ x̂² = H (1 - ε/σ²).

Candidates are the tensors that stand in the equations, alone and with the factors that a sum lets
through (μ, μ/σ), once and squared, summed over each of their indices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sympy import Add, Expr, Mul, Pow

from derive.notation.known import operations_in
from derive.notation.nodes import Component, Contraction, Index, free_indices
from derive.notation.op import Op
from derive.rewrite import Chain, everywhere, keeping_shape
from derive.simplify.collect import factored
from derive.simplify.identities import Identities, Identity, outer_sums
from derive.simplify.inverse import inverted
from derive.simplify.laws import OUTSIDE

_MOST = 60  # candidates looked at for one op
_LONGEST = 10  # operations in a right side that is worth stating


def statistics(op: Op) -> Iterator[Identity]:
    """The sums that come to something simpler, with their proofs; no mere definition."""
    with keeping_shape():
        identities = Identities(op)
        for total in _candidates(op)[:_MOST]:
            found = _simplified(op, identities, total)
            if found is not None and len(found.steps) > 1 and not outer_sums(found.right):
                yield found


def _simplified(op: Op, identities: Identities, total: Contraction) -> Identity | None:
    """The sum by what is known of it, and what that comes to in terms of a root."""
    start = everywhere(OUTSIDE.apply, total)
    inner, *others = outer_sums(start) or [total]
    found = None if others else identities.reduce(inner)
    if found is None:
        return None
    known = start.xreplace({inner: found.right})
    chain = Chain(total, known)
    chain.record("inverse of a definition", "", inverted(op, known))
    if inner != start and (known == 0 or not chain.steps):
        return None  # what stands outside the sum adds nothing to it
    chain.record("common factor", "", factored(chain.expr))
    if operations_in(chain.expr) > _LONGEST:
        return None
    within = (
        replace(s, before=start.xreplace({inner: s.before}), after=start.xreplace({inner: s.after}))
        for s in found.steps
    )
    return Identity(total, chain.expr, (*within, *chain.steps))


def _candidates(op: Op) -> list[Contraction]:
    """Without repetition, in the order of the equations."""
    found: dict[Contraction, None] = {}
    for equation in op.equations:
        whole = ((equation.target, i) for i in equation.target.indices)
        for body, index in (*whole, *_summands(equation.expr)):
            if body == equation.expr:
                continue  # the tensor that it defines is looked at
            for power in (1, 2):
                total = Contraction(Pow(body, power), index)
                if isinstance(total, Contraction):
                    found.setdefault(total)
    return list(found)


def _summands(expr: Expr) -> Iterator[tuple[Expr, Index]]:
    """Each tensor with each of its indices; then with the factors that do not carry the index."""
    for term in Add.make_args(expr):
        factors = [f for f in Mul.make_args(term) if f.atoms(Component)]
        for factor in factors:
            base = factor.as_base_exp()[0]
            if not isinstance(base, Component):
                continue
            for index in dict.fromkeys(i for i in base.indices if not i.is_dummy):
                fixed = [f for f in factors if index not in free_indices(f)]
                yield base, index
                if fixed:
                    yield Mul(base, *fixed), index
