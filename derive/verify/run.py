"""`derive verify`: what was generated against autograd of the equations, one row a check."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck

from derive.derivation import Derivation, differentiate
from derive.emit.module import build
from derive.errors import DeriveError
from derive.notation.op import Op
from derive.plan.roles import roles
from derive.verify import functions
from derive.verify.alone import one_at_a_time
from derive.verify.complex_step import by_complex_step
from derive.verify.exact import exact as compare_exactly
from derive.verify.leading import led
from derive.verify.memory import in_memory_of_its_own
from derive.verify.nan import not_a_number
from derive.verify.offset import far_from_zero, re_centred
from derive.verify.passes import by_themselves
from derive.verify.program import Place, in_pairs_of, in_short, program, stochastic
from derive.verify.reference import REAL, composed
from derive.verify.relations import related, worst_violation
from derive.verify.sample import (
    SMALL,
    Function,
    Sample,
    draw,
    error,
    errors,
    followed,
    fresh,
    gradients,
    results,
    sizes_for,
)
from derive.verify.small import other_sizes
from derive.verify.switches import near_switches, where_it_switches
from derive.verify.tiles import has_tiles, in_tiles, one_at_a_time_in_tiles
from derive.verify.visible import answers, caught, visible

EXACT = 1e-10
DIFFERENCES = 1e-7  # finite differences lose half of the digits
TWICE = 1e-5  # what is differentiated by differences has larger values
COMPLEX = 1e-12  # a complex step cancels nothing
ROUNDINGS = 4  # how many units of rounding a result may be off, beside what its condition explains
SPREAD = 8  # how much worse than random roundings of every operation it may be
PRODUCTS = 2  # the same, of random roundings of the matrices that are multiplied
_DRAWS = 4  # of random roundings
_POINTS = 4  # where differences are taken, if the first is near a pole


@dataclass(frozen=True)
class Row:
    """One check: the worst error seen, relative to the largest value, and what was allowed.

    `catches`: a relative error of any one term of the program, if it is larger, does not pass.
    """

    check: str
    passed: bool
    worst: float
    tolerance: float
    note: str = ""
    catches: float | None = None


def verify(op: Op, backend: str) -> list[Row]:
    """Check the module that one backend generates for an op."""
    module = build(op, backend)
    return [
        _checked(name, check, op, module) for name, check in CHECKS if _applies(name, op, module)
    ]


def device_for(module: ModuleType) -> torch.device:
    """Compiled kernels want a GPU; all else is compared on the CPU."""
    has_kernels = hasattr(module, "triton")
    return torch.device("cuda" if has_kernels and torch.cuda.is_available() else "cpu")


def _applies(name: str, op: Op, module: ModuleType) -> bool:
    """Some checks need a leading row axis, or kernels that walk tiles."""
    if name in ("leading axes", "no rows"):
        return roles(op).leading is not None
    if name in ("memory of its own", "passes by themselves"):
        return not hasattr(module, "AXES")  # there the passes take what ranks know of each other
    if name == "its own relations":
        return bool(related(_derivation(op)))
    if name == "gradgradcheck":
        return hasattr(module, f"{op.name}_double_backward")
    if name == "far from zero":
        return bool(re_centred(op))
    if name == "functions by themselves":
        return functions.has_own(module)
    if name == "where it switches":
        return bool(near_switches(op, {}))
    return "in tiles" not in name or has_tiles(module)


def _checked(name: str, check: Check, op: Op, module: ModuleType) -> Row:
    """The row of a check; generated code that raises has failed it."""
    dtype = PRECISIONS.get(name, torch.float64)
    try:
        sample = sample_for(op, dtype).on(device_for(module))
        with warnings.catch_warnings():  # the interpreter's, of numbers that are none on purpose
            warnings.simplefilter("ignore", RuntimeWarning)
            worst, allowed, note = check(op, module, sample)
    except DeriveError:
        raise
    except Exception as failure:  # noqa: BLE001  # whatever generated code does wrong is its verdict
        return Row(name, False, math.inf, 0.0, f"{type(failure).__name__}: {failure}"[:200])
    passed = worst <= allowed
    if name not in COMPARING:
        return Row(name, passed, worst, allowed, note)
    catches, least = caught(_answers(op, dtype), allowed)
    if catches >= 1:  # elsewhere another check sees it; where all digits are kept, none does
        note = "; ".join(filter(None, (note, f"cannot see {least}")))
        passed = passed and name in PRECISIONS
    return Row(name, passed, worst, allowed, note, catches)


@cache
def sample_for(op: Op, dtype: torch.dtype) -> Sample:
    """Inputs on which each term of the program counts at the tolerance of a type."""
    sizes = sizes_for(op)
    if dtype == torch.float64:
        return visible(_derivation(op), sizes, DIFFERENCES)
    first = visible(_derivation(op), sizes, ROUNDINGS * torch.finfo(dtype).eps, dtype)
    return visible(_derivation(op), sizes, _allowed(op, first, dtype), dtype)


@cache
def _answers(op: Op, dtype: torch.dtype) -> dict[Place, float]:
    return answers(program(_derivation(op)), sample_for(op, dtype))


@cache
def _derivation(op: Op) -> Derivation:
    return differentiate(op)


Verdict = tuple[float, float, str]  # the worst error, what is allowed, a note


def _generated(op: Op, module: ModuleType) -> Function:
    function: Function = getattr(module, op.name)
    return function


def _errors(function: Function, want: Function, sample: Sample, exact: Sample) -> float:
    """The worst error over outputs and gradients, `want` computed on the exact sample.

    A function may take another way where nothing follows it: outputs are asked for in both.
    """
    truth = results(want, exact)
    got = (*results(function, sample), *followed(function, sample))
    return errors(got, (*truth, *truth[: len(sample.cotangents)]))


def _against_autograd(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    return _errors(_generated(op, module), composed(op), sample, sample), EXACT, ""


def _by_complex_step(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """Component by component, where no autograd is involved."""
    small = replace(draw(op, SMALL), scalars=sample.scalars)
    got = gradients(_generated(op, module), small.on(device_for(module)))
    scales = [_scale(t) for t in got]
    found = list(by_complex_step(op, small))
    off = (abs(got[k].reshape(-1)[n].item() - want) / scales[k] for k, n, want in found)
    return max(off, default=0.0), COMPLEX, f"{len(found)} components"


def _scale(tensor: Tensor) -> float:
    """The largest value; 1 where there is none that is more than rounding."""
    largest = tensor.abs().max().item() if tensor.numel() else 0.0
    return largest if largest > COMPLEX else 1.0


def _in(dtype: torch.dtype) -> Check:
    """The same rounded inputs in fp64 are the truth; the program's condition sets the bound."""

    def check(op: Op, module: ModuleType, sample: Sample) -> Verdict:
        rounded = sample.to(dtype)
        exact = rounded.to(torch.float64)
        unit = torch.finfo(dtype).eps
        worst = _errors(_generated(op, module), composed(op), rounded, exact)
        return worst, _allowed(op, exact, dtype), f"{worst / unit:.1f} units of rounding"

    return check


