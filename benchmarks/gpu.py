"""The generated kernels on a GPU: are they right, and how near do they come to the speed of a copy?

    python benchmarks/gpu.py                      # everything, in under nine minutes
    python benchmarks/gpu.py --ops layer_norm --rows-from 4096
    TRITON_INTERPRET=1 python benchmarks/gpu.py --small   # no GPU: it runs, its times say nothing

It needs torch and triton alone: the kernels are those of `generated/triton`, each file by itself.
Five ops are timed, forward and backward, over rows and columns, beside torch's own function, and
liger-kernel and quack-kernels where they are installed: medians by events, the second-level cache
cold, the host ahead of the device, in turns, so that a busy device is busy for all. What counts is
the share of a copy: the bytes that must move, once, at the speed of a copy in the same run. Then
every kernel is held against fp64, the torch code of the same op on the same rounded inputs. Last,
torch's functions compiled take part, which takes long: for as many shapes as there is time for.

Each of the three has its share of the time, and stops when that is over; what was left out is
told. It writes `gpu.json` and, with matplotlib, `gpu.svg` into benchmarks/results.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

HERE = Path(__file__).resolve().parent
GENERATED = HERE.parent / "generated"
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
GRID = (
    (1 << 20, 64), (1 << 18, 256), (1 << 16, 1024), (1 << 14, 4096), (1 << 13, 8192),
    (1 << 12, 16384), (1 << 10, 65536), (1 << 8, 131072),
)  # fmt: skip
SMALL = ((48, 8), (6, 300))
ALLOWED = {"bf16": 2e-2, "fp32": 2e-5}  # of the largest value, or twice what torch's products give
CACHE = 1 << 28  # bytes, more than a second-level cache holds
AHEAD = 2_000_000  # cycles that the device waits, while the host prepares what is timed
SHARES = (0.45, 0.7, 0.97)  # of the time, when timing, checks, what is compiled must be over
Function = Callable[..., Tensor]


# -- generated modules, and inputs for them -------------------------------------------------------


@cache
def module(backend: str, name: str) -> ModuleType:
    """A file of generated/, imported."""
    path = GENERATED / backend / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{backend}_{name}", path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def with_kernels() -> list[str]:
    """The ops whose triton files hold kernels."""
    files = sorted((GENERATED / "triton").glob("*.py"))
    return [f.stem for f in files if "@triton.jit" in f.read_text("utf-8")]


def inputs_of(name: str, sizes: Mapping[str, int], seed: int = 0) -> list[Tensor]:
    """Random inputs in fp64, by the header of the op that stands in its file."""
    doc = module("torch", name).__doc__
    header, given = re.search(r"^    op \w+\((.*?)(?:;(.*))?\) ->", doc, re.MULTILINE).groups()
    fixed = {n.lower(): int(count) for n, count in re.findall(r"([A-Z]) = (\d+)", given or "")}
    sizes = {**sizes, **fixed}
    generator = torch.Generator(DEVICE).manual_seed(seed)
    found = []
    tensor = r"(\w+)(?:\[([\w, *+]*)\])?(?:: int\[(\w+)\])?"  # an axis may show several: k*H+h
    for text, indices, label in re.findall(tensor, header):
        axes = [re.findall(r"[a-z]\w*", axis) for axis in indices.split(",") if axis.strip()]
        shape = [math.prod(sizes[i] for i in axis) for axis in axes]
        if label:
            new = torch.randint(sizes[label], shape, generator=generator, device=DEVICE)
        else:
            new = torch.randn(shape, generator=generator, device=DEVICE, dtype=torch.float64)
            new = new.sigmoid() if _wants_chances(name, text) else new
        found.append(new)
    return found


def _wants_chances(name: str, tensor: str) -> bool:
    """Does the op take the logarithm of this input itself, so that it must be positive?"""
    source = module("torch", name).__doc__
    return re.search(rf"log\({tensor}\[", source) is not None


def rounded(tensors: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    return [t.to(dtype) if t.is_floating_point() else t for t in tensors]


def gradients(function: Function, inputs: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Outputs, and gradients of their sum with random weights, which are rounded to a type."""
    fresh = [t.detach().clone().requires_grad_(t.is_floating_point()) for t in inputs]
    given = function(*fresh)
    outputs = given if isinstance(given, tuple) else (given,)
    generator = torch.Generator(DEVICE).manual_seed(1)
    drawn = partial(torch.randn, generator=generator, device=DEVICE, dtype=torch.float64)
    weights = [drawn(o.shape).to(dtype).to(o.dtype) for o in outputs]
    real = [t for t in fresh if t.requires_grad]
    grads = torch.autograd.grad(outputs, real, weights, allow_unused=True, materialize_grads=True)
    return [*(o.detach() for o in outputs), *grads]


