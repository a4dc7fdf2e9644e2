"""Element-wise kernels read numbers where they lie: lines of them, further apart or not."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
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

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # where nothing is looked at

LAYOUTS: dict[str, tuple[Callable[[], Tensor], int, bool]] = {  # length of a line; is it copied?
    "side by side": (lambda: torch.randn(4, 6), 24, False),
    "a chunk": (lambda: torch.randn(4, 12).chunk(2, 1)[1], 6, False),
    "rows of one number": (lambda: torch.randn(4, 6)[:, 2:3], 1, False),
    "every other row": (lambda: torch.randn(8, 6)[::2], 6, False),
    "a chunk of the middle": (lambda: torch.randn(2, 6, 5)[:, 3:], 15, False),
    "the same row again": (lambda: torch.randn(1, 6).expand(4, 6), 6, False),
    "one number, expanded": (lambda: torch.randn(()).expand(4, 6), 24, True),
    "transposed": (lambda: torch.randn(6, 4).T, 24, True),
    "rows at two distances": (lambda: torch.randn(3, 5, 12)[:, ::2, :6], 6, True),
    "a number": (lambda: torch.randn(()), 1, False),
    "a vector": (lambda: torch.randn(7), 7, False),
    "every other number": (lambda: torch.randn(14)[::2], 7, True),
    "no rows": (lambda: torch.randn(0, 12)[:, :6], 6, False),
    "rows of no numbers": (lambda: torch.randn(4, 0), 0, False),
}


@cache
def swiglu() -> ModuleType:
    return derive.build(derive.load("swiglu"), "triton")


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_lies_side_by_side_is_a_line(name: str) -> None:
    make, length, copied = LAYOUTS[name]
    tensor, module = make(), swiglu()
    found = module._lines(tensor.numel(), tensor)
    assert found[:2] == (tensor.numel() // max(length, 1), length)
    matrix, apart = module._as_lines(tensor, *found[:2])
    assert (matrix.data_ptr() != tensor.data_ptr()) == copied
    assert torch.equal(matrix.reshape(tensor.shape), tensor)
    assert matrix.shape == found[:2]
    assert apart == matrix.stride(0)


@pytest.mark.parametrize("few", [2, 16, 2048])
@pytest.mark.parametrize("name", LAYOUTS)
def test_results_are_the_same_however_numbers_lie(name: str, few: int) -> None:
    first, other = LAYOUTS[name][0](), LAYOUTS[name][0]()
    module = swiglu()

    def run(*tensors: Tensor) -> Any:
        leaves = [t.detach().requires_grad_() for t in tensors]
        with patch.object(module, "_FEW", few):
            y = module.swiglu(*leaves)
            return y, *torch.autograd.grad(y, leaves, other)

    got, want = run(first, other), run(first.contiguous(), other.contiguous())
    assert all(map(torch.equal, got, want))
    mixed = run(first, other.contiguous())
    assert all(map(torch.equal, mixed, want))


def test_lines_of_two_lengths_have_a_common_one() -> None:
    few, many = torch.randn(4, 3, 12)[..., :6], torch.randn(4, 6, 6)[:, :3]
    assert swiglu()._lines(72, few, many)[:2] == (12, 6)
    assert swiglu()._lines(72, many, None, torch.randn(4, 3, 6))[:2] == (4, 18)
