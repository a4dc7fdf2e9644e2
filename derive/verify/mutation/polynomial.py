"""Two ways to compute one polynomial: whole numbers go in, and exactly the same ones come out.

Polynomials that agree at random points are equal, with probability near 1 (Schwartz 1980, Zippel
1979). With whole coefficients and small whole numbers fp64 is exact, so that no tolerance hides a
difference, and the order of a sum makes none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import torch
from sympy import Expr, Pow, Rational

from derive.errors import DeriveError
from derive.notation.conditions import Iverson
from derive.notation.functions import Elementwise
from derive.notation.nodes import Extremum, Scalar
from derive.notation.op import Op
from derive.notation.solution import Solution
from derive.verify.sample import Sample, draw, results, sizes_for
from derive.verify.small import draws

POLYNOMIAL = "it is the same polynomial: whole numbers give the same whole numbers"
_SEEDS = 4
_STEPS = 50  # how many whole numbers the unit of a normal draw becomes
_EXACT = 2.0**50


def is_polynomial(op: Op) -> bool:
    """Is every output one, with whole coefficients, in the inputs?"""
    return all(_is_polynomial(e.expr) for e in op.equations)


def _is_polynomial(expr: Expr) -> bool:
    if expr.atoms(Elementwise, Extremum, Solution, Scalar):
        return False
    whole = all(number.is_Integer for number in expr.atoms(Rational))
    powers = all(p.exp.is_Integer and p.exp.is_positive for p in expr.atoms(Pow))
    return whole and powers and all(c.counts for c in expr.atoms(Iverson))


def are_same_polynomial(op: Op, one: ModuleType, other: ModuleType) -> bool:
    """Do both give the same outputs and gradients, bit by bit, at random whole numbers?"""
    if not is_polynomial(op):
        return False
    for sample in _whole(op):
        here, there = (results(getattr(m, op.name), sample) for m in (one, other))
        if any(t.abs().max() > _EXACT for t in here if t.numel()):
            return False
        if not all(map(torch.equal, here, there)):
            return False
    return True


def _whole(op: Op) -> Iterator[Sample]:
    """Samples of whole numbers, of several sizes."""
    usual = (lambda seed=seed: draw(op, sizes_for(op), seed) for seed in range(_SEEDS))
    for drawn in (*usual, *draws(op)):
        try:
            sample = drawn()
        except DeriveError:  # nothing finite at such sizes
            continue
        cotangents = tuple((_STEPS * t).round() for t in sample.cotangents)
        inputs = ((_STEPS * t).round() if t.is_floating_point() else t for t in sample.inputs)
        yield replace(sample, inputs=tuple(inputs), cotangents=cotangents)
