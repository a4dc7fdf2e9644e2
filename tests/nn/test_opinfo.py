"""PyTorch's own samples of its functions, on the functions that stand in for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo, SampleInput

from derive.nn import functional
from derive.verify.sample import error

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore")  # what torch deprecates in its own samples

NAMES = {  # of torch's samples, and of the function
    "nn.functional.layer_norm": "layer_norm",
    "nn.functional.rms_norm": "rms_norm",
    "nn.functional.group_norm": "group_norm",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "nn.functional.linear": "linear",
    "nn.functional.embedding": "embedding",
    "nn.functional.gelu": "gelu",
    "nn.functional.silu": "silu",
    "nn.functional.mish": "mish",
    "nn.functional.relu": "relu",
    "nn.functional.elu": "elu",
    "nn.functional.softplus": "softplus",
    "nn.functional.cross_entropy": "cross_entropy",
    "nn.functional.mse_loss": "mse_loss",
    "nn.functional.huber_loss": "huber_loss",
    "nn.functional.binary_cross_entropy_with_logits": "binary_cross_entropy_with_logits",
}
EXACT = 1e-9
every = pytest.mark.parametrize("name", NAMES)


@cache
def info(name: str) -> OpInfo:
    return next(o for o in op_db if o.name == name and o.variant_test_name in ("", "with_dtype"))


def ours(name: str) -> Callable[..., Any]:
    return _called(getattr(functional, NAMES[name]))


def theirs(name: str) -> Callable[..., Any]:
    return _called(getattr(torch.nn.functional, NAMES[name]))


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
    """The output, its gradients, and the gradients of these."""
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
        return (found, *first)
    second = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
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
        assert [g.dtype for g in got] == [w.dtype for w in want]
        assert max(error(g.detach(), w.detach()) for g, w in zip(got, want, strict=True)) < EXACT


LEFT_OUT = {  # how many samples ask for what is not derived, of how many
    "softmax": (1, 7),  # rows of no number
    "log_softmax": (1, 7),  # the same
    "nn.functional.cross_entropy": (15, 21),  # weights, sums, losses of each row, no labels
    "nn.functional.mse_loss": (1, 6),  # losses of each place
    "nn.functional.huber_loss": (3, 9),  # the same
    "nn.functional.binary_cross_entropy_with_logits": (19, 26),  # weights of classes or places
}


@every
def test_what_is_not_derived_is_counted(name: str) -> None:
    found = samples(name)
    refused = sum(not is_derived(name, s) for s in found)
    assert (refused, len(found)) == LEFT_OUT.get(name, (0, len(found)))
    row = f"| `{NAMES[name]}` | {len(found)} | {refused} |"
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
            assert error(got, exact) <= max(2 * error(want, exact), allowed)


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
