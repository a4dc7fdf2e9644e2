"""What a check can see: the smallest error in any one term of the derived program that it catches.

A check at which a whole term, or a parameter such as ε, could be wrong unnoticed proves nothing.
Each term and parameter is disturbed a little, and the results answer by so much; a tolerance then
catches relative errors from tolerance/answer on. Inputs are drawn again, and parameters that are
too small to count are made larger, until every term counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from sympy import Pow
from torch import Tensor

from derive.derivation import Derivation
from derive.notation.nodes import Labels, Scalar
from derive.notation.op import Op
from derive.verify.program import Place, Program, program
from derive.verify.reference import composed
from derive.verify.sample import Sample, draw, errors, results

_DISTURBANCE = 1e-3
_NOTHING = 1e-10  # an answer that is rounding: the term cancels whatever it is
_TRIES = 12
_ENOUGH = 0.25  # an error of a quarter in any one term is to be caught


def answers(program: Program, sample: Sample) -> dict[Place, float]:
    """How much the results change beside a relative change of each term or parameter."""
    exact = program.run(sample)
    found = {p: errors(_disturbed(program, p, sample), exact) for p in program.places}
    return {p: change / _DISTURBANCE for p, change in found.items()}


def _disturbed(program: Program, place: Place, sample: Sample) -> Sequence[Tensor]:
    if place.scalar is None:
        return program.scaled(place, 1 + _DISTURBANCE).run(sample)
    values = _scalars(program, sample)
    changed = values | {place.scalar: values[place.scalar] * (1 + _DISTURBANCE)}
    return program.run(replace(sample, scalars=changed))


def _scalars(program: Program, sample: Sample) -> dict[str, float]:
    defaults = {p.symbol.name: float(p.default) for p in program.derivation.op.parameters}
    return defaults | dict(sample.scalars)


def caught(found: Mapping[Place, float], tolerance: float) -> tuple[float, str]:
    """The relative error from which on a check at this tolerance sees any one place; the worst."""
    counting = {p: answer for p, answer in found.items() if answer > _NOTHING}
    if not counting:
        return 0.0, ""
    least = min(counting, key=counting.__getitem__)
    return tolerance / counting[least], least.name


def visible(
    derivation: Derivation,
    sizes: Sequence[int],
    tolerance: float,
    dtype: torch.dtype = torch.float64,
) -> Sample:
    """A sample on which every term counts at this tolerance; the best one, if there is none.

    The op computed in the type, in fp32 for a shorter one, overflows nowhere.
    """
    made = program(derivation)
    scalars = _with_values(derivation.op, sizes, dtype)
    best: tuple[float, Sample] | None = None
    for seed in range(_TRIES):
        sample = replace(draw(derivation.op, sizes, seed, dtype), scalars=dict(scalars))
        found = answers(made, sample)
        threshold, _ = caught(found, tolerance)
        if best is None or threshold < best[0]:
            best = threshold, sample
        if threshold <= _ENOUGH:
            break
        scalars |= _larger(made, sample, found, tolerance)
    assert best is not None
    return best[1]


def _telling(op: Op) -> dict[str, float]:
    """Other values for whole numbers, which hide: p where it is 1, p - 1 where it is 2.

    No two parameters are equal, so that one taken for another shows.
    """
    labels = [c.tensor for c in op.inputs if isinstance(c.tensor, Labels)]
    sentinels = {number for label in labels for number in label.sentinels}
    values: dict[str, float] = {}
    for k, parameter in enumerate(p for p in op.parameters if p.symbol not in sentinels):
        value = float(parameter.default)
        if value.is_integer():
            values[parameter.symbol.name] = value + 0.25 + k / 16
        elif value in values.values():
            values[parameter.symbol.name] = value * (1 + k / 4)
    return values


def _exponents(op: Op) -> set[str]:
    """The parameters in exponents: of what is negative, not every power is a number."""
    powers = (p for e in op.equations for p in e.expr.atoms(Pow))
    return {s.name for p in powers for s in p.exp.atoms(Scalar)}


def _with_values(op: Op, sizes: Sequence[int], dtype: torch.dtype) -> dict[str, float]:
    """Telling values, at which results are numbers."""
    values = _telling(op)
    sample = replace(draw(op, sizes, 0, dtype), scalars=values)
    if all(t.isfinite().all() for t in results(composed(op), sample)):
        return values
    return {name: v for name, v in values.items() if name not in _exponents(op)}


def _larger(
    program: Program, sample: Sample, found: Mapping[Place, float], tolerance: float
) -> dict[str, float]:
    """Ten times the parameters that are too small to be seen; an exponent stays as it is."""
    values = _scalars(program, sample)
    unseen = {p for p, answer in found.items() if _NOTHING < answer < tolerance / _ENOUGH}
    names = {n for p in unseen for n in (p.parameters | ({p.scalar} if p.scalar else set()))}
    return {n: values[n] * 10 for n in names if abs(values[n]) < 1}
