"""Which sums of a tensor are zero, whatever the inputs: what is left of them is rounding error."""

from __future__ import annotations

from itertools import combinations, islice

from sympy import Expr

from derive.notation.nodes import Contraction, Index
from derive.notation.op import Op
from derive.notation.point import Glance
from derive.simplify.identities import Identities

_MOST_SUMS = 64  # those over few indices come first


class ZeroSums:
    """Searches among the definitions of one op."""

    def __init__(self, op: Op) -> None:
        self.identities, self.glance = Identities(op), Glance(op)

    def over(self, expr: Expr, indices: tuple[Index, ...]) -> tuple[Index, ...]:
        """The fewest of the indices over which it was proved to sum to zero, if any."""
        counts = range(1, len(indices) + 1)
        every = (c for n in counts for c in combinations(indices[::-1], n))
        for chosen in islice(every, _MOST_SUMS):
            total = Contraction(expr, *chosen)
            if isinstance(total, Contraction) and self._vanishes(total):
                return chosen
        return ()

    def _vanishes(self, total: Contraction) -> bool:
        """Most sums are not zero, which numbers show sooner than a search for a proof."""
        if not self.glance.may_vanish(total):
            return False
        found = self.identities.reduce(total)
        return found is not None and found.right == 0
