"""Terms that cancel once a bracket is written out: c f - c f (1 + a) = -c f a.

A bracket stays whole otherwise: to multiply it out would lose accuracy, and here it gains some.
"""

from __future__ import annotations

from itertools import combinations

from sympy import Add, Expr, Mul

from derive.rewrite import Law
from derive.simplify.collect import divided

_MOST_TERMS = 12


def _cancelled(expr: Expr) -> Expr | None:
    """The first two terms of which parts cancel, made one."""
    if not isinstance(expr, Add) or len(expr.args) > _MOST_TERMS:
        return None
    for first, second in combinations(expr.args, 2):
        shorter = _joined(first, second)
        if shorter is not None:
            return Add(*(t for t in expr.args if t not in (first, second)), shorter)
    return None


def _joined(first: Expr, second: Expr) -> Expr | None:
    """What two terms share, times what is left of them, if parts of it vanish or are alike."""
    shared, rests = divided((first, second))
    parts = [part for rest in rests for part in _written_out(rest)]
    written = Add(*parts)
    left = Add.make_args(written)
    fewer = len(parts) - len(left)
    numbers = sum(p.is_number for p in parts) - sum(t.is_number for t in left)
    return Mul(shared, written) if fewer > numbers or fewer > 1 else None


def _written_out(term: Expr) -> list[Expr]:
    """The terms of a product whose one bracket is multiplied out."""
    brackets = [f for f in Mul.make_args(term) if isinstance(f, Add)]
    if len(brackets) != 1:
        return [term]
    rest = Mul(*(f for f in Mul.make_args(term) if f is not brackets[0]))
    return [rest * t for t in brackets[0].args]


CANCEL = Law(
    "terms cancel",
    r"a - a\,(1 + b) = -a\,b",
    _cancelled,
    ("x[b]*y[b] - x[b]*y[b]*(1 + z[b])", "-x[b]*y[b]*z[b]"),
    about=Add,
)
