"""The kernel of a group, and the function that launches it: what the template is given of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TypeVar

from derive.emit.addresses import Addresses
from derive.emit.block import BlockWriter
from derive.emit.host_printer import empty
from derive.emit.interface import Plumbing, place_of
from derive.emit.kernel import KernelWriter, Partial, partials
from derive.emit.launch import Back, Launch, Launcher, not_empty
from derive.emit.names import Namer
from derive.emit.source import assign, bracketed, comma, unpacked
from derive.emit.tiles import TileWriter
from derive.emit.torch_module import documented
from derive.emit.totals import Totals
from derive.notation.nodes import Component, Labels, Scalar, Tensor
from derive.plan.groups import Group
from derive.plan.program import Program
from derive.plan.trim import picking

Writer = TypeVar("Writer", bound=KernelWriter)


class GroupModule:
    """One group; `io` is of the program that it is part of, `way` the name of its function."""

    def __init__(self, group: Group, io: Plumbing, way: str, *, forward: bool, tuned: bool) -> None:
        self.group, self.outer, self.way, self.forward = group, io, way, forward
        self.program: Program = group.small.program
        self.name: Namer = io.name
        self.work, self.saved_inputs = io.work, list[str]()
        self.schedule = group.small.schedule
        self.given = self.program.saved
        self.absent = {t.name for t in group.absent}
        self.sure = [c for c in self.given if c.tensor.name not in self.absent]
        self.real = [c.tensor.name for c in self.sure if not isinstance(c.tensor, Labels)]
        self.like = self.real[0]
        self.at = Addresses(self.schedule, self.name)
        self.launcher = Launcher(self.name, self.at, self.work, tuned)
        self.totals = _Sums(self, partials(self.schedule, self.name))

    # -- when -------------------------------------------------------------------------------------

    @cached_property
    def needed(self) -> frozenset[str]:
        """The inputs for whose gradients something of the group is needed."""
        found = (self._needed(c) for c in self.group.results)
        return frozenset[str]().union(*found)

    def _needed(self, component: Component) -> frozenset[str]:
        if self.forward:
            return frozenset()
        return self.outer.program.needed_by.get(component.tensor, frozenset())

    @cached_property
    def conditions(self) -> dict[str, str]:
        """When each result is needed; empty if whenever the group is."""
        return {
            c.tensor.name: self.outer.asked(own) if (own := self._needed(c)) != self.needed else ""
            for c in self.group.results
        }

    def condition(self, tensor: Tensor) -> str:
        """When a result is needed."""
        return self.conditions[tensor.name]

    @cached_property
    def scalars(self) -> list[Scalar]:
        """The parameters of the function: those of the kernel, and those that labels may be."""
        used = self.program.saved_scalars
        asked = {a for t in self.labels for n in t.sentinels for a in n.atoms(Scalar)}
        return [
            *used,
            *(p.symbol for p in self.program.op.parameters if p.symbol in asked - {*used}),
        ]

    @cached_property
    def labels(self) -> list[Labels]:
        """The labels that the forward pass must refuse where they are none: a kernel does not."""
        given = (c.tensor for c in self.given if self.forward)
        shown = {i.size for c in self.given for i in c.indices}
        picks = picking(self.program.backward)  # where a group's statements stand
        return [t for t in given if t in picks and isinstance(t, Labels) and t.values in shown]

    @property
    def is_chosen(self) -> bool:
        """May some results be left out?"""
        return any(self.conditions.values())

    # -- the call ---------------------------------------------------------------------------------

    @property
    def when(self) -> str:
        """When the group is computed; empty: always."""
        return self.outer.asked(self.needed) if self.needed else ""

    def call(self, indent: int, like: str) -> str:
        """The line that launches it; `like` has the type of matrix products."""
        names = [*self.conditions]
        items = [c.tensor.name for c in self.given]
        items += [s.name for s in (*self.program.saved_sizes, *self.scalars)]
        items += [f"{like}.dtype"] if self.short else []
        if not self.is_chosen:
            return bracketed(f"{unpacked(names)} = _launch_{self.way}(", items, ")", indent)
        items.append(self.outer.needs)
        places = comma([self.conditions[n] or "True" for n in names])
        call = f"_launch_{self.way}({', '.join(items)})"
        return bracketed(f"{unpacked(names)} = _placed(", [call, f"({places})"], ")", indent)

    # -- kernels ----------------------------------------------------------------------------------

    def back(self) -> Back:
        """The kernels and the function."""
        rows, columns = self._kernels(BlockWriter), bool(self.schedule.columns)
        tiles = self._kernels(TileWriter).kernel(f"_{self.way}_tiles") if columns else None
        return Back(
            self.way,
            rows.kernel(f"_{self.way}_row"),
            tiles,
            self.totals.add_up(self.launcher.accumulator, f"_{self.way}"),
            self._launch(rows),
            self.outer.helper_names,
            self.at.length if columns else "",
            self.like,
            ", ".join(self.real),
            rows.share,
            columns and rows.adds_in_memory,
            persistent=rows.persistent,
        )

    def moved(self) -> tuple[Component, ...]:
        """What the kernel reads and writes."""
        sums = (w.target for w in self.schedule.epilogue)
        return (*self._kernels(BlockWriter).moved, *sums)

    @cached_property
    def stored(self) -> list[Component]:
        """The results that rows give one by one."""
        summed = {w.target.tensor for w in self.schedule.epilogue}
        names = self.conditions
        made = (w.target for w in self.schedule.work)
        return [c for c in made if c.tensor.name in names and c.tensor not in summed]

    def _kernels(self, kind: type[Writer]) -> Writer:
        writer = kind(
            self.schedule,
            self.name,
            self.given,
            [(c, c.tensor.name) for c in self.stored],
            self.program.saved_scalars,
            persistent=bool(self.schedule.accumulated),
        )
        writer.optional = [n for n, condition in self.conditions.items() if condition]
        writer.absent = self.absent
        return writer

    # -- the function -----------------------------------------------------------------------------

    def _launch(self, kernels: KernelWriter) -> Launch:
        rows = " * ".join(s.name for s in self.schedule.rows)
        results = tuple(w.target for w in (*self.schedule.work, *self.schedule.epilogue))
        shown = [c for n in self.conditions for c in results if c.tensor.name == n]
        return Launch(
            bracketed(f"def _{self.way}(", self._parameters(), ") -> list[Tensor]:", 0),
            f"{documented(self.given)} -> {documented(shown)}",
            tuple(self._sizes()),
            rows,
            (),
            tuple(self._allocations()),
            (*self.launcher.choose(self.way, kernels), *self._parts(kernels)),
            self.launcher.call(self.way, kernels),
            (),
            self._returns(),
        )

    def _parameters(self) -> Iterator[str]:
        for component in self.given:
            name = component.tensor.name
            yield f"{name}: Tensor | None" if name in self.absent else f"{name}: Tensor"
        yield from (f"{s.name}: int" for s in self.program.saved_sizes)
        yield from (f"{s.name}: Number" for s in self.scalars)
        if self.short:
            yield f"{self.outer.product}: torch.dtype"
        if self.is_chosen:
            yield f"{self.outer.needs}: Sequence[bool]"

    def _sizes(self) -> Iterator[str]:
        """Tensors without gaps, sizes, and what a kernel would not refuse."""
        names = [c.tensor.name for c in self.given if not self.at.is_whole(c)]
        if names:
            yield bracketed(f"{unpacked(names)} = _dense(", names, ")", 4)
        sizes = sorted({i.size for c in self.given for i in c.indices}, key=lambda s: s.rank)
        for size in sizes:
            place = place_of(size, tuple(self.sure))
            assert place is not None
            yield f"{size.name} = {place[0]}.shape[{place[1]}]"
        if len(self.schedule.columns) > 1:
            yield f"{self.at.length} = {self.at.of_length}"
        if self.forward:
            yield from self._refusals()

    def _refusals(self) -> Iterator[str]:
        """No numbers have a largest one, and no label may be out of range."""
        yield from not_empty(self.program.backward)
        for labels in self.labels:
            known = [labels.name, str(labels.values), *map(str, labels.sentinels)]
            yield f"_expect_labels({', '.join(known)})"

    @property
    def dtype(self) -> str:
        """The type of what torch goes on with: the accumulator's, or that of the tensors."""
        return self.work if self.outer.casts else f"{self.like}.dtype"

    @cached_property
    def short(self) -> set[str]:
        """The results in the type of matrix products: nothing else reads them."""
        types = self.outer.types
        if types is None:
            return set()
        found = types.forward if self.forward else types.backward
        return {c.tensor.name for c in self.group.results if c.tensor in found}

    def _allocations(self) -> Iterator[str]:
        for component in self.stored:
            name = component.tensor.name
            dtype = self.outer.product if name in self.short else self.dtype
            code = empty([i.size.name for i in component.indices], dtype, self.like)
            condition = self.conditions[name]
            yield assign(name, f"{code} if {condition} else None" if condition else code, 4)
        yield from self.totals.sums()

    def _parts(self, kernels: KernelWriter) -> Iterator[str]:
        if kernels.persistent:
            yield self.launcher.programs(self.like, kernels)
            yield from self.totals.parts(self.name("programs"))

    def _returns(self) -> str:
        names = [*self.conditions]
        if not self.is_chosen:
            return f"[{', '.join(names)}]"
        return f"[found for found in ({comma(names)}) if found is not None]"


class _Sums(Totals):
    """Sums over rows that torch goes on with."""

    def __init__(self, module: GroupModule, parts: Iterable[Partial]) -> None:
        self.dtype = module.dtype
        super().__init__(module, module.schedule, parts, module.at.length, module.like)

    def _dtype(self, target: Tensor) -> str:
        return self.dtype
