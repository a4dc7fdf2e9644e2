"""The torch modules in short types and on hard inputs: large means, constant rows, outliers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from derive.verify.reference import composed
from derive.verify.sample import Sample, draw
from tests.running import agree, function, module, random, run
from tests.samples import named

SHORT = {torch.bfloat16: 4 * 2.0**-8, torch.float16: 4 * 2.0**-11}


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "softmax"])
@pytest.mark.parametrize("dtype", SHORT)
def test_statistics_of_short_types_are_fp32(name: str, dtype: torch.dtype) -> None:
    op = named(name)
    sample = draw(op, (8, 64)).to(dtype)
    outputs = getattr(module(name), f"{name}_forward")(*sample.inputs)
    saved = outputs[len(op.outputs) :]
    assert outputs[0].dtype is dtype
    inputs = {t.data_ptr() for t in sample.inputs}
    kept = [t for t in saved if isinstance(t, Tensor) and t.data_ptr() not in inputs]
    assert kept
    assert all(t.dtype is torch.float32 for t in kept)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "softmax", "swiglu", "dynamic_tanh"])
@pytest.mark.parametrize("dtype", SHORT)
def test_short_types(name: str, dtype: torch.dtype) -> None:
    """Results are those of fp64 on the same rounded inputs, rounded once or twice."""
    op = named(name)
    sample = draw(op, (16, 96)).to(dtype)
    exact = sample.to(torch.float64)
    got = run(function(name), sample.inputs, sample.cotangents)
    want = run(composed(op), exact.inputs, exact.cotangents)
    assert all(t.dtype is dtype for t in (*got[0], *got[1]))
    agree([*got[0], *got[1]], [*want[0], *want[1]], SHORT[dtype])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_mixed_types(dtype: torch.dtype) -> None:
    """Each gradient has the type of its input, the output that of x."""
    x, g, b = random(16, 96, dtype=dtype), random(96, seed=1), random(96, seed=2)
    for weight in (torch.float32, torch.float64):
        inputs = (x, g.to(weight), b.to(weight))
        cotangent = random(16, 96, seed=3, dtype=dtype)
        (y,), grads = run(function("layer_norm"), inputs, [cotangent])
        want = run(
            composed(named("layer_norm")), [t.double() for t in inputs], [cotangent.double()]
        )
        assert y.dtype is dtype
        assert [t.dtype for t in grads] == [t.dtype for t in inputs]
        close = SHORT.get(dtype, 1e-5)
        agree([y, *grads], [*want[0], *want[1]], close)


@pytest.mark.parametrize("name", ["layer_norm", "instance", "adaptive_norm"])
def test_a_large_mean_costs_no_digits(name: str) -> None:
    """fp32, mean 1e4, standard deviation 1: what E[x²] - μ² gets wrong altogether."""
    op = named(name)
    sample = draw(op, (32, 256) if len(op.letters) < 3 or name == "instance" else (8, 4, 256))
    sample = Sample((sample.inputs[0] + 1e4, *sample.inputs[1:]), sample.cotangents)
    rounded = sample.to(torch.float32)
    exact = rounded.to(torch.float64)
    got = run(function(name), rounded.inputs, rounded.cotangents)
    want = run(composed(op), exact.inputs, exact.cotangents)
    agree([*got[0], *got[1]], [*want[0], *want[1]], 1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0, 3333.33, -1e6])
def test_constant_rows(value: float) -> None:
    """The variance is zero: y is beta, and nothing is divided by zero."""
    x = torch.full((3, 1000), value, dtype=torch.float32)
    g, b = random(1000, seed=1, dtype=torch.float32), random(1000, seed=2, dtype=torch.float32)
    cotangent = random(3, 1000, seed=3, dtype=torch.float32)
    (y,), grads = run(function("layer_norm"), (x, g, b), [cotangent])
    exact = [t.double() for t in (x, g, b)]
    want = run(composed(named("layer_norm")), exact, [cotangent.double()])
    agree([y, grads[0], grads[2]], [want[0][0], want[1][0], want[1][2]], 1e-5)
    assert grads[1].abs().max() <= 1e-5 * cotangent.abs().max()


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_one_outlier(name: str) -> None:
    sample = draw(named(name), (4, 128))
    sample.inputs[0][1, 7] = 1e6
    rounded = sample.to(torch.float32)
    exact = rounded.to(torch.float64)
    got = run(function(name), rounded.inputs, rounded.cotangents)
    want = run(composed(named(name)), exact.inputs, exact.cotangents)
    agree([*got[0], *got[1]], [*want[0], *want[1]], 1e-5)


def test_softmax_of_large_numbers() -> None:
    x = 1e4 * random(4, 16)
    (p,), (dx,) = run(function("softmax"), (x,))
    assert p.isfinite().all()
    assert dx.isfinite().all()
    torch.testing.assert_close(p, torch.softmax(x, -1), rtol=1e-12, atol=0)


# -- relations that need no reference -------------------------------------------------------------


def test_relations_of_layer_norm() -> None:
    """Σ dx = 0, Σ dx (x-μ) = ε/σ³ Σ γ dy (x-μ), ⟨dγ,γ⟩ + ⟨dβ,β⟩ = ⟨dy,y⟩."""
    x, g, b, dy = random(8, 33), random(33, seed=1), random(33, seed=2), random(8, 33, seed=3)
    (y,), (dx, dg, db) = run(function("layer_norm"), (x, g, b), [dy])
    mu = x - x.mean(-1, keepdim=True)
    sigma = (mu.square().mean(-1) + 1e-5).sqrt()
    assert dx.sum(-1).abs().max() < 1e-12
    want = 1e-5 / sigma**3 * (g * dy * mu).sum(-1)
    torch.testing.assert_close((dx * mu).sum(-1), want, rtol=1e-6, atol=1e-13)
    torch.testing.assert_close((dg * g).sum() + (db * b).sum(), (dy * y).sum())
