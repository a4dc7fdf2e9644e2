"""The same bytes for every hash seed, from every folder, through a link and back."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ENGINE = ("backends", "document", "triton_module")
pytestmark = pytest.mark.skipif(
    not all(find_spec(f"derive.emit.{name}") for name in ENGINE), reason="no engine yet"
)


def generated(folder: Path, seed: str) -> dict[str, bytes]:
    """What a process with that hash seed writes, started in that folder."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "derive", "-q", "generate", "layer_norm", "--out", "gen"]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    files = (path for path in sorted((folder / "gen").rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_bytes_depend_on_nothing_but_the_inputs(tmp_path: Path) -> None:
    first, second = (generated(tmp_path / seed, seed) for seed in ("0", "1"))
    assert len(first) == 4
    assert first == second
    assert all(b"\r" not in data and str(tmp_path).encode() not in data for data in first.values())


_TRACES = """
import sys
from derive import differentiate, load
from derive.catalogue import load_all
from derive.higher import backward

ops = [load(name) for name in ("layer_norm", "softmax")]
ops += [op for path in sys.argv[1:] for op in load_all(path)]
for op in (*ops, backward(ops[1])):
    print(differentiate(op).show(trace=True))
"""


def test_the_trace_is_the_same_under_ten_hash_seeds() -> None:
    paths = [str(ROOT / "tests" / "ops" / f"{name}.op") for name in ("losses", "statistics")]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _TRACES, *paths],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        for seed in range(10)
    ]
    traces = {process.communicate()[0] for process in running}
    assert all(process.returncode == 0 for process in running)
    assert len(traces) == 1
    assert traces.pop().count(b"components are independent") > 20
