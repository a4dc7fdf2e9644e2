"""Compile the kernels of generated files for a GPU that need not be there; print what they hold.

Run by test_ahead_of_time.py in a process of its own: Triton must not be interpreting here.
"""

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import torch
import triton.language as tl
from triton import compile as compile_kernel
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

KERNELS = ("_forward_row", "_forward_tiles", "_backward_row", "_backward_tiles")
FACTS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
ALIGNED = [["tt.divisibility", 16]]


@cache
def load(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source_of(kernel, job, rows, block):
    """The kernel for one dtype; statistics and partial sums are in the accumulator's."""
    signature, constants, attributes = {}, {}, {}
    dtype = job["dtype"]
    fixed = {"ROWS": rows, "BLOCK": block, "ACC": tl.float64 if dtype == "fp64" else tl.float32}
    accumulator = "fp64" if dtype == "fp64" else "fp32"
    for place, parameter in enumerate(kernel.params):
        name = parameter.name
        if parameter.is_constexpr:
            signature[name], constants[name] = "constexpr", fixed.get(name, 1e-5)
            continue
        is_sum = name in job["statistics"] or name.endswith(("_partial_ptr", "_terms_ptr"))
        pointer = "*i64" if name in job["labels"] else f"*{accumulator if is_sum else dtype}"
        signature[name] = pointer if name.endswith("_ptr") else "i32"
        attributes[place,] = ALIGNED
    return ASTSource(kernel, signature, constants, attrs=attributes)


def facts(done, target):
    """Bytes of stack and of spilled registers, and whether anything is loaded 128 bits wide."""
    if target.backend == "hip":
        text = done.asm["amdgcn"]
        spilled = sum(int(n) for n in re.findall(r"\.[sv]gpr_spill_count:\s+(\d+)", text))
        wide = "_load_dwordx4" in text
        return {"stack": 0, "spilled": spilled, "wide": wide}
    ptx = done.asm["ptx"]
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        name = f"sm_{target.arch}{'a' if target.arch >= 90 else ''}"
        command = [get_ptxas(target.arch).path, "-v", "--gpu-name", name, file.name]
        run = subprocess.run([*command, "-o", "/dev/null"], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    stack, stores, loads = map(int, FACTS.search(run.stderr).groups())
    return {"stack": stack, "spilled": stores + loads, "wide": ".v4.b32" in ptx or ".v2.b64" in ptx}


def target_of(name):
    """`sm_90` or `gfx942`."""
    if name.startswith("sm_"):
        return GPUTarget("cuda", int(name.removeprefix("sm_")), 32)
    return GPUTarget("hip", name, 64)


def main():
    for line in sys.stdin:
        job = json.loads(line)
        module, target = load(job["path"]), target_of(job["target"])
        for kernel in (k for k in KERNELS if hasattr(module, k)):
            tiles = kernel.endswith("tiles")
            block = module._TILE if tiles else job["block"]
            block = block if hasattr(module, "_TILE") else 1  # each number by itself
            rows = 1 if tiles else max(1, module._FEW // block)
            options = {"num_warps": module._warps(rows * block), "enable_fp_fusion": True}
            source = source_of(getattr(module, kernel), job, rows, block)
            done = compile_kernel(source, target=target, options=options)
            row = {**job, "kernel": kernel, **facts(done, target)}
            sys.stdout.write(json.dumps(row) + "\n")


assert torch.__version__
main()