# -- are they right -------------------------------------------------------------------------------


@dataclass
class Check:
    """The largest error of any output or gradient, of its largest value."""

    op: str
    sizes: dict[str, int]
    dtype: str
    tiles: bool  # are rows walked in tiles, as only long ones are?
    error: float
    passed: bool


def check(name: str, sizes: dict[str, int], dtype: str, *, tiles: bool) -> Check:
    """The kernels against the torch code in fp64 on the same rounded inputs."""
    kernels = module("triton", name)
    inputs = rounded(inputs_of(name, sizes), DTYPES[dtype])
    exact = [t.double() if t.is_floating_point() else t for t in inputs]
    with patch.multiple(kernels, _LONGEST_ROW=0) if tiles else nullcontext():
        got = gradients(getattr(kernels, name), inputs, DTYPES[dtype])
    formulas = getattr(module("torch", name), name)
    want = gradients(formulas, exact, DTYPES[dtype])
    plain = gradients(formulas, inputs, DTYPES[dtype])  # matrices of 16 bits are multiplied as such
    worst, other = (max(map(_error, found, want)) for found in (got, plain))
    return Check(name, sizes, dtype, tiles, worst, worst <= max(ALLOWED[dtype], 2 * other))


def _error(got: Tensor, want: Tensor) -> float:
    off = (got.double() - want).abs().max().item() if got.numel() else 0.0
    scale = want.abs().max().item() if want.numel() else 0.0
    return off / scale if scale > 1e-9 else off


def checks(sizes: Sequence[int], deadline: float) -> Iterator[Check]:
    """Every kernel of every op; sizes in turn for its letters, so that they differ."""
    for name in with_kernels():
        ways = (False, True) if hasattr(module("triton", name), "_TILE") else (False,)
        doc = module("torch", name).__doc__
        brackets = " ".join(re.findall(r"\[([\w, *+]*)\]", doc))
        letters = sorted(set(re.findall(r"[a-z]\w*", brackets)))
        named = {letter: sizes[k % len(sizes)] for k, letter in enumerate(letters)}
        for dtype, tiles in product(DTYPES, ways):
            if time.monotonic() > deadline:
                print(f"no time to check {name} and those after it")
                return
            yield check(name, named, dtype, tiles=tiles)


# -- how fast -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Race:
    """An op and those that compute the same; `full` counts the tensors of B·H numbers that a pass
    must move, forward and backward."""

    op: str
    letters: tuple[str, str]  # of rows and columns
    full: tuple[int, int]
    rivals: Mapping[str, Callable[[], Function | None]]
    ready: Callable[[list[Tensor]], list[Tensor]] = field(default=lambda tensors: tensors)


def _installed(module: str, make: Callable[[Any], Function]) -> Callable[[], Function | None]:
    """A rival's function, if there are a GPU and the rival."""

    def found() -> Function | None:
        there = CUDA and find_spec(module.partition(".")[0]) is not None
        return make(importlib.import_module(module)) if there else None

    return found


def _liger(name: str, make: Callable[[Any], Function]) -> Callable[[], Function | None]:
    return _installed(f"liger_kernel.ops.{name}", make)


def _quack(name: str, make: Callable[[Any], Function]) -> Callable[[], Function | None]:
    return _installed(f"quack.{name}", make)


def _native(function: Function) -> dict[str, Callable[[], Function | None]]:
    return {"torch": lambda: function, "compile": lambda: torch.compile(function)}


