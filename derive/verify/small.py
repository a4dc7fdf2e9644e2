"""Other sizes: each is 1 in turn, rows of one number; one with a default is 1, and one more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from types import ModuleType

from torch import Tensor

from derive.errors import DeriveError
from derive.notation.op import Op
from derive.verify.memory import walks
from derive.verify.reference import composed
from derive.verify.sample import SMALL, Sample, draw, draw_with, errors, results

CLOSE = 1e-10


def other_sizes(op: Op, module: ModuleType, sample: Sample) -> tuple[float, float, str]:
    """The worst error where the equations give numbers; what is allowed."""
    worst, device = 0.0, sample.inputs[0].device
    found = _other_sizes(op)
    for small, truth in found:
        want = [t.to(device) for t in truth]
        for walk in walks(module):
            with walk:
                got = results(getattr(module, op.name), small.on(device))
            worst = max(worst, errors(got, want))
    return worst, CLOSE, f"{len(found)} sizes"


@cache
def _other_sizes(op: Op) -> tuple[tuple[Sample, tuple[Tensor, ...]], ...]:
    """Samples in which one size is another, and the results there, if they are numbers."""
    return tuple(_with_results(op))


def _with_results(op: Op) -> Iterator[tuple[Sample, tuple[Tensor, ...]]]:
    for drawn in draws(op):
        try:
            sample = drawn()  # finite, or refused
        except DeriveError:
            continue
        yield sample, results(composed(op), sample)


def draws(op: Op) -> Iterator[Callable[[], Sample]]:
    """Small samples, each with one size that is another."""
    count = len(dict.fromkeys(i.size.name for i in op.letters))
    usual = [SMALL[k % len(SMALL)] for k in range(count)]
    for place in range(count):
        yield partial(draw, op, [*usual[:place], 1, *usual[place + 1 :]])
    for extent in op.extents:
        for length in {1, extent.default + 1}:
            yield partial(draw_with, op, usual, {extent.size.name: length})
