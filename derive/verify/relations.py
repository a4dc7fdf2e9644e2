"""Do results obey the relations among the gradients of an op? No reference is needed for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from derive.derivation import Derivation, total_gradient
from derive.notation.nodes import Component, free_indices
from derive.notation.op import gradient
from derive.simplify.identities import Identity
from derive.verify.reference import apart, evaluated, value
from derive.verify.sample import Sample


def related(derivation: Derivation) -> list[Identity]:
    """The identities that speak of gradients."""
    return [i for i in derivation.identities if i.reason]


def worst_violation(
    derivation: Derivation, sample: Sample, gradients: Sequence[Tensor]
) -> tuple[float, str]:
    """|left - right| of the relation that is off most, beside the size of its terms; and which."""
    op = derivation.op
    values: dict[str, Any] = evaluated(op, *sample.inputs, **sample.scalars)
    named: list[tuple[Component, Tensor]] = [
        *((gradient(c), t) for c, t in zip(op.outputs, sample.cotangents, strict=True)),
        *((total_gradient(op, c), t) for c, t in zip(op.differentiable, gradients, strict=True)),
    ]
    values |= {component.tensor.name: apart(component, t, values) for component, t in named}
    least = max(map(_largest, sample.cotangents), default=0.0)
    known = [i for i in related(derivation) if values.keys() >= _names(i)]
    found = [(_violation(i, values, sample.inputs[0], least), i.reason) for i in known]
    return max(found, default=(0.0, ""))


def _names(identity: Identity) -> set[str]:
    return {c.tensor.name for c in (identity.left - identity.right).atoms(Component)}


def _violation(identity: Identity, values: Mapping[str, Any], like: Tensor, least: float) -> float:
    """Where everything cancels, only rounding is left: `least` is what it is measured against."""
    axes = tuple(free_indices(identity.left))
    sides = (identity.left, identity.right)
    left, right = (value(side, axes, values, like) for side in sides)
    sizes = {n: v.abs() if isinstance(v, torch.Tensor) else v for n, v in values.items()}
    scale = max(least, *(_largest(value(side, axes, sizes, like)) for side in sides))
    off = _largest(left - right)
    return off / scale if isfinite(off) and scale else off


def _largest(tensor: Tensor) -> float:
    return tensor.abs().max().item() if tensor.numel() else 0.0
