"""PyTorch's own samples of its functions, on the functions that stand in for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo, SampleInput

from derive.nn import functional
from derive.verify.sample import error

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore")  # what torch deprecates in its own samples

SAMPLES = {  # of torch's own, by the function's name where that is another
    "cosine_similarity": "nn.functional.cosine_similarity",
    "log_softmax": "log_softmax",
    "sigmoid": "sigmoid",
    "softmax": "softmax",
    "tanh": "tanh",
}
NAMES = sorted(functional.__all__)
EXACT = 1e-9
ROUGH = {"hardsigmoid": 1e-7}  # in fp64, too, torch computes with 1/6 in fp32
TIMES = {"scaled_dot_product_attention": 3}  # of torch's error: scores of 100 round by chance
ONCE = {"hardsigmoid"}  # torch has no second derivative
every = pytest.mark.parametrize("name", NAMES)


@cache
def info(name: str) -> OpInfo:
    called = SAMPLES.get(name, f"nn.functional.{name}")
    return next(o for o in op_db if o.name == called)


def ours(name: str) -> Callable[..., Any]:
    function = _called(getattr(functional, name))

    @wraps(function)
    def call(*inputs: Any, **options: Any) -> Any:
        torch.manual_seed(0)
        return function(*inputs, **options)

    return call


def theirs(name: str) -> Callable[..., Any]:
    """Of torch's kernels for attention the one that it can differentiate twice."""
    function = _called(getattr(torch.nn.functional, name))

    @wraps(function)
    def call(*inputs: Any, **options: Any) -> Any:
        torch.manual_seed(0)  # of what is dropped
        with sdpa_kernel(SDPBackend.MATH):
            return function(*inputs, **options)

    return call


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """As the samples call it: of an embedding they name the table first."""
    if function.__name__ != "embedding":
        return function
    return lambda table, labels, **options: function(labels, table, **options)


@cache
def samples(name: str, dtype: torch.dtype = torch.float64) -> tuple[SampleInput, ...]:
    torch.manual_seed(0)
    return tuple(info(name).sample_inputs("cpu", dtype, requires_grad=dtype == torch.float64))


def numbers(sample: SampleInput) -> list[Tensor]:
    every = (sample.input, *sample.args, *sample.kwargs.values())
    return [t for t in every if isinstance(t, Tensor) and t.requires_grad]


def derived(function: Callable[..., Any], sample: SampleInput) -> tuple[Tensor, ...]:
    """The output, its gradients, and the gradients of these, where there are any."""
    leaves = numbers(sample)
    found = function(sample.input, *sample.args, **sample.kwargs)
    if not leaves:
        return (found,)
    first = torch.autograd.grad(
        (found * found.detach().cos()).sum(), leaves, create_graph=True, allow_unused=True,
        materialize_grads=True,
    )  # fmt: skip
    total = torch.stack([(g * g.detach().sin()).sum() for g in first]).sum()
    if not total.requires_grad:
        return (found, *first, *map(torch.zeros_like, leaves))
    try:
        second = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    except RuntimeError:
        if function.__name__ not in ONCE:
            raise
        return (found, *first)
    return (found, *first, *second)


def is_derived(name: str, sample: SampleInput) -> bool:
    """Is this way of calling it offered? If not, it is refused."""
    try:
        ours(name)(sample.input, *sample.args, **sample.kwargs)
    except NotImplementedError as refused:
        return "is not derived; use torch's own" not in str(refused)
    return True


@every
def test_values_and_gradients(name: str) -> None:
    offered = [s for s in samples(name) if is_derived(name, s)]
    assert offered
    for sample in offered:
        got, want = (derived(f(name), sample) for f in (ours, theirs))
        assert len(got) == len(want) or name in ONCE
        pairs = [*zip(got, want, strict=name not in ONCE)]
        assert all(g.dtype == w.dtype for g, w in pairs)
        assert max(error(g.detach(), w.detach()) for g, w in pairs) < ROUGH.get(name, EXACT)


LEFT_OUT = {  # how many samples ask for what is not derived, of how many
    "batch_norm": (2, 12),  # nothing, without channels
    "normalize": (2, 8),  # norms that are no norms, p = 0 and p = -1
}


@every
def test_what_is_not_derived_is_counted(name: str) -> None:
    found = samples(name)
    refused = sum(not is_derived(name, s) for s in found)
    assert (refused, len(found)) == LEFT_OUT.get(name, (0, len(found)))
    row = f"| `{name}` | {len(found)} | {refused} |"
    assert row in (Path(__file__).parents[2] / "docs" / "drop_in.md").read_text("utf-8")


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_types_and_accuracy(name: str, dtype: torch.dtype) -> None:
    """Of the same rounded inputs: as near to fp64 as torch's own, or within four roundings."""
    if dtype not in info(name).dtypes:
        pytest.skip(f"torch has no samples in {dtype}")
    for sample in samples(name, dtype):
        if is_derived(name, sample):
            got, want = (
                f(name)(sample.input, *sample.args, **sample.kwargs) for f in (ours, theirs)
            )
            assert got.dtype == want.dtype
            wide = sample.transform(_widened)
            exact = theirs(name)(wide.input, *wide.args, **wide.kwargs)
            allowed = 4 * torch.finfo(got.dtype).eps
            assert error(got, exact) <= max(TIMES.get(name, 2) * error(want, exact), allowed)


def _widened(part: Any) -> Any:
    if isinstance(part, torch.dtype):
        return torch.float64
    return part.double() if isinstance(part, Tensor) and part.is_floating_point() else part


@every
def test_errors_are_those_of_torch(name: str) -> None:
    for wrong in info(name).error_inputs("cpu") if info(name).error_inputs_func else ():
        sample = wrong.sample_input
        with pytest.raises(wrong.error_type) as caught:
            ours(name)(sample.input, *sample.args, **sample.kwargs)
        assert re.search(wrong.error_regex, str(caught.value))
