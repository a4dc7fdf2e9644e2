"""One measurement of each contestant: forward, forward and backward, memory, share of a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from derive.bench.case import DTYPES, Case, case
from derive.bench.clock import copy_speed, peak, seconds
from derive.bench.contestants import Contestant, contestants
from derive.errors import DeriveError
from derive.notation.op import Op
from derive.verify.sample import errors, fresh, paired

AGREE = 0.1  # relative; a contestant that computes something else is none


@dataclass(frozen=True)
class Setting:
    """On what, in which type, at which sizes, how long, and who takes part."""

    device: str
    dtype: str
    sizes: Mapping[str, int]
    threads: int
    budget: float  # seconds for each op, all contestants together
    backends: tuple[str, ...]
    against: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """Of one contestant. Times in seconds, memory in bytes; shares are of a copy's speed."""

    op: str
    sizes: str
    who: str
    ours: bool
    forward: float
    both: float  # forward and backward
    memory: int
    share_forward: float
    share_both: float
    error: str = ""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """On a CPU, so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def speed_of_copy(setting: Setting) -> float:
    """Bytes a second of this device, as it is now."""
    with threads(setting.threads):
        return copy_speed(torch.device(setting.device))


def bench(
    op: Op, setting: Setting, copy: float, native: Callable[..., Any] | None = None
) -> list[Result]:
    """A result for each contestant that there is."""
    with threads(setting.threads):
        device = torch.device(setting.device)
        found = case(op, setting.sizes, DTYPES[setting.dtype], device)
        sizes = " ".join(f"{name}={n}" for name, n in found.lengths.items())
        race = [*contestants(op, setting.backends, setting.against, native)]
        wrong = _disagreeing(race, found)
        race = [who for who in race if who.name not in wrong]
        forward = _timed(race, found, setting, _forward)
        both = _timed(race, found, setting, _both)
        least = (found.moved[0], sum(found.moved))
        results = [
            Result(
                op.name,
                sizes,
                who.name,
                who.ours,
                forward[who.name],
                both[who.name],
                peak(_both(who, found), device),
                least[0] / forward[who.name] / copy,
                least[1] / both[who.name] / copy,
            )
            for who in race
        ]
        return results + [_failed(op, sizes, name, why) for name, why in wrong.items()]


def _failed(op: Op, sizes: str, name: str, why: str) -> Result:
    nothing = float("nan")
    return Result(op.name, sizes, name, False, nothing, nothing, 0, nothing, nothing, why)


def _timed(
    race: Sequence[Contestant],
    found: Case,
    setting: Setting,
    make: Callable[[Contestant, Case], Callable[[], object]],
) -> dict[str, float]:
    runs = {who.name: make(who, found) for who in race}
    return seconds(runs, torch.device(setting.device), setting.budget / 2)


def _forward(who: Contestant, found: Case) -> Callable[[], object]:
    sample = found.sample

    def run() -> object:
        with torch.no_grad():
            return who.function(*sample.inputs, **sample.scalars)

    return run


def _both(who: Contestant, found: Case) -> Callable[[], object]:
    sample = found.sample
    inputs = tuple(fresh(t) for t in sample.inputs)
    real = tuple(t for t in inputs if t.requires_grad)

    def run() -> object:
        given = who.function(*inputs, **sample.scalars)
        outputs = given if isinstance(given, tuple) else (given,)
        live = [(o, c) for o, c in zip(outputs, sample.cotangents, strict=True) if o.requires_grad]
        return torch.autograd.grad(
            [o for o, _ in live], real, [c for _, c in live], allow_unused=True
        )

    return run


def _disagreeing(race: Sequence[Contestant], found: Case) -> dict[str, str]:
    """Those who fail, or compute something else than the first of ours does, with the reason."""
    truth, *_ = (_results(who, found) for who in race if who.ours)
    wrong: dict[str, str] = {}
    for who in race:
        try:
            off = errors(_results(who, found), truth)
        except DeriveError:
            raise
        except Exception as error:  # noqa: BLE001  # a rival may fail in any way
            wrong[who.name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            continue
        if off > AGREE:
            wrong[who.name] = f"computes something else: it is {off:.2g} of the largest value off"
    return wrong


def _results(who: Contestant, found: Case) -> tuple[torch.Tensor, ...]:
    """Outputs, and the gradients that there are."""
    sample = replace(found.sample, inputs=tuple(map(fresh, found.sample.inputs)))
    given = who.function(*sample.inputs, **sample.scalars)
    outputs = given if isinstance(given, tuple) else (given,)
    total = paired(given, sample)
    real = [t for t in sample.inputs if t.requires_grad]
    grads = torch.autograd.grad(total, real, allow_unused=True, materialize_grads=True)
    return (*(o.detach() for o in outputs), *grads)
