"""Samples with other leading axes: the letter that leads stands for any number of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.plan.roles import roles
from derive.verify.sample import Sample

_LINES = 6  # more than two programs take, and as many as no first axis has numbers


def led(op: Op, sample: Sample, change: Callable[[Tensor], Tensor]) -> Sample:
    """The sample with its tensors changed along the leading axis, where they have it."""
    lead = roles(op).leading
    assert lead is not None

    def changed(tensor: Tensor, component: Component) -> Tensor:
        leads = component.indices and component.indices[0].size == lead.size
        return change(tensor) if leads else tensor

    inputs = tuple(map(changed, sample.inputs, op.inputs))
    cotangents = tuple(map(changed, sample.cotangents, op.outputs))
    return replace(sample, inputs=inputs, cotangents=cotangents)


def lines(op: Op, sample: Sample) -> tuple[Sample, Sample]:
    """Where each number is a row, several lines of them: one after the other, and as a matrix.

    Elsewhere the sample, twice: it has lines.
    """
    found = roles(op)
    if found.leading is None or not found.rows or found.columns:
        return sample, sample
    flat = led(op, sample, lambda t: torch.cat([t.roll(k, 0) for k in range(_LINES)]))
    return flat, led(op, flat, lambda t: t.view(_LINES, -1))
