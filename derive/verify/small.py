"""Other sizes: 1 and 0 for each in turn, 4 for all; of one with a default, 1 and one more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from types import ModuleType

from torch import Tensor

from derive.errors import DeriveError
from derive.notation.conditions import Position
from derive.notation.nodes import Extremum, Labels, Size
from derive.notation.op import Op
from derive.verify.memory import walks, watched
from derive.verify.reference import composed
from derive.verify.sample import SMALL, Sample, draw, draw_with, errors, results

CLOSE = 1e-10
_FULL = 4  # a power of two: then no kernel has a mask, if it is right to have none


def other_sizes(op: Op, module: ModuleType, sample: Sample) -> tuple[float, float, str]:
    """The worst error where the equations give numbers; what is allowed.

    Memory that nobody writes into holds no numbers: of a row of length zero, there are sums, too.
    """
    worst, device = 0.0, sample.inputs[0].device
    found = _other_sizes(op)
    for small, truth in found:
        want = [t.to(device) for t in truth]
        for walk in walks(module):
            with walk, watched(module):
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
    """Small samples, each with one size that is another; and one in which all blocks are full."""
    sizes = list(dict.fromkeys(i.size for i in op.letters))
    usual = [SMALL[k % len(SMALL)] for k in range(len(sizes))]
    for place, size in enumerate(sizes):
        for length in (1, 0) if _may_be_zero(op, size) else (1,):
            yield partial(draw, op, [*usual[:place], length, *usual[place + 1 :]])
    yield partial(draw, op, [_FULL] * len(sizes))
    for extent in op.extents:
        for length in {1, extent.default + 1}:
            yield partial(draw_with, op, usual, {extent.size.name: length})


def _may_be_zero(op: Op, size: Size) -> bool:
    """Is there nothing that is divided by it, drawn from it, picked from it, or its largest?"""
    asked = {i.tensor.values for i in op.inputs if isinstance(i.tensor, Labels)}
    for equation in op.equations:
        asked |= equation.expr.atoms(Size)
        asked |= {d.size for e in equation.expr.atoms(Extremum) for d in e.dummies}
        asked |= {p.index.size for p in equation.expr.atoms(Position)}
    return size not in asked
