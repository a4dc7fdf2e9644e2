"""What other ways to test a gradient would have noticed; for comparison, none of it decides.

`gradcheck` compares two Jacobians, element by element: |a - n| <= atol + rtol |n|. Here n is
autograd's, which at these tolerances is what finite differences give; a is the mutant's, for one
unit cotangent after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from derive.notation.nodes import Component, Index
from derive.notation.op import Op
from derive.plan.roles import roles
from derive.verify.program import Program
from derive.verify.reference import composed
from derive.verify.sample import SMALL, Sample, draw, gradients

LONG = (2, 64, 2, 2, 2, 2)  # lengths of the indices: rows of 64, as in the article

_AT_ONCE = 128  # rows of a Jacobian

Backward = Callable[[tuple[Tensor, ...]], Sequence[Tensor]]  # from cotangents to gradients


@dataclass(frozen=True)
class Way:
    """A way to test: what is compared there, part by part, and how closely."""

    name: str
    truth: Sequence[Sequence[Tensor]]
    found: Callable[[Program], Iterator[Sequence[Tensor]]]
    atol: float
    rtol: float

    def notices(self, program: Program) -> bool:
        """Would a test of this kind fail on the program, be it that it raises?"""
        try:
            return any(map(self._differ, self.found(program), self.truth))
        except RuntimeError:  # a matrix that has no inverse
            return True

    def _differ(self, found: Sequence[Tensor], truth: Sequence[Tensor]) -> bool:
        pairs = zip(found, truth, strict=True)
        return not all(torch.allclose(a, n, atol=self.atol, rtol=self.rtol) for a, n in pairs)


def ways(op: Op) -> list[Way]:
    """The ways that are compared."""
    short, long = draw(op, SMALL), _uniform(draw(op, LONG))
    ones = _shared_at_one(op, draw(op, SMALL))
    summed = replace(ones, cotangents=tuple(map(torch.ones_like, ones.cotangents)))
    return [
        _by_jacobian("gradcheck", op, short, 1e-5, 1e-3),
        _by_jacobian("gradcheck, atol = rtol = 0.1", op, long, 0.1, 0.1),
        _by_gradient("allclose, parameters 1", op, ones),
        _by_gradient("the same of y.sum()", op, summed),
    ]


def _by_jacobian(name: str, op: Op, sample: Sample, atol: float, rtol: float) -> Way:
    def found(program: Program) -> Iterator[Sequence[Tensor]]:
        return _jacobian(lambda dy: _gradients(program, replace(sample, cotangents=dy)), sample)

    def of_numbers(*numbers: Tensor) -> Any:
        given = iter(numbers)
        every = (next(given) if t.is_floating_point() else t for t in sample.inputs)
        return composed(op)(*every)

    pullback = torch.func.vjp(of_numbers, *(t for t in sample.inputs if t.is_floating_point()))[1]
    return Way(name, [*_jacobian(pullback, sample)], found, atol, rtol)


def _by_gradient(name: str, op: Op, sample: Sample) -> Way:
    truth = gradients(composed(op), sample)

    def found(program: Program) -> Iterator[Sequence[Tensor]]:
        yield _gradients(program, sample)

    return Way(name, [truth], found, atol=1e-8, rtol=1e-5)


def _gradients(program: Program, sample: Sample) -> Sequence[Tensor]:
    return program.run(sample)[len(sample.cotangents) :]


def _jacobian(backward: Backward, sample: Sample) -> Iterator[Sequence[Tensor]]:
    """The gradients for each unit cotangent, some at once: most mistakes show in the first."""
    counts = [t.numel() for t in sample.cotangents]
    for first in range(0, sum(counts), _AT_ONCE):
        rows = torch.zeros(min(_AT_ONCE, sum(counts) - first), sum(counts), dtype=torch.float64)
        rows.diagonal(first).fill_(1)
        parts = zip(torch.split(rows, counts, dim=1), sample.cotangents, strict=True)
        units = tuple(u.reshape(-1, *t.shape) for u, t in parts)
        yield torch.func.vmap(lambda *dy: tuple(backward(dy)))(*units)


def _uniform(sample: Sample) -> Sample:
    """Inputs between 0 and 1, as `torch.rand` gives them."""
    generator = torch.Generator().manual_seed(0)

    def drawn(t: Tensor) -> Tensor:
        real = t.is_floating_point()
        return torch.rand(t.shape, generator=generator, dtype=t.dtype) if real else t

    return replace(sample, inputs=tuple(map(drawn, sample.inputs)))


def _shared_at_one(op: Op, sample: Sample) -> Sample:
    """Inputs that all rows share at 1, as γ is in a new model."""
    lead = roles(op).leading
    pairs = zip(op.inputs, sample.inputs, strict=True)
    changed = (
        t if _carries(c, lead) or not t.is_floating_point() else torch.ones_like(t)
        for c, t in pairs
    )
    return replace(sample, inputs=tuple(changed)) if lead else sample


def _carries(component: Component, lead: Index | None) -> bool:
    return lead is not None and lead.size in {i.size for i in component.indices}
