"""Seconds and bytes of a run, all contestants in turn, so that a busy machine is busy for all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile

Run = Callable[[], object]

_ROUNDS = (5, 200)  # at least, at most
_WARM_UP = 2
_CACHE = 2**28  # bytes, more than any second-level cache holds
_AHEAD = 2_000_000  # cycles that a GPU waits, while the host prepares what is timed


def seconds(runs: Mapping[str, Run], device: torch.device, budget: float) -> dict[str, float]:
    """The median of each; `budget` are seconds for all of them together.

    On a GPU by events, the cache cold each time, the host ahead. On a CPU by the clock; of one
    thread by the time that it computes: on a busy machine the clock counts against whoever takes
    longer.
    """
    for run in runs.values():
        for _ in range(_WARM_UP):
            run()
    timed = _on_gpu if device.type == "cuda" else _on_cpu
    found: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + budget
    for done in range(_ROUNDS[1]):
        if done >= _ROUNDS[0] and time.perf_counter() > end:
            break
        for name, run in runs.items():
            found[name].append(timed(run))
    return {name: median(times) for name, times in found.items()}


def _on_cpu(run: Run) -> float:
    now = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    start = now()
    run()
    return now() - start


def _on_gpu(run: Run) -> float:
    torch.empty(_CACHE, dtype=torch.int8, device="cuda").zero_()
    torch.cuda._sleep(_AHEAD)  # type: ignore[no-untyped-call]  # noqa: SLF001  # as in torch
    event = partial(torch.cuda.Event, enable_timing=True)
    begin, end = event(), event()
    begin.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3


def peak(run: Run, device: torch.device) -> int:
    """The most bytes that a run holds at once, beside what there was before it."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler speaks of itself on stderr
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run()
    held = most = 0
    for event in found.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def copy_speed(device: torch.device) -> float:
    """Bytes a second, read and written, of a copy that no cache holds."""
    source = torch.empty(2**26, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    took = seconds({"copy": lambda: target.copy_(source)}, device, 0.5)["copy"]
    return 2 * source.nbytes / took
