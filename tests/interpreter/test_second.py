"""The kernels of the double backward against autograd of the equations, in every shape."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

if os.environ.get("TRITON_INTERPRET") != "1":
    reason = "Triton decides on its import whether to interpret: set TRITON_INTERPRET=1"
    pytest.skip(reason, allow_module_level=True)

import torch
from torch import Tensor

import derive
from derive.catalogue import load_all
from derive.notation.nodes import Labels
from derive.notation.op import Op
from derive.verify.reference import composed
from derive.verify.run import sample_for
from derive.verify.sample import SIZES, Sample, draw, error
from derive.verify.tiles import in_tiles
from tests.samples import TESTS, named

torch.set_num_threads(1)

NAMES = (
    "layer_norm",
    "softmax",
    "poly_norm",
    "dyt",
    "batch_norm",
    "swiglu",
    "ada_layer_norm",
    "group_norm",
    "instance_norm",
    "cross_entropy",
)
WAYS: dict[str, Callable[[ModuleType], AbstractContextManager[object]]] = {
    "rows": lambda _: nullcontext(),
    "few at once": lambda module: patch.object(module, "_FEW", 16),
    "tiles": lambda module: in_tiles(module) if hasattr(module, "_TILE") else nullcontext(),
}


def second(call: Callable[..., Any], sample: Sample, which: int | None = None) -> list[Tensor]:
    """Gradients of a sum of gradients, with random weights; of one of them alone, or all."""
    leaves = [t.clone() for t in (*sample.inputs, *sample.cotangents)]
    real = [t.requires_grad_() for t in leaves if t.is_floating_point()]
    inputs, cotangents = leaves[: len(sample.inputs)], leaves[len(sample.inputs) :]
    outputs = call(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    first = [t for t in inputs if t.is_floating_point()]
    grads = torch.autograd.grad(outputs, first, cotangents, create_graph=True)
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(g.shape, generator=generator, dtype=g.dtype) for g in grads]
    total = sum((g * w).sum() for g, w in zip(grads, weights, strict=True))
    wanted = real if which is None else [real[which]]
    return [*torch.autograd.grad(total, wanted, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_the_double_backward_agrees_with_autograd(name: str, way: str) -> None:
    op = derive.load(name)
    module = derive.build(op, "triton")
    assert hasattr(module, "_fused_double_backward_row")
    sample = draw(op, SIZES)
    want = second(composed(op), sample)
    with WAYS[way](module):
        got = second(getattr(module, name), sample)
    for g, w in zip(got, want, strict=True):
        assert error(g, w) <= 1e-10


def test_one_gradient_alone() -> None:
    op = derive.load("layer_norm")
    module, sample = derive.build(op, "triton"), draw(op, SIZES)
    want = second(composed(op), sample)
    for place, right in enumerate(want):
        assert error(second(module.layer_norm, sample, place)[0], right) <= 1e-10


def test_further_derivatives_are_those_of_the_formulas() -> None:
    """Kernels have none: where more may be asked for, the formulas are computed."""
    op = derive.load("softmax")
    module = derive.build(op, "triton")
    x = draw(op, SIZES).inputs[0].requires_grad_()

    def third(call: Callable[..., Any]) -> Tensor:
        output = call(x)
        value = (output[0] if isinstance(output, tuple) else output).square().sum()
        for _ in range(3):
            (found,) = torch.autograd.grad(value, x, create_graph=True)
            value = found.square().sum()
        return found

    assert error(third(module.softmax), third(composed(op))) <= 1e-10
    assert module._is_last(x.detach()) is False
    with torch.no_grad():
        assert module._is_last(x)


def labels_of(op: Op) -> bool:
    """Are some inputs integers?"""
    return any(isinstance(c.tensor, Labels) for c in op.inputs)


WAITING = [op.name for op in load_all(TESTS / "ops" / "waiting.op") if not labels_of(op)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", WAITING)
def test_each_input_alone_is_differentiated_twice(name: str, way: str) -> None:
    """Then no cotangent is, and of what waits for all rows only a part is asked for."""
    op = named(name)
    module, sample = derive.build(op, "triton"), sample_for(op, torch.float64)

    def twice(call: Callable[..., Any], which: int) -> list[Tensor]:
        leaves = [t.clone().requires_grad_(k == which) for k, t in enumerate(sample.inputs)]
        found = call(*leaves)
        outputs = [y for y in (found if isinstance(found, tuple) else (found,)) if y.requires_grad]
        total = sum((y * y.detach().sin()).sum() for y in outputs)
        (first,) = torch.autograd.grad(total, leaves[which], create_graph=True)
        again = torch.zeros_like(first)  # where the gradient does not change
        if first.requires_grad:
            (again,) = torch.autograd.grad(
                (first * first.detach()).sum(),
                leaves[which],
                allow_unused=True,
                materialize_grads=True,
            )
        return [*outputs, first, again]

    with WAYS[way](module):
        for which in range(len(op.inputs)):
            got, want = twice(getattr(module, name), which), twice(composed(op), which)
            assert max(error(g, w) for g, w in zip(got, want, strict=True)) <= 1e-9


def test_labels_of_numbers_are_integers() -> None:
    op = named("labelled_numbers")
    module, x = derive.build(op, "triton"), torch.randn(5)
    assert torch.equal(module.labelled_numbers(x, torch.zeros(5, dtype=torch.int64)), x**2)
    with pytest.raises(IndexError, match="integers"):
        module.labelled_numbers(x, torch.zeros(5))


def test_a_backward_pass_refuses_tensors_of_other_sizes() -> None:
    module = derive.build(derive.load("swiglu"), "triton")
    for count in (2, 8):
        with pytest.raises(RuntimeError):
            module.swiglu_backward(torch.randn(4), torch.randn(count), torch.randn(count))
