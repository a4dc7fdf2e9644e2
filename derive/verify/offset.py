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
from sympy import Add, Expr

from derive.derivation import differentiate
from derive.notation.nodes import Component, Tensor
from derive.notation.op import Equation, Op
from derive.plan.program import plan
from derive.plan.statement import Statement
from derive.verify.grid import inputs_in, is_sum, on_grid
from derive.verify.memory import walks
from derive.verify.reference import composed, evaluate
from derive.verify.sample import SMALL, Sample, draw, error, errors, results

FAR = 1e6
_GRID = 2.0**-3  # sums of such numbers near 1e6 are exact in fp32
ROUNDINGS = 64  # units of rounding that a result may be off
_NOTHING = 1e-10


def far_from_zero(op: Op, module: ModuleType, sample: Sample) -> tuple[float, float, str]:
    """The worst error over rows in a block and rows in tiles, what is allowed, what was moved."""
    moved = re_centred(op)
    if not moved:
        return 0.0, 0.0, "nothing is re-centred"
    pairs = zip(op.inputs, sample.inputs, strict=True)
    away = tuple(t + FAR if c in moved else t for c, t in pairs)
    rounded = on_grid(replace(sample, inputs=away), _GRID).to(torch.float32)
    want = results(composed(op), rounded.to(torch.float64))
    worst = 0.0
    for walk in walks(module):
        with walk:
            worst = max(worst, errors(results(getattr(module, op.name), rounded), want))
    names = ", ".join(c.tensor.name for c in moved)
    return worst, ROUNDINGS * torch.finfo(torch.float32).eps, f"{names} near {FAR:.0e}"


@cache
def re_centred(op: Op) -> tuple[Component, ...]:
    """The inputs in differences that the program re-centres: it gives those tensors two values.

    Of these, the inputs from sums of which one term is taken, and by whose mean the difference does
    not change: exp(x) minus its sum is another far from zero. On a grid, such sums lose no digit.
    """
    forward = plan(op, differentiate(op)).forward
    times = Counter(s.target.tensor.name for s in forward)
    twice = [s for s in forward if times[s.target.tensor.name] > 1 and s.note]
    raw = [s for s in twice if _given(op, s.expr)]
    near = [c for c in op.differentiable if any(c.tensor in _given(op, s.expr) for s in raw)]
    return tuple(c for c in near if not _feel(op, forward, {s.target.tensor.name for s in raw}, c))


def _given(op: Op, difference: Expr) -> set[Tensor]:
    """The inputs in a difference, if it is a sum of inputs but for one term."""
    terms = [t.as_coeff_Mul()[1] for t in Add.make_args(difference)]
    sums = [t for t in terms if t.atoms(Component) and is_sum(op, t)]
    return set().union(*(inputs_in(op, t) for t in sums)) if len(terms) == len(sums) + 1 else set()


def _feel(op: Op, forward: tuple[Statement, ...], names: set[str], moved: Component) -> bool:
    """Do these differences change where one is added to an input?"""
    sample = draw(op, SMALL)
    pairs = zip(op.inputs, sample.inputs, strict=True)
    away = tuple(t + 1 if c == moved else t for c, t in pairs)
    steps = [Equation(s.target, s.expr, "") for s in forward]
    here, there = (evaluate(op, steps, t, {}) for t in (sample.inputs, away))
    return any(error(there[n], here[n]) > _NOTHING for n in names)
