"""`derive verify`: what was generated against autograd of the equations, one row a check."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError, gradcheck

from derive.emit.module import build
from derive.errors import DeriveError
from derive.notation.op import Op
from derive.plan.roles import roles
from derive.verify.reference import composed

SIZES = (5, 7, 4, 3, 6, 2)  # lengths of the indices, distinct, so that a swapped axis shows
SMALL = (3, 4, 5, 3, 4, 2)  # for gradcheck
EXACT = 1e-10
ROUNDINGS = 64  # how many units of rounding a result in fp32 may be off
COARSE = 4  # and in a 16-bit type, where the result itself is rounded


@dataclass(frozen=True)
class Row:
    """One check: the worst error seen, relative to the largest value, and what was allowed."""

    check: str
    passed: bool
    worst: float
    tolerance: float
    note: str = ""


@dataclass(frozen=True)
class Sample:
    """Inputs and cotangents of one draw."""

    inputs: tuple[Tensor, ...]
    cotangents: tuple[Tensor, ...]

    def to(self, dtype: torch.dtype) -> Sample:
        return Sample(
            tuple(t.to(dtype) for t in self.inputs), tuple(t.to(dtype) for t in self.cotangents)
        )


DRAWS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda t: t,  # normal
    lambda t: 0.5 + t.abs(),  # positive, for roots and logarithms
    lambda t: 0.1 + 0.8 * torch.sigmoid(t),  # between 0 and 1
    lambda t: 1.5 + t.abs(),
)


def verify(op: Op, backend: str) -> list[Row]:
    """Check the module that one backend generates for an op."""
    module = build(op, backend)
    sample = draw(op, SIZES)
    rows = [_against_autograd(op, module, sample), *_in_lower_precision(op, module, sample)]
    if roles(op).leading is not None:
        rows.append(_leading_axes(op, module, sample))
    rows.append(_gradcheck(op, module))
    return rows


def draw(op: Op, sizes: Sequence[int], seed: int = 0) -> Sample:
    """Dense random inputs for which the op and its gradients are finite, in fp64."""
    lengths = _lengths(op, sizes)
    for shift in DRAWS:
        generator = torch.Generator().manual_seed(seed)
        inputs = tuple(
            shift(
                torch.randn(
                    [lengths[i.size.name] for i in c.indices],
                    generator=generator,
                    dtype=torch.float64,
                )
            )
            for c in op.inputs
        )
        outputs = composed(op)(*inputs)
        cotangents = tuple(
            torch.randn(o.shape, generator=generator, dtype=torch.float64) for o in outputs
        )
        sample = Sample(inputs, cotangents)
        if all(t.isfinite().all() for t in (*outputs, *_gradients(composed(op), sample))):
            return sample
    raise DeriveError(f"{op.name} is not finite on any of the inputs that were tried")


def _lengths(op: Op, sizes: Sequence[int]) -> dict[str, int]:
    names = list(dict.fromkeys(i.size.name for i in op.letters))
    return {name: sizes[k % len(sizes)] for k, name in enumerate(names)}


def _gradients(function: Callable[..., Any], sample: Sample) -> tuple[Tensor, ...]:
    """The gradients of ⟨outputs, cotangents⟩ by autograd; zero for an input without influence."""
    inputs = tuple(t.detach().clone().requires_grad_() for t in sample.inputs)
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    total = torch.stack(
        [(o * c).sum() for o, c in zip(outputs, sample.cotangents, strict=True)]
    ).sum()
    if not total.requires_grad:
        return tuple(torch.zeros_like(t) for t in inputs)
    return torch.autograd.grad(total, inputs, allow_unused=True, materialize_grads=True)


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


def _errors(
    function: Callable[..., Any], want: Callable[..., Any], sample: Sample, exact: Sample
) -> float:
    """The worst error over outputs and gradients, `want` computed on the exact sample."""
    with torch.no_grad():
        got_outputs, want_outputs = function(*sample.inputs), want(*exact.inputs)
    got_outputs = got_outputs if isinstance(got_outputs, tuple) else (got_outputs,)
    pairs = [*zip(got_outputs, want_outputs, strict=True)]
    pairs += zip(_gradients(function, sample), _gradients(want, exact), strict=True)
    return max(error(g, w) for g, w in pairs)


def _against_autograd(op: Op, module: ModuleType, sample: Sample) -> Row:
    worst = _errors(getattr(module, op.name), composed(op), sample, sample)
    return Row("fp64 against autograd", worst <= EXACT, worst, EXACT)


def _in_lower_precision(op: Op, module: ModuleType, sample: Sample) -> Iterator[Row]:
    """The same rounded inputs in fp64 are the truth; composed operations may set a wider bound."""
    for dtype, units in ((torch.float32, ROUNDINGS), (torch.bfloat16, COARSE)):
        rounded = sample.to(dtype)
        exact = rounded.to(torch.float64)
        worst = _errors(getattr(module, op.name), composed(op), rounded, exact)
        plain = _errors(composed(op), composed(op), rounded, exact)
        allowed = max(units * torch.finfo(dtype).eps, 2 * plain)
        name = str(dtype).removeprefix("torch.")
        yield Row(
            f"{name} against fp64", worst <= allowed, worst, allowed, f"composed ops: {plain:.1e}"
        )


def _leading_axes(op: Op, module: ModuleType, sample: Sample) -> Row:
    """The row index stands for any number of leading axes."""
    function = getattr(module, op.name)
    lead = roles(op).leading
    assert lead is not None

    def split(tensor: Tensor, component: Any) -> Tensor:
        leads = component.indices and component.indices[0].size == lead.size
        return torch.stack((tensor, -tensor)) if leads else tensor

    inputs = tuple(split(t, c) for t, c in zip(sample.inputs, op.inputs, strict=True))
    joined = tuple(
        t.flatten(0, 1) if c.indices and c.indices[0].size == lead.size else t
        for t, c in zip(inputs, op.inputs, strict=True)
    )
    with torch.no_grad():
        deep, flat = function(*inputs), function(*joined)
    deep = deep if isinstance(deep, tuple) else (deep,)
    flat = flat if isinstance(flat, tuple) else (flat,)
    same = all(
        torch.equal(d.reshape(f.shape).nan_to_num(), f.nan_to_num())
        for d, f in zip(deep, flat, strict=True)
    )
    return Row("leading axes", same, 0.0 if same else float("inf"), 0.0)


def _gradcheck(op: Op, module: ModuleType) -> Row:
    """Finite differences at fp64, with tolerances that a wrong term does not pass."""
    sample = draw(op, SMALL, seed=1)
    inputs = tuple(t.requires_grad_() for t in sample.inputs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gradcheck(getattr(module, op.name), inputs, eps=1e-5, atol=1e-9, rtol=1e-7)
    except GradcheckError as failure:
        return Row("gradcheck", False, float("inf"), 1e-7, str(failure).splitlines()[0])
    return Row("gradcheck", True, 0.0, 1e-7)