RACES = (
    Race("layer_norm", ("b", "h"), (2, 3), {
        **_native(lambda x, g, b: F.layer_norm(x, g.shape, g, b)),
        "liger": _liger("layer_norm", lambda m: lambda x, g, b:
                        m.LigerLayerNormFunction.apply(x, g, b, 1e-5)),
    }),
    Race("rms_norm", ("b", "h"), (2, 3), {
        **_native(lambda x, g: F.rms_norm(x, g.shape, g, 1e-6)),
        "liger": _liger("rms_norm", lambda m: lambda x, g:
                        m.LigerRMSNormFunction.apply(x, g, 1e-6, 0.0, "llama", False)),
        "quack": _quack("rmsnorm", lambda m: m.rmsnorm),
    }),
    Race("softmax", ("b", "i"), (2, 3), {
        **_native(lambda x: x.softmax(-1)),
        "liger": _liger("softmax", lambda m: m.LigerSoftmaxFunction.apply),
        "quack": _quack("softmax", lambda m: m.softmax),
    }),
    Race("cross_entropy", ("b", "c"), (1, 2), {
        **_native(F.cross_entropy),
        "liger": _liger("cross_entropy", lambda m: lambda x, t:
                        m.LigerCrossEntropyFunction.apply(x.clone(), t, None)[0]),
        "quack": _quack("cross_entropy", lambda m: m.cross_entropy),
    }),
    Race("swiglu", ("n", "n"), (3, 5), {
        **_native(lambda a, b: F.silu(a) * b),
        "liger": _liger("swiglu", lambda m: m.LigerSiLUMulFunction.apply),
    }),
)  # fmt: skip


@dataclass
class Time:
    """Seconds of a pass, and the share of a copy's speed at which what must move did move."""

    op: str
    rows: int
    columns: int
    dtype: str
    who: str
    forward: float
    backward: float
    share_forward: float
    share_backward: float


@dataclass(frozen=True)
class Point:
    """An op at a shape, in a type."""

    race: Race
    rows: int
    columns: int
    dtype: str


def run(
    points: Sequence[Point], compiled: bool, copy: float, rounds: int, deadline: float
) -> Iterator[Time]:
    """The times at each point, while there is time; then it is told how many were left out."""
    for done, point in enumerate(points):
        if time.monotonic() > deadline:
            print(f"no time for {len(points) - done} of {len(points)} shapes")
            return
        new = race(point, compiled, copy, rounds)
        show(new)
        yield from new


def race(point: Point, compiled: bool, copy: float, rounds: int) -> list[Time]:
    """All who take part, in turn; those that are compiled run beside ours alone."""
    found, rows, columns, dtype = point.race, point.rows, point.columns, point.dtype
    if found.op == "swiglu":
        sizes = {found.letters[0]: rows * columns}
    else:
        sizes = dict(zip(found.letters, (rows, columns), strict=True))
    inputs = rounded(inputs_of(found.op, sizes), DTYPES[dtype])
    functions: dict[str, Function] = {"derive": getattr(module("triton", found.op), found.op)}
    rivals = {w: m for w, m in found.rivals.items() if (w == "compile") == compiled}
    functions |= {who: f for who, make in rivals.items() if (f := make()) is not None}
    passes = {who: _passes(f, inputs) for who, f in functions.items()}
    seconds: dict[str, tuple[list[float], list[float]]] = {who: ([], []) for who in passes}
    for count in range(rounds + 2):
        for who, (forward, backward) in passes.items():
            times = _timed(forward), _timed(backward)
            if count >= 2:  # the first ones compile and warm up
                for kept, took in zip(seconds[who], times, strict=True):
                    kept.append(took)
    item = DTYPES[dtype].itemsize * rows * columns
    if compiled:
        del seconds["derive"]  # it was timed beside the others
    result = []
    for who, pair in seconds.items():
        took = [statistics.median(t) for t in pair]
        shares = [n * item / t / copy for n, t in zip(found.full, took, strict=True)]
        result.append(Time(found.op, rows, columns, dtype, who, *took, *shares))
    return result


def _passes(function: Function, inputs: Sequence[Tensor]) -> tuple[Callable[[], Any], ...]:
    """Forward with nothing recorded; backward from one recorded forward pass."""
    fresh = [t.detach().clone().requires_grad_(t.is_floating_point()) for t in inputs]
    real = [t for t in fresh if t.requires_grad]
    with torch.enable_grad():
        output = function(*fresh)
    weight = torch.ones_like(output)

    def forward() -> Any:
        with torch.no_grad():
            return function(*inputs)

    def backward() -> Any:
        return torch.autograd.grad(output, real, weight, retain_graph=True)

    return forward, backward


def _timed(run: Callable[[], Any]) -> float:
    if not CUDA:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    torch.empty(CACHE, dtype=torch.int8, device=DEVICE).zero_()
    torch.cuda._sleep(AHEAD)  # noqa: SLF001  # as torch's own benchmarks do
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3


