"""The Triton kernels on hard inputs, under Triton's interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

if os.environ.get("TRITON_INTERPRET") != "1":
    reason = "Triton decides on its import whether to interpret: set TRITON_INTERPRET=1"
    pytest.skip(reason, allow_module_level=True)

import torch

from derive.catalogue import load
from derive.emit.module import build
from derive.emit.triton_file import has_groups
from derive.emit.triton_module import has_kernels
from derive.notation.op import Op
from derive.verify.tiles import in_tiles
from tests import hard
from tests.hard import CENTRED, CHECKS, HARD, KERNELS, NATIVE, NORMS, ROUNDING
from tests.native import NATIVE as CASES
from tests.samples import name_of, named
from tests.test_native import STABLE, check_large_numbers

# NumPy computes the lanes beyond the row's end too, where a logarithm of zero does no harm.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

LENGTHS = (1, 2, 7, 31, 257)
LARGE = [n for n in STABLE.split() if has_kernels(load(n)) or has_groups(load(n))]
ours = pytest.mark.parametrize("name", NATIVE)
ways = pytest.mark.parametrize("way", ["row", "tiles"])
Walk = Callable[[str, str], None]


@cache
def module(name: str) -> ModuleType:
    return build(named(name), backend="triton")


def function(name: str) -> Callable[..., Any]:
    return getattr(module(name), name)


@pytest.fixture
def walk() -> Iterator[Walk]:
    """Makes a module take its rows in one block, or in tiles of 64 columns."""
    with ExitStack() as changes:

        def choose(name: str, way: str) -> None:
            made = module(name)
            if hasattr(made, "_TILE"):
                whole = patch.object(made, "_LONGEST_ROW", 1 << 20)
                changes.enter_context(in_tiles(made, 64) if way == "tiles" else whole)

        yield choose


# -- accuracy -----------------------------------------------------------------------------------


@ours
@ways
@pytest.mark.parametrize("kind", HARD)
def test_no_error_is_larger_than_that_of_torch(name: str, way: str, kind: str, walk: Walk) -> None:
    """Row by row, in fp32; in blocks and in tiles, of which the last is full or nearly empty."""
    walk(name, way)
    for columns in LENGTHS if way == "row" else (63, 65):
        full = hard.drawn(named(name), rows=2, columns=columns)
        sample = hard.change(named(name), full, HARD[kind]).to(torch.float32)
        hard.check_against_native(function(name), named(name), hard.shift(named(name), sample))


@ways
@pytest.mark.parametrize("name", CENTRED)
@pytest.mark.parametrize("kind", ["mean 1e4", "mean 1e6"])
def test_a_large_mean_leaves_a_tenth_of_torchs_error(
    name: str, way: str, kind: str, walk: Walk
) -> None:
    walk(name, way)
    full = hard.drawn(named(name), rows=2, columns=257)
    sample = hard.change(named(name), full, HARD[kind]).to(torch.float32)
    hard.check_ten_times_closer(function(name), named(name), sample)


@ours
@pytest.mark.parametrize("columns", [8193, 65537])
def test_rows_longer_than_a_block(name: str, columns: int) -> None:
    """In the tiles that a GPU would use; numbers of 1e4, which overflow no exponential either."""
    full = hard.drawn(named(name), rows=2, columns=columns)
    for kind in ("mean 1e4", "large"):
        sample = hard.change(named(name), full, HARD[kind]).to(torch.float32)
        hard.check_against_native(function(name), named(name), hard.shift(named(name), sample))


@pytest.mark.parametrize("op", KERNELS, ids=name_of)
def test_about_as_exact_as_composed_operations(op: Op) -> None:
    """For ops that torch has none for. A cube root or a tanh is an exponential here."""
    full = hard.drawn(op, rows=2, columns=7)
    for kind in ("mean 1e4", "mean 1e6", "constant", "outlier", "large", "small"):
        sample = hard.shift(op, hard.change(op, full, HARD[kind]).to(torch.float32))
        hard.check_against_composed(function(op.name), op, sample, 32 * ROUNDING)
    weightless = hard.weightless(op, full).to(torch.float32)
    hard.check_against_composed(function(op.name), op, weightless, 32 * ROUNDING)


@pytest.mark.parametrize("name", LARGE)
def test_large_numbers(name: str) -> None:
    """Numbers of 1e4 in fp32: results and gradients are those in fp64, and finite."""
    call = getattr(build(load(name), backend="triton"), name)
    check_large_numbers(call, next(c for c in CASES if c.op == name))


@ours
def test_gradients_of_a_plain_sum(name: str) -> None:
    sample = hard.drawn(named(name), columns=200).to(torch.float32)
    hard.check_against_native(function(name), named(name), hard.summed(sample))


@pytest.mark.parametrize("name", NORMS)
def test_fp16_is_no_worse_than_in_torch(name: str) -> None:
    for kind in ("mean 0", "mean 1e4", "constant"):
        full = hard.drawn(named(name), columns=200)
        sample = hard.change(named(name), full, HARD[kind]).to(torch.float16)
        hard.check_against_native(function(name), named(name), hard.shift(named(name), sample))


@pytest.mark.parametrize("p", [-9, -2.5, -2, -0.5, 0, 0.5, 1, 1.0, 1.5, 1.7, 2, 3, 8, 9, 9.5])
def test_powers_keep_their_digits(p: float) -> None:
    """x^p and its slope, which at p = 1 is x^0: one at zero too."""
    x = torch.tensor([1e-3, 0.5, 1.0, 3.0, 1e3], dtype=torch.float32)
    if p >= 1:
        x = torch.cat((x, torch.zeros(1), *([-x] if p % 1 == 0 else [])))
    exact = x.double().requires_grad_()
    want = (exact**p / len(x), exact)
    got = x.clone().requires_grad_()
    y = function("rows_only")(got, k=p)
    want[0].sum().backward()
    y.sum().backward()
    floor = 128 if p in (-9, 1.7, 9, 9.5) else 16  # an exponential of up to 9 log 1e3
    for ours, exactly in ((y, want[0]), (got.grad, exact.grad)):
        torch.testing.assert_close(ours.double(), exactly, rtol=floor * ROUNDING, atol=1e-45)


# -- every check for every op ----------------------------------------------------------------------


@pytest.mark.parametrize("op", KERNELS, ids=name_of)
@pytest.mark.parametrize("check", CHECKS)
def test_hard_inputs(check: str, op: Op) -> None:
    CHECKS[check](function(op.name), op)


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("check", ["NaN stays in its row", "empty", "zero cotangents"])
def test_hard_inputs_in_tiles(check: str, name: str, walk: Walk) -> None:
    walk(name, "tiles")
    CHECKS[check](function(name), named(name))


# -- launches -----------------------------------------------------------------------------------


class Launches:
    """Stands for a kernel, and keeps the grids that it is launched with."""

    def __init__(self) -> None:
        self.grids: list[tuple[int, ...]] = []

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        self.grids.append(grid)
        return lambda *_, **__: None


@pytest.mark.parametrize("lead", [(70_001,), (300, 250), (0,), ()])
def test_grids_have_one_axis(lead: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU takes 2**31 programs along the first axis, and 65535 along the others."""
    made, rows = module("layer_norm"), torch.Size(lead).numel()
    forward, backward = Launches(), Launches()
    monkeypatch.setattr(made, "_forward_row", forward)
    monkeypatch.setattr(made, "_backward_row", backward)
    monkeypatch.setattr(made, "_add_up", Launches())
    monkeypatch.setattr(made, "_programs", lambda count, *_: min(count, 528))
    x, weights = torch.zeros(*lead, 2, requires_grad=True), torch.zeros(2)
    made.layer_norm(x, weights, weights).sum().backward()
    many = made._choose(2, 2, None, None, 1)[1]
    assert many > 1
    assert forward.grids == [(-(-rows // many),)]
    assert backward.grids == [(min(-(-rows // many), 528),)]


def test_every_program_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four programs of four warps to a multiprocessor, one of sixteen."""
    properties = SimpleNamespace(multi_processor_count=132)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    programs = module("layer_norm")._programs
    tensor = SimpleNamespace(device=torch.device("cuda"))
    counts = {most: programs(most, 4, tensor) for most in (0, 1, 3, 527, 528, 70_001)}
    assert counts == {0: 0, 1: 1, 3: 3, 527: 527, 528: 528, 70_001: 528}
    assert programs(70_001, 16, tensor) == 132


def test_sums_over_rows_are_the_same_on_every_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch is told to be deterministic: the number of programs does not depend on it."""
    programs = module("layer_norm")._programs
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    devices = [SimpleNamespace(device=torch.device(d)) for d in ("cpu", "cuda")]
    assert {programs(70_001, 4, tensor) for tensor in devices} == {256}


# -- each check catches something ------------------------------------------------------------------

EMPTY = "dx = torch.empty((B, H)"
VIEW = "torch.ops.aten._unsafe_view(output, shape)"
SAVE, KEPT = "ctx.save_for_backward(", ("ctx.saved_tensors", "ctx.kept")
BROKEN = {
    "NaN stays in its row": (
        "rms_norm",
        ("x_ptr + row[:, None] * H", "x_ptr + (row // 2)[:, None] * H"),
    ),
    "zero cotangents": (
        "layer_norm",
        (
            "dbeta_partial += tl.where(here[:, None], dy",
            "dbeta_partial += tl.where(inside, dy + 1e-30",
        ),
    ),
    "empty": (
        "layer_norm",
        ("parts = tl.zeros([BLOCK, BLOCK], ACC)", "parts = tl.full([BLOCK, BLOCK], 1.0, ACC)"),
    ),
    "ranks": ("rms_norm", ("_give(dx, (*lead, H), x.dtype)", "dx")),
    "layouts": ("layer_norm", (".contiguous()", "")),
    "a shared input": ("add_norm", ("_give(dr,", "_give(0 * dr if r is x else dr,")),
    "single gradients": ("layer_norm", ("needs[2]", "needs[1]")),
    "nothing else changes": ("rms_norm", (EMPTY, f"dx = dy if B else {EMPTY[5:]}")),
    "changed outputs": ("softmax", (VIEW, "output.reshape(shape)")),
    "changed inputs": ("rms_norm", (SAVE, "ctx.kept = ("), KEPT),
    "changed statistics": ("softmax", (f"{SAVE}x, m", f"ctx.kept = (x, m, z); {SAVE}x, m"), KEPT),
}


@pytest.mark.parametrize("check", CHECKS)
def test_each_check_catches_a_fault(check: str) -> None:
    name, *changes = BROKEN[check]
    made = hard.broken(name, "triton", *changes)
    with pytest.raises((AssertionError, RuntimeError, IndexError)):
        CHECKS[check](getattr(made, name), named(name))


def test_an_error_larger_than_torchs_is_caught() -> None:
    """Lanes beyond the row's end that are summed too, or no re-centring."""
    op = named("layer_norm")
    full = hard.drawn(op, rows=2, columns=31)
    masks = ("tl.where(inside, mu * mu, 0.0)", "mu * mu")
    unmasked = hard.broken("layer_norm", "triton", masks)
    with pytest.raises(AssertionError):
        hard.check_against_native(unmasked.layer_norm, op, full.to(torch.float32))
    sample = hard.change(op, full, HARD["mean 1e4"]).to(torch.float32)
    plain = hard.broken(
        "layer_norm",
        "triton",
        ("mu = mu - mu_mean[:, None]", "mu = mu"),
        (" - mu_mean[:, None]", ""),
    )
    with pytest.raises(AssertionError):
        hard.check_ten_times_closer(plain.layer_norm, op, sample)
