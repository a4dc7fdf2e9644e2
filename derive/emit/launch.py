"""What the template is given of a pair of kernels: themselves, and the host function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from derive.emit.addresses import Addresses
from derive.emit.kernel import Kernel, KernelWriter
from derive.emit.names import Namer
from derive.emit.source import Line, bracketed
from derive.emit.totals import AddUp
from derive.emit.walk import group_size, groups
from derive.notation.nodes import Extremum
from derive.plan.statement import Statement


@dataclass(frozen=True)
class Launch:
    """The host function around a pair of kernels."""

    signature: str
    doc: str
    sizes: tuple[str, ...]
    rows: str
    prologue: tuple[Line, ...]  # what needs no row
    allocations: tuple[str, ...]
    choose: tuple[str, ...]
    call: str
    epilogue: tuple[Line, ...]
    returns: str
    launch: tuple[str, ...] = ()  # its call, where gradients may be left out


@dataclass(frozen=True)
class Back:
    """The kernels and the host function of one way back, and what these are called."""

    way: str
    row: Kernel
    tiles: Kernel | None
    add_up: AddUp | None
    launch: Launch
    names: dict[str, str]
    column: str
    cotangent: str
    tensors: str
    share: int
    grouped: bool
    persistent: bool = True  # does a program walk over many rows?
    groups: bool = False  # of one group?


def not_empty(statements: Iterable[Statement]) -> Iterator[str]:
    """Lines that refuse an axis without numbers: it has no largest one, and torch refuses too."""
    found = {e for s in statements for e in s.expr.atoms(Extremum)}
    for size in sorted({d.size for e in found for d in e.dummies}, key=lambda s: s.rank):
        yield f"if {size.name} == 0:"
        yield '    raise IndexError("max and min take an axis of non-zero size")'


@dataclass(frozen=True)
class Launcher:
    """Lines that choose a kernel for the length of its rows, and launch it."""

    name: Namer
    at: Addresses
    work: str  # the name of the accumulator's dtype
    tuned: bool

    def choose(self, way: str, writer: KernelWriter) -> Iterator[str]:
        """Lines that tell the kernel for the length of a row, or what lies side by side."""
        if not self._columns:
            yield from self._in_lines(writer)
        else:
            chosen = ", ".join(map(self.name, ("kernel", "many", "block", "warps")))
            longest = "_LONGEST_ROW" + (f" // {writer.share}" if writer.share > 1 else "")
            group = "_GROUP" if writer.adds_in_memory else "1"
            at, length = writer.at, self.at.length
            if writer.schedule.outer:
                inner, length = self.name("inner"), self.name("padded")
                yield f"{inner} = triton.next_power_of_2(max({at.of_inner}, 1))"
                outer = f"triton.next_power_of_2(max({at.of_outer}, 1))"
                yield f"{length} = {outer} * {inner}"
            items = [length, longest, f"_{way}_row", f"_{way}_tiles", group]
            items += [writer.used[0].tensor.name] if self.tuned else []
            items += [f"_TILE // {writer.share}"] if writer.share > 1 else []
            items += ["256"] if writer.share > 4 else []
            yield bracketed(f"{chosen} = _choose(", items, ")", 8)
            if writer.schedule.outer:
                yield f"{inner} = min({inner}, {self.name('block')})"
            columns = len(writer.schedule.columns)
            for component, apart in writer.spaced.items():
                name = component.tensor.name
                items = [name, *([str(columns)] if columns > 1 else [])]
                yield f"{self._matrix(name)}, {apart} = _as_matrix({', '.join(items)})"

    def _in_lines(self, writer: KernelWriter) -> Iterator[str]:
        """The lines for numbers: stretches that lie side by side, and a program's share of them."""
        lines, length, block = self._lines
        spaced = {c.tensor.name: apart for c, apart in writer.spaced.items()}
        items = [self.name("rows"), *spaced]
        yield bracketed(f"{lines}, {length}, {block} = _lines(", items, ")", 8)
        yield f"{self.name('blocks')} = triton.cdiv({length}, {block})"
        share = f"triton.cdiv({lines}, _FEW // {block})"
        yield f"{self.name('count')} = {share} * {self.name('blocks')}"
        for name, apart in spaced.items():
            yield f"{self._matrix(name)}, {apart} = _as_lines({name}, {lines}, {length})"

    @property
    def _lines(self) -> tuple[str, str, str]:
        return self.name("lines"), self.name("length"), self.name("block")

    def programs(self, like: str, writer: KernelWriter) -> str:
        """The line that tells how many programs share the rows."""
        schedule = writer.schedule
        many, warps = self._at_once(writer)
        programs, rows = self.name("programs"), self.name("rows")
        if not self._columns:
            return f"{programs} = _programs({self.name('count')}, {warps}, {like})"
        if not schedule.kept:
            return f"{programs} = _programs(triton.cdiv({rows}, {many}), {warps}, {like})"
        most = f"triton.cdiv({group_size(schedule)}, {many})"
        count = groups(schedule)
        return f"{programs} = {count} * _programs({most}, {warps}, {like}, {count})"

    @property
    def accumulator(self) -> str:
        return f"tl.float64 if {self.work} is torch.float64 else tl.float32"

    def call(self, way: str, writer: KernelWriter) -> str:
        """The launch: as many programs as there are rows to take, or fewer that walk over them."""
        kernel, block = self.name("kernel"), self.name("block")
        many, warps = self._at_once(writer)
        shape = [f"BLOCK={block}", *(self._even(writer, block) if self._columns else [])]
        kernel = kernel if self._columns else f"_{way}_row"
        launch = [
            f"{self.name('ROWS')}={many}",
            *shape,
            f"ACC={self.accumulator}",
            f"num_warps={warps}",
            "enable_fp_fusion=True",
        ]
        programs = f"triton.cdiv({self.name('rows')}, {many})"
        programs = programs if self._columns else self.name("count")
        programs = self.name("programs") if writer.persistent else programs
        lying = {c.tensor.name: self._matrix(c.tensor.name) for c in writer.spaced}
        items = [*(lying.get(a, a) for a in writer.arguments()), *launch]
        return bracketed(f"{kernel}[({programs},)](", items, ")", 12)

    def _matrix(self, name: str) -> str:
        return self.name(f"{name}_{'matrix' if self._columns else 'lines'}")

    def _even(self, writer: KernelWriter, block: str) -> list[str]:
        """Constants that tell how a block divides a row, and whether it leaves nothing over."""
        even, inner, length = self.name("EVEN"), self.name("inner"), self.at.length
        if not writer.schedule.outer:
            return [f"{even}={length} % {block} == 0 < {length}"]
        outer = f"{writer.at.times_outer} % ({block} // {inner})"
        return [
            f"{self.name('INNER')}={inner}",
            f"{even}={writer.at.times_inner} % {inner} == {outer} == 0 < {length}",
        ]

    @property
    def _columns(self) -> bool:
        return bool(self.at.schedule.columns)

    def _at_once(self, writer: KernelWriter) -> tuple[str, str]:
        """How many rows a program takes at once, and by how many warps."""
        dense = ", 256" if writer.share > 1 else ""
        names = self.name("many"), self.name("warps")
        return names if self._columns else ("_FEW", f"_warps(_FEW{dense})")
