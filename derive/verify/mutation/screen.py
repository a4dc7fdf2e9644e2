"""The checks that judge mutants: those of `derive verify`, after a quick one that most do not pass.

Of two rows, gradients alone, kernels take a fifth of the time. What sees most for its time comes
next, what takes long last. Left out are finite differences, which see what autograd sees, less
closely, and take the longest; and what is about the formulas alone, whatever the source is.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from derive.notation.op import Op
from derive.plan.roles import roles
from derive.verify.leading import led
from derive.verify.reference import composed
from derive.verify.run import CHECKS, EXACT, Check, Verdict, sample_for
from derive.verify.sample import Sample, errors, gradients
from derive.verify.tiles import in_tiles

_ROWS = 2


def _two_rows(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """The gradients of two rows."""
    del sample
    short, truth = _short(op)
    return errors(gradients(getattr(module, op.name), short), truth), EXACT, ""


def _two_rows_in_tiles(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    with in_tiles(module):
        return _two_rows(op, module, sample)


@cache
def _short(op: Op) -> tuple[Sample, tuple[Tensor, ...]]:
    sample = sample_for(op, torch.float64)
    if roles(op).leading is not None:
        sample = led(op, sample, lambda t: t[:_ROWS])
    return sample, gradients(composed(op), sample)


_SCREENS: tuple[tuple[str, Check], ...] = (
    ("gradients of two rows", _two_rows),
    ("gradients of two rows, in tiles", _two_rows_in_tiles),
)
QUICK = {name for name, _ in _SCREENS}
LONG = {"not a number", "passes by themselves"}  # a mutant must pass them; a probe shows elsewhere
_SHARP = (
    "fp64 against autograd",
    "one gradient at a time",
    "memory of its own",
    "rows in tiles",
)
_SLOW = {"where it switches", "far from zero", *LONG}
_NONE = {"gradcheck", "gradgradcheck", "exact, by dual numbers"}
JUDGES = (
    *_SCREENS,
    *((name, dict(CHECKS)[name]) for name in _SHARP),
    *(c for c in CHECKS if c[0] not in {*_SHARP, *_NONE, *_SLOW}),
    *(c for c in CHECKS if c[0] in _SLOW),
)
