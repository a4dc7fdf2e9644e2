"""The triton backend: a row-wise program as two pairs of kernels, from one template.

A row that fits in a block is loaded once and stays in registers; a longer one is walked in column
tiles, once for each pass that its sums need. Where rows share something, the backward kernels are
persistent: each program walks over many rows and adds up its part of the gradient. Matrix products
are left to torch, with the torch backend's own code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from derive.derivation import Derivation
from derive.emit import tuned
from derive.emit.addresses import Addresses
from derive.emit.block import BlockWriter
from derive.emit.environment import render
from derive.emit.host_printer import HostPrinter, empty, with_axes
from derive.emit.interface import Plumbing, place_of
from derive.emit.kernel import KernelWriter, partials
from derive.emit.launch import Back, Launch, Launcher, not_empty
from derive.emit.modes import Modes
from derive.emit.names import ROWS
from derive.emit.source import WIDTH, Line, assign, bracketed, comma, unpacked
from derive.emit.tiles import TileWriter
from derive.emit.torch_module import (
    calls,
    documented,
    gradients_as_declared,
    multiplies_in,
)
from derive.emit.totals import Totals
from derive.emit.triton_printer import helpers_in
from derive.notation.conditions import Position
from derive.notation.nodes import Component, Labels, Tensor
from derive.notation.op import Op
from derive.plan.program import Program
from derive.plan.roles import ELEMENT_WISE, ROW_WISE, kernel_class
from derive.plan.rows import Schedule
from derive.plan.work import Work
from derive.rewrite import keeping_shape

Writer = TypeVar("Writer", bound=KernelWriter)
ROW_TEMPLATE = "triton/op.py.jinja"


def has_kernels(op: Op) -> bool:
    """Is the op of a class that has kernels of its own?"""
    return kernel_class(op) in (ROW_WISE, ELEMENT_WISE)


class TritonModule:
    """Fills the template for one program; `io` and `way` where it is a double backward."""

    def __init__(
        self,
        program: Program,
        derivation: Derivation,
        io: Plumbing | None = None,
        way: str = "backward",
    ) -> None:
        self.program, self.derivation, self.way = program, derivation, way
        self.io = io or Plumbing(program, derivation, kernels=True)
        self.name = self.io.name
        self.tuned = tuned.read()
        self.forward_work = Schedule(program, program.forward)
        self.backward_work = Schedule(
            program, program.backward, self.forward_work, accumulates=True, in_groups=True
        )
        self.at = Addresses(self.forward_work, self.name)
        self.launcher = Launcher(self.name, self.at, self.io.work, bool(self.tuned))
        self.given = (*program.cotangents, *program.saved)
        self.totals = Totals(
            self.io,
            self.backward_work,
            partials(self.backward_work, self.name),
            self.at.length,
            self.given[0].tensor.name,
        )

    def render(self) -> str:
        p, io = self.program, self.io
        forward, back = self._forward_kernels(BlockWriter), self.back()
        tiles = bool(p.roles.columns)  # rows of no columns are never long
        parts = {
            "forward_row": forward.kernel("_forward_row"),
            "forward_tiles": tiles and self._forward_kernels(TileWriter).kernel("_forward_tiles"),
            "forward": self._forward(forward),
            "backward": back,
        }
        more = Modes(io, self.derivation, _double_backward)
        public = io.build(more.extras, **more.offered)
        return render(
            ROW_TEMPLATE,
            io=public,
            **(formulas := more.build()),
            products=multiplies_in(parts | formulas),
            unrounded=False,
            places=calls("_at", parts, formulas),
            leads=calls(ROWS, public, parts, formulas),
            refuses=calls("_expect_labels", parts),
            fused=False,
            names=io.helper_names,
            helpers=helpers_in(repr(parts) + repr(more.backs)),
            backs=(backs := [back, *more.backs]),
            column=next((b.column for b in backs if b.column), ""),
            forward_column=back.column,
            shorter=tiles and max(forward.share, *(b.share for b in backs), 1) > 1,
            tuned=self.tuned if tiles else [],
            like=p.op.differentiable[0].tensor.name,
            forward_tensors=", ".join(_real(p.op.inputs)),
            **parts,
        )

    def back(self) -> Back:
        """The kernels of this way back, and what is around them."""
        rows, way = self._backward_kernels(BlockWriter), self.way
        columns = bool(self.program.roles.columns)
        tiles = self._backward_kernels(TileWriter).kernel(f"_{way}_tiles") if columns else None
        return Back(
            way,
            rows.kernel(f"_{way}_row"),
            tiles,
            self.totals.add_up(self.launcher.accumulator, "" if way == "backward" else f"_{way}"),
            self._backward(rows),
            self.io.helper_names,
            self.at.length if columns else "",
            self.given[0].tensor.name,
            ", ".join(_real(self.given)),
            rows.share,
            columns and rows.adds_in_memory,
            rows.persistent,
            bool(self.backward_work.kept),
        )

    def moved(self) -> tuple[tuple[Component, ...], tuple[Component, ...]]:
        """What the kernels of short rows, and what follows them, read and write: forward, backward.

        Beside it each program of a backward pass writes its part of what the rows share.
        """
        return self._forward_kernels(BlockWriter).moved, self._backward_kernels(BlockWriter).moved

    # -- kernels --------------------------------------------------------------------------------

    def _forward_kernels(self, kind: type[Writer]) -> Writer:
        p = self.program
        return kind(
            self.forward_work,
            self.name,
            (*p.op.inputs, *_targets(self.forward_work.prologue)),
            self._row_outputs(),
            [s.symbol for s in p.op.parameters],
            persistent=False,
        )

    def _backward_kernels(self, kind: type[Writer]) -> Writer:
        results = [(c, c.tensor.name) for c in self._row_results()]
        kernels = kind(
            self.backward_work,
            self.name,
            (*self.given, *_targets(self.backward_work.prologue)),
            results,
            self.program.saved_scalars,
            persistent=bool(self.backward_work.accumulated),
        )
        kernels.optional = [name for _, name in results]
        return kernels

    def _row_results(self) -> list[Component]:
        """The gradients that the rows give one by one."""
        work = self.backward_work
        elsewhere = {c.tensor for c in _targets([*work.prologue, *work.epilogue])}
        own = [g for g in gradients_as_declared(self.program) if g.tensor not in elsewhere]
        return [*own, *(c for c in work.left if c.tensor not in {g.tensor for g in own})]

    def _row_outputs(self) -> list[tuple[Component, str]]:
        """What the rows give of the outputs and of what is kept, with the names it goes by."""
        p, io = self.program, self.io
        work = self.forward_work
        elsewhere = {c.tensor for c in _targets([*work.prologue, *work.epilogue])}
        named = zip((*p.op.outputs, *p.kept), [*io.outputs, *io.kept_names], strict=True)
        own = [(c, n) for c, n in named if c.tensor not in elsewhere]
        there = {n for _, n in own}
        return [*own, *((c, c.tensor.name) for c in work.left if c.tensor.name not in there)]

    # -- host functions -------------------------------------------------------------------------

    def _forward(self, kernels: KernelWriter) -> Launch:
        p, io = self.program, self.io
        out = (*p.op.outputs, *p.kept)
        like = p.op.differentiable[0].tensor.name
        rows = " * ".join(s.name for s in self.forward_work.rows) or "1"
        parameters = [f"{n}: Tensor" for n in io.inputs] + [f"{n}: Number" for n in io.scalars]
        return Launch(
            bracketed("def _forward(", parameters, ") -> list[Tensor]:", 0),
            f"{documented(p.op.inputs)} -> {documented(out)}",
            (*self._sizes(p.op.inputs), *not_empty(p.forward), *io.label_checks()),
            rows,
            tuple(self._host_line(w, io.inputs, like) for w in self.forward_work.prologue),
            tuple(self._empty_outputs()),
            tuple(self.launcher.choose("forward", kernels)),
            self.launcher.call("forward", kernels),
            tuple(self._host_line(w, io.inputs, like) for w in self.forward_work.epilogue),
            f"[{', '.join(self._returned())}]",
        )

    def _empty_outputs(self) -> Iterable[str]:
        like = self.program.op.differentiable[0].tensor.name
        for component, name in self._row_outputs():
            dtype = f"{like}.dtype" if name in self.io.outputs else self.io.work
            yield assign(name, empty([i.size.name for i in component.indices], dtype, like), 4)

    def _returned(self) -> list[str]:
        """Outputs and what is kept; what the host computed is cast, and kept as a copy."""
        io, like = self.io, self.program.op.differentiable[0].tensor.name
        by_rows = {n for _, n in self._row_outputs()}
        outputs = [n if n in by_rows else f"{n}.to({like}.dtype)" for n in io.outputs]
        tensors = zip(self.program.kept, io.kept_names, strict=True)
        kept = [
            n if n in by_rows or n == c.tensor.name else f"{c.tensor.name}.clone()"
            for c, n in tensors
        ]
        return [*outputs, *kept]

    def _backward(self, kernels: KernelWriter) -> Launch:
        p, io = self.program, self.io
        parameters = [f"{c.tensor.name}: Tensor" for c in self.given]
        parameters += [f"{s.name}: int" for s in p.saved_sizes]
        parameters += [f"{s.name}: Number" for s in p.saved_scalars]
        parameters.append(f"{io.needs}: Sequence[bool]")
        return Launch(
            bracketed(f"def _{self.way}(", parameters, ") -> list[Tensor]:", 0),
            f"{documented(self.given)} -> {documented(gradients_as_declared(p))}",
            self._sizes(self.given),
            " * ".join(s.name for s in self.backward_work.rows) or "1",
            tuple(self._prologue(kernels)),
            tuple(self._allocations()),
            (*self.launcher.choose(self.way, kernels), *self._parts(kernels)),
            self.launcher.call(self.way, kernels),
            tuple(self._epilogue()),
            self._computed(),
            self._launch(),
        )

    def _computed(self) -> str:
        """An operation of torch returns tensors alone: of the gradients, those that are needed."""
        names = [c.tensor.name for c in self.program.gradients]
        if not any(self.io.condition(c.tensor) for c in self.program.gradients):
            return f"[{', '.join(names)}]"
        return f"[grad for grad in ({comma(names)}) if grad is not None]"

    def _launch(self) -> tuple[str, ...]:
        """The call of the backward kernels, and each gradient in its place."""
        found = self.name("found")
        grads = [c.tensor for c in self.program.gradients]
        places = comma([self.io.condition(t) or "True" for t in grads])
        call = self.io.backward_call(f"_launch_{self.way}").partition(" = ")[2]
        placed = f"_placed({found}, ({places}))"
        return f"{found} = {call}", f"{unpacked([t.name for t in grads])} = {placed}"

    def _allocations(self) -> Iterable[str]:
        """Empty gradients, and sums over rows; None where not needed."""
        like = self.given[0].tensor.name
        saved = set(self.io.saved_inputs)
        for declared, gradient in zip(
            self.program.op.differentiable, gradients_as_declared(self.program), strict=True
        ):
            if gradient in self._row_results():
                name = declared.tensor.name
                dtype = f"{name if name in saved else like}.dtype"
                code = empty([i.size.name for i in gradient.indices], dtype, like)
                yield assign(gradient.tensor.name, self._if_needed(gradient.tensor, code), 4)
        for component in self.backward_work.left:
            code = empty([i.size.name for i in component.indices], self.io.work, like)
            yield assign(component.tensor.name, self._if_needed(component.tensor, code), 4)
        yield from self.totals.sums()

    def _parts(self, kernels: KernelWriter) -> Iterable[str]:
        """How many programs share the rows, and memory for what each adds up."""
        if kernels.persistent:
            yield self.launcher.programs(self.given[0].tensor.name, kernels)
            yield from self.totals.parts(self.name("programs"))

    def _if_needed(self, tensor: Tensor, code: str) -> str:
        condition = self.io.condition(self.backward_work.left_for.get(tensor, tensor))
        return f"{code} if {condition} else None" if condition else code

    def _prologue(self, kernels: KernelWriter) -> Iterable[Line]:
        """What needs no row; what kernels read is there, whichever gradients are needed."""
        read = {c.tensor for c in kernels.used}
        for work in reversed(self.backward_work.prologue):
            read |= work.uses if work.target.tensor in read else set()
        for work in self.backward_work.prologue:
            line = self._host_line(work, self.io.saved_inputs)
            yield line if work.target.tensor in read else self._line_if_needed(work, line)

    def _epilogue(self) -> Iterable[Line]:
        """What follows from sums over all rows."""
        io = self.io
        for work in (w for w in self.backward_work.epilogue if w not in self.totals.alone):
            line = self._host_line(work, [*io.saved_inputs, *io.cotangents])
            yield self._line_if_needed(work, line)

    def _line_if_needed(self, work: Work, line: Line) -> Line:
        tensor = work.target.tensor
        condition = self.io.condition(self.backward_work.left_for.get(tensor, tensor))
        if not condition:
            return line
        code = f"{line.code} if {condition} else None"
        if "\n" not in code and len(code) + 4 > WIDTH:
            code = (
                line.code.replace(" = ", " = (\n        ", 1) + f"\n    ) if {condition} else None"
            )
        return replace(line, code=code)

    def _host_line(self, work: Work, cast: list[str], like: str = "") -> Line:
        """A statement in torch; the tensors `cast` are not yet in the accumulator's dtype."""
        like = like or self._like()
        labels = {c.tensor.name for c in self.program.op.inputs if isinstance(c.tensor, Labels)}
        casts = {n: f"{n}.to({self.io.work})" for n in cast if n not in labels}
        counted = {p.index.size for p in work.statement.expr.atoms(Position)}
        places = {s: f"torch.arange({s.name}, device={like}.device)" for s in counted}
        printer = HostPrinter(like, casts | self.totals.names, places, self.io.work)
        code = printer.shaped(work.target, with_axes(work))
        if work.target.tensor in self.program.copied:
            code += ".clone()"
        return Line(work.statement.note, assign(work.target.tensor.name, code, 4))

    def _like(self) -> str:
        return (*self.given, *self.program.op.differentiable)[0].tensor.name

    def _sizes(self, given: tuple[Component, ...]) -> tuple[str, ...]:
        """Lines that name all sizes that the tensors show."""
        sizes = sorted({i.size for c in given for i in c.indices}, key=lambda s: s.rank)
        places = ((s, place_of(s, given)) for s in sizes)
        lines = {c.tensor.name for c in given if self.io.is_line(c)}
        shown = tuple(
            f"{s.name} = {p[0]}.numel()" if p[0] in lines else f"{s.name} = {p[0]}.shape[{p[1]}]"
            for s, p in places
            if p is not None
        )
        several = len(self.forward_work.columns) > 1
        return (*shown, f"{self.at.length} = {self.at.of_length}") if several else shown


def _double_backward(program: Program, derivation: Derivation, io: Plumbing) -> Back | None:
    """That of an op whose backward pass is about one row at a time, too."""
    if program.roles.kind not in (ROW_WISE, ELEMENT_WISE):
        return None
    with keeping_shape():
        return TritonModule(program, derivation, io, "fused_double_backward").back()


def _real(components: Iterable[Component]) -> list[str]:
    """The tensors that hold no integers."""
    return [c.tensor.name for c in components if not isinstance(c.tensor, Labels)]


def _targets(work: Iterable[Work]) -> tuple[Component, ...]:
    return tuple(w.target for w in work)
