"""Finite differences judge alike whatever was drawn before, and see a wrong second derivative."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from derive.emit.module import build
from derive.verify.run import verify
from tests.samples import named

CHECK = ("gradgradcheck",)
STEEP = "matern"  # its second derivatives are differences of far larger numbers


def rows(op: str) -> list[bool]:
    return [row.passed for row in verify(named(op), "torch") if row.check in CHECK]


@pytest.mark.parametrize("seed", [0, 3, 19])
def test_the_generator_that_all_share_is_neither_asked_nor_moved(seed: int) -> None:
    torch.manual_seed(seed)
    before = torch.get_rng_state()
    assert rows(STEEP) == [True]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("op", ["layer_norm", STEEP])
def test_a_second_derivative_that_is_a_little_off_fails(
    op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = build(named(op), "torch")
    right: Callable[..., Any] = module._double_backward

    def wrong(*given: Any) -> tuple[Any, ...]:
        first, *rest = right(*given)
        return (first if first is None else first * 1.0001, *rest)

    monkeypatch.setattr(module, "_double_backward", wrong)
    monkeypatch.setattr("derive.verify.run.build", lambda *_, **__: module)
    assert rows(op) == [False]
