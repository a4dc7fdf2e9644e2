"""Derivatives by a complex step: Im f(x + ih)/h is f'(x) to the last digit, nothing cancels.

Squire, Trapp, Using complex variables to estimate derivatives of real functions, SIAM Review 1998.
The equations of the op are evaluated as they stand; nothing of the derivation, and no autograd.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from derive.notation.op import Op
from derive.verify.reference import FUNCTIONS, Numbers, evaluate, together
from derive.verify.sample import Sample

_STEP = 1e-40  # its square is nothing beside 1, and it is far from the smallest double
_MOST = 200  # components that are tried


def _power(base: Tensor, exponent: float) -> Tensor:
    """Whole powers by products: the logarithm of a negative number has an argument of π."""
    if exponent != int(exponent):
        return torch.pow(base, exponent)
    found = torch.ones_like(base)
    for _ in range(abs(int(exponent))):
        found = found * base
    return found if exponent >= 0 else 1 / found


def _erf(z: Tensor) -> Tensor:
    slope = 2 / math.sqrt(math.pi) * torch.exp(-(z.real**2))
    return torch.complex(torch.erf(z.real), slope * z.imag)


def _abs(z: Tensor) -> Tensor:
    return z * torch.sign(z.real)


def _larger(a: Tensor, b: Tensor) -> Tensor:
    """One of both, and no digit lost of a small one beside a large; at a tie their mean."""
    equal = torch.where(a.real == b.real, (a + b) / 2, b)
    return torch.where(a.real > b.real, a, equal)


def _attaining(z: Tensor, extreme: Tensor) -> Tensor:
    """The mean of those whose real part is the extreme."""
    attained = (z.real == extreme).to(z.dtype)
    return (z * attained).sum(-1) / attained.sum(-1)


NUMBERS = Numbers(
    FUNCTIONS
    | {
        "sigmoid": lambda z: 1 / (1 + torch.exp(-z)),
        "softplus": lambda z: torch.log(1 + torch.exp(z)),
        "erf": _erf,
        "abs": _abs,
        "sign": lambda z: torch.sign(z.real).to(z.dtype),
        "relu": lambda z: torch.where(z.real > 0, z, 0),
        "min": lambda a, b: -_larger(-a, -b),
        "max": _larger,
        "amax": lambda z: _attaining(z, torch.amax(z.real, -1, keepdim=True)),
        "amin": lambda z: _attaining(z, torch.amin(z.real, -1, keepdim=True)),
    },
    _power,
)


def by_complex_step(
    op: Op, sample: Sample, seed: int = 0, most: int = _MOST
) -> Iterator[tuple[int, int, float]]:
    """An input, a place in it, and the derivative of ⟨outputs, cotangents⟩ by it there."""
    real = [k for k, t in enumerate(sample.inputs) if t.is_floating_point()]
    places = [(k, n) for k in real for n in range(sample.inputs[k].numel())]
    random.Random(seed).shuffle(places)  # noqa: S311  # which components are tried is no secret
    inputs = [t.to(torch.complex128) if k in real else t for k, t in enumerate(sample.inputs)]
    for which, place in islice(places, most):
        stepped = [t.clone() for t in inputs]
        stepped[which].view(-1)[place] += _STEP * 1j
        values = evaluate(op, op.equations, stepped, sample.scalars, NUMBERS)
        pairs = zip(op.outputs, sample.cotangents, strict=True)
        total = sum((together(c, values[c.tensor.name]) * dy).sum() for c, dy in pairs)
        yield real.index(which), place, float(torch.as_tensor(total).imag) / _STEP
