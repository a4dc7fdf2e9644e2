"""One gradient at a time: what an op computes if no other is wanted, once and twice."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import torch
from torch import Tensor

from derive.notation.op import Op
from derive.verify.reference import composed
from derive.verify.sample import Function, Sample, error, errors, gradients, paired

CLOSE = 1e-10


def one_at_a_time(op: Op, module: ModuleType, sample: Sample) -> tuple[float, float, str]:
    """A gradient asked for alone is that of all; its own are those of the equations."""
    generated = getattr(module, op.name)
    together = gradients(generated, sample)
    worst = 0.0
    for place, want in zip(_real(sample), together, strict=True):
        worst = max(worst, error(alone(generated, sample, place)[0], want))
        if hasattr(module, f"{op.name}_double_backward"):
            pair = (_twice(f, sample, place) for f in (generated, composed(op)))
            worst = max(worst, errors(*pair))
    return worst, CLOSE, ""


def alone(
    function: Function, sample: Sample, place: int, *, again: bool = False
) -> tuple[Tensor, Tensor]:
    """The gradient of one input, with no other wanted, and that input; `again`: with its graph."""
    inputs = [t.detach().clone() for t in sample.inputs]
    wanted = inputs[place].requires_grad_()
    total = paired(function(*inputs, **sample.scalars), sample)
    if not total.requires_grad:
        return torch.zeros_like(wanted), wanted
    (found,) = torch.autograd.grad(
        total, wanted, create_graph=again, allow_unused=True, materialize_grads=True
    )
    return found, wanted


def _twice(function: Function, sample: Sample, place: int) -> tuple[Tensor, ...]:
    """The gradients of ⟨that gradient, dense numbers⟩ by the input and the cotangents."""
    cotangents = tuple(c.detach().clone().requires_grad_() for c in sample.cotangents)
    first, wanted = alone(function, replace(sample, cotangents=cotangents), place, again=True)
    if not first.requires_grad:
        return tuple(map(torch.zeros_like, (wanted, *cotangents)))
    numbers = torch.linspace(0.5, 2, first.numel()).to(first).reshape(first.shape)
    return torch.autograd.grad(
        first, (wanted, *cotangents), numbers, allow_unused=True, materialize_grads=True
    )


def _real(sample: Sample) -> list[int]:
    """The places of what is no integer."""
    return [k for k, t in enumerate(sample.inputs) if t.is_floating_point()]
