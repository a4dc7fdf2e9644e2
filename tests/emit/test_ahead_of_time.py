"""The kernels compile for a GPU, load wide and do not spill; no GPU is needed to see that."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import derive
from derive.catalogue import catalogue
from derive.emit.fused_module import groups_of
from derive.emit.triton_file import has_groups
from derive.emit.triton_module import has_kernels
from derive.notation.nodes import Labels
from derive.plan.program import plan
from tests.samples import FIRST

HERE = Path(__file__).parent
GENERATED = HERE.parent.parent / "generated" / "triton"
OPS = [name for name in catalogue() if has_kernels(derive.load(name))]
GROUPED = [name for name in catalogue() if has_groups(derive.load(name))]
OTHERS = ("sm_80", "sm_100", "gfx942")  # beside sm_90, for which every kernel is compiled
WAYS = ("forward", "backward", "fused_double_backward")
ROW, TILES = (tuple(f"_{way}_{kind}" for way in WAYS) for kind in ("row", "tiles"))
LONGEST = re.compile(r"_choose\(\s*\w+,\s*_LONGEST_ROW(?: // (\d))?,\s*_(\w+)_row")
KERNEL = re.compile(r"^def (_\w+_(?:row|tiles))\(", re.MULTILINE)
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """What is compiled in a process that does not interpret; one for all tests."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, str(HERE / "compile_kernels.py")]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def compiled(
        name: str,
        kernels: tuple[str, ...],
        dtype: str,
        length: int,
        target: str = "sm_90",
        even: bool = True,
    ) -> list[dict[str, Any]]:
        known = facts(name) if name in OPS else facts_of_groups(name)
        job = known | {"dtype": dtype, "length": length, "target": target, "even": even}
        answers = []
        for kernel in kernels:
            process.stdin.write(json.dumps(job | {"kernel": kernel}) + "\n")
            process.stdin.flush()
            answers.append(json.loads(process.stdout.readline()))
        return [a for a in answers if a is not None]

    yield compiled
    process.stdin.close()
    process.stdout.close()
    assert process.wait(60) == 0


def facts(name: str) -> dict[str, Any]:
    op = derive.load(name)
    kept = plan(op, derive.differentiate(op)).kept
    widest = max(len(c.indices) for c in op.inputs)
    shared = [c.tensor.name for c in op.inputs if len(c.indices) < widest]
    return {
        "path": str(GENERATED / f"{name}.py"),
        "statistics": [c.tensor.name for c in kept],
        "labels": [c.tensor.name for c in op.inputs if isinstance(c.tensor, Labels)],
        "parts": [p + n for n in shared for p in ("", "dgrad_")],
    }


def facts_of_groups(name: str) -> dict[str, Any]:
    """Kernels between products are given what torch computed, all in one type."""
    op = derive.load(name)
    given = [c for g in groups_of(op).groups for c in g.reads]
    widest = {c.tensor.name: len(c.indices) for c in given}
    return {
        "path": str(GENERATED / f"{name}.py"),
        "statistics": [],
        "labels": [c.tensor.name for c in given if isinstance(c.tensor, Labels)],
        "parts": [n for n, axes in widest.items() if axes < max(widest.values())],
    }


def longest(name: str, kernel: str) -> int:
    """The longest row that the kernel holds in registers."""
    text = (GENERATED / f"{name}.py").read_text("utf-8")
    shares = {f"_{which}_row": int(share or 1) for share, which in LONGEST.findall(text)}
    return 16384 // shares.get(kernel, 1)


def check(row: dict[str, Any]) -> None:
    """Matrices are loaded once, by 128 bits, full blocks without a mask; nothing spills."""
    assert row["spilled"] == row["stack"] == 0, row
    least = row["planned"]["inside"] + row["planned"]["here"]
    if row["target"].startswith("sm"):
        assert least <= row["wide"] <= least + row["planned"]["along"], row
        assert not row["even"] or "row" not in row["kernel"] or not row["masked"], row
    assert row["wide"], row


@pytest.mark.parametrize("name", OPS)
def test_nothing_spills_and_loads_are_wide(name: str, ask: Ask) -> None:
    """Short rows, several at once; the longest that stay in registers; longer ones in tiles."""
    short, tiles = ask(name, ROW, "bf16", 64), ask(name, TILES, "bf16", 1 << 17)
    types = ("bf16", "fp32")
    long = [r for k in ROW for t in types for r in ask(name, (k,), t, longest(name, k))]
    assert 2 * len(short) == len(long) >= 4
    for row in (*short, *long, *tiles):
        check(row)


@pytest.mark.parametrize("name", OPS)
def test_the_same_on_other_devices(name: str, ask: Ask) -> None:
    """Each op on one of them; those that come first, on all."""
    mine = OPS.index(name) % len(OTHERS)
    for target in OTHERS if name in FIRST else OTHERS[mine : mine + 1]:
        for row in ask(name, (*ROW[:2], *TILES[:2]), "bf16", 1024, target):
            check(row)


@pytest.mark.parametrize("name", [name for name in FIRST if name in OPS])
def test_other_types_and_lengths_compile(name: str, ask: Ask) -> None:
    """Rows that fill no block, too: then loads are masked."""
    for dtype in ("fp16", "fp64"):
        assert ask(name, (*ROW, *TILES), dtype, 1024, even=False)


@pytest.mark.parametrize("name", ["layer_norm", "ada_layer_norm"])
def test_sums_over_rows_are_added_up_by_one_kernel(name: str, ask: Ask) -> None:
    (row,) = ask(name, ("_add_up",), "bf16", 64)
    assert row["spilled"] == row["stack"] == 0


@pytest.mark.parametrize("name", GROUPED)
def test_kernels_between_products(name: str, ask: Ask) -> None:
    """Rows that just fit, and tiles."""
    text = (GENERATED / f"{name}.py").read_text("utf-8")
    for kernel in KERNEL.findall(text):
        length = longest(name, kernel) if kernel.endswith("_row") else 1 << 17
        (row,) = ask(name, (kernel,), "fp32", length)
        check(row)
