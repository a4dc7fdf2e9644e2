"""The benchmarks run; what they measure is not asserted here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import derive
from derive.catalogue import catalogue
from derive.emit.triton_file import has_groups
from derive.emit.triton_module import has_kernels

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "derivation.py"


@pytest.mark.slow
def test_the_benchmark_of_derivations_runs() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--quick"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    beside, growth = rows[2], rows[5]
    assert beside.startswith("| softmax | ")
    assert "cannot be checked" not in beside
    assert "wrong" not in beside
    assert growth.startswith("| chain, element-wise: equations | 10, 20 | ")


@pytest.mark.slow
def test_the_benchmark_of_kernels_runs_where_there_is_no_gpu(tmp_path: Path) -> None:
    """Every kernel is right under the interpreter; its times are written, and say nothing."""
    script = BENCHMARK.with_name("gpu.py")
    done = subprocess.run(
        [sys.executable, str(script), "--small", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, "TRITON_INTERPRET": "1"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert {t["op"] for t in found["times"]} == {
        "layer_norm", "rms_norm", "softmax", "cross_entropy", "swiglu",
    }  # fmt: skip
    assert {t["who"] for t in found["times"]} >= {"derive", "torch"}
    ops = [derive.load(n) for n in catalogue()]
    kernels = [op.name for op in ops if has_kernels(op) or has_groups(op)]
    assert sorted(c["op"] for c in found["checks"] if not c["tiles"]) == sorted(2 * kernels)
    assert {c["op"] for c in found["checks"] if c["tiles"]} >= {"layer_norm", "cross_entropy"}
    assert all(c["passed"] for c in found["checks"])
    assert (tmp_path / "gpu.svg").exists()
