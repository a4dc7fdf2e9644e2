"""Ranks without a network: every rank's part of a tensor, in one process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed._local_tensor import LocalTensor, LocalTensorMode
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.testing._internal.distributed.fake_pg import FakeStore

import derive
from derive.notation.op import Op
from derive.verify.reference import composed
from derive.verify.sample import Sample, draw

SIZES = (8, 16, 12, 24, 8, 4)


@dataclass(frozen=True)
class Run:
    """Outputs and gradients, put together; how they lie; exchanges forward and backward."""

    found: tuple[Tensor, ...]
    placements: tuple[str, ...]
    exchanges: tuple[int, int]


@contextmanager
def mesh(*shape: int) -> Iterator[DeviceMesh]:
    """A mesh of ranks that are all here."""
    world = torch.Size(shape).numel()
    dist.init_process_group("fake", rank=0, world_size=world, store=FakeStore())
    try:
        yield init_device_mesh("cpu", shape)
    finally:
        dist.destroy_process_group()


def truth(op: Op, sample: Sample) -> tuple[Tensor, ...]:
    """Outputs and gradients of the op's equations, by autograd."""
    leaves = [t.clone().requires_grad_(t.is_floating_point()) for t in sample.inputs]
    outputs = _listed(composed(op)(*leaves))
    return (*(o.detach() for o in outputs), *_gradients(outputs, leaves, sample.cotangents))


def run(op: Op, sample: Sample, on: DeviceMesh, letters: Sequence[str]) -> Run:
    """The op with its inputs cut along a letter for each dimension of the mesh."""
    module = derive.build(op, backend="dtensor")
    with LocalTensorMode(on.size()):
        leaves = [
            distribute_tensor(t, on, [_place(module, c.tensor.name, k) for k in letters])
            for c, t in zip(op.inputs, sample.inputs, strict=True)
        ]
        leaves = [t.requires_grad_(t.is_floating_point()) for t in leaves]
        with CommDebugMode() as forward:
            outputs = _listed(getattr(module, op.name)(*leaves))
        cotangents = [
            distribute_tensor(g, on, [Replicate() if p.is_partial() else p for p in o.placements])
            for g, o in zip(sample.cotangents, outputs, strict=True)
        ]
        with CommDebugMode() as backward:
            gradients = _gradients(outputs, leaves, cotangents)
        every = (*outputs, *gradients)
        return Run(
            tuple(_same(t.full_tensor().detach()) for t in every),
            tuple(" ".join(map(str, t.placements)) for t in every),
            (forward.get_total_counts(), backward.get_total_counts()),
        )


def _same(tensor: Tensor) -> Tensor:
    """What all ranks have alike, as one tensor."""
    return tensor.reconcile() if isinstance(tensor, LocalTensor) else tensor


def sample_of(op: Op) -> Sample:
    return draw(op, SIZES)


def _place(module: Any, name: str, letter: str) -> Shard | Replicate:
    letters = module.AXES[name].letters
    return Shard(letters.index(letter)) if letter in letters else Replicate()


def _gradients(
    outputs: Sequence[Tensor], leaves: Sequence[Tensor], cotangents: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    real = [t for t in leaves if t.is_floating_point()]
    return torch.autograd.grad(outputs, real, cotangents, allow_unused=True, materialize_grads=True)


def _listed(found: Any) -> tuple[Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)
