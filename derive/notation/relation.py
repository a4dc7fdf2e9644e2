"""A relation `left = right`, linear in an unknown, brought to the form Σ_K M_RK y_K = c_R."""

from __future__ import annotations

from itertools import count

from sympy import Add, Expr, Mul, S

from derive.notation.nodes import Component, Contraction, Delta, Index, Tensor, delta, fresh_index
from derive.notation.solution import Solution

_BESIDE = 700  # what the rank of a row's own letter lies above its index's


class Unsolvable(Exception):
    """The relation is not linear in its unknown, or not square."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def solved(target: Component, left: Expr, right: Expr, free: tuple[Index, ...]) -> Expr:
    """The unknown as the solution of `left = right`, which holds for all `free` indices.

    An index of the unknown that is free, and the same wherever the unknown stands, numbers
    relations that are solved one by one.
    """
    tensor = target.tensor
    sides = (left, right) if _holds(left, tensor) else (right, left)
    residual = Add(sides[0], -sides[1])
    unknown = [c for c in residual.atoms(Component) if c.tensor == tensor]
    shared = [
        i
        for k, i in enumerate(target.indices)
        if i in free and all(c.indices[k] == i for c in unknown)
    ]
    columns = [i for i in target.indices if i not in shared]
    apart = _apart(columns, free, residual)
    residual = residual.xreplace(apart)
    rows = [apart.get(i, i) for i in free if i not in shared]
    own = {i: fresh_index(i) for i in target.indices if i not in shared}
    wanted = Component(tensor, *(own.get(i, i) for i in target.indices))
    matrix, rest = _parts(residual, wanted)
    if matrix == 0 or [i.size for i in rows] != [i.size for i in columns]:
        counted = f"{_listed(rows)} for the unknowns {_listed(columns)}"
        raise Unsolvable(
            f"the relation is not square in `{tensor.name}`: equations {counted}",
            "as many equations as unknowns, over indices of the same sizes",
        )
    matrix = matrix.xreplace({own[i]: i for i in columns})
    return Solution(matrix, -rest, *rows, *columns) if columns else -rest / matrix


def _parts(expr: Expr, unknown: Component) -> tuple[Expr, Expr]:
    """a and b in a y + b, a for the component `unknown`; its shared indices are as they stand."""
    if not _holds(expr, unknown.tensor):
        return S.Zero, expr
    if isinstance(expr, Component):
        pairs = zip(expr.indices, unknown.indices, strict=True)
        return Mul(*(delta(i, j) for i, j in pairs)), S.Zero
    if isinstance(expr, Add):
        found = [_parts(a, unknown) for a in expr.args]
        return Add(*(a for a, _ in found)), Add(*(b for _, b in found))
    if isinstance(expr, Contraction):
        body, dummies = expr.open()
        within = [_contracted(part, dummies) for part in _parts(body, unknown)]
        return within[0], within[1]
    if isinstance(expr, Mul):
        holding = [f for f in expr.args if _holds(f, unknown.tensor)]
        if len(holding) == 1:
            rest = Mul(*(f for f in expr.args if f not in holding))
            factor, constant = _parts(holding[0], unknown)
            return Mul(rest, factor), Mul(rest, constant)
    raise Unsolvable(
        f"the relation is not linear in `{unknown.tensor.name}`",
        f"`{unknown.tensor.name}` stands once in a product, in no function and no divisor",
    )


def _contracted(expr: Expr, dummies: tuple[Index, ...]) -> Expr:
    """Σ over the dummies, those that a delta equates to another index put in."""
    if isinstance(expr, Add):
        return Add(*(_contracted(term, dummies) for term in expr.args))
    left = list(dummies)
    for factor in Mul.make_args(expr):
        found = [i for i in factor.args if i in left] if isinstance(factor, Delta) else []
        if found:
            keep = next(i for i in factor.args if i != found[0])
            expr = expr.xreplace({found[0]: keep})
            left.remove(found[0])
    return Contraction(expr, *left)


def _apart(columns: list[Index], free: tuple[Index, ...], residual: Expr) -> dict[Index, Index]:
    """Rows in letters of their own, where the unknown has theirs: x_i = a_ij x_j + b_i."""
    taken = {*free, *columns, *residual.atoms(Index)}
    apart: dict[Index, Index] = {}
    for index in (i for i in columns if i in free):
        names = (f"{index.name}{n}" for n in count(2))
        name = next(n for n in names if n not in {i.name for i in taken})
        apart[index] = Index(name, index.size, index.rank + _BESIDE)
    return apart


def _holds(expr: Expr, tensor: Tensor) -> bool:
    return any(c.tensor == tensor for c in expr.atoms(Component))


def _listed(indices: list[Index]) -> str:
    return "[" + ",".join(i.name for i in indices) + "]"
