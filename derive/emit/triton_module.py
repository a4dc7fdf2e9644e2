"""The triton backend: a row-wise program as two pairs of kernels, from one template.

A row that fits in a block is loaded once and stays in registers; a longer one is walked in column
tiles, once for each pass that its sums need. The backward kernels are persistent: each program
walks over many rows and adds up its part of the gradients of what the rows share. Matrix products
are left to torch, with the torch backend's own code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sympy import Expr

from derive.derivation import Derivation
from derive.emit.environment import render
from derive.emit.interface import Plumbing, place_of
from derive.emit.kernel import KernelWriter, partials
from derive.emit.scalar import Code
from derive.emit.source import Line, assign, bracketed, comma, unpacked
from derive.emit.torch_module import TorchModule, documented, gradients_as_declared
from derive.emit.torch_printer import Space, TorchPrinter
from derive.emit.triton_printer import helpers_in
from derive.notation.nodes import Component, Tensor
from derive.notation.op import Op
from derive.plan.program import Program, plan
from derive.plan.roles import ELEMENT_WISE, ROW_WISE, kernel_class
from derive.plan.rows import SCALAR, SHARED, Schedule, Work
from derive.rewrite import keeping_shape

ROW_TEMPLATE = "triton/op.py.jinja"
PRODUCT_TEMPLATE = "torch/op.py.jinja"


def has_kernels(op: Op) -> bool:
    """Is the op of a class that has kernels of its own?"""
    return kernel_class(op) in (ROW_WISE, ELEMENT_WISE)


def template_for(op: Op) -> tuple[str, ...]:
    """The template that an op's file is made from."""
    return (ROW_TEMPLATE,) if has_kernels(op) else (PRODUCT_TEMPLATE,)


def triton_module(op: Op, derivation: Derivation) -> str:
    """The body of `triton/<op>.py`."""
    with keeping_shape():
        program = plan(op, derivation)
        made_by = TritonModule if has_kernels(op) else TorchModule
        return made_by(program, derivation).render()


@dataclass(frozen=True)
class Launch:
    """The host function around a pair of kernels."""

    signature: str
    doc: str
    sizes: tuple[str, ...]
    rows: str
    allocations: tuple[str, ...]
    choose: str
    call: str
    epilogue: tuple[Line, ...]
    returns: str


