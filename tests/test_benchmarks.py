"""The benchmark of derivations runs; what it measures is not asserted here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
