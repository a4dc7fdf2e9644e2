"""Rows that lie further apart than they are long are read where they lie, not copied."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
from derive.catalogue import catalogue
from derive.emit.triton_module import has_kernels
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.plan.roles import roles
from derive.verify.leading import lines
from derive.verify.sample import SIZES, Sample, draw, error
from derive.verify.tiles import in_tiles

torch.set_num_threads(1)


def matrices(op: Op) -> list[Component]:
    """The inputs that are matrices of rows, or of numbers."""
    found = roles(op)
    return [c for c in op.inputs if found.is_whole(found.classes.of(c))]


pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # where nothing is looked at
NAMES = [n for n in catalogue() if has_kernels(derive.load(n)) and matrices(derive.load(n))]


@cache
def built(name: str) -> ModuleType:
    return derive.build(derive.load(name), "triton")


def apart(tensor: Tensor, numbers: int, columns: int) -> Tensor:
    """The same rows, each followed by numbers that are none; a row runs along so many axes.

    Where a row is one number, those along the last axis are together.
    """
    columns = max(columns, 1)
    if tensor.dim() <= columns or not tensor.is_floating_point():
        return tensor
    rows, row = tensor.shape[:-columns], tensor.shape[-columns:]
    wide = torch.full((*rows, row.numel() + numbers), float("nan"), dtype=tensor.dtype)
    return wide[..., : row.numel()].unflatten(-1, row).copy_(tensor)


def both_passes(module: ModuleType, op: Op, sample: Sample) -> Iterator[Tensor]:
    """Outputs, what is kept, gradients."""
    with torch.no_grad():
        found = getattr(module, f"{op.name}_forward")(*sample.inputs)
        yield from (f for f in found if isinstance(f, Tensor))
        outputs = len(op.outputs)
        grads = getattr(module, f"{op.name}_backward")(*sample.cotangents, *found[outputs:])
    yield from (g for g in grads if g is not None)


@pytest.mark.parametrize("way", ["rows", "tiles"])
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_read_where_they_lie(name: str, way: str) -> None:
    op, module = derive.load(name), built(name)
    sample, columns = lines(op, draw(op, SIZES))[1], len(roles(op).columns)
    laid = Sample(
        tuple(apart(t, k, columns) for k, t in enumerate(sample.inputs, 1)),
        tuple(apart(t, k + 10, columns) for k, t in enumerate(sample.cotangents)),
    )
    helper = "_as_matrix" if columns else "_as_lines"
    as_matrix, copied = getattr(module, helper), []

    def seen(tensor: Tensor | None, *told: int) -> Any:
        matrix, step = as_matrix(tensor, *told)
        copied.extend(
            [name] if matrix is not None and matrix.data_ptr() != tensor.data_ptr() else []
        )
        return matrix, step

    few = patch.object(module, "_FEW", 16 if way == "rows" else 4)
    with in_tiles(module) if way == "tiles" and columns else few:
        want = [*both_passes(module, op, sample)]
        with patch.object(module, helper, seen):
            got = [*both_passes(module, op, laid)]
    assert max(error(g, w) for g, w in zip(got, want, strict=True)) == 0
    assert not copied
