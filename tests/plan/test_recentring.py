"""A zero sum that was proved, over one index or several, is taken off in floating point."""

from __future__ import annotations

import pytest
import torch

import derive
from derive.plan.program import plan
from derive.verify.reference import composed
from derive.verify.sample import draw, error
from tests.samples import derived, named


@pytest.mark.parametrize("name", ["group_norm", "channel_norm"])
def test_a_zero_sum_over_two_indices_recentres(name: str) -> None:
    found = plan(named(name), derived(name))
    assert any("rounding error" in s.note for s in found.forward)


@pytest.mark.parametrize("name", ["group_norm", "channel_norm"])
def test_a_large_mean_costs_no_digits_over_two_axes(name: str) -> None:
    """In numbers: fp32 at mean 1e4."""
    sample = draw(named(name), (16, 4, 16, 16))
    x = (sample.inputs[0] + 1e4).float()
    rest = [t.float() for t in sample.inputs[1:]]
    got = getattr(derive.build(named(name), backend="torch"), name)(x, *rest)
    (want,) = composed(named(name))(x.double(), *(t.double() for t in rest))
    assert got.dtype is torch.float32
    assert error(got, want) < 1e-5
