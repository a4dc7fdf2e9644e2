"""Random inputs for checks, what autograd makes of them, and how far two results are apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from derive.errors import DeriveError
from derive.notation.draw import values_of
from derive.notation.nodes import Component, Labels
from derive.notation.op import Op
from derive.verify.reference import composed

SIZES = (5, 7, 3, 6, 4, 2)  # lengths of the indices, distinct, so that a swapped axis shows
MANY = (5, 3, 6, 7, 4, 2)  # of more than three indices: fewer rows
SMALL = (3, 4, 5, 3, 4, 2)  # for what costs a run for each component

Function = Callable[..., Any]
_SELDOM = 0.25  # how often a label is no value of its index, where the op reckons with that
_REACH = 16  # by how much results stay below the largest number of a type


@dataclass(frozen=True)
class Sample:
    """Inputs and cotangents of one draw, and values of scalars other than their defaults."""

    inputs: tuple[Tensor, ...]
    cotangents: tuple[Tensor, ...]
    scalars: Mapping[str, float] = field(default_factory=dict)

    def on(self, device: torch.device) -> Sample:
        """The same numbers on another device."""
        return self._each(lambda t: t.to(device))

    def to(self, dtype: torch.dtype) -> Sample:
        """The numbers rounded to another type; integers stay."""
        return self._each(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Sample:
        inputs, cotangents = tuple(map(change, self.inputs)), tuple(map(change, self.cotangents))
        return replace(self, inputs=inputs, cotangents=cotangents)


DRAWS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda t: t,  # normal
    lambda t: 0.5 + t.abs(),  # positive, for roots and logarithms
    lambda t: 0.1 + 0.8 * torch.sigmoid(t),  # between 0 and 1
    lambda t: 1.5 + t.abs(),
)


def sizes_for(op: Op) -> tuple[int, ...]:
    """Lengths of the indices of an op."""
    return MANY if len({i.size for i in op.letters}) > 3 else SIZES


def draw(op: Op, sizes: Sequence[int], seed: int = 0, dtype: torch.dtype = torch.float64) -> Sample:
    """Dense random inputs, in fp64, for which the op and its gradients are finite in a type."""
    return _draw(op, _lengths(op, sizes), seed, dtype)[0]


def draw_with(op: Op, sizes: Sequence[int], extents: Mapping[str, int], seed: int = 0) -> Sample:
    """The same, with values for the sizes that an op has by default."""
    return _draw(op, _lengths(op, sizes) | dict(extents), seed, torch.float64, extents)[0]


def draw_large(op: Op, lengths: Mapping[str, int], seed: int = 0) -> Sample:
    """Inputs in fp64 of these sizes, in a range in which a small draw is finite, unchecked."""
    shift = _draw(op, _lengths(op, SMALL), seed, torch.float64)[1]
    generator = torch.Generator().manual_seed(seed)
    inputs = tuple(_drawn(op, c, lengths, shift, generator) for c in op.inputs)
    shapes = (_shape(c, lengths) for c in op.outputs)
    return Sample(inputs, tuple(_normal(shape, generator) for shape in shapes))


def _draw(
    op: Op,
    lengths: Mapping[str, int],
    seed: int,
    dtype: torch.dtype,
    extents: Mapping[str, float] | None = None,
) -> tuple[Sample, Callable[[Tensor], Tensor]]:
    """A draw, and the range that it was taken from."""
    for shift in DRAWS:
        generator = torch.Generator().manual_seed(seed)
        inputs = tuple(_drawn(op, c, lengths, shift, generator) for c in op.inputs)
        sample = Sample(inputs, (), dict(extents or {}))
        found = outputs(composed(op), sample)
        sample = replace(sample, cotangents=tuple(_normal(o.shape, generator) for o in found))
        if _fits(op, sample, dtype):
            return sample, shift
    raise DeriveError(f"{op.name} is not finite on any of the inputs that were tried")


def _normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _shape(component: Component, lengths: Mapping[str, int]) -> list[int]:
    axes = component.tensor.axes(component.indices)
    return [prod(lengths[i.size.name] for i in a) for a in axes]


def _drawn(
    op: Op,
    component: Component,
    lengths: Mapping[str, int],
    shift: Callable[[Tensor], Tensor],
    generator: torch.Generator,
) -> Tensor:
    shape, tensor = _shape(component, lengths), component.tensor
    if not isinstance(tensor, Labels):
        return shift(_normal(shape, generator))
    defaults = {p.symbol: p.default for p in op.parameters}
    values = values_of(tensor, {i.size: lengths[i.size.name] for i in op.letters})
    found = torch.randint(values.start, values.stop, shape, generator=generator)
    for number in tensor.sentinels:
        found[torch.rand(shape, generator=generator) < _SELDOM] = int(defaults.get(number, number))
    return found


def _fits(op: Op, sample: Sample, dtype: torch.dtype) -> bool:
    """Is every result finite in fp64, and in fp32 well within the range of a shorter type?"""
    if not all(t.isfinite().all() for t in results(composed(op), sample)):
        return False
    if dtype == torch.float64:
        return True
    found = results(composed(op), sample.to(torch.float32))
    return all((t.abs() < torch.finfo(dtype).max / _REACH).all() for t in found)


def _lengths(op: Op, sizes: Sequence[int]) -> dict[str, int]:
    names = list(dict.fromkeys(i.size.name for i in op.letters))
    lengths = {name: sizes[k % len(sizes)] for k, name in enumerate(names)}
    return lengths | {e.size.name: e.default for e in op.extents}


def gradients(function: Function, sample: Sample) -> tuple[Tensor, ...]:
    """The gradients of ⟨outputs, cotangents⟩ by autograd; zero for an input without influence."""
    inputs = tuple(fresh(t) for t in sample.inputs)
    real = tuple(t for t in inputs if t.requires_grad)
    total = paired(function(*inputs, **sample.scalars), sample)
    if not total.requires_grad:
        return tuple(torch.zeros_like(t) for t in real)
    return torch.autograd.grad(total, real, allow_unused=True, materialize_grads=True)


def fresh(tensor: Tensor) -> Tensor:
    """A copy that autograd follows, if it holds no integers."""
    copy = tensor.detach().clone()
    return copy.requires_grad_() if copy.is_floating_point() else copy


def outputs(function: Function, sample: Sample) -> tuple[Tensor, ...]:
    """The outputs, as a tuple even if there is one."""
    with torch.no_grad():
        found = function(*sample.inputs, **sample.scalars)
    return found if isinstance(found, tuple) else (found,)


def followed(function: Function, sample: Sample) -> tuple[Tensor, ...]:
    """The outputs that autograd follows, as a tuple even if there is one."""
    found = function(*map(fresh, sample.inputs), **sample.scalars)
    return tuple(t.detach() for t in (found if isinstance(found, tuple) else (found,)))


def results(function: Function, sample: Sample) -> tuple[Tensor, ...]:
    """Outputs and gradients."""
    return (*outputs(function, sample), *gradients(function, sample))


def paired(found: Any, sample: Sample) -> Tensor:
    """⟨outputs, cotangents⟩."""
    found = found if isinstance(found, tuple) else (found,)
    pairs = zip(found, sample.cotangents, strict=True)
    return torch.stack([(o * c).sum() for o, c in pairs]).sum()


def error(got: Tensor, want: Tensor) -> float:
    """max |got - want| / max |want|; absolute where nothing larger than 1e-12 is wanted."""
    if got.shape != want.shape:
        return float("inf")
    if got.numel() == 0:
        return 0.0
    off = (got.double() - want.double()).abs().max().item()
    scale = want.double().abs().max().item()
    worst = off / scale if scale > 1e-12 else off
    return float("inf") if math.isnan(worst) else worst


def errors(got: Sequence[Tensor], want: Sequence[Tensor]) -> float:
    """The worst error over tensors that belong together."""
    return max((error(g, w) for g, w in zip(got, want, strict=True)), default=0.0)
