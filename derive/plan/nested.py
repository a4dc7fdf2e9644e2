"""Sums within sums: of Σ_bj f_bc g_bj, where c and j run along one axis, Σ_j g_bj comes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Expr, Mul

from derive.notation.nodes import Contraction, Index, free_indices
from derive.plan.axes import Axis


@dataclass(frozen=True)
class Inner:
    """A sum of some factors of another one; the others, and what these are summed over."""

    total: Contraction
    rest: Expr
    dummies: tuple[Index, ...]

    def around(self, inner: Expr) -> Expr:
        """The whole, where something stands for the inner sum."""
        whole = self.rest * inner
        return Contraction(whole, *self.dummies) if self.dummies else whole


def inner_sum(body: Expr, dummies: tuple[Index, ...], places: Mapping[Index, Axis]) -> Inner | None:
    """The sum over a dummy that runs along the axis of a letter which other factors carry."""
    factors = Mul.make_args(body)
    for index in (d for d in dummies if d in places):
        own = [f for f in factors if index in free_indices(f)]
        rest = [f for f in factors if f not in own]
        twins = {i for i in free_indices(body) if i != index and places.get(i) == places[index]}
        if twins and not any(twins & {*free_indices(f)} for f in own):
            others = tuple(d for d in dummies if d != index)
            return Inner(Contraction(Mul(*own), index), Mul(*rest), others)
    return None
