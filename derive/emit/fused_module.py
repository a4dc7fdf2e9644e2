"""The triton backend for what multiplies matrices: torch's products, and kernels between them.

The two passes are those of the torch backend, where each group of statements is one launch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

from derive.derivation import Derivation, differentiate
from derive.emit import tuned
from derive.emit.environment import render
from derive.emit.group_module import GroupModule
from derive.emit.modes import Modes
from derive.emit.names import ROWS
from derive.emit.source import Line
from derive.emit.torch_module import (
    TorchModule,
    calls,
    like_of,
    multiplies_in,
)
from derive.emit.triton_printer import helpers_in
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.plan.groups import Group, Grouped, Item, grouped
from derive.plan.program import plan
from derive.rewrite import keeping_shape

TEMPLATE = "triton/op.py.jinja"


@lru_cache(maxsize=64)
def groups_of(op: Op) -> Grouped | None:
    """The program of an op with its groups, if a kernel is worth it."""
    return grouped_by(op, differentiate(op))


def grouped_by(op: Op, derivation: Derivation) -> Grouped | None:
    """The same, of a derivation that is there."""
    with keeping_shape():
        return grouped(plan(op, derivation, shared=False))


class FusedModule(TorchModule):
    """Fills the template of kernels with groups."""

    def __init__(self, made: Grouped, derivation: Derivation) -> None:
        super().__init__(made.program, derivation, followed=True, types=made.types)
        self.made, self.tuned = made, tuned.read()

    @property
    def steps_forward(self) -> Sequence[Any]:
        return self.made.forward

    @property
    def steps_backward(self) -> Sequence[Any]:
        return self.made.backward

    @property
    def maybe(self) -> Sequence[str]:
        groups = (i for i in self.made.backward if isinstance(i, Group))
        return sorted({t.name for g in groups for t in g.absent})

    @cached_property
    def groups(self) -> dict[Group, GroupModule]:
        """The kernels, by the groups that they carry out."""
        found: dict[Group, GroupModule] = {}
        taken: set[str] = set()
        for group in self.made.groups:
            forward = group in self.made.forward
            way = f"{'forward' if forward else 'backward'}_{group.name}"
            while taken & _functions(way):
                way += "_"
            taken |= _functions(way)
            tuned = bool(self.tuned)
            found[group] = GroupModule(group, self.plumbing, way, forward=forward, tuned=tuned)
        return found

    def moved(self) -> tuple[tuple[Component, ...], tuple[Component, ...]]:
        """What the kernels between products read and write: forward, backward."""
        return self._moved(self.made.forward), self._moved(self.made.backward)

    def _moved(self, items: Sequence[Item]) -> tuple[Component, ...]:
        found: list[Component] = []
        for group in (i for i in items if isinstance(i, Group)):
            known = {c.tensor.name: c for s in group.members for c in (s.target, *s.uses)}
            found += (known[c.tensor.name] for c in self.groups[group].moved())
        return tuple(found)

    def _condition(self, step: Any) -> str:
        return self.groups[step].when if isinstance(step, Group) else super()._condition(step)

    def _line(self, step: Any, given: tuple[Component, ...], indent: int) -> Line:
        if not isinstance(step, Group):
            return super()._line(step, given, indent)
        names = ", ".join(s.target.tensor.name for s in step.members)
        return Line(f"one kernel: {names}", self.groups[step].call(indent, like_of(given)))

    def render(self) -> str:
        backs = [g.back() for g in self.groups.values()]
        passes = {"forward": self.forward(), "backward": self.backward()}
        more = Modes(self.plumbing, self.derivation)
        formulas = {**passes, **more.build()}
        io = self.plumbing.build(more.extras, **more.offered)
        columns = next((b.column for b in backs if b.column), "")
        return render(
            TEMPLATE,
            io=io,
            fused=True,
            chosen=any(g.is_chosen for g in self.groups.values()),
            numbers=any(g.scalars for g in self.groups.values()),
            forward_row=None,
            forward_tiles=None,
            products=multiplies_in(formulas),
            unrounded=calls("_unrounded", formulas),
            places=calls("_at", formulas),
            leads=calls(ROWS, io, formulas),
            names=self.plumbing.helper_names,
            helpers=helpers_in(repr(backs)),
            column=columns,
            backs=backs,
            shorter=max(b.share for b in backs if b.column) > 1 if columns else False,
            refuses=calls("_expect_labels", backs),
            tuned=self.tuned if columns else [],
            like="",
            forward_tensors="",
            **formulas,
        )


def _functions(way: str) -> set[str]:
    """What a group's functions are called."""
    return {f"_{way}{end}" for end in ("", "_row", "_tiles", "_add_up")}
