"""A relation `left = right`, linear in an unknown, brought to the form Σ_K M_RK y_K = c_R."""

from __future__ import annotations

from itertools import count

from sympy import Add, Expr, S

from derive.calculus.jacobian import jacobian
from derive.notation.nodes import Component, Contraction, Index, fresh_index
from derive.notation.solution import Solution
from derive.rewrite import Chain, everywhere
from derive.simplify.laws import CONTRACTING

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
    own = {i: fresh_index(i) for i in target.indices}
    matrix = _coefficient(residual, Component(tensor, *own.values()), [own[i] for i in shared])
    if _holds(matrix, tensor):
        raise Unsolvable(f"the relation is not linear in `{tensor.name}`")
    if matrix == 0 or [i.size for i in rows] != [i.size for i in columns]:
        counted = f"{_listed(rows)} for the unknowns {_listed(columns)}"
        raise Unsolvable(
            f"the relation is not square in `{tensor.name}`: equations {counted}",
            "as many equations as unknowns, over indices of the same sizes",
        )
    matrix = matrix.xreplace({own[i]: i for i in columns})
    rest = everywhere(lambda e: S.Zero if _is(e, tensor) else None, -residual)
    return Solution(matrix, rest, *rows, *columns) if columns else rest / matrix


def _apart(columns: list[Index], free: tuple[Index, ...], residual: Expr) -> dict[Index, Index]:
    """Rows in letters of their own, where the unknown has theirs: x_i = a_ij x_j + b_i."""
    taken = {*free, *columns, *residual.atoms(Index)}
    apart: dict[Index, Index] = {}
    for index in (i for i in columns if i in free):
        names = (f"{index.name}{n}" for n in count(2))
        name = next(n for n in names if n not in {i.name for i in taken})
        apart[index] = Index(name, index.size, index.rank + _BESIDE)
    return apart


def _coefficient(residual: Expr, wrt: Component, shared: list[Index]) -> Expr:
    """∂(left - right)/∂y, its deltas over the shared indices taken off."""
    chain = Chain(wrt, Contraction(jacobian(residual, wrt), *shared))
    chain.run(CONTRACTING)
    return chain.expr


def _holds(expr: Expr, tensor: object) -> bool:
    return any(c.tensor == tensor for c in expr.atoms(Component))


def _is(expr: Expr, tensor: object) -> bool:
    return isinstance(expr, Component) and expr.tensor == tensor


def _listed(indices: list[Index]) -> str:
    return "[" + ",".join(i.name for i in indices) + "]"
