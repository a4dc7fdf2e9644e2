"""fp32 far from zero: a mean of 1e6 costs no digits where a zero sum was proved.

There the program takes off whatever the sum comes out as. In fp64, and where means are small, that
changes nothing that another check sees; so only this one tells whether it is done, and done right.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from types import ModuleType

import torch

from derive.derivation import differentiate
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.plan.program import plan
from derive.verify.memory import walks
from derive.verify.reference import composed
from derive.verify.sample import Sample, errors, results

FAR = 1e6
ROUNDINGS = 64  # units of rounding that a result may be off


def far_from_zero(op: Op, module: ModuleType, sample: Sample) -> tuple[float, float, str]:
    """The worst error over rows in a block and rows in tiles, what is allowed, what was moved."""
    moved = re_centred(op)
    if not moved:
        return 0.0, 0.0, "nothing is re-centred"
    pairs = zip(op.inputs, sample.inputs, strict=True)
    away = tuple(t + FAR if c in moved else t for c, t in pairs)
    rounded = replace(sample, inputs=away).to(torch.float32)
    want = results(composed(op), rounded.to(torch.float64))
    worst = 0.0
    for walk in walks(module):
        with walk:
            worst = max(worst, errors(results(getattr(module, op.name), rounded), want))
    names = ", ".join(c.tensor.name for c in moved)
    return worst, ROUNDINGS * torch.finfo(torch.float32).eps, f"{names} near {FAR:.0e}"


@cache
def re_centred(op: Op) -> tuple[Component, ...]:
    """The inputs in differences that the program re-centres: it gives those tensors two values."""
    forward = plan(op, differentiate(op)).forward
    times = Counter(s.target.tensor.name for s in forward)
    raw = [s for s in forward if times[s.target.tensor.name] > 1 and s.note]
    tensors = {c.tensor for s in raw for c in s.uses}
    return tuple(c for c in op.differentiable if c.tensor in tensors)
