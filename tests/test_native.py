"""The checked-in modules against torch's own functions; numbers whose exponentials overflow."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from derive.catalogue import catalogue
from tests.native import NATIVE, Native
from tests.running import EXACT, agree, listed, random

GENERATED = Path(__file__).parent.parent / "generated" / "torch"


@cache
def function(name: str) -> Callable[..., Any]:
    """What is checked in, which `derive check` holds equal to what is derived."""
    return runpy.run_path(str(GENERATED / f"{name}.py"))[name]


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
STABLE = """
softmax log_softmax logsumexp causal_softmax masked_softmax softcap attention linear_attention
cross_entropy bce_with_logits focal js_div info_nce dpo
softplus mish silu gelu gelu_tanh elu swiglu geglu
"""


@pytest.mark.parametrize("name", STABLE.split())
def test_large_numbers(name: str) -> None:
    """Results and gradients in fp32 are those in fp64 on the same numbers, and finite."""
    check_large_numbers(function(name), next(case for case in NATIVE if case.op == name))


def check_large_numbers(call: Callable[..., Any], case: Native) -> None:
    inputs = tuple(large(t, k) for k, t in enumerate(case.draw()))
    got = differentiated(call, inputs, case)
    exact = tuple(t.double() if t.is_floating_point() else t for t in inputs)
    want = differentiated(case.function, exact, case)
    for g, w in zip((*got[0], *got[1]), (*want[0], *want[1]), strict=True):
        assert g.isfinite().all()
        torch.testing.assert_close(g.double(), w, rtol=2e-6, atol=1e-6)


def large(drawn: Tensor, seed: int) -> Tensor:
    """The first input is numbers from LARGE in turn, none positive in a logarithm's place."""
    if not drawn.is_floating_point():
        return drawn
    if seed:
        return drawn.float()
    numbers = torch.tensor(LARGE).repeat(drawn.numel() // len(LARGE) + 1)[: drawn.numel()]
    return numbers.view(drawn.shape) if drawn.max() > 0 else -numbers.abs().view(drawn.shape)
