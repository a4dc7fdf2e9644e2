"""Inputs that an op treats alike, as x and the residual in x + residual."""

from __future__ import annotations

from collections.abc import Collection

from sympy import Expr

from derive.notation.nodes import Component, Tensor
from derive.notation.op import Op
from derive.simplify.normal import TooLarge, normal

ALIKE = "the op is the same in both"


def are_alike(op: Op, names: Collection[str]) -> bool:
    """Is every equation the same when two inputs change places?"""
    inputs = {c.tensor.name: c.tensor for c in op.inputs}
    if len(names) != 2 or not set(names) <= inputs.keys():
        return False
    one, other = (inputs[name] for name in names)
    try:
        return all(normal(e.expr) == normal(_exchanged(e.expr, one, other)) for e in op.equations)
    except TooLarge:
        return False


def _exchanged(expr: Expr, one: Tensor, other: Tensor) -> Expr:
    moved = {one: other, other: one}
    places = (c for c in expr.atoms(Component) if c.tensor in moved)
    return expr.xreplace({c: Component(moved[c.tensor], *c.indices) for c in places})
