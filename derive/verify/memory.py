"""Results are written in full, once, and nothing else is; nothing beside a tensor is read.

What an allocator hands out is, as a rule, what the run before gave back, with its right results
still in it; and what is written beside it is noticed much later, if at all. So what is unwritten is
not a number here, and there is such memory on both sides of a tensor, which must stay as it is, and
which no kernel reads: elsewhere it may be nobody's, and reading it ends the program. What is
written twice, but for a sum that is read in between, is written by two programs, or for nothing.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from math import prod
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from derive.notation.op import Op
from derive.verify.accesses import accesses_shown
from derive.verify.leading import lines
from derive.verify.reference import composed
from derive.verify.sample import Sample, errors, results
from derive.verify.tiles import has_tiles, in_tiles

CLOSE = 1e-10
_BESIDE = 1024  # numbers on either side of a tensor


class OutOfBounds(Exception):
    """Something was read or written beside the memory that was asked for, or written twice."""


class _Watched:
    """torch, but for `empty`, `zeros` and `einsum`."""

    def __init__(self) -> None:
        self.areas: list[Tensor] = []  # by their addresses
        self.written: set[int] = set()  # where nothing has been read since

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def empty(self, size: Sequence[int], **options: Any) -> Tensor:
        """Numbers that are none, between others."""
        count = prod(size)
        area = torch.full((count + 2 * _BESIDE,), float("nan"), **options)
        insort(self.areas, area, key=Tensor.data_ptr)
        return area[_BESIDE : _BESIDE + count].view(size)

    def zeros(self, size: Sequence[int], **options: Any) -> Tensor:
        """Zeros between numbers that are none."""
        return self.empty(size, **options).zero_()

    def einsum(self, *told: Any) -> Tensor:
        """The same product between numbers that are none: kernels read it."""
        return self.hold(torch.einsum(*told))

    def hold(self, tensor: Tensor, apart: int = 0) -> Tensor:
        """The same numbers, between others that are none; so many of these after each row, too."""
        if not tensor.is_floating_point():
            return tensor.clone()
        *rows, length = tensor.shape or (1,)
        wide = self.empty((*rows, length + apart), dtype=tensor.dtype, device=tensor.device)
        return wide[..., :length].view(tensor.shape).copy_(tensor)

    def look(self, addresses: Any) -> None:
        """Is nothing beside a tensor among what is read?"""
        self.written.difference_update(addresses.ravel().tolist())
        for area in self._met(addresses):
            for side in (area[:_BESIDE], area[-_BESIDE:]):
                if _inside(side, addresses).any():
                    raise OutOfBounds("something was read beside a tensor")

    def note(self, addresses: Any) -> None:
        """Is nothing written there already? Elsewhere memory may be used again."""
        for area in self._met(addresses):
            places = set(addresses[_inside(area, addresses)].tolist())
            if not places.isdisjoint(self.written):
                raise OutOfBounds("something was written twice")
            self.written |= places

    def _met(self, addresses: Any) -> Sequence[Tensor]:
        """The areas that they may be in."""
        if not addresses.size:
            return ()
        first = bisect(self.areas, int(addresses.min()), key=Tensor.data_ptr) - 1
        last = bisect(self.areas, int(addresses.max()), key=Tensor.data_ptr)
        return self.areas[max(first, 0) : last]

    def check(self) -> None:
        """Is what is beside every tensor as it was?"""
        sides = (side for a in self.areas for side in (a[:_BESIDE], a[-_BESIDE:]))
        if not all(bool(side.isnan().all()) for side in sides):
            raise OutOfBounds("something was written beside a tensor")


def _inside(area: Tensor, addresses: Any) -> Any:
    start = area.data_ptr()
    return (start <= addresses) & (addresses < start + area.nbytes)


@contextmanager
def watched(module: ModuleType) -> Iterator[_Watched]:
    """The memory that the module asks for is watched; `OutOfBounds` if it went beside it."""
    memory = _Watched()
    with patch.object(module, "torch", memory), accesses_shown(memory.look, memory.note):
        yield memory
    memory.check()


def in_memory_of_its_own(op: Op, module: ModuleType, sample: Sample) -> tuple[float, float, str]:
    """The worst error over rows in a block and rows in tiles, and what is allowed.

    Rows lie side by side; then, of each tensor by another number, further apart than they are long.
    """
    worst = 0.0
    flat, several = lines(op, sample)
    for drawn, laid, apart in ((sample, sample, False), (flat, several, True)):
        want = results(composed(op), drawn)
        for walk in walks(module):
            with walk:
                got = _results(op, module, laid, apart=apart)
            same = [g.reshape(w.shape) for g, w in zip(got, want, strict=True)]
            worst = max(worst, errors(same, want))
    return worst, CLOSE, ""


def _results(op: Op, module: ModuleType, sample: Sample, *, apart: bool) -> tuple[Tensor, ...]:
    """Outputs and gradients by the two passes; what they are given is watched, too."""
    exact = (*sample.inputs, *sample.cotangents)
    with watched(module) as memory, torch.no_grad():
        held = [memory.hold(t, apart * k) for k, t in enumerate(exact, 1)]
        inputs, cotangents = held[: len(sample.inputs)], held[len(sample.inputs) :]
        found = getattr(module, f"{op.name}_forward")(*inputs, **sample.scalars)
        outputs, kept = found[: len(op.outputs)], found[len(op.outputs) :]
        got = getattr(module, f"{op.name}_backward")(*cotangents, *kept)
    if not all(map(torch.equal, held, exact)):
        raise OutOfBounds("something was written into what was given")
    real = (g for g, t in zip(got, inputs, strict=True) if t.is_floating_point())
    return (*outputs, *real)


def walks(module: ModuleType) -> Iterator[AbstractContextManager[object]]:
    """Rows that fit in a block; few of them at once; then, if there is that, rows in tiles.

    In the second, two programs share the rows, each takes several times a few of them, and what
    they leave is added up column by column, one after the other: no loop runs once only. Numbers
    in lines, of which a program takes several there, are then so few that a line is several blocks.
    """
    yield nullcontext()
    if hasattr(module, "_FEW"):
        choose = partial(_two_at_once, getattr(module, "_choose", None))
        yield _changed(module, _FEW=16, _COLUMNS=1, _programs=lambda *_: 2, _choose=choose)
    if hasattr(module, "_lines"):
        for few in (8, 2):
            yield _changed(module, _FEW=few, _programs=lambda *_: 2)
    if has_tiles(module):
        yield _alone(module)
    if hasattr(module, "_part_sums"):  # of a row: several to a tile
        yield _alone(module, columns=16)


def _two_at_once(choose: Any, *told: Any) -> tuple[Any, ...]:
    """The kernel that would be chosen, for two rows at once."""
    kernel, _, *rest = choose(*told)
    return kernel, 2, *rest


def _changed(module: ModuleType, **values: Any) -> AbstractContextManager[object]:
    """The module with other values, of those that it has."""
    known = {name: value for name, value in values.items() if hasattr(module, name)}
    return patch.multiple(module, **known) if known else nullcontext()


@contextmanager
def _alone(module: ModuleType, columns: int = 0) -> Iterator[None]:
    """Rows in tiles, two at once; one program takes all, those of others too; none none."""
    with (
        in_tiles(module, columns, rows=2),
        _changed(module, _programs=lambda rows, *_: min(rows, 1)),
    ):
        yield
