"""Ops that were generated wrong once: kernels against autograd of the equations."""

from __future__ import annotations

import os

import pytest

if os.environ.get("TRITON_INTERPRET") != "1":
    reason = "Triton decides on its import whether to interpret: set TRITON_INTERPRET=1"
    pytest.skip(reason, allow_module_level=True)

import torch

from derive.emit.module import build
from tests.notation.reading import read
from tests.odd_ops import ODD, check


@pytest.mark.parametrize("kind", ODD)
def test_gradients(kind: str) -> None:
    check(kind, "triton")


def test_a_label_that_is_only_compared_may_be_any() -> None:
    text = "op f(x[b,c], t[b]: int[c]) -> y[b,c]\ny[b,c] = where(t[b] == c, x[b,c]^2, x[b,c])\n"
    x, t = torch.rand(3, 4).double(), torch.tensor([1, 9, -1])
    y = build(read(text), backend="triton").f(x, t)
    assert torch.equal(y, torch.where(t[:, None] == torch.arange(4), x**2, x))
