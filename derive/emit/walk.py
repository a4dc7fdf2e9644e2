"""How a program of a kernel walks over rows: over its share of all, or of those of one group.

The rows of a group share what is not summed: then each program adds up a part of one sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from derive.emit.names import Namer
from derive.plan.axes import Axis
from derive.plan.rows import Schedule


@dataclass(frozen=True)
class Walk:
    """What the loop over rows is made of, as Triton source."""

    before: tuple[str, ...]  # lines
    steps: str  # of the loop
    count: str  # of the rows that are walked
    after: tuple[str, ...]  # lines that tell which row of all it is
    second: str  # where the second step of the first program starts
    counts: tuple[str, ...]  # numbers of rows: what divides them is no constant of compilation


def walk(schedule: Schedule, name: Namer) -> Walk:
    """The walk of a persistent kernel."""
    program, ROWS = name("program"), name("ROWS")
    if not schedule.kept:
        if not schedule.columns:
            first, count = "tl.program_id(0)", name("count")
            counts = (name("lines"), name("blocks"), count)
            return Walk((), f"{first}, {count}, tl.num_programs(0)", count, (), "", counts)
        every, rows = f"tl.num_programs(0) * {ROWS}", name("rows")
        return Walk((), f"{program} * {ROWS}, {rows}, {every}", rows, (), every, (rows,))
    sharing, row = name("sharing"), name("row")
    before = (
        f"{sharing} = tl.num_programs(0) // {_factor(schedule, schedule.kept)}",
        f"{name('group')} = {program} // {sharing}",
    )
    rest = [a for a in schedule.roles.rows if a not in schedule.kept]
    count, every = _factor(schedule, rest), f"{sharing} * {ROWS}"
    return Walk(
        before,
        f"{program} % {sharing} * {ROWS}, {count}, {every}",
        count,
        (f"{row} = {_row(schedule, name)}",),
        every,
        tuple(s.name for s in schedule.rows),
    )


def groups(schedule: Schedule) -> str:
    """How many groups of rows there are, as Python."""
    return _factor(schedule, schedule.kept)


def group_size(schedule: Schedule) -> str:
    """How many rows each of them has."""
    return _factor(schedule, [a for a in schedule.roles.rows if a not in schedule.kept])


def _row(schedule: Schedule, name: Namer) -> str:
    """The number of a row, from that of its group and its own in the group."""
    text, rows = "", schedule.roles.rows
    for of_group, run in groupby(rows, key=lambda a: a in schedule.kept):
        axes = tuple(run)
        own = [a for a in rows if (a in schedule.kept) == of_group]
        below = own[own.index(axes[-1]) + 1 :]
        at = name("group" if of_group else "row")
        at += f" // {_factor(schedule, below)}" if below else ""
        at += f" % {_factor(schedule, axes)}" if axes[0] != own[0] else ""
        before = f"({text})" if " " in text else text
        text = f"{before} * {_factor(schedule, axes)} + {at}" if text else at
    return text


def _factor(schedule: Schedule, axes: Sequence[Axis]) -> str:
    """A product of sizes, to stand in a product."""
    names = [schedule.size_of(a).name for a in axes]
    return names[0] if len(names) == 1 else f"({' * '.join(names)})"
