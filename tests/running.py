"""Running generated torch modules: outputs and gradients of random inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from derive.emit.module import build
from derive.verify.sample import error
from tests.samples import named

torch.set_num_threads(1)

EXACT = 1e-10


@cache
def module(name: str) -> ModuleType:
    return build(named(name), backend="torch")


def function(name: str) -> Callable[..., Any]:
    return getattr(module(name), name)


def listed(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * seed + len(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def run(
    call: Callable[..., Any], inputs: Sequence[Tensor], cotangents: Sequence[Tensor] = ()
) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
    """Outputs and gradients; the cotangents are random where none are given."""
    leaves = [t.detach().clone().requires_grad_() for t in inputs]
    outputs = listed(call(*leaves))
    given = cotangents or [random(*o.shape, seed=50 + k) for k, o in enumerate(outputs)]
    known = [(o, g.to(o.dtype)) for o, g in zip(outputs, given, strict=True) if o.requires_grad]
    grads = torch.autograd.grad(
        [o for o, _ in known], leaves, [g for _, g in known],
        allow_unused=True, materialize_grads=True,
    )  # fmt: skip
    return tuple(o.detach() for o in outputs), grads


def agree(got: Sequence[Tensor], want: Sequence[Tensor], close: float = EXACT) -> None:
    for g, w in zip(got, want, strict=True):
        assert error(g, w) <= close
