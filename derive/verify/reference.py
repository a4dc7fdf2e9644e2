"""The op's own equations as composed torch operations: what everything generated is compared with.

Nothing is shared with the code generator: each tensor is broadcast over all the indices in play,
sums are taken over whole axes. Slow, plain, and differentiable by autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from sympy import Add, Expr, KroneckerDelta, Mul, Pow
from torch import Tensor

from derive.notation.functions import Elementwise
from derive.notation.nodes import Component, Contraction, Index, Scalar, Size
from derive.notation.op import Equation, Op

Values = Mapping[str, Any]

FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "exp": torch.exp,
    "log": torch.log,
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": lambda x: torch.nn.functional.softplus(x, threshold=40),
    "erf": torch.erf,
    "abs": torch.abs,
    "sign": torch.sign,
    "relu": torch.relu,
    "min": torch.minimum,
    "max": torch.maximum,
}


@dataclass(frozen=True)
class Numbers:
    """What operations do: functions by name, powers, and what becomes of each result."""

    functions: Mapping[str, Callable[..., Tensor]]
    power: Callable[[Tensor, float], Tensor]
    rounded: Callable[[Tensor], Tensor]


REAL = Numbers(FUNCTIONS, torch.pow, lambda result: result)


def composed(op: Op) -> Callable[..., tuple[Tensor, ...]]:
    """The outputs of the op as a function of its inputs and scalars."""

    def run(*inputs: Tensor, **scalars: float) -> tuple[Tensor, ...]:
        values = evaluated(op, *inputs, **scalars)
        return tuple(values[c.tensor.name] for c in op.outputs)

    return run


def evaluated(op: Op, *inputs: Tensor, **scalars: float) -> dict[str, Any]:
    """Every tensor, size and scalar of the op by its name."""
    return evaluate(op, op.equations, inputs, scalars)


def evaluate(
    op: Op,
    equations: Iterable[Equation],
    inputs: Sequence[Tensor],
    scalars: Mapping[str, float],
    numbers: Numbers = REAL,
) -> dict[str, Any]:
    """Inputs, sizes and scalars by their names, and what the equations define."""
    values: dict[str, Any] = {p.symbol.name: float(p.default) for p in op.parameters}
    values |= dict(scalars)
    for declared, tensor in zip(op.inputs, inputs, strict=True):
        values[declared.tensor.name] = tensor
        values |= {i.size.name: n for i, n in zip(declared.indices, tensor.shape, strict=True)}
    for equation in equations:
        axes = equation.target.indices
        shape = [values[i.size.name] for i in axes]
        values[equation.name] = value(equation.expr, axes, values, inputs[0], numbers).expand(shape)
    return values


def value(
    expr: Expr,
    axes: tuple[Index, ...],
    values: Values,
    like: Tensor,
    numbers: Numbers = REAL,
) -> Tensor:
    """The expression over the given axes; an axis that it does not carry has length 1."""
    if isinstance(expr, Component):
        return _component(expr, axes, values)
    if isinstance(expr, KroneckerDelta):
        eye = torch.eye(values[expr.args[0].size.name], dtype=like.dtype, device=like.device)
        return _aligned(eye, expr.args, axes)
    if isinstance(expr, (Size, Scalar)) or expr.is_number:
        number = values[expr.name] if isinstance(expr, (Size, Scalar)) else float(expr)
        return torch.full([1] * len(axes), number, dtype=like.dtype, device=like.device)
    return numbers.rounded(_operation(expr, axes, values, like, numbers))


def _operation(
    expr: Expr,
    axes: tuple[Index, ...],
    values: Values,
    like: Tensor,
    numbers: Numbers,
) -> Tensor:
    if isinstance(expr, Contraction):
        return _sum(expr, axes, values, like, numbers)
    if isinstance(expr, Pow) and not expr.exp.atoms(Component):
        exponent = float(expr.exp.xreplace({s: values[s.name] for s in expr.exp.atoms(Scalar)}))
        return numbers.power(value(expr.base, axes, values, like, numbers), exponent)
    parts = [value(a, axes, values, like, numbers) for a in expr.args]
    if isinstance(expr, Elementwise):
        return numbers.functions[expr.row.name](*parts)
    if isinstance(expr, Add):
        return reduce(torch.add, parts)
    assert isinstance(expr, Mul), expr
    return reduce(torch.mul, parts)


def _component(component: Component, axes: tuple[Index, ...], values: Values) -> Tensor:
    tensor, indices = values[component.tensor.name], list(component.indices)
    for index in dict.fromkeys(indices):
        while indices.count(index) > 1:
            first = indices.index(index)
            second = indices.index(index, first + 1)
            tensor = torch.diagonal(tensor, 0, first, second)
            indices = [i for k, i in enumerate(indices) if k not in (first, second)] + [index]
    return _aligned(tensor, tuple(indices), axes)


def _aligned(tensor: Tensor, indices: tuple[Index, ...], axes: tuple[Index, ...]) -> Tensor:
    order = [indices.index(i) for i in axes if i in indices]
    shape = iter(tensor.permute(order).shape)
    return tensor.permute(order).reshape([next(shape) if i in indices else 1 for i in axes])


def _sum(
    total: Contraction,
    axes: tuple[Index, ...],
    values: Values,
    like: Tensor,
    numbers: Numbers,
) -> Tensor:
    body, dummies = total.open()
    inside = value(body, (*axes, *dummies), values, like, numbers)
    lengths = [values[d.size.name] for d in dummies]
    full = inside.expand([*inside.shape[: len(axes)], *lengths])
    return full.sum(tuple(range(len(axes), len(axes) + len(dummies))))
