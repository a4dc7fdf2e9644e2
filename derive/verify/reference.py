"""The op's own equations as composed torch operations: what everything generated is compared with.

Nothing is shared with the code generator: each tensor is broadcast over all the indices in play,
sums are taken over whole axes. Slow, plain, and differentiable by autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import islice
from math import prod
from typing import Any

import torch
from sympy import Add, Expr, KroneckerDelta, Mul, Pow
from torch import Tensor

from derive.notation.conditions import Iverson, Position
from derive.notation.evaluate import COMPARE, constant
from derive.notation.functions import Elementwise
from derive.notation.nodes import (
    Bound,
    Component,
    Contraction,
    Extremum,
    Index,
    Labels,
    Scalar,
    Size,
)
from derive.notation.op import Equation, Op
from derive.notation.solution import Solution
from derive.plan.paths import merged

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
    "amin": lambda x: torch.amin(x, -1),
    "amax": lambda x: torch.amax(x, -1),
}


@dataclass(frozen=True)
class Numbers:
    """What operations do: functions by name, powers, and what becomes of each result."""

    functions: Mapping[str, Callable[..., Tensor]]
    power: Callable[[Tensor, float], Tensor]
    rounded: Callable[[Tensor], Tensor] = lambda result: result
    added: Callable[[Tensor], Tensor] = lambda terms: terms.sum(-1)
    eliminated: Callable[[Tensor], Tensor] = lambda matrix: matrix  # what a solution is exact for
    products: frozenset[Expr] = frozenset()  # sums whose factors, and results, are `shortened`
    full: frozenset[Expr] = frozenset()  # those of them whose results are not
    shortened: Callable[[Tensor], Tensor] = lambda result: result
    given: frozenset[str] = frozenset()  # what is short as it is


REAL = Numbers(FUNCTIONS, torch.pow)


def composed(op: Op) -> Callable[..., tuple[Tensor, ...]]:
    """The outputs of the op as a function of its inputs and scalars."""

    def run(*inputs: Tensor, **scalars: float) -> tuple[Tensor, ...]:
        values = evaluated(op, *inputs, **scalars)
        return tuple(together(c, values[c.tensor.name]) for c in op.outputs)

    return run


def apart(component: Component, tensor: Tensor, values: Values) -> Tensor:
    """A tensor with an axis for each index, one of several on an axis of unknown size."""
    shape: list[int] = []
    for group, length in zip(component.tensor.axes(component.indices), tensor.shape, strict=True):
        known = [values.get(i.size.name) for i in group]
        if len(group) == 1:
            shape.append(length)
            continue
        rest = length // max(1, prod(int(n) for n in known if n is not None))
        shape += [rest if n is None else int(n) for n in known]
    return tensor.reshape(shape)


def together(component: Component, tensor: Tensor) -> Tensor:
    """A tensor with its axes as they are shown."""
    if not component.tensor.groups:
        return tensor
    lengths = iter(tensor.shape)
    groups = component.tensor.groups
    return tensor.reshape([prod(islice(lengths, count)) for count in groups])


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
    values |= {e.size.name: e.default for e in op.extents} | dict(scalars)
    pairs = zip(op.inputs, inputs, strict=True)
    for declared, tensor in sorted(pairs, key=lambda pair: bool(pair[0].tensor.groups)):
        found = apart(declared, tensor, values)
        values[declared.tensor.name] = found
        values |= {i.size.name: n for i, n in zip(declared.indices, found.shape, strict=True)}
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
    if isinstance(expr, Position):
        count = torch.arange(
            values[expr.index.size.name], dtype=like.real.dtype, device=like.device
        )
        return _aligned(count, (expr.index,), axes)
    if isinstance(expr, Iverson):
        return _bracket(expr, axes, values, like, numbers)
    if isinstance(expr, (Size, Scalar)) or expr.is_number:
        number = values[expr.name] if isinstance(expr, (Size, Scalar)) else constant(expr)
        return torch.full([1] * len(axes), number, dtype=like.dtype, device=like.device)
    found = _operation(expr, axes, values, like, numbers)
    return found if isinstance(expr, Extremum) else numbers.rounded(found)  # one of its numbers


def _operation(
    expr: Expr,
    axes: tuple[Index, ...],
    values: Values,
    like: Tensor,
    numbers: Numbers,
) -> Tensor:
    if isinstance(expr, Contraction) and expr in numbers.products:
        found = numbers.added(_multiplied(expr, axes, values, like, numbers))
        return found if expr in numbers.full else numbers.shortened(found)
    if isinstance(expr, Contraction):
        return numbers.added(_over_dummies(expr, axes, values, like, numbers))
    if isinstance(expr, Extremum):
        return numbers.functions[f"a{expr.word}"](_over_dummies(expr, axes, values, like, numbers))
    if isinstance(expr, Solution):
        return _solved(expr, axes, values, like, numbers)
    if isinstance(expr, Pow) and not expr.exp.atoms(Component):
        named = {s: values[s.name] for s in expr.exp.atoms(Scalar, Size)}
        exponent = float(expr.exp.xreplace(named))
        return numbers.power(value(expr.base, axes, values, like, numbers), exponent)
    if isinstance(expr, Mul):
        return _product(expr, axes, values, like, numbers)
    parts = [value(a, axes, values, like, numbers) for a in expr.args]
    if isinstance(expr, Elementwise):
        return numbers.functions[expr.row.name](*parts)
    assert isinstance(expr, Add), expr
    return reduce(torch.add, parts)


def _product(
    expr: Mul, axes: tuple[Index, ...], values: Values, like: Tensor, numbers: Numbers
) -> Tensor:
    """What a condition excludes is zero, whatever the other factors are."""
    brackets = [f for f in expr.args if isinstance(f, Iverson)]
    factors = [value(f, axes, values, like, numbers) for f in expr.args if f not in brackets]
    found = reduce(torch.mul, factors) if factors else torch.ones_like(like.reshape(-1)[:1])
    for bracket in brackets:
        found = torch.where(value(bracket, axes, values, like, numbers) == 1, found, 0.0)
    return found


def _bracket(
    expr: Iverson, axes: tuple[Index, ...], values: Values, like: Tensor, numbers: Numbers
) -> Tensor:
    if all(isinstance(c.tensor, Labels) for c in expr.atoms(Component)):
        numbers = replace(numbers, rounded=REAL.rounded)  # positions and labels are whole
    left, right = (value(s, axes, values, like, numbers) for s in (expr.left, expr.right))
    holds: Tensor = torch.as_tensor(COMPARE[expr.relation](left.real, right.real))
    return (holds if expr.holds else ~holds).to(like.dtype)


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


def _solved(
    relation: Solution,
    axes: tuple[Index, ...],
    values: Values,
    like: Tensor,
    numbers: Numbers,
) -> Tensor:
    """The unknowns of each of the relations that the other axes number."""
    rows, columns = relation.rows, relation.columns
    shared = tuple(i for i in axes if i not in columns)
    lengths = [values[i.size.name] for i in (*shared, *rows, *columns)]
    matrix = value(relation.matrix, (*shared, *rows, *columns), values, like, numbers)
    matrix = matrix.expand(lengths).flatten(len(shared) + len(rows))
    right = value(relation.right, (*shared, *rows), values, like, numbers)
    right = right.expand(lengths[: len(shared) + len(rows)]).flatten(len(shared))
    square = numbers.eliminated(matrix.flatten(len(shared), -2))
    found = torch.linalg.solve(square, right.unsqueeze(-1)).squeeze(-1)
    unknowns = [values[i.size.name] for i in columns]
    return _aligned(found.unflatten(-1, unknowns), (*shared, *columns), axes)


def _multiplied(
    total: Contraction,
    axes: tuple[Index, ...],
    values: Values,
    like: Tensor,
    numbers: Numbers,
) -> Tensor:
    """What a product of matrices sums, along one last axis: each matrix rounded to a short type."""
    body, dummies = total.open()
    found = torch.ones_like(like.reshape(-1)[:1])
    for factor in merged(list(Mul.make_args(body))):
        matrix = value(factor, (*axes, *dummies), values, like, numbers)
        given = isinstance(factor, Component) and factor.tensor.name in numbers.given
        found = found * (matrix if given else numbers.shortened(matrix))
    lengths = [values[d.size.name] for d in dummies]
    return found.expand([*found.shape[: len(axes)], *lengths]).flatten(len(axes))


def _over_dummies(
    bound: Bound,
    axes: tuple[Index, ...],
    values: Values,
    like: Tensor,
    numbers: Numbers,
) -> Tensor:
    """The body, all values of the dummies along one last axis."""
    body, dummies = bound.open()
    inside = value(body, (*axes, *dummies), values, like, numbers)
    lengths = [values[d.size.name] for d in dummies]
    return inside.expand([*inside.shape[: len(axes)], *lengths]).flatten(len(axes))
