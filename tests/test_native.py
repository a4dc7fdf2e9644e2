"""The catalogue against torch's own functions, and at numbers whose exponentials overflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from derive.catalogue import catalogue
from tests.native import NATIVE, Native
from tests.running import EXACT, agree, function, listed, random


def differentiated(
    call: Callable[..., Any], inputs: tuple[Tensor, ...], case: Native
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Outputs and the gradients of all inputs that have one."""
    leaves = [
        t.clone().requires_grad_(t.is_floating_point() and k not in case.constant)
        for k, t in enumerate(inputs)
    ]
    outputs = listed(call(*leaves, **case.parameters))
    cotangents = [random(*o.shape, seed=50 + k).to(o.dtype) for k, o in enumerate(outputs)]
    grads = torch.autograd.grad(outputs, [t for t in leaves if t.requires_grad], cotangents)
    return tuple(o.detach() for o in outputs), grads


def test_every_op_has_a_native_function() -> None:
    assert {case.op for case in NATIVE} == set(catalogue())


@pytest.mark.parametrize("case", NATIVE, ids=lambda case: case.op)
def test_against_the_native_function(case: Native) -> None:
    inputs = case.draw()
    got = differentiated(function(case.op), inputs, case)
    want = differentiated(case.function, inputs, case)
    agree(got[0], want[0], EXACT)
    agree(got[1], want[1], EXACT)


# -- large numbers in fp32 ------------------------------------------------------------------------

LARGE = (-1e4, -100.0, -20.0, -1.0, 0.0, 1.0, 20.0, 100.0, 1e4)
STABLE = (
    *("softmax", "log_softmax", "logsumexp", "causal_softmax", "masked_softmax", "softcap"),
    *("cross_entropy", "bce_with_logits", "focal", "js_div", "info_nce", "dpo", "attention"),
    *(
        "softplus",
        "mish",
        "silu",
        "gelu",
        "gelu_tanh",
        "elu",
        "swiglu",
        "geglu",
        "linear_attention",
    ),
)


@pytest.mark.parametrize("name", STABLE)
def test_large_numbers(name: str) -> None:
    """Results and gradients in fp32 are those in fp64 on the same numbers, and finite."""
    case = next(case for case in NATIVE if case.op == name)
    inputs = tuple(large(t, k) for k, t in enumerate(case.draw()))
    got = differentiated(function(name), inputs, case)
    exact = tuple(t.double() if t.is_floating_point() else t for t in inputs)
    want = differentiated(case.function, exact, case)
    for g, w in zip((*got[0], *got[1]), (*want[0], *want[1]), strict=True):
        assert g.isfinite().all()
        torch.testing.assert_close(g.double(), w, rtol=2e-6, atol=1e-6)


def large(drawn: Tensor, seed: int) -> Tensor:
    """The first input takes the place of numbers from LARGE in turn; the others stay."""
    if not drawn.is_floating_point():
        return drawn
    if seed:
        return drawn.float()
    numbers = torch.tensor(LARGE).repeat(drawn.numel() // len(LARGE) + 1)
    return numbers[: drawn.numel()].view(drawn.shape)
