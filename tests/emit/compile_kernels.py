"""Compile the kernels of generated files for a GPU that need not be there; print what they hold.

Run by test_ahead_of_time.py in a process of its own: Triton must not be interpreting here.
"""

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
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


def load(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source_of(kernel, dtype, statistics, block):
    """The kernel for one dtype; statistics and partial sums are in the accumulator's."""
    signature, constants, attributes = {}, {}, {}
    fixed = {"BLOCK": block, "ACC": tl.float64 if dtype == "fp64" else tl.float32}
    accumulator = "fp64" if dtype == "fp64" else "fp32"
    for place, parameter in enumerate(kernel.params):
        name = parameter.name
        if parameter.is_constexpr:
            signature[name], constants[name] = "constexpr", fixed.get(name, 1e-5)
            continue
        is_statistic = name in statistics or name.endswith("_partial_ptr")
        pointer = f"*{accumulator if is_statistic else dtype}"
        signature[name] = pointer if name.endswith("_ptr") else "i32"
        attributes[place,] = ALIGNED
    return ASTSource(kernel, signature, constants, attrs=attributes)


def facts(ptx):
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = [get_ptxas(90).path, "-v", "--gpu-name", "sm_90a", file.name, "-o", "/dev/null"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    stack, stores, loads = map(int, FACTS.search(said).groups())
    return {"stack": stack, "spilled": stores + loads, "wide": ".v4.b32" in ptx or ".v2.b64" in ptx}


def main():
    for line in sys.stdin:
        job = json.loads(line)
        module = load(job["path"])
        for kernel in KERNELS:
            block = module._TILE if kernel.endswith("tiles") else job["block"]
            source = source_of(getattr(module, kernel), job["dtype"], job["statistics"], block)
            options = {"num_warps": module._warps(block), "enable_fp_fusion": True}
            done = compile_kernel(source, target=GPUTarget("cuda", 90, 32), options=options)
            row = {**job, "kernel": kernel, **facts(done.asm["ptx"])}
            sys.stdout.write(json.dumps(row) + "\n")


assert torch.__version__
main()
