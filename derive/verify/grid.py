"""Sums without rounding: inputs on a grid, which sums of them do not leave."""

from __future__ import annotations

from dataclasses import replace

from sympy import Add, Expr
from torch import Tensor as Numbers

from derive.notation.functions import Elementwise
from derive.notation.nodes import Component, Labels, Scalar, Tensor
from derive.notation.op import Op
from derive.verify.sample import Sample


def on_grid(sample: Sample, step: float) -> Sample:
    """The nearest inputs that are multiples of the step, a power of two."""

    def moved(tensor: Numbers) -> Numbers:
        return (tensor / step).round() * step if tensor.is_floating_point() else tensor

    return replace(sample, inputs=tuple(map(moved, sample.inputs)))


def is_sum(op: Op, expr: Expr) -> bool:
    """Is it made of inputs and parameters by sums, signs and absolute values alone?"""
    if isinstance(expr, Component):
        equation = op.definitions.get(expr.tensor)
        return is_sum(op, equation.expr) if equation else not isinstance(expr.tensor, Labels)
    if isinstance(expr, Scalar) or expr.is_number:
        return True
    if isinstance(expr, Elementwise):
        return expr.row.name == "abs" and is_sum(op, expr.args[0])
    if isinstance(expr, Add):
        return all(is_sum(op, term) for term in expr.args)
    sign, rest = expr.as_coeff_Mul()
    return bool(sign == -1) and is_sum(op, rest)


def inputs_in(op: Op, expr: Expr) -> set[Tensor]:
    """The inputs that an expression depends on."""
    found: set[Tensor] = set()
    for component in expr.atoms(Component):
        equation = op.definitions.get(component.tensor)
        found |= inputs_in(op, equation.expr) if equation else {component.tensor}
    return found
