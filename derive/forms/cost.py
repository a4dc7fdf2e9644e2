"""How many operations an equation takes, as a polynomial in the sizes of its indices.

Each part is computed once for the indices that it carries, in the best order for a product: what
carries few indices is multiplied first. A sum over an index costs an addition for each value.
"""

from __future__ import annotations

from collections.abc import Iterable

from sympy import Add, Expr, Integer, Mul, Pow, S, expand

from derive.notation.functions import Elementwise
from derive.notation.nodes import Component, Contraction, Index, free_indices


def operations(expr: Expr) -> Expr:
    """Additions, multiplications and functions, for all values of the free indices."""
    counted: dict[Expr, Expr] = {}
    _count(expr, counted)
    return expand(Add(*counted.values()))


def _count(expr: Expr, counted: dict[Expr, Expr]) -> None:
    """What `expr` costs beside its parts; a part that occurs again costs nothing."""
    if expr in counted or not expr.args or isinstance(expr, Component) or not _is_tensor(expr):
        return
    counted[expr] = _own(expr)
    for part in (expr.body,) if isinstance(expr, Contraction) else expr.args:
        _count(part, counted)


def _is_tensor(expr: Expr) -> bool:
    return bool(expr.atoms(Component))


def _own(expr: Expr) -> Expr:
    if isinstance(expr, Mul):
        return _product([a for a in expr.args if a != S.NegativeOne])
    if isinstance(expr, Add):
        return (len(expr.args) - 1) * _places(free_indices(expr))
    if isinstance(expr, Contraction):
        return _places([*free_indices(expr.body)])
    if isinstance(expr, Pow):
        return _places(free_indices(expr)) if expr.exp != S.NegativeOne else S.Zero
    assert isinstance(expr, Elementwise) or expr.is_Function, expr
    return _places(free_indices(expr))


def _product(factors: list[Expr]) -> Expr:
    """Numbers and sizes are one factor; a division counts as a multiplication."""
    tensors = [f for f in factors if free_indices(f) or _is_tensor(f)]
    steps = [*([()] if len(tensors) < len(factors) else []), *map(free_indices, tensors)]
    steps.sort(key=len)
    carried: set[Index] = set(steps[0])
    total: Expr = Integer(0)
    for indices in steps[1:]:
        carried |= set(indices)
        total += _places(carried)
    return total


def _places(indices: Iterable[Index]) -> Expr:
    return Mul(*(i.size for i in indices))