class TritonModule:
    """Fills the template for one program."""

    def __init__(self, program: Program, derivation: Derivation) -> None:
        self.program = program
        self.io = Plumbing(program, derivation, kernels=True)
        self.name = self.io.name
        self.forward_work = Schedule(program, program.forward)
        self.backward_work = Schedule(program, program.backward, self.forward_work)
        self.given = (*program.cotangents, *program.saved)
        self.partials = partials(self.backward_work, self.name)

    def render(self) -> str:
        p, io = self.program, self.io
        forward, backward = self._forward_kernels(), self._backward_kernels()
        parts = {
            "forward_row": forward.block("_forward_row"),
            "forward_tiles": forward.tiles("_forward_tiles"),
            "backward_row": backward.block("_backward_row"),
            "backward_tiles": backward.tiles("_backward_tiles"),
            "forward": self._forward(forward),
            "backward": self._backward(backward),
        }
        return render(
            ROW_TEMPLATE,
            io=io.build(),
            names=io.helper_names,
            helpers=helpers_in(repr(parts)),
            column=self.forward_work.column.name,
            like=p.op.inputs[0].tensor.name,
            cotangent=self.given[0].tensor.name,
            **parts,
        )

    # -- kernels --------------------------------------------------------------------------------

    def _forward_kernels(self) -> KernelWriter:
        p, io = self.program, self.io
        return KernelWriter(
            self.forward_work,
            self.name,
            p.op.inputs,
            list(zip((*p.op.outputs, *p.kept), [*io.outputs, *io.kept_names], strict=True)),
            [s.symbol for s in p.op.parameters],
            persistent=False,
        )

    def _backward_kernels(self) -> KernelWriter:
        return KernelWriter(
            self.backward_work,
            self.name,
            self.given,
            [(c, c.tensor.name) for c in self._row_results()],
            self.program.saved_scalars,
            persistent=True,
        )

    def _row_results(self) -> list[Component]:
        """The gradients that the rows give one by one."""
        late = {w.target.tensor for w in self.backward_work.epilogue}
        return [g for g in gradients_as_declared(self.program) if g.tensor not in late]

    # -- host functions -------------------------------------------------------------------------

    def _forward(self, kernels: KernelWriter) -> Launch:
        p, io = self.program, self.io
        out = (*p.op.outputs, *p.kept)
        names = [*io.outputs, *io.kept_names]
        like = p.op.inputs[0].tensor.name
        dtypes = [f"{like}.dtype"] * len(io.outputs) + [io.work] * len(io.kept_names)
        rows = " * ".join(s.name for s in self.forward_work.rows) or "1"
        parameters = [f"{n}: Tensor" for n in io.inputs] + [f"{n}: float" for n in io.scalars]
        return Launch(
            bracketed("def _forward(", parameters, ") -> tuple[Tensor, ...]:", 0),
            f"{documented(p.op.inputs)} -> {documented(out)}",
            self._sizes(p.op.inputs),
            rows,
            tuple(
                assign(n, _empty([i.size.name for i in c.indices], d, like), 4)
                for c, n, d in zip(out, names, dtypes, strict=True)
            ),
            self._choose("forward"),
            self._call(rows, kernels.arguments()),
            (),
            unpacked(names),
        )

    def _backward(self, kernels: KernelWriter) -> Launch:
        p, io = self.program, self.io
        parameters = [f"{c.tensor.name}: Tensor" for c in self.given]
        parameters += [f"{s.name}: int" for s in p.saved_sizes]
        parameters += [f"{s.name}: float" for s in p.saved_scalars]
        parameters.append(f"{io.needs}: Sequence[bool]")
        return Launch(
            bracketed("def _backward(", parameters, ") -> tuple[Tensor | None, ...]:", 0),
            f"{documented(self.given)} -> {documented(gradients_as_declared(p))}",
            self._sizes(self.given),
            " * ".join(s.name for s in self.backward_work.rows) or "1",
            tuple(self._allocations()),
            self._choose("backward"),
            self._call(self.name("programs"), kernels.arguments()),
            tuple(self._epilogue()),
            unpacked([c.tensor.name for c in p.gradients]),
        )

    def _allocations(self) -> Iterable[str]:
        """Empty gradients, and zeros for the parts of sums over rows; None where not needed."""
        like = self.given[0].tensor.name
        saved = set(self.io.saved_inputs)
        for declared, gradient in zip(
            self.program.op.inputs, gradients_as_declared(self.program), strict=True
        ):
            if gradient in self._row_results():
                name = declared.tensor.name
                dtype = f"{name if name in saved else like}.dtype"
                code = _empty([i.size.name for i in gradient.indices], dtype, like)
                yield assign(gradient.tensor.name, self._if_needed(gradient.tensor, code), 4)
        for part in self.partials:
            column = [self.backward_work.column.name] if part.total.keeps_column else []
            shape = comma([self.name("programs"), *column])
            code = f"torch.zeros(({shape}), dtype={self.io.work}, device={like}.device)"
            yield assign(part.name, self._if_needed(part.work.target.tensor, code), 4)

    def _if_needed(self, tensor: Tensor, code: str) -> str:
        condition = self.io.condition(tensor)
        return f"{code} if {condition} else None" if condition else code

    def _epilogue(self) -> Iterable[Line]:
        """What follows from sums over all rows, with the few shared tensors it needs again."""
        late = self.backward_work.epilogue
        known = {w.target.tensor for w in late} | {c.tensor for c in self.given}
        needed = {t for w in late for t in w.uses} - known
        for work in self.backward_work.work:
            if work.target.tensor in needed and work.kind in (SHARED, SCALAR):
                yield self._host_line(work)
        yield from map(self._host_line, late)

    def _host_line(self, work: Work) -> Line:
        casts = {n: f"{n}.to({self.io.work})" for n in self.io.saved_inputs}
        sums = {p.total.marker.tensor.name: f"{p.name}.sum(0)" for p in self.partials}
        printer = _HostPrinter(self.given[0].tensor.name, casts | sums)
        code = printer.text(_with_axes(work), work.target.indices)
        name = work.target.tensor.name
        return Line(work.statement.note, assign(name, self._if_needed(work.target.tensor, code), 4))

    def _sizes(self, given: tuple[Component, ...]) -> tuple[str, ...]:
        """Lines that name all sizes that the tensors show."""
        sizes = sorted({i.size for c in given for i in c.indices}, key=lambda s: s.rank)
        places = ((s, place_of(s, given)) for s in sizes)
        return tuple(f"{s.name} = {p[0]}.shape[{p[1]}]" for s, p in places if p is not None)

    def _choose(self, which: str) -> str:
        kernel, block = self.name("kernel"), self.name("block")
        column = self.forward_work.column.name
        return f"{kernel}, {block} = _choose({column}, _{which}_row, _{which}_tiles)"

    def _call(self, programs: str, arguments: list[str]) -> str:
        launch = [
            f"BLOCK={self.name('block')}",
            f"ACC=tl.float64 if {self.io.work} is torch.float64 else tl.float32",
            f"num_warps=_warps({self.name('block')})",
            "enable_fp_fusion=True",
        ]
        return bracketed(f"{self.name('kernel')}[({programs},)](", [*arguments, *launch], ")", 8)


class _HostPrinter(TorchPrinter):
    """The torch printer, with partial sums where a kernel left them and shared inputs cast."""

    def __init__(self, like: str, spelled: dict[str, str]) -> None:
        super().__init__(like)
        self.spelled = spelled

    def component(self, component: Component, space: Space) -> Code:
        spelled = self.spelled.get(component.tensor.name)
        if spelled is None:
            return super().component(component, space)
        return self._aligned(spelled, component.indices, space)


def _with_axes(work: Work) -> Expr:
    """The expression of an epilogue; a marker that keeps the column has the target's indices."""
    kept = (s.marker for s in work.sums if s.over_rows and s.keeps_column)
    axes = {m: Component(m.tensor, *work.target.indices) for m in kept}
    return work.after_rows.xreplace(axes)


def _empty(shape: list[str], dtype: str, like: str) -> str:
    sizes = f"({comma(shape)})" if shape else "()"
    return f"torch.empty({sizes}, dtype={dtype}, device={like}.device)"
