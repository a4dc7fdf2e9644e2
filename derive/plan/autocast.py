"""What becomes of an op's inputs under autocast: as torch does with its own ops of that kind.

Matrix products take the short type, losses take fp32, and what is left takes what it is given. The
formulas themselves choose their types, so that statistics and sums stay in fp32.
"""

from __future__ import annotations

from enum import Enum

from sympy import Expr, KroneckerDelta, Mul

from derive.notation.nodes import Contraction, Index, free_indices
from derive.notation.op import Op


class Autocast(Enum):
    """How the inputs are cast."""

    SHORT = "the type of autocast"
    FULL = "fp32"
    NONE = "as they are"


def autocast(op: Op) -> Autocast:
    """A loss is a result without an index."""
    if any(not c.indices for c in op.outputs):
        return Autocast.FULL
    products = (c for e in op.equations for c in e.expr.atoms(Contraction))
    return Autocast.SHORT if any(map(_multiplies, products)) else Autocast.NONE


def _multiplies(total: Contraction) -> bool:
    body, dummies = total.open()
    if body.atoms(KroneckerDelta):
        return False  # what labels pick is taken as it is
    return multiplies(body, (*free_indices(total), *dummies))


def multiplies(body: Expr, indices: tuple[Index, ...]) -> bool:
    """Does no factor carry all the indices? A pointwise product would be larger than any."""
    if any(f.is_number for f in Mul.make_args(body)) and len(Mul.make_args(body)) == 1:
        return False
    carried = [set(free_indices(f)) for f in Mul.make_args(body)]
    return not any(c >= set(indices) for c in carried)
