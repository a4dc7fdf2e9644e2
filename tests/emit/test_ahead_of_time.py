"""The kernels compile for a GPU, load wide and do not spill; no GPU is needed to see that."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import derive
from derive.emit.triton_module import has_kernels
from derive.plan.program import plan
from tests.samples import FIRST

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OPS = [name for name in FIRST if has_kernels(derive.load(name))]
SMALL_STACK = 16  # bytes: a loop counter or two


def job(name: str, dtype: str, block: int) -> dict[str, object]:
    op = derive.load(name)
    kept = plan(op, derive.differentiate(op)).kept
    path = str(ROOT / "generated" / "triton" / f"{name}.py")
    statistics = [f"{c.tensor.name}_ptr" for c in kept]
    return {"path": path, "dtype": dtype, "block": block, "statistics": statistics}


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


@pytest.mark.parametrize("name", OPS)
def test_kernels_compile_for_every_dtype(name: str) -> None:
    dtypes = ("fp16", "bf16", "fp32", "fp64")
    done = compiled([job(name, dtype, 1024) for dtype in dtypes])
    assert len(done) == 4 * len(dtypes)


@pytest.mark.parametrize("name", OPS)
def test_nothing_spills_and_loads_are_wide(name: str) -> None:
    shapes = [(dtype, block) for dtype in ("bf16", "fp32") for block in (1024, 8192)]
    done = compiled([job(name, dtype, block) for dtype, block in shapes])
    assert done
    for row in done:
        assert row["spilled"] <= SMALL_STACK, row
        assert row["stack"] <= SMALL_STACK, row
        assert row["wide"], row
