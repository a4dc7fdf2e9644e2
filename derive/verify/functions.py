"""The functions that a module of kernels defines for itself, at kinks, ties and beyond numbers.

Where they are used, such arguments are met by chance: no sum of squares is its threshold. Each
value counts by itself, however small: a series near zero is right to its last term, or wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from derive.emit.module import _imported
from derive.emit.triton_printer import helpers_in
from derive.notation.functions import ROWS
from derive.notation.op import Op
from derive.verify.reference import FUNCTIONS
from derive.verify.sample import Sample

CLOSE = 4 * torch.finfo(torch.float64).eps  # of a value, and of what rounded arguments do to it
_VALUES = (
    *(float("-inf"), -30.0, -1.5, -0.5, -0.0999, -1e-3, -1e-9, 0.0),
    *(1e-5, 0.02, 0.0999, 1.0, 1.5, 30.0, float("inf"), float("nan")),
)
_STEP = 1e-6
_KERNEL = """
import triton
import triton.language as tl

@triton.jit
def apply(a_ptr, b_ptr, y_ptr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    a = tl.load(a_ptr + at)
    b = tl.load(b_ptr + at)
    tl.store(y_ptr + at, {expression})
"""
_PRODUCTS = (-8, -3, -1.5, -1, -0.5, 0.5, 1, 1.5, 2, 3, 4, 6.5, 7.5, 8)  # powers that are products
_LOGARITHMS = (-9.3, -9, -0.3, 0.7, 9, 9.3, 10)  # and those that are not
_REDUCTIONS = {"_largest": torch.amax, "_smallest": torch.amin}

_POWER = "_real_power"
_BY_PRODUCTS, _BY_LOGARITHMS = (
    {f"{_POWER}(a, {power})" for power in powers} for powers in (_PRODUCTS, _LOGARITHMS)
)
_OF_ROOTS = {
    f"{_POWER}(a, {power})" for power in _PRODUCTS if power % 1
}  # torch: inf or NaN at -inf

Function = Callable[..., Tensor]


def own_functions(module: ModuleType) -> list[tuple[str, Function]]:
    """Calls of the module's own functions, on a and b, and what gives the same."""
    return list(_own(module))


def _own(module: ModuleType) -> Iterator[tuple[str, Function]]:
    for row in ROWS:
        helpers = helpers_in(row.triton)
        if helpers and all(hasattr(module, h) for h in helpers):
            arguments = "ab"[: row.arity]
            yield row.triton.format(*arguments), _taking(FUNCTIONS[row.name], row.arity)
    for name, reduction in _REDUCTIONS.items():
        if hasattr(module, name):
            yield f"{name}(a, 0) + tl.where(b == b, 0.0, 0.0)", _everywhere(reduction)
    if hasattr(module, _POWER):
        for power in (*_PRODUCTS, *_LOGARITHMS):
            yield f"{_POWER}(a, {power})", _power(power)


def _power(power: float) -> Function:
    return lambda a, _b: a**power


def _taking(function: Function, arity: int) -> Function:
    return lambda *both: function(*both[:arity])


def _everywhere(reduction: Function) -> Function:
    return lambda a, _b: reduction(a).expand(len(a))


def has_own(module: ModuleType) -> bool:
    """Does it define any, or add up what programs leave?"""
    return hasattr(module, "triton") and (hasattr(module, "_total") or bool(own_functions(module)))


def by_themselves(op: Op, module: ModuleType, sample: Sample) -> tuple[float, float, str]:
    """The worst error; infinite where a number is given for what is none, or the reverse."""
    del op
    values = torch.tensor(_VALUES, dtype=torch.float64, device=sample.inputs[0].device)
    a, b = values.repeat_interleave(len(values)), values.repeat(len(values))
    found = own_functions(module)
    worst = _totals(module, values) if hasattr(module, "_total") else 0.0
    for expression, function in found:
        kernel = _kernel(expression, module)
        for kept in (torch.full_like(a, True, dtype=torch.bool), ~(a.isnan() | b.isnan())):
            known = kept & ~a.isneginf() if expression in _OF_ROOTS else kept
            x, y = torch.where(known, a, 0.5), torch.where(known, b, 0.5)
            got, want = torch.empty_like(a), function(x, y)
            kernel[(1,)](x, y, got, BLOCK=len(a))
            if not torch.equal(got.isnan(), want.isnan()):
                return float("inf"), CLOSE, f"{expression} at what is not a number"
            felt = want.abs() if expression in _BY_PRODUCTS else _felt(function, x, y, want)
            if expression in _BY_LOGARITHMS:  # what the rounding of the power does
                felt += (want * want.abs().log()).abs()
            worst = max(worst, _error(got, want, felt))
    return worst, CLOSE, f"{len(found)} functions"


def _totals(module: ModuleType, like: Tensor) -> float:
    """The error of sums of five numbers, in five columns, two by two."""
    import triton.language as tl

    parts = torch.arange(25.0, dtype=like.dtype, device=like.device).reshape(5, 5)
    total = like.new_zeros(5)
    module._total[(3,)](parts, total, 5, 5, BLOCK=2, ACC=tl.float64)  # noqa: SLF001
    return float((total - parts.sum(0)).abs().max())


def _felt(function: Function, a: Tensor, b: Tensor, value: Tensor) -> Tensor:
    """What a change of the arguments does to each value, relative to that of the arguments."""
    moved = (function(a * (1 + _STEP), b), function(a, b * (1 + _STEP)))
    return sum(((m - value).abs() / _STEP for m in moved), torch.zeros_like(value))


def _error(got: Tensor, want: Tensor, felt: Tensor) -> float:
    """The worst difference, beside the value and what it feels of its arguments' rounding."""
    known = want.isfinite() & felt.isfinite() & (got != want)
    worst = ((got - want).abs() / (want.abs() + felt))[known]
    return float(worst.max()) if worst.numel() else 0.0


def _kernel(expression: str, module: ModuleType) -> Any:
    made = _imported("applied", _KERNEL.format(expression=expression))
    helpers = {h: getattr(module, h) for h in helpers_in(expression)}
    made.__dict__.update(helpers)
    return made.apply
