"""Each size is 1 in turn: rows of one number, sums of one term."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import ModuleType

from torch import Tensor

from derive.errors import DeriveError
from derive.notation.op import Op
from derive.verify.memory import walks
from derive.verify.reference import composed
from derive.verify.sample import SMALL, Sample, draw, errors, results

CLOSE = 1e-10


def of_one(op: Op, module: ModuleType, sample: Sample) -> tuple[float, float, str]:
    """The worst error where the equations give numbers; what is allowed."""
    worst, device = 0.0, sample.inputs[0].device
    found = _of_one(op)
    for small, truth in found:
        want = [t.to(device) for t in truth]
        for walk in walks(module):
            with walk:
                got = results(getattr(module, op.name), small.on(device))
            worst = max(worst, errors(got, want))
    return worst, CLOSE, f"{len(found)} sizes"


@cache
def _of_one(op: Op) -> tuple[tuple[Sample, tuple[Tensor, ...]], ...]:
    """Samples in which one size is 1, and the results there, if they are numbers."""
    return tuple(_with_results(op))


def _with_results(op: Op) -> Iterator[tuple[Sample, tuple[Tensor, ...]]]:
    count = len(dict.fromkeys(i.size.name for i in op.letters))
    for place in range(count):
        sizes = [SMALL[k % len(SMALL)] for k in range(count)]
        sizes[place] = 1
        try:
            sample = draw(op, sizes)  # finite, or refused
        except DeriveError:
            continue
        yield sample, results(composed(op), sample)
