"""The two passes by themselves: `<op>_backward` on what `<op>_forward` gives besides outputs.

Autograd keeps inputs on its own, so what the forward pass hands out for the backward pass is read
nowhere else; and nowhere else is the backward pass called with no word on which gradients it needs.
What is handed out must be what the equations say, even where the backward pass would forgive it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from math import inf
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from derive.derivation import differentiate
from derive.notation.op import Op
from derive.plan.program import plan
from derive.verify.memory import walks
from derive.verify.reference import composed, evaluated, together
from derive.verify.sample import Sample, error, results
from derive.verify.switches import near_switches

CLOSE = 1e-10


def by_themselves(op: Op, module: ModuleType, sample: Sample) -> tuple[float, float, str]:
    """The worst error of outputs, gradients and what is handed out; what is allowed."""
    device = sample.inputs[0].device
    cases = [(sample, results(composed(op), sample))]
    cases += [(n.sample.on(device), n.truth) for n in near_switches(op, sample.scalars)]
    worst = max(_worst(op, module, s, [t.to(device) for t in truth]) for s, truth in cases)
    return worst, CLOSE, f"{len(_saved(op))} kept"


def _worst(op: Op, module: ModuleType, sample: Sample, truth: Sequence[Tensor]) -> float:
    values = evaluated(op, *sample.inputs, **sample.scalars)
    worst = 0.0
    for walk in walks(module):
        with walk, torch.no_grad():
            found = getattr(module, f"{op.name}_forward")(*sample.inputs, **sample.scalars)
            outputs, kept = found[: len(op.outputs)], found[len(op.outputs) :]
            backward = partial(getattr(module, f"{op.name}_backward"), *sample.cotangents, *kept)
            given, none = backward(), backward(needs=(False,) * len(op.inputs))
        if any(gradient is not None for gradient in none):
            return inf  # what nobody needs
        got = [g for g, t in zip(given, sample.inputs, strict=True) if t.is_floating_point()]
        pairs = [*zip((*outputs, *got), truth, strict=True), *handed_out(op, kept, values)]
        worst = max(worst, *(error(g, w) for g, w in pairs))
    return worst


def handed_out(
    op: Op, kept: tuple[Any, ...], truth: dict[str, Any]
) -> Iterator[tuple[Tensor, Tensor]]:
    """The tensors that some equation defines, and their values by it."""
    named = zip(_saved(op), kept, strict=False)  # sizes and scalars come after the tensors
    for name, tensor in named:
        if name in op.tensors:
            shown = {c.tensor.name: c for c in op.inputs}.get(name)
            yield tensor, together(shown, truth[name]) if shown else truth[name]


@cache
def _saved(op: Op) -> tuple[str, ...]:
    return tuple(c.tensor.name for c in plan(op, differentiate(op)).saved)