def _allowed(op: Op, sample: Sample, dtype: torch.dtype) -> float:
    """Some units of rounding, and how far random roundings of each operation, in fp32, lead.

    In 16 bits, those of what matrix products multiply and come to, too.
    """
    made, unit = program(_derivation(op)), torch.finfo(torch.float32).eps / 2
    here = sample.on(torch.device("cpu"))
    exact = made.run(here)
    spread = max(errors(made.run(here, stochastic(unit, k)), exact) for k in range(_DRAWS))
    short = of_products(op, here, dtype) if dtype.itemsize == 2 else 0.0
    return ROUNDINGS * torch.finfo(dtype).eps + SPREAD * spread + PRODUCTS * short


def of_products(op: Op, sample: Sample, dtype: torch.dtype) -> float:
    """How far roundings of matrices to a short type lead."""
    made, unit = in_pairs_of(program(_derivation(op))), torch.finfo(dtype).eps / 2
    exact = made.run(sample)
    numbers = (in_short(REAL, made, unit, k) for k in range(_DRAWS))
    return max(errors(made.run(sample, n), exact) for n in numbers)


def _in_tiles(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """Rows longer than a block, made cheap by a short block."""
    with in_tiles(module):
        return _against_autograd(op, module, sample)


def _leading_axes(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """The row index stands for any number of leading axes: for two, and for none."""
    function = _generated(op, module)
    deep = led(op, sample, lambda t: torch.stack((t, t.flip(0))))
    flat = led(op, sample, lambda t: torch.cat((t, t.flip(0))))
    pairs = [*zip(results(function, deep), results(function, flat), strict=True)]
    worst = max(error(d.reshape(f.shape), f) for d, f in pairs)
    single = led(op, sample, lambda t: t[0])
    kept = led(op, sample, lambda t: t[:1])
    pairs = [*zip(results(function, single), results(function, kept), strict=True)]
    return max(worst, *(error(s.reshape(k.shape), k) for s, k in pairs)), EXACT, ""


def _no_rows(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """An empty batch gives empty outputs, and no gradient that is not finite."""
    empty = led(op, sample, lambda t: t[:0])
    got, want = gradients(_generated(op, module), empty), gradients(composed(op), empty)
    both = [(g, w) for g, w in zip(got, want, strict=True) if w.isfinite().all()]
    return max([error(g, w) for g, w in both], default=0.0), EXACT, ""


def _gradcheck(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """Finite differences at fp64, with tolerances that a wrong term does not pass."""
    check = partial(gradcheck, eps=1e-5, atol=1e-9)
    return _by_differences(check, DIFFERENCES, op, module, sample)


def _gradgradcheck(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """The same for the double backward, by finite differences of the backward pass."""
    check = partial(gradgradcheck, eps=1e-5, atol=1e-7)
    return _by_differences(check, TWICE, op, module, sample)


def _by_differences(
    check: Callable[..., bool], allowed: float, op: Op, module: ModuleType, sample: Sample
) -> Verdict:
    """Where autograd of the equations is no ten times closer, differences are no judge.

    That is near a pole, or where a number is far smaller than those that it is the difference of.
    """
    generated = partial(_generated(op, module), **sample.scalars)
    equations = partial(composed(op), **sample.scalars)
    failure = ""
    for seed in range(1, 1 + _POINTS):
        small = draw(op, SMALL, seed=seed).on(device_for(module))
        failure = _unlike_differences(partial(check, rtol=allowed), generated, small)
        if not failure:
            return 0.0, allowed, ""
        if not _unlike_differences(partial(check, rtol=allowed / 10), equations, small):
            break
    return math.inf, allowed, failure


def _unlike_differences(check: Callable[..., bool], function: Function, sample: Sample) -> str:
    """What the check says against the function, if anything; of all, at the same cotangents."""
    devices = [t.device for t in sample.inputs[:1] if t.is_cuda]
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)  # which torch draws from the generator that all share
            check(function, tuple(map(fresh, sample.inputs)))
    except GradcheckError as failure:
        return str(failure).splitlines()[0]
    return ""


def _own_relations(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """What the symmetries of the op say about its gradients, with no reference at all."""
    derivation = _derivation(op)
    worst, reason = worst_violation(derivation, sample, gradients(_generated(op, module), sample))
    count = len(related(derivation))
    return worst, EXACT, f"{count} relations" + (f", worst for {reason}" if worst > EXACT else "")


def _by_dual_numbers(op: Op, module: ModuleType, sample: Sample) -> Verdict:
    """The formulas that the module computes: each component equal, or not."""
    del module, sample  # it is about what is derived, at exact inputs of its own
    report = compare_exactly(op, _derivation(op))
    return 0.0 if report.mismatch is None else math.inf, 0.0, str(report)


Check = Callable[[Op, ModuleType, Sample], Verdict]
CHECKS: tuple[tuple[str, Check], ...] = (
    ("fp64 against autograd", _against_autograd),
    ("exact, by dual numbers", _by_dual_numbers),
    ("its own relations", _own_relations),
    ("fp64 by complex step", _by_complex_step),
    ("float32 against fp64", _in(torch.float32)),
    ("float16 against fp64", _in(torch.float16)),
    ("bfloat16 against fp64", _in(torch.bfloat16)),
    ("rows in tiles", _in_tiles),
    ("where it switches", where_it_switches),
    ("far from zero", far_from_zero),
    ("memory of its own", in_memory_of_its_own),
    ("passes by themselves", by_themselves),
    ("one gradient at a time", one_at_a_time),
    ("one at a time, in tiles", one_at_a_time_in_tiles),
    ("leading axes", _leading_axes),
    ("no rows", _no_rows),
    ("other sizes", other_sizes),
    ("not a number", not_a_number),
    ("functions by themselves", functions.by_themselves),
    ("gradcheck", _gradcheck),
    ("gradgradcheck", _gradgradcheck),
)
COMPARING = {  # checks that hold every result against the truth
    "fp64 against autograd",
    "fp64 by complex step",
    "float32 against fp64",
    "float16 against fp64",
    "bfloat16 against fp64",
    "rows in tiles",
    "gradcheck",
}
PRECISIONS = {
    "float32 against fp64": torch.float32,
    "float16 against fp64": torch.float16,
    "bfloat16 against fp64": torch.bfloat16,
}
