"""What is measured: an op at sizes, in a type, on a device, and what must move at least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from derive.config import nearest
from derive.costs import least_moved
from derive.derivation import differentiate
from derive.errors import DeriveError
from derive.notation.nodes import Component, Labels
from derive.notation.op import Op
from derive.plan.program import plan
from derive.plan.roles import roles
from derive.verify.sample import Sample, draw_large

DTYPES = {
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp32": torch.float32,
    "fp64": torch.float64,
}
ROWS, COLUMNS = 4096, 1024
_NUMBERS = 2**20  # in the largest tensor of an op that has no rows and columns


@dataclass(frozen=True)
class Case:
    """An op with inputs; `moved` are the least bytes that must move, forward and backward."""

    op: Op
    lengths: Mapping[str, int]
    sample: Sample
    moved: tuple[int, int]


def case(op: Op, sizes: Mapping[str, int], dtype: torch.dtype, device: torch.device) -> Case:
    """Random inputs; `sizes` are those that were asked for, others are chosen."""
    lengths = _lengths(op, sizes)
    sample = draw_large(op, lengths).to(dtype).on(device)
    known = {c.tensor.name: t for c, t in zip(op.inputs, sample.inputs, strict=True)}
    program = plan(op, differentiate(op))
    forward, backward = least_moved(program)

    def count(components: tuple[Component, ...]) -> int:
        return sum(_bytes(c, lengths, known, dtype) for c in components)

    return Case(op, lengths, sample, (count(forward), count(backward)))


def _lengths(op: Op, sizes: Mapping[str, int]) -> dict[str, int]:
    names = list(dict.fromkeys(i.size.name for i in op.letters))
    given = {e.size.name: e.default for e in op.extents}
    for name in sizes:
        if name not in {*names, *given}:
            hint = nearest(name, names) or f"; there are {', '.join(names)}"
            raise DeriveError(f'{op.name} has no size "{name}"{hint}')
    return _chosen(op, names) | given | dict(sizes)


def _chosen(op: Op, names: list[str]) -> dict[str, int]:
    """4096 rows of 1024 numbers; where there are no rows, the largest tensor has a million."""
    found = roles(op)
    widest = max(len(c.indices) for c in op.tensors.values())
    if not found.columns or widest < 2:
        length = 2 ** round(20 / max(1, widest))
        return dict.fromkeys(names, length)
    columns = {
        i.size.name
        for c in op.tensors.values()
        for i, axis in zip(c.indices, found.classes.of(c), strict=True)
        if axis in found.columns
    }
    row = round(ROWS ** (1 / max(1, widest - len(found.columns))))
    column = round(COLUMNS ** (1 / len(found.columns)))
    return {name: column if name in columns else row for name in names}


def _bytes(
    component: Component,
    lengths: Mapping[str, int],
    known: Mapping[str, Tensor],
    dtype: torch.dtype,
) -> int:
    """Of a tensor; what is larger than no row is a statistic, and is kept in fp32 at least."""
    count = prod(lengths[i.size.name] for i in component.indices)
    if isinstance(component.tensor, Labels):
        return count * known[component.tensor.name].element_size()
    return count * dtype.itemsize
