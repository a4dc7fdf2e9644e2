"""Kernels move little more than they must: what is loaded once is loaded once."""

from __future__ import annotations

import re
from math import prod

import pytest

import derive
from derive.catalogue import catalogue
from derive.costs import least_moved, moved_by_kernels
from derive.emit.backends import BACKENDS
from derive.emit.files import source
from derive.emit.triton_module import has_kernels
from derive.notation.nodes import Component
from derive.plan.program import plan
from derive.plan.roles import roles

NORMS = "layer_norm rms_norm add_layer_norm add_rms_norm weight_norm l2_normalize poly_norm dyt"
ROWS = "softmax log_softmax logsumexp causal_softmax masked_softmax cross_entropy kl_div huber"
OPS = [*NORMS.split(), *ROWS.split()]
SHAPES = [(16384, 512), (16384, 1024), (16384, 8192), (65536, 4096)]
MULTIPROCESSORS, CACHE = 132, 50e6  # of an H200
MOST = 1.10


def numbers(components: tuple[Component, ...], rows: int, columns: int) -> int:
    total = 0
    for component in components:
        count = 1
        for index in component.indices:
            count *= columns if index.size.name in ("H", "I", "C", "J") else rows
        total += count
    return total


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_kernels_move_little_more_than_they_must(name: str, rows: int, columns: int) -> None:
    """Partial sums over rows are written and read once for each program, in twice the bits."""
    op = derive.load(name)
    derivation = derive.differentiate(op)
    least = least_moved(plan(op, derivation))
    moved = moved_by_kernels(op, derivation)
    shared = [c for c in op.differentiable if not set(roles(op).rows) <= set(axes_of(op, c))]
    warps = min(16, max(2048, columns) // 512)
    programs = MULTIPROCESSORS * (16 // warps)
    partial = 4 * programs * numbers(tuple(shared), rows, columns)
    forward, backward = (numbers(m, rows, columns) for m in moved)
    assert forward <= MOST * numbers(least[0], rows, columns)
    assert backward + partial <= MOST * numbers(least[1], rows, columns)


SOME_AXES = {
    "group_norm": {"N": 16, "G": 32, "S": 10, "P": 1024},
    "instance_norm": {"N": 16, "C": 256, "P": 1024},
    "ada_layer_norm": {"B": 64, "S": 256, "H": 1024},
}


@pytest.mark.parametrize("name", SOME_AXES)
def test_sums_over_some_axes_move_nothing_twice(name: str) -> None:
    """Rows leave what their parts come to; programs what rows of a group do, in twice the bits."""
    op = derive.load(name)
    derivation = derive.differentiate(op)

    def count(components: tuple[Component, ...]) -> int:
        return sum(prod(SOME_AXES[name][i.size.name] for i in c.indices) for c in components)

    forward, backward = map(count, moved_by_kernels(op, derivation))
    if name == "ada_layer_norm":  # the parts of two sums are written and read
        programs = MULTIPROCESSORS * (16 // (max(2048, SOME_AXES[name]["H"]) // 512))
        backward += 2 * 2 * 2 * programs * SOME_AXES[name]["H"]
    least = map(count, least_moved(plan(op, derivation)))
    assert all(m <= MOST * n for m, n in zip((forward, backward), least, strict=True))


def test_what_is_read_twice_is_in_the_cache() -> None:
    """Rows of 16384 that are walked in tiles, in 16 bits: of all programs, x and dy fit there."""
    text = source(derive.load("layer_norm"), BACKENDS["triton"])
    group, tile = (int(re.search(rf"^{n} = (\d+)", text, re.MULTILINE)[1]) for n in NAMES)
    assert tile // 512 == 16  # warps: one program to a multiprocessor
    assert MULTIPROCESSORS * group * 2 * 16384 * 2 <= CACHE


NAMES = ("_GROUP", "_TILE")


def axes_of(op: derive.Op, component: Component) -> tuple[object, ...]:
    return roles(op).classes.of(component)


LOADS = re.compile(r"tl\.load\((\w+)_ptr")


@pytest.mark.parametrize("name", [n for n in catalogue() if has_kernels(derive.load(n))])
def test_a_kernel_of_short_rows_loads_everything_once(name: str) -> None:
    text = source(derive.load(name), BACKENDS["triton"])
    kernels = ("_forward_row", "_backward_row", "_fused_double_backward_row")
    for kernel in (k for k in kernels if f"def {k}(" in text):
        body = text.split(f"def {kernel}(", 1)[1].split("@triton.jit", 1)[0]
        loads = LOADS.findall(body.split("\n\n\n", 1)[0])
        assert loads
        assert len(loads) == len(set(loads)), loads
