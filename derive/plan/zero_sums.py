"""Which sums of a tensor are zero, whatever the inputs: what is left of them is rounding error."""

from __future__ import annotations

from itertools import combinations, islice

from sympy import Add, Expr, Mul, Pow

from derive.notation.nodes import Component, Contraction, Index, Size
from derive.notation.op import Op
from derive.notation.point import Glance
from derive.simplify.identities import Identities

_MOST_SUMS = 64  # those over few indices come first


class ZeroSums:
    """Searches among the definitions of one op."""

    def __init__(self, op: Op) -> None:
        self.identities, self.glance = Identities(op), Glance(op)
        self.definitions = op.definitions

    def over(self, expr: Expr, indices: tuple[Index, ...]) -> tuple[Index, ...]:
        """The fewest of the indices over which it was proved to sum to zero, if any."""
        if self._only_grows(expr):
            return ()
        counts = range(1, len(indices) + 1)
        every = (c for n in counts for c in combinations(indices[::-1], n))
        for chosen in islice(every, _MOST_SUMS):
            total = Contraction(expr, *chosen)
            if isinstance(total, Contraction) and self._vanishes(total):
                return chosen
        return ()

    def _only_grows(self, expr: Expr) -> bool:
        """Is it a polynomial without a minus? No sum of it is zero for all inputs."""
        if isinstance(expr, Component):
            equation = self.definitions.get(expr.tensor)
            return equation is None or self._only_grows(equation.expr)
        if isinstance(expr, Size):
            return True
        if expr.is_Number:
            return bool(expr.is_positive)
        if isinstance(expr, Pow):
            return bool(expr.exp.is_Integer) and expr.exp > 0 and self._only_grows(expr.base)
        if isinstance(expr, Contraction):
            return self._only_grows(expr.open()[0])
        return isinstance(expr, Add | Mul) and all(map(self._only_grows, expr.args))

    def _vanishes(self, total: Contraction) -> bool:
        """Most sums are not zero, which numbers show sooner than a search for a proof."""
        if not self.glance.may_vanish(total):
            return False
        found = self.identities.reduce(total)
        return found is not None and found.right == 0
