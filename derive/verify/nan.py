"""What is not a number is seen: no output that depends on it is one, and no other row changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from math import inf
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.plan.roles import roles
from derive.verify.memory import walks
from derive.verify.passes import handed_out
from derive.verify.reference import composed, evaluated, together
from derive.verify.sample import Sample, error, outputs, results

CLOSE = 1e-10
_NAN = float("nan")
_NUMBERS = (1e3, 1e-3)  # larger than all others, and smaller


@dataclass(frozen=True)
class _Place:
    """A component of an input; the row that it is in, if it is in one."""

    input: int
    component: int
    row: int | None

    def put(self, sample: Sample, number: float) -> Sample:
        """The sample with this number there."""
        inputs = list(sample.inputs)
        inputs[self.input] = inputs[self.input].clone()
        inputs[self.input].view(-1)[self.component] = number
        return replace(sample, inputs=tuple(inputs))


def not_a_number(op: Op, module: ModuleType, sample: Sample) -> tuple[float, float, str]:
    """The worst error of what is in other rows; infinite where something is a number after all."""
    worst = 0.0
    clean, function = results(composed(op), sample), getattr(module, op.name)
    leads = [_leads(op, c) for c in (*op.outputs, *op.differentiable)]
    for place in _places(op, sample):
        spoilt = place.put(sample, _NAN)
        lost = _depending(op, sample, place)
        asked = outputs if place.row is None else results  # no gradient is in another row then
        for walk in walks(module):
            with walk:
                got = asked(function, spoilt)
                kept = handed_out(op, _kept(op, module, spoilt), lost)
            pairs = [(got[k], together(c, lost[c.tensor.name])) for k, c in enumerate(op.outputs)]
            if any(t[at].isfinite().any() for t, at in (*pairs, *kept)):
                worst = inf
            rows = zip(got, clean, leads, strict=place.row is not None)
            others = ((g, c) for g, c, leading in rows if leading and place.row is not None)
            worst = max([worst, *(_beside(g, c, place.row) for g, c in others)])
    return worst, CLOSE, ""


def _depending(op: Op, sample: Sample, place: _Place) -> dict[str, Any]:
    """Of each tensor of the op, where it changes with the component and is no number with it.

    Both: by a condition, NaN < 0 decides as a number does; beside a window, zero times NaN is NaN.
    """
    values, nan, *others = (
        evaluated(op, *s.inputs, **s.scalars)
        for s in (sample, *(place.put(sample, number) for number in (_NAN, *_NUMBERS)))
    )
    tensors = [n for n, v in values.items() if isinstance(v, Tensor)]
    changes = {n: [~torch.eq(o[n], values[n]) for o in others] for n in tensors}
    return {n: reduce(torch.logical_or, c) & nan[n].isnan() for n, c in changes.items()}


def _kept(op: Op, module: ModuleType, sample: Sample) -> tuple[Any, ...]:
    """What the forward pass hands out besides outputs; not for ranks, who call it otherwise."""
    if hasattr(module, "AXES"):
        return ()
    with torch.no_grad():
        found: tuple[Any, ...] = getattr(module, f"{op.name}_forward")(
            *sample.inputs, **sample.scalars
        )
    return found[len(op.outputs) :]


def _beside(got: Tensor, clean: Tensor, row: int | None) -> float:
    kept = torch.arange(len(clean), device=clean.device) != row
    return error(got[kept], clean[kept])


def _leads(op: Op, component: Component) -> bool:
    """Is its first axis that of the rows?"""
    lead = roles(op).leading
    return bool(lead and component.indices and component.indices[0].size == lead.size)


def _places(op: Op, sample: Sample) -> Iterator[_Place]:
    """The first and the last component of each input in turn."""
    for k, tensor in enumerate(sample.inputs):
        if tensor.is_floating_point() and tensor.numel():
            for component in (0, tensor.numel() - 1):
                row = component * len(tensor) // tensor.numel() if tensor.dim() else 0
                yield _Place(k, component, row if _leads(op, op.inputs[k]) else None)
