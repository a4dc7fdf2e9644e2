"""Compile kernels of generated files for a GPU that need not be there; print what they hold.

Run by test_ahead_of_time.py in a process of its own: Triton must not be interpreting here. A line
of JSON asks for one kernel, a line of JSON answers.
"""

import importlib.util
import inspect
import json
import re
import subprocess
import sys
import tempfile
from functools import cache

import triton.language as tl
from triton import compile as compile_kernel
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

FACTS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
LOADS = re.compile(r"(@%p\d+ )?ld\.global[\w.]*?(?:\.v(\d))?\.b(\d+)")
IN_SOURCE = re.compile(r"tl\.load\(\s*(\w+)_ptr[^=]*mask=(inside|along|here)\w*,")
# In the call of _choose: the group, the part of a tile, the numbers of a warp.
TILES = r"\b{}_tiles,\s*(\w+)(?:,\s*_TILE // (\d+)(?:,\s*(\d+))?)?,?\s*\)"
LINES = r"(?s)\b{}\[.*?num_warps=_warps\(_FEW(?:, (\d+))?\)"  # in a launch: those of a warp
EARLIER = re.compile(r"tl\.load\(place_*,")  # of a sum over rows that is kept in memory
ALIGNED = [["tt.divisibility", 16]]
BYTES = {"fp16": 2, "bf16": 2, "fp32": 4, "fp64": 8}


@cache
def load(path):
    spec = importlib.util.spec_from_file_location("kernels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shape_of(module, kernel, job):
    """How many rows a program takes at once, how many columns of each, by how many warps.

    Where no column depends on another, a kernel takes numbers of one long line, or of several
    short ones.
    """
    if any(p.name == "lines" for p in kernel.params):
        dense = re.search(LINES.format(job["kernel"]), inspect.getsource(module))[1]
        warps = module._warps(module._FEW, int(dense or 512))
        return module._FEW, min(module._FEW, job["length"]), warps
    stem = job["kernel"].rpartition("_")[0]
    asked = re.search(TILES.format(stem), inspect.getsource(module))
    group, part, dense = asked.groups() if asked else ("1", "1", "512")
    group = module._GROUP if group == "_GROUP" else 1
    longest = 0 if "tiles" in job["kernel"] else job["length"]
    less = {"tile": module._TILE // int(part or 1), "dense": int(dense or 512)}
    return module._choose(job["length"], longest, None, None, group, **less)[1:]


def dtype_of(name, job):
    """Statistics and partial sums are in the accumulator's type."""
    if name in job["labels"]:
        return "i64"
    accumulator = "fp64" if job["dtype"] == "fp64" else "fp32"
    is_sum = name in job["statistics"] or name.endswith(("_partial", "_terms"))
    return accumulator if is_sum else job["dtype"]


def source_of(kernel, job, rows, block):
    """The kernel for one type; all that can be is divisible by 16."""
    signature, constants, attributes = {}, {}, {}
    accumulator = tl.float64 if job["dtype"] == "fp64" else tl.float32
    fixed = {"ROWS": rows, "BLOCK": block, "EVEN": job["even"], "ACC": accumulator}
    fixed["INNER"] = block // 4  # of a row in parts
    for place, parameter in enumerate(kernel.params):
        name = parameter.name
        if parameter.is_constexpr:
            signature[name], constants[name] = "constexpr", fixed.get(name, 1e-5)
            continue
        pointer = f"*{dtype_of(name.removesuffix('_ptr'), job)}"
        signature[name] = pointer if name.endswith("_ptr") else "i64" if name == "rows" else "i32"
        if not parameter.do_not_specialize:
            attributes[place,] = ALIGNED
    return ASTSource(kernel, signature, constants, attrs=attributes)


def on_nvidia(done, target):
    """Bytes of stack and of spilled registers; bytes that the threads of a program load."""
    ptx, threads = done.asm["ptx"], 32 * done.metadata.num_warps
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        name = f"sm_{target.arch}{'a' if target.arch >= 90 else ''}"
        command = [get_ptxas(target.arch).path, "-v", "--gpu-name", name, file.name]
        run = subprocess.run([*command, "-o", "/dev/null"], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    stack, stores, loads = map(int, FACTS.search(run.stderr).groups())
    widths = [(bool(p), int(n or 1) * int(bits) // 8) for p, n, bits in LOADS.findall(ptx)]
    return {
        "stack": stack,
        "spilled": stores + loads,
        "wide": threads * sum(w for _, w in widths if w == 16),
        "masked": threads * sum(w for masked, w in widths if masked and w == 16),
    }


def on_amd(done):
    text = done.asm["amdgcn"]
    spilled = sum(int(n) for n in re.findall(r"\.[sv]gpr_spill_count:\s+(\d+)", text))
    stack = int(re.search(r"\.private_segment_fixed_size:\s+(\d+)", text)[1])
    wide = 16 * 64 * done.metadata.num_warps * text.count("_load_dwordx4")
    return {"stack": stack, "spilled": spilled, "wide": wide, "masked": 0}


def planned(kernel, job, rows, block):
    """The bytes that the source loads: of matrices, and of what rows share, once for each row."""
    source = inspect.getsource(kernel.fn)
    found = {"inside": 0, "along": 8 * block * len(EARLIER.findall(source)), "here": 0}
    for name, mask in IN_SOURCE.findall(source):
        place = "along" if name in job["parts"] else mask
        numbers = rows if mask == "here" else rows * block
        found[place] += BYTES.get(dtype_of(name, job), 8) * numbers
    return found


def target_of(name):
    """`sm_90` or `gfx942`."""
    if name.startswith("sm_"):
        return GPUTarget("cuda", int(name.removeprefix("sm_")), 32)
    return GPUTarget("hip", name, 64)


def answer(job):
    module, target = load(job["path"]), target_of(job["target"])
    kernel = getattr(module, job["kernel"], None)
    if kernel is None:
        return None
    rows, block, warps = shape_of(module, kernel, job)
    options = {"num_warps": warps, "enable_fp_fusion": True}
    done = compile_kernel(source_of(kernel, job, rows, block), target=target, options=options)
    facts = on_amd(done) if target.backend == "hip" else on_nvidia(done, target)
    even = job["even"] and any(p.name == "EVEN" for p in kernel.params)
    return {**job, **facts, "even": even, "planned": planned(kernel, job, rows, block)}


for line in sys.stdin:
    sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
    sys.stdout.flush()
