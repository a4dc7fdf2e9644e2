"""Passes that write over their own memory, on a few rows at a time, change nothing else."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch

from derive.plan.memory import spent
from derive.verify.reference import composed
from derive.verify.sample import draw
from tests.running import agree, function, module, run
from tests.samples import named

BY_ROWS = (
    "layer_norm", "rms_norm", "softmax", "ada_layer_norm", "gelu", "swiglu", "linear", "attention",
)  # fmt: skip


@pytest.mark.parametrize("name", BY_ROWS)
def test_a_few_rows_at_a_time_give_the_same(name: str) -> None:
    """Blocks of all lengths, the last one shorter; sums over rows are those over all blocks."""
    op, made = named(name), module(name)
    sample = draw(op, (7, 5, 4))
    want = run(composed(op), sample.inputs, sample.cotangents)
    kept = [t.clone() for t in (*sample.inputs, *sample.cotangents)]
    for cache in (1, 11, 2**20):
        with patch.object(made, "_CACHE", cache):
            got = run(function(name), sample.inputs, sample.cotangents)
        agree([*got[0], *got[1]], [*want[0], *want[1]], 1e-10)
    assert all(map(torch.equal, kept, (*sample.inputs, *sample.cotangents)))


def test_gradients_that_are_not_needed_stay_none_in_blocks() -> None:
    made, sample = module("layer_norm"), draw(named("layer_norm"), (7, 5))
    with patch.object(made, "_CACHE", 1):
        saved = made.layer_norm_forward(*sample.inputs)[1:]
        found = made.layer_norm_backward(*sample.cotangents, *saved, needs=(False, True, False))
    assert [g is not None for g in found] == [False, True, False]


@pytest.mark.parametrize("batched", [(0, None, None), (None, 0, None), (None, None, 0)])
def test_what_is_written_over_need_not_be_batched(batched: tuple[int | None, ...]) -> None:
    """mu, made of x alone, is multiplied by a gamma for each example."""
    call, sample = function("layer_norm"), draw(named("layer_norm"), (4, 5))
    inputs = [
        t if k is None else torch.stack([t, 2 * t, t - 1])
        for t, k in zip(sample.inputs, batched, strict=True)
    ]
    gradient = torch.func.grad(lambda *given: call(*given).sin().sum(), (0, 1, 2))
    found = torch.vmap(gradient, batched)(*inputs)
    for row in range(3):
        one = [t if k is None else t[row] for t, k in zip(inputs, batched, strict=True)]
        agree([t[row] for t in found], list(gradient(*one)), 1e-10)


def test_the_raw_passes_can_still_be_followed_by_autograd() -> None:
    made, sample = module("layer_norm"), draw(named("layer_norm"), (4, 5))
    inputs = [t.clone().requires_grad_() for t in sample.inputs]
    y = made.layer_norm_forward(*inputs)[0]
    got = torch.autograd.grad(y, inputs, sample.cotangents[0])
    _, want = run(composed(named("layer_norm")), sample.inputs, sample.cotangents)
    agree(list(got), list(want), 1e-10)


def test_only_what_was_made_and_is_needed_no_more_is_written_over() -> None:
    from derive.derivation import differentiate
    from derive.plan.program import plan

    program = plan(named("layer_norm"), differentiate(named("layer_norm")))
    given = (*program.op.inputs, *program.op.outputs, *program.kept)
    found = spent(program.forward, given)
    names = [sorted(t.name for t in found[id(s)]) for s in program.forward]
    assert names == [[], [], [], ["mu"], [], ["v"], ["mu"]]
