"""Sums over rows: each program leaves its part in memory, a second kernel adds the parts up.

It does so always in the same order, and writes a gradient in the type of its tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from derive.emit.kernel import Partial
from derive.emit.names import Namer
from derive.emit.source import assign, bracketed, comma
from derive.emit.torch_module import gradients_as_declared
from derive.emit.walk import groups
from derive.notation.nodes import Size, Tensor
from derive.plan.program import Program
from derive.plan.rows import Schedule
from derive.plan.work import Work


class Around(Protocol):
    """The names around the kernels, and when a tensor is needed."""

    program: Program
    name: Namer
    work: str

    @property
    def saved_inputs(self) -> list[str]: ...

    def condition(self, tensor: Tensor) -> str: ...


@dataclass(frozen=True)
class Total:
    """A sum over rows, and what its parts are called."""

    part: Partial
    name: str
    dtype: str
    condition: str  # when it is needed; empty: always
    alone: bool  # is it all that its statement asks for?

    @property
    def work(self) -> Work:
        return self.part.work

    @property
    def keeps_column(self) -> bool:
        return self.part.total.keeps_column

    @property
    def of_group(self) -> bool:
        return self.part.total.of_group


@dataclass(frozen=True)
class Adding:
    """One sum in the second kernel."""

    pointer: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class AddUp:
    """The second kernel."""

    signature: str
    counts: tuple[str, ...]  # of programs and groups: no constants of compilation
    before: tuple[str, ...]
    totals: tuple[Adding, ...]
    condition: str
    call: str


class Totals:
    """The sums over rows of one backward pass; `like`: a tensor on the same device."""

    def __init__(
        self, io: Around, schedule: Schedule, parts: Iterable[Partial], length: str, like: str
    ) -> None:
        self.io, self.schedule, self.length, self.like = io, schedule, length, like
        self.all = tuple(map(self._total, parts))

    def _total(self, part: Partial) -> Total:
        """It is a gradient itself, or a number that an epilogue asks for."""
        work, program = part.work, self.io.program
        target = work.target.tensor
        alone = work.after_rows in (part.total.marker, part.total.total)
        alone &= target not in program.copied
        name = target.name if alone else self.io.name(f"{part.name}_sum")
        dtype = self._dtype(target) if alone else self.io.work
        return Total(part, name, dtype, self.io.condition(target), alone)

    def _dtype(self, target: Tensor) -> str:
        """That of the tensor it is the gradient of, if no more is computed from it."""
        program = self.io.program
        pairs = zip(gradients_as_declared(program), program.op.differentiable, strict=True)
        declared = next((d.tensor.name for g, d in pairs if g.tensor == target), "")
        asked = {t for w in self.schedule.epilogue for t in w.uses_after}
        known = declared in self.io.saved_inputs and target not in asked
        return f"{declared}.dtype" if known else self.io.work

    @cached_property
    def names(self) -> dict[str, str]:
        """How each is called, by what stands for it in a statement."""
        return {t.part.total.marker.tensor.name: t.name for t in self.all}

    @property
    def alone(self) -> list[Work]:
        """Statements that ask for nothing more."""
        return [t.work for t in self.all if t.alone]

    # -- memory -----------------------------------------------------------------------------------

    def sums(self) -> Iterator[str]:
        """Memory for the sums."""
        for total in self.all:
            options = f"dtype={total.dtype}, device={self.like}.device"
            lead = [self.schedule.size_of(a).name for a in self.schedule.kept if total.of_group]
            yield assign(total.name, self._empty(total, options, *lead), 4)

    def parts(self, programs: str) -> Iterator[str]:
        """Memory for the parts of all programs."""
        options = self.io.name("options")
        if self.all:
            yield f'{options} = {{"dtype": {self.io.work}, "device": {self.like}.device}}'
        for total in self.all:
            yield assign(total.part.name, self._empty(total, f"**{options}", programs), 8)

    def _empty(self, total: Total, options: str, *lead: str) -> str:
        columns = [s.name for s in self.schedule.columns] if total.keeps_column else []
        code = f"torch.empty(({comma([*lead, *columns])}), {options})"
        return f"{code} if {total.condition} else None" if total.condition else code

    # -- the second kernel ------------------------------------------------------------------------

    def add_up(self, accumulator: str, prefix: str) -> AddUp | None:
        """`prefix` of its name, where it is not the only one."""
        if not self.all:
            return None
        programs = self.io.name("programs")
        columns = [self.length] if any(t.keeps_column for t in self.all) else []
        names = [n for t in self.all for n in (t.part.name, t.name)]
        constants = [f"{n}: tl.constexpr" for n in ("BLOCK", "ACC")]
        sizes = [s.name for s in self._group_sizes]
        signature = [*map(self._pointer, names), programs, *columns, *sizes, *constants]
        length = f"max({self.length}, 1)" if self._has_numbers else self.length
        grid = f"triton.cdiv({length}, _COLUMNS)" if columns else "1"
        if self.schedule.kept:
            count = groups(self.schedule)
            grid = f"{f'max({count}, 1)' if self._is_mixed else count} * {grid}"
        launch = ["BLOCK=_COLUMNS", f"ACC={accumulator}", "num_warps=8"]
        conditions = list(dict.fromkeys(t.condition for t in self.all))
        wanted = "" if "" in conditions else " or ".join(conditions)
        call = [*names, programs, *columns, *sizes, *launch]
        return AddUp(
            bracketed(f"def {prefix}_add_up(", signature, "):", 0),
            (programs, *sizes),
            tuple(self._group_lines()),
            tuple(map(self._adding, self.all)),
            wanted,
            bracketed(f"{prefix}_add_up[({grid},)](", call, ")", 16 if wanted else 12),
        )

    def _adding(self, total: Total) -> Adding:
        pointer = self._pointer(total.name)
        count = self.length if total.keeps_column else "1"
        items = [self._pointer(total.part.name), pointer, self.io.name("programs"), count]
        if total.of_group:
            group, sharing = self.io.name("group"), self.io.name("sharing")
            items[0] += f" + {group} * {sharing} * {count}"
            items[1:3] = [f"{pointer} + {group} * {count}", sharing]
        condition = self._condition(total)
        items += ["BLOCK", "ACC"]
        if condition:
            code = f"    {bracketed('_total(', items, ')', 12)}"
            return Adding(pointer, (f"if {condition}:", code))
        return Adding(pointer, (bracketed("_total(", items, ")", 8),))

    def _condition(self, total: Total) -> str:
        """When a program of the second kernel has to do with a sum; empty: always."""
        if not self._is_mixed:
            return ""
        group = self.io.name("group")
        return f"{group} < {groups(self.schedule)}" if total.of_group else f"{group} == 0"

    @property
    def _is_mixed(self) -> bool:
        """Are there sums of groups, and others: which are there without any group, too?"""
        return len({t.of_group for t in self.all}) > 1

    @property
    def _has_numbers(self) -> bool:
        """Are there sums without columns, which are there whatever the length of a row?"""
        return not all(t.keeps_column for t in self.all)

    @property
    def _group_sizes(self) -> list[Size]:
        return [self.schedule.size_of(a) for a in self.schedule.kept]

    def _group_lines(self) -> Iterator[str]:
        """Which group a program of the second kernel is for, and how many parts that has."""
        if self.schedule.kept:
            group, sharing, programs = map(self.io.name, ("group", "sharing", "programs"))
            blocks = f"tl.cdiv({self.length}, BLOCK)"
            blocks = f"tl.maximum({blocks}, 1)" if self._has_numbers else blocks
            yield f"{group} = (tl.program_id(0) // {blocks}).to(tl.int64)"
            count = groups(self.schedule)
            count = f"tl.maximum({count}, 1)" if self._is_mixed else count
            yield f"{sharing} = {programs} // {count}"

    def _pointer(self, name: str) -> str:
        return self.io.name(f"{name}_ptr")