def copy_speed() -> float:
    """Bytes a second, read and written, of a large copy."""
    source = torch.empty((1 << 28) if CUDA else (1 << 22), dtype=torch.float32, device=DEVICE)
    target = torch.empty_like(source)
    times = [_timed(partial(target.copy_, source)) for _ in range(12)]
    return 2 * source.nbytes / statistics.median(times[2:])


# -- the whole ------------------------------------------------------------------------------------


def picture(times: Sequence[Time], path: Path, title: str) -> None:
    """For each op, pass and dtype: the share of a copy over the length of a row."""
    from matplotlib.figure import Figure

    ops = list(dict.fromkeys(t.op for t in times))
    kinds = [(d, p) for d in DTYPES for p in ("forward", "backward")]
    figure = Figure(figsize=(4 * len(kinds), 2.6 * len(ops)), layout="constrained")
    axes = figure.subplots(len(ops), len(kinds), squeeze=False, sharey=True)
    for line, op in zip(axes, ops, strict=True):
        for place, (dtype, which) in zip(line, kinds, strict=True):
            mine = [t for t in times if (t.op, t.dtype) == (op, dtype)]
            for who in dict.fromkeys(t.who for t in mine):
                own = sorted((t for t in mine if t.who == who), key=lambda t: t.columns)
                shares = [getattr(t, f"share_{which}") for t in own]
                bold = {"linewidth": 2.5, "color": "tab:blue"} if who == "derive" else {}
                place.plot([t.columns for t in own], shares, marker="o", label=who, **bold)
            place.set_xscale("log", base=2)
            place.set_ylim(0, 1.15)
            place.set_title(f"{op}, {which}, {dtype}", fontsize=9)
            place.axhline(1, color="gray", linewidth=0.5)
    axes[0][0].legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path)


def show(times: Sequence[Time]) -> None:
    for t in times:
        shares = f"{t.share_forward:5.0%} {t.share_backward:5.0%}"
        took = f"{t.forward * 1e6:9.1f} {t.backward * 1e6:9.1f} us"
        print(f"{t.op:14} {t.rows:8} x {t.columns:<7} {t.dtype:5} {t.who:8} {took}  {shares}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small sizes, two rounds")
    parser.add_argument("--ops", nargs="*", default=[r.op for r in RACES])
    parser.add_argument("--rows-from", type=int, default=0, help="only grids of so many rows")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=520, help="then it stops, and writes")
    parser.add_argument("--checks", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    asked = parser.parse_args()
    if not CUDA and not asked.small:
        parser.error("there is no GPU; --small runs under TRITON_INTERPRET=1")
    if not CUDA:
        os.environ["TRITON_INTERPRET"] = "1"
    start = time.monotonic()
    device = torch.cuda.get_device_name() if CUDA else "no GPU, interpreted"
    copy = copy_speed()
    print(f"{device}, torch {torch.__version__}; a copy moves {copy / 1e9:.0f} GB/s")
    grid = SMALL if asked.small else [g for g in GRID if g[0] >= asked.rows_from]
    rounds = 1 if asked.small else asked.rounds
    races = [r for r in RACES if r.op in asked.ops]
    points = [Point(r, *g, d) for g in grid for d in DTYPES for r in races]
    ends = [start + share * asked.seconds for share in SHARES]
    times = [*run(points, False, copy, rounds, ends[0])]
    sizes = (5, 7, 3, 4) if asked.small else (33, 1000, 5, 12)
    done = [*checks(sizes, ends[1])] if asked.checks else []
    for row in done:
        way, verdict = "in tiles" if row.tiles else "", "ok" if row.passed else "WRONG"
        print(f"{row.op:18} {row.dtype} {way:8}  {row.error:.1e}  {verdict}")
    if CUDA:
        times += run(points, True, copy, rounds, ends[2])
    asked.out.mkdir(parents=True, exist_ok=True)
    head = {"device": device, "torch": torch.__version__, "copy": copy}
    text = json.dumps(
        head | {"times": [asdict(t) for t in times], "checks": [asdict(c) for c in done]}, indent=1
    )
    (asked.out / "gpu.json").write_text(text + "\n", "utf-8")
    if find_spec("matplotlib"):
        title = f"{device}: bytes that must move, as a share of a copy at {copy / 1e9:.0f} GB/s"
        picture(times, asked.out / "gpu.svg", title)
    took, wrong = time.monotonic() - start, sum(not c.passed for c in done)
    print(f"{len(times)} times, {len(done)} checks, {wrong} wrong, {took:.0f} s -> {asked.out}")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
