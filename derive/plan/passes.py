"""How often torch walks over a matrix to carry out an expression, one operation after another."""

from __future__ import annotations

from sympy import Add, Expr, KroneckerDelta, Mul, Pow

from derive.notation.conditions import Iverson, Position
from derive.notation.functions import Elementwise
from derive.notation.nodes import Bound, Component, free_indices


def passes(expr: Expr) -> int:
    """Operations on what has two axes and more; to multiply by a number is none."""
    if isinstance(expr, Component) or not expr.args:
        return 0
    if isinstance(expr, Bound):
        body, _ = expr.open()
        return _is_matrix(body) + passes(body)
    inner = sum(map(passes, expr.args))
    return inner + (_operations(expr) if _is_matrix(expr) else 0)


def _is_matrix(expr: Expr) -> bool:
    return len(free_indices(expr)) > 1


def _operations(expr: Expr) -> int:
    """Those of the outermost node."""
    if isinstance(expr, Add | Mul):
        known = [a for a in expr.args if a.atoms(Component, Position, KroneckerDelta)]
        return len(known) - 1 + (isinstance(expr, Add) and len(known) < len(expr.args))
    return int(isinstance(expr, Pow | Elementwise | Iverson))
