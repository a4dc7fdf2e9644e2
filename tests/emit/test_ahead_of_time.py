"""The kernels compile for a GPU, load wide and do not spill; no GPU is needed to see that."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import derive
from derive.catalogue import catalogue
from derive.emit.triton_module import has_kernels
from derive.notation.nodes import Labels
from derive.plan.program import plan
from tests.samples import FIRST

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OPS = [name for name in catalogue() if has_kernels(derive.load(name))]
SMALL_STACK = 16  # bytes: a loop counter or two
TARGETS = ("sm_80", "sm_100", "gfx942")  # beside sm_90, for which every op is compiled


def job(name: str, dtype: str, block: int, target: str = "sm_90") -> dict[str, object]:
    op = derive.load(name)
    kept = plan(op, derive.differentiate(op)).kept
    path = str(ROOT / "generated" / "triton" / f"{name}.py")
    statistics = [f"{c.tensor.name}_ptr" for c in kept]
    labels = [f"{c.tensor.name}_ptr" for c in op.inputs if isinstance(c.tensor, Labels)]
    return {
        "path": path,
        "dtype": dtype,
        "block": block,
        "target": target,
        "statistics": statistics,
        "labels": labels,
    }


def compiled(jobs: list[dict[str, object]]) -> list[dict[str, object]]:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, str(HERE / "compile_kernels.py")],
        input="".join(json.dumps(j) + "\n" for j in jobs),
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", [name for name in FIRST if name in OPS])
def test_kernels_compile_for_every_dtype(name: str) -> None:
    dtypes = ("fp16", "bf16", "fp32", "fp64")
    done = compiled([job(name, dtype, 1024) for dtype in dtypes])
    assert len(done) == 4 * len(dtypes)


@pytest.mark.parametrize("name", OPS)
def test_nothing_spills_and_loads_are_wide(name: str) -> None:
    """Short rows, several at once; rows of a thousand; the longest that stay in registers."""
    done = compiled([job(name, "bf16", 64), job(name, "fp32", 1024), job(name, "bf16", 8192)])
    assert done
    check(done)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["layer_norm", "softmax", "cross_entropy", "swiglu"])
def test_the_same_on_other_devices(name: str, target: str) -> None:
    check(compiled([job(name, "bf16", 1024, target)]))


def check(done: list[dict[str, object]]) -> None:
    for row in done:
        assert row["spilled"] <= SMALL_STACK, row
        assert row["stack"] <= SMALL_STACK, row
        assert row["wide"], row
