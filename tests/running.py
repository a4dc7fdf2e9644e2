"""Running generated torch modules: outputs and gradients of random inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from derive.emit.module import build
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.notation.reader import read_ops
from derive.plan.roles import roles
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


def is_leading(op: Op, component: Component) -> bool:
    """Does the tensor begin with the index that stands for any number of axes?"""
    leading = roles(op).leading
    return leading is not None and component.indices[:1] != () and (
        component.indices[0].size == leading.size
    )  # fmt: skip


def real(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Those that receive a gradient: all but integers."""
    return [t for t in tensors if t.is_floating_point()]


def leaves_of(
    tensors: Iterable[Tensor], laid: Callable[[Tensor], Tensor] = torch.clone
) -> list[Tensor]:
    """Inputs of their own for a function, copied or laid out anew; integers ask for no gradient."""
    laid_out = (laid(t).detach() for t in tensors)
    return [t.requires_grad_() if t.is_floating_point() else t for t in laid_out]


def run(
    call: Callable[..., Any], inputs: Sequence[Tensor], cotangents: Sequence[Tensor] = ()
) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
    """Outputs and gradients of what is real; the cotangents are random where none are given."""
    leaves = leaves_of(inputs)
    outputs = listed(call(*leaves))
    given = cotangents or [random(*o.shape, seed=50 + k) for k, o in enumerate(outputs)]
    known = [(o, g.to(o.dtype)) for o, g in zip(outputs, given, strict=True) if o.requires_grad]
    grads = torch.autograd.grad(
        [o for o, _ in known], real(leaves), [g for _, g in known],
        allow_unused=True, materialize_grads=True,
    )  # fmt: skip
    return tuple(o.detach() for o in outputs), grads


def made(text: str) -> Callable[..., Any]:
    """The torch function of the op that a text defines."""
    (op,) = read_ops(text)
    return getattr(build(op, backend="torch"), op.name)


def agree(got: Sequence[Tensor], want: Sequence[Tensor], close: float = EXACT) -> None:
    for g, w in zip(got, want, strict=True):
        assert error(g, w) <= close
