"""`derive verify`: what was generated against autograd of the equations, one row a check."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError, gradcheck

from derive.derivation import Derivation, differentiate
from derive.emit.module import build
from derive.errors import DeriveError
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.plan.roles import roles
from derive.verify.exact import exact as compare_exactly
from derive.verify.reference import composed
from derive.verify.relations import related, worst_violation

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

    def on(self, device: torch.device) -> Sample:
        """The same numbers on another device."""
        return Sample(
            tuple(t.to(device) for t in self.inputs), tuple(t.to(device) for t in self.cotangents)
        )

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
    sample = draw(op, SIZES).on(device_for(module))
    return [
        _checked(name, check, op, module, sample)
        for name, check in CHECKS
        if _applies(name, op, module)
    ]


def device_for(module: ModuleType) -> torch.device:
    """Compiled kernels want a GPU; all else is compared on the CPU."""
    has_kernels = hasattr(module, "triton")
    return torch.device("cuda" if has_kernels and torch.cuda.is_available() else "cpu")


def _applies(name: str, op: Op, module: ModuleType) -> bool:
    """Some checks need a leading row axis, or kernels that walk tiles."""
    if name in ("leading axes", "no rows"):
        return roles(op).leading is not None
    if name == "its own relations":
        return bool(related(_derivation(op)))
    return name != "rows in tiles" or hasattr(module, "_TILE")


def _checked(name: str, check: Check, op: Op, module: ModuleType, sample: Sample) -> Row:
    """The row of a check; generated code that raises has failed it."""
    try:
        worst, allowed, note = check(op, module, sample)
    except DeriveError:
        raise
    except Exception as failure:  # noqa: BLE001  # whatever generated code does wrong is its verdict
        return Row(name, False, math.inf, 0.0, f"{type(failure).__name__}: {failure}"[:200])
    return Row(name, worst <= allowed, worst, allowed, note)


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
    total = _paired(function(*inputs), sample)
    if not total.requires_grad:
        return tuple(torch.zeros_like(t) for t in inputs)
    return torch.autograd.grad(total, inputs, allow_unused=True, materialize_grads=True)


def _paired(outputs: Any, sample: Sample) -> Tensor:
    """⟨outputs, cotangents⟩."""
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    pairs = zip(outputs, sample.cotangents, strict=True)
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


Verdict = tuple[float, float, str]  # the worst error, what is allowed, a note


def _against_autograd(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    return _errors(getattr(module, op.name), composed(op), sample, sample), EXACT, ""


def _in(dtype: torch.dtype, units: int) -> Check:
    """The same rounded inputs in fp64 are the truth; composed operations may set a wider bound."""

    def check(op: Op, module: ModuleType, sample: Sample) -> Verdict:
        rounded = sample.to(dtype)
        exact = rounded.to(torch.float64)
        plain = _errors(composed(op), composed(op), rounded, exact)
        worst = _errors(getattr(module, op.name), composed(op), rounded, exact)
        return worst, max(units * torch.finfo(dtype).eps, 2 * plain), f"composed ops: {plain:.1e}"

    return check


def _in_tiles(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """Rows longer than a block, made cheap by a short block."""
    with patch.multiple(module, _LONGEST_ROW=0, _TILE=4):
        return _against_autograd(op, module, sample)


def _one_at_a_time(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """A gradient that is asked for alone is the one that comes with all others."""
    function = getattr(module, op.name)
    together = _gradients(function, sample)
    worst = 0.0
    for place, want in enumerate(together):
        inputs = [t.detach().clone() for t in sample.inputs]
        inputs[place].requires_grad_()
        total = _paired(function(*inputs), sample)
        (got,) = torch.autograd.grad(
            total, inputs[place], allow_unused=True, materialize_grads=True
        )
        worst = max(worst, error(got, want))
    return worst, EXACT, ""


def _leading_axes(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """The row index stands for any number of leading axes: for two, and for none."""
    function = getattr(module, op.name)
    deep = _shaped(op, sample, lambda t: torch.stack((t, t.flip(0))))
    flat = _shaped(op, sample, lambda t: torch.cat((t, t.flip(0))))
    pairs = [*zip(_all(function, deep), _all(function, flat), strict=True)]
    worst = max(error(d.reshape(f.shape), f) for d, f in pairs)
    single = _shaped(op, sample, lambda t: t[0])
    kept = _shaped(op, sample, lambda t: t[:1])
    pairs = [*zip(_all(function, single), _all(function, kept), strict=True)]
    return max(worst, *(error(s.reshape(k.shape), k) for s, k in pairs)), EXACT, ""


def _no_rows(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """An empty batch gives empty outputs, and no gradient that is not finite."""
    empty = _shaped(op, sample, lambda t: t[:0])
    gradients = _gradients(getattr(module, op.name), empty)
    expected = _gradients(composed(op), empty)
    both = [(g, w) for g, w in zip(gradients, expected, strict=True) if w.isfinite().all()]
    return max([error(g, w) for g, w in both], default=0.0), EXACT, ""


def _shaped(op: Op, sample: Sample, change: Callable[[Tensor], Tensor]) -> Sample:
    """The sample with its tensors changed along the leading axis, where they have it."""
    lead = roles(op).leading
    assert lead is not None

    def changed(tensor: Tensor, component: Component) -> Tensor:
        leads = component.indices and component.indices[0].size == lead.size
        return change(tensor) if leads else tensor

    inputs = tuple(map(changed, sample.inputs, op.inputs))
    return Sample(inputs, tuple(map(changed, sample.cotangents, op.outputs)))


def _all(function: Callable[..., Any], sample: Sample) -> tuple[Tensor, ...]:
    """Outputs and gradients."""
    with torch.no_grad():
        outputs = function(*sample.inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return (*outputs, *_gradients(function, sample))


def _gradcheck(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """Finite differences at fp64, with tolerances that a wrong term does not pass."""
    del sample  # a smaller one does
    small = draw(op, SMALL, seed=1).on(device_for(module))
    inputs = tuple(t.requires_grad_() for t in small.inputs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gradcheck(getattr(module, op.name), inputs, eps=1e-5, atol=1e-9, rtol=1e-7)
    except GradcheckError as failure:
        return math.inf, 1e-7, str(failure).splitlines()[0]
    return 0.0, 1e-7, ""


def _own_relations(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """What the symmetries of the op say about its gradients, with no reference at all."""
    derivation = _derivation(op)
    gradients = _gradients(getattr(module, op.name), sample)
    worst, reason = worst_violation(derivation, sample.inputs, sample.cotangents, gradients)
    count = len(related(derivation))
    return worst, EXACT, f"{count} relations" + (f", worst for {reason}" if worst > EXACT else "")


@cache
def _derivation(op: Op) -> Derivation:
    return differentiate(op)


def _by_dual_numbers(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """The formulas that the module computes: each component equal, or not."""
    del module, sample  # it is about what is derived, at exact inputs of its own
    report = compare_exactly(op, _derivation(op))
    return 0.0 if report.mismatch is None else math.inf, 0.0, str(report)


Check = Callable[[Op, ModuleType, Sample], Verdict]
CHECKS: tuple[tuple[str, Check], ...] = (
    ("fp64 against autograd", _against_autograd),
    ("float32 against fp64", _in(torch.float32, ROUNDINGS)),
    ("bfloat16 against fp64", _in(torch.bfloat16, COARSE)),
    ("rows in tiles", _in_tiles),
    ("one gradient at a time", _one_at_a_time),
    ("leading axes", _leading_axes),
    ("no rows", _no_rows),
    ("gradcheck", _gradcheck),
    ("its own relations", _own_relations),
    ("exact, by dual numbers", _by_dual_numbers),
)
