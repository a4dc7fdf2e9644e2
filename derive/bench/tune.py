"""`derive bench --tune`: how much a program of a row kernel takes at once, measured.

For each length of rows and each type, every candidate runs each op, forward and backward, in turn
with the rule; what counts is the mean over the ops. Only what is clearly faster becomes a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from math import exp, log
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch

from derive.bench.case import DTYPES, Case, case
from derive.bench.clock import seconds
from derive.emit.environment import TEMPLATES
from derive.emit.module import build
from derive.emit.tuned import TABLE, Setting, write
from derive.errors import DeriveError
from derive.notation.op import Op
from derive.plan.roles import roles

INTERPRETED = "no GPU, interpreted"
_WORTH = 1.03  # times faster than by rule, or the rule stays
_BY_RULE = (0, 0)
Run = Callable[[], object]
Candidate = tuple[int, int]  # numbers at once, warps


@dataclass(frozen=True)
class Grid:
    """What is measured: lengths of rows, numbers in a tensor, types, candidates."""

    columns: tuple[int, ...]
    numbers: int
    dtypes: tuple[str, ...]
    at_once: tuple[int, ...]
    warps: tuple[int, ...]


ON_A_GPU = Grid(
    tuple(2**k for k in range(6, 18)), 2**26, ("bf16", "fp32"),
    (1024, 2048, 4096, 8192, 16384), (2, 4, 8, 16),
)  # fmt: skip
SMALL = Grid((8, 16), 64, ("fp32",), (32, 64), (1, 2))  # where kernels are interpreted


def tune(
    ops: Sequence[Op],
    budget: float,
    grid: Grid | None = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[Setting]:
    """The settings that are worth it; `budget`: seconds for each length and type."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    grid = grid or (ON_A_GPU if device.type == "cuda" else SMALL)
    chosen = [op for op in ops if _is_of_rows(op)]
    if not chosen:
        raise DeriveError("none of these ops has kernels for rows along one axis")
    found: list[Setting] = []
    for columns, dtype in progress([*product(grid.columns, grid.dtypes)]):
        cases = [_case(op, columns, grid.numbers, dtype, device) for op in chosen]
        found += _best(cases, columns, dtype, grid, budget)
    return found


def put(settings: Sequence[Setting], path: Path) -> None:
    """Writes a table; what an interpreter measured never goes where generated code looks."""
    if (
        any(s.device == INTERPRETED for s in settings)
        and path.resolve() == (TEMPLATES / TABLE).resolve()
    ):
        raise DeriveError(f"{path}: without a GPU nothing was measured; name another file")
    write(settings, path)


def _is_of_rows(op: Op) -> bool:
    found = roles(op)
    return len(found.columns) == 1 and bool(found.rows)


def _case(op: Op, columns: int, numbers: int, dtype: str, device: torch.device) -> Case:
    """So many columns, and rows that make up the numbers."""
    found = roles(op)
    pairs = [(i, a) for c in op.inputs for i, a in zip(c.indices, found.classes.of(c), strict=True)]
    rows = round((numbers / columns) ** (1 / len(found.rows)))
    lengths = {i.size.name: columns if a in found.columns else rows for i, a in pairs}
    return case(op, lengths, DTYPES[dtype], device)


def _best(
    cases: Sequence[Case], columns: int, dtype: str, grid: Grid, budget: float
) -> Iterator[Setting]:
    """The best candidate of each pass, if it is worth it."""
    gains: dict[str, list[dict[Candidate, float]]] = {}  # of each kernel, for each op
    for found in cases:
        module = build(found.op, "triton")
        for which in ("forward", "backward"):
            run = _pass(module, found, which)
            times = _times(module, run, columns, grid, budget / (2 * len(cases)))
            mine = {c: log(times[_BY_RULE] / took) for c, took in times.items()}
            gains.setdefault(_kernel(module, run), []).append(mine)
    for kernel, each in gains.items():
        ran = set.intersection(*map(set, each))
        best = max(ran, key=lambda c: sum(g[c] for g in each))
        gain = exp(fmean(g[best] for g in each))
        if best != _BY_RULE and gain >= _WORTH:
            item = DTYPES[dtype].itemsize
            yield Setting(_device(), kernel, columns, item, *best, round(gain, 3))


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else INTERPRETED


def _kernel(module: ModuleType, run: Run) -> str:
    """The name of the kernel that a run chooses."""
    seen: list[Any] = []
    choose = module._choose  # noqa: SLF001

    def watched(*arguments: Any) -> Any:
        seen.append(chosen := choose(*arguments))
        return chosen

    with patch.object(module, "_choose", watched):
        run()
    return str(seen[-1][0].__name__)


def _pass(module: ModuleType, found: Case, which: str) -> Run:
    """One pass alone, without autograd."""
    name, sample = found.op.name, found.sample
    forward, backward = getattr(module, f"{name}_forward"), getattr(module, f"{name}_backward")
    if which == "forward":
        return lambda: forward(*sample.inputs, **sample.scalars)
    kept = forward(*sample.inputs, **sample.scalars)[len(found.op.outputs) :]
    return lambda: backward(*sample.cotangents, *kept)


def _times(
    module: ModuleType, run: Run, columns: int, grid: Grid, budget: float
) -> dict[Candidate, float]:
    """Seconds by rule and by each candidate that the device can run."""
    runs: dict[str, Run] = {}
    names: dict[str, Candidate] = {}
    for candidate in (_BY_RULE, *_candidates(columns, grid)):
        attempt = _under(module, candidate, run)
        try:
            attempt()
        except Exception:  # too much for this device, in any way it says so
            if candidate == _BY_RULE:
                raise
            continue
        runs[str(candidate)], names[str(candidate)] = attempt, candidate
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {names[k]: took for k, took in seconds(runs, device, budget).items()}


def _candidates(columns: int, grid: Grid) -> Iterator[Candidate]:
    """Whole rows at once, or tiles of them; not too much for a warp, nor too little."""
    for numbers in grid.at_once:
        for warps in grid.warps:
            if numbers >= min(columns, grid.at_once[-1] // 2) and numbers >= 16 * warps:
                yield numbers, warps


def _under(module: ModuleType, candidate: Candidate, run: Run) -> Run:
    """The run with a candidate in place of the rule; Triton keeps what it compiled."""
    numbers, warps = candidate
    changes: dict[str, Any] = {"_FEW": numbers, "_TILE": numbers, "_warps": lambda *_: warps}

    def changed() -> object:
        with patch.multiple(module, **changes) if numbers else nullcontext():
            return run()

    return changed
