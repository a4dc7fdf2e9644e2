"""The triton backend: a row-wise program as two pairs of kernels, from one template.

A row that fits in a block is loaded once and stays in registers; a longer one is walked in column
tiles, once for each pass that its sums need. The backward kernels are persistent: each program
walks over many rows and adds up its part of the gradients of what the rows share.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from derive.derivation import Derivation
from derive.emit.environment import render
from derive.emit.interface import Plumbing, place_of
from derive.emit.source import Line, assign, bracketed, comma, unpacked
from derive.emit.torch_module import TorchModule, documented, gradients_as_declared
from derive.emit.torch_printer import TorchPrinter
from derive.emit.triton_printer import TritonPrinter, helpers_in
from derive.notation.nodes import Component, Size, Tensor
from derive.notation.op import Op
from derive.plan.program import Program, plan
from derive.plan.roles import ELEMENT_WISE, ROW_WISE, kernel_class
from derive.plan.rows import FULL, ROW, SCALAR, SHARED, RowSum, Schedule, Work
from derive.rewrite import keeping_shape

ROW_TEMPLATE = "triton/op.py.jinja"
PRODUCT_TEMPLATE = "torch/op.py.jinja"


def has_kernels(op: Op) -> bool:
    """Is the op of a class that has kernels of its own? Matrix products are torch's."""
    return kernel_class(op) in (ROW_WISE, ELEMENT_WISE)


def template_for(op: Op) -> tuple[str, ...]:
    """The template that an op's file is made from."""
    return (ROW_TEMPLATE,) if has_kernels(op) else (PRODUCT_TEMPLATE,)


def triton_module(op: Op, derivation: Derivation) -> str:
    """The body of `triton/<op>.py`."""
    with keeping_shape():
        program = plan(op, derivation)
        if not has_kernels(op):
            return TorchModule(program, derivation).render()
        return TritonModule(program, derivation).render()


@dataclass(frozen=True)
class Pass:
    """One walk over the columns of a row."""

    loads: tuple[str, ...]
    starts: tuple[str, ...]  # accumulators before the walk
    lines: tuple[Line, ...]
    adds: tuple[str, ...]
    stores: tuple[str, ...]
    after: tuple[Line, ...]


@dataclass(frozen=True)
class Kernel:
    """A kernel: what it loads once, what it does for each row."""

    signature: str
    sizes: tuple[str, ...]
    shared_loads: tuple[str, ...]  # for all rows at once (only where a row fits in a block)
    starts: tuple[str, ...]
    row_loads: tuple[str, ...]
    row_lines: tuple[Line, ...]  # what needs no pass over the row
    passes: tuple[Pass, ...]
    row_stores: tuple[str, ...]
    ends: tuple[str, ...]  # stores after the last row


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
        self.plumbing = Plumbing(program, derivation, kernels=True)
        self.forward_schedule = Schedule(program, program.forward)
        self.backward_schedule = Schedule(program, program.backward, self.forward_schedule)

    def render(self) -> str:
        p = self.program
        forward = KernelWriter(self, self.forward_schedule, p.op.inputs, (*p.op.outputs, *p.kept))
        given = (*p.cotangents, *p.saved)
        backward = KernelWriter(self, self.backward_schedule, given, tuple(self.results()))
        kernels = {
            "forward_row": forward.block("_forward_row"),
            "forward_tiles": forward.tiles("_forward_tiles"),
            "backward_row": backward.block("_backward_row", persistent=True),
            "backward_tiles": backward.tiles("_backward_tiles", persistent=True),
        }
        launches = {"forward": self.forward_launch(forward), "backward": self.backward_launch(backward)}
        used = helpers_in(repr((kernels, launches)))
        return render(
            ROW_TEMPLATE,
            io=self.plumbing.build(),
            names=self.plumbing.helper_names,
            helpers=used,
            column=self.column.name,
            like=p.op.inputs[0].tensor.name,
            cotangent=self._like(),
            **kernels,
            **launches,
        )

    def results(self) -> Iterable[Component]:
        """The gradients that the rows give one by one."""
        late = {w.target.tensor for w in self.backward_schedule.epilogue}
        return (g for g in gradients_as_declared(self.program) if g.tensor not in late)

    # -- host functions ---------------------------------------------------------------------------

    def forward_launch(self, kernel: KernelWriter) -> Launch:
        p, io = self.program, self.plumbing
        out = (*p.op.outputs, *p.kept)
        names = [*io.outputs, *io.kept_names]
        allocations = [
            self._empty(c, n, p.op.inputs[0].tensor.name, public=k < len(io.outputs))
            for k, (c, n) in enumerate(zip(out, names, strict=True))
        ]
        arguments = [*(c.tensor.name for c in p.op.inputs), *names, *kernel.size_names, *io.scalars]
        rows = self._rows(p.op.inputs)
        parameters = [f"{n}: Tensor" for n in io.inputs] + [f"{n}: float" for n in io.scalars]
        return Launch(
            bracketed("def _forward(", parameters, ") -> tuple[Tensor, ...]:", 0),
            f"{documented(p.op.inputs)} -> {documented(out)}",
            self._sizes(p.op.inputs),
            rows,
            tuple(allocations),
            self._choose("forward"),
            self._call(rows, arguments),
            (),
            unpacked(names),
        )

    def backward_launch(self, kernel: KernelWriter) -> Launch:
        p, io = self.program, self.plumbing
        given = (*p.cotangents, *p.saved)
        results = list(self.results())
        partials = [self._partial_name(w, s) for w, s in self.backward_schedule.accumulated]
        allocations = [self._gradient(c, given) for c in results]
        allocations += [self._partial(w, s) for w, s in self.backward_schedule.accumulated]
        arguments = [
            *(c.tensor.name for c in given),
            *(c.tensor.name for c in results),
            *partials,
            io.name("rows"),
            *kernel.size_names,
            *(s.name for s in p.saved_scalars),
        ]
        parameters = [f"{c.tensor.name}: Tensor" for c in given]
        parameters += [f"{n.name}: int" for n in p.saved_sizes] + [f"{n.name}: float" for n in p.saved_scalars]
        grads = [c.tensor.name for c in p.gradients]
        return Launch(
            bracketed(
                "def _backward(", [*parameters, f"{io.needs}: Sequence[bool]"], ") -> tuple[Tensor | None, ...]:", 0
            ),
            f"{documented(given)} -> {documented(gradients_as_declared(p))}",
            self._sizes(given),
            self._rows(given),
            tuple(allocations),
            self._choose("backward"),
            self._call(io.name("programs"), arguments),
            tuple(self._epilogue(given)),
            unpacked(grads),
        )

    def _epilogue(self, given: tuple[Component, ...]) -> Iterable[Line]:
        """What follows from sums over all rows, with the few shared tensors it needs again."""
        late = {w.target.tensor for w in self.backward_schedule.epilogue}
        known = late | {c.tensor for c in given}
        markers = {s.marker.tensor for w in self.backward_schedule.epilogue for s in w.sums}
        needed = {t for w in self.backward_schedule.epilogue for t in w.uses} - markers
        for work in self.backward_schedule.work:
            if work.target.tensor in needed - known and work.kind in (SHARED, SCALAR):
                yield self._host_line(work, given)
        for work in self.backward_schedule.epilogue:
            yield self._host_line(work, given)

    def _host_line(self, work: Work, given: tuple[Component, ...]) -> Line:
        sums = {s.marker.tensor.name: f"{self._partial_name(work, s)}.sum(0)" for s in work.sums if s.over_rows}
        target = work.target
        code = _HostPrinter(given[0].tensor.name, sums, self.plumbing.shared_casts).text(
            _with_axes(work), target.indices
        )
        needed = self.program.needed_by.get(target.tensor, frozenset())
        wanted = [f"{self.plumbing.needs}[{k}]" for k, n in enumerate(self.plumbing.inputs) if n in needed]
        condition = "" if len(wanted) == len(self.plumbing.inputs) > 1 else " or ".join(wanted)
        whole = f"{code} if {condition} else None" if condition else code
        return Line(work.statement.note, assign(target.tensor.name, whole, 4))

    def _partial_name(self, work: Work, total: RowSum) -> str:
        several = [s for s in work.sums if s.over_rows]
        suffix = f"_{several.index(total)}" if len(several) > 1 else ""
        return self.plumbing.name(f"{work.target.tensor.name}_partial{suffix}")

    def _partial(self, work: Work, total: RowSum) -> str:
        io = self.plumbing
        shape = [io.name("programs"), *([self.column.name] if self.shape_of(total) else [])]
        name = self._partial_name(work, total)
        code = f"torch.zeros(({comma(shape)}), dtype={io.work}, device={self._like()}.device)"
        return assign(name, self._if_needed(work.target.tensor, code), 4)

    @staticmethod
    def shape_of(total: RowSum) -> bool:
        """Does the partial sum keep the column?"""
        return total.kind in (FULL, SHARED) and not total.over_column

    def _gradient(self, gradient: Component, given: tuple[Component, ...]) -> str:
        shape = [i.size.name for i in gradient.indices]
        tensors = [c.tensor.name for c in self.program.op.inputs]
        declared = gradient.tensor.name.removeprefix("d").removesuffix("_total")
        saved = declared in self.plumbing.saved_inputs
        dtype = f"{declared}.dtype" if saved else f"{given[0].tensor.name}.dtype"
        assert declared in tensors
        code = f"torch.empty(({comma(shape) if shape else ''}), dtype={dtype}, device={self._like()}.device)"
        return assign(gradient.tensor.name, self._if_needed(gradient.tensor, code), 4)

    def _if_needed(self, tensor: Tensor, code: str) -> str:
        needed = self.program.needed_by.get(tensor, frozenset())
        wanted = [f"{self.plumbing.needs}[{k}]" for k, n in enumerate(self.plumbing.inputs) if n in needed]
        return f"{code} if {' or '.join(wanted)} else None"

    def _empty(self, component: Component, name: str, like: str, *, public: bool) -> str:
        shape = [i.size.name for i in component.indices]
        dtype = f"{like}.dtype" if public else self.plumbing.work
        return f"{name} = torch.empty(({comma(shape) if shape else ''}), dtype={dtype}, device={like}.device)"

    def _like(self) -> str:
        return self.program.cotangents[0].tensor.name

    @property
    def column(self) -> Size:
        """The size of the axis that the kernels walk along."""
        roles = self.program.roles
        for component in self.program.op.tensors.values():
            for index, axis in zip(component.indices, roles.classes.of(component), strict=True):
                if axis == roles.column:
                    return index.size
        raise AssertionError("an op without any index has no column")

    def _rows(self, given: tuple[Component, ...]) -> str:
        """The number of rows, as Python."""
        roles = self.program.roles
        widest = max(self.program.op.tensors.values(), key=lambda c: len(c.indices))
        classes = roles.classes.of(widest)
        sizes = [i.size.name for i, a in zip(widest.indices, classes, strict=True) if a in roles.rows]
        return " * ".join(sizes) or "1"

    def _sizes(self, given: tuple[Component, ...]) -> tuple[str, ...]:
        sizes = sorted({i.size for c in given for i in c.indices}, key=lambda s: s.rank)
        saved = self.program.saved_sizes if given[0] in self.program.cotangents else ()
        lines = []
        for size in sizes:
            place = place_of(size, given)
            if place is not None and size not in saved:
                lines.append(f"{size.name} = {place[0]}.shape[{place[1]}]")
        return tuple(lines)

    def _choose(self, which: str) -> str:
        column = self.column.name
        name = self.plumbing.name
        return f"{name('kernel')}, {name('block')} = _choose({column}, _{which}_row, _{which}_tiles)"

    def _call(self, programs: str, arguments: list[str]) -> str:
        name = self.plumbing.name
        launch = [
            f"BLOCK={name('block')}",
            f"ACC=tl.float64 if {self.plumbing.work} is torch.float64 else tl.float32",
            f"num_warps=_warps({name('block')})",
            "enable_fp_fusion=True",
        ]
        return bracketed(f"{name('kernel')}[({programs},)](", [*arguments, *launch], ")", 8)


class _HostPrinter(TorchPrinter):
    """The torch printer, with partial sums where the kernel left them and shared inputs cast."""

    def __init__(self, like: str, sums: dict[str, str], casts: dict[str, str]) -> None:
        super().__init__(like)
        self.spelled = {**casts, **sums}

    def component(self, component: Component, space: tuple[object, ...]) -> tuple[str, int]:  # type: ignore[override]  # narrower on purpose
        spelled = self.spelled.get(component.tensor.name)
        if spelled is None:
            return super().component(component, space)  # type: ignore[arg-type]  # same tuple
        return self._aligned(spelled, component.indices, space)  # type: ignore[arg-type]  # same tuple


def _with_axes(work: Work):  # type: ignore[no-untyped-def]
    """The expression of an epilogue, its markers carrying the target's indices where they have some."""
    expr = work.after_rows
    for total in work.sums:
        if total.over_rows and TritonModule.shape_of(total):
            expr = expr.xreplace({total.marker: Component(total.marker.tensor, *work.target.indices)})
    return expr


class KernelWriter:
    """Writes one schedule as a kernel for rows in a block, and as one that walks tiles."""

    def __init__(
        self, module: TritonModule, schedule: Schedule, given: tuple[Component, ...], results: tuple[Component, ...]
    ) -> None:
        self.module, self.schedule = module, schedule
        self.given, self.results = given, results
        self.name = module.plumbing.name
        accumulated = {s.marker: w for w, s in schedule.accumulated}
        self.accumulated = [(w, s) for s in (s for _, s in schedule.accumulated) for w in [accumulated[s.marker]]]
        self.live = self._live()

    def _live(self) -> list[Work]:
        """The statements that a result or a sum over rows depends on."""
        wanted = {c.tensor for c in self.results}
        wanted |= {c.tensor for _, s in self.accumulated for c in s.body.atoms(Component)}
        live: list[Work] = []
        for work in reversed(self.schedule.work):
            if work.target.tensor in wanted:
                wanted |= work.uses
                live.append(work)
        return live[::-1]

    # -- names and arguments --------------------------------------------------------------------------

    @property
    def used(self) -> list[Component]:
        """The given tensors that some statement reads."""
        tensors = {t for w in self.live for t in w.uses}
        tensors |= {c.tensor for _, s in self.accumulated for c in s.body.atoms(Component)}
        return [c for c in self.given if c.tensor in tensors]

    @property
    def sizes(self) -> list[Size]:
        """The column's size, then those that occur as numbers."""
        exprs = [w.expr for w in self.live] + [s.body for w in self.live for s in w.sums]
        exprs += [s.body for _, s in self.accumulated]
        numbers = {s for e in exprs for s in e.atoms(Size)} - {self.module.column}
        return [self.module.column, *sorted(numbers, key=lambda s: s.rank)]

    @property
    def size_names(self) -> list[str]:
        return [s.name for s in self.sizes]

    def signature(self, kernel: str, persistent: bool) -> str:
        p = self.module.program
        scalars = p.saved_scalars if persistent else tuple(s.symbol for s in p.op.parameters)
        partials = [self.module._partial_name(w, s) for w, s in self.accumulated]
        pointers = [c.tensor.name for c in self.given] + self.result_names + partials
        items = [f"{n}_ptr" for n in pointers]
        items += [self.name("rows")] if persistent else []
        items += [*self.size_names, *(f"{s.name}: tl.constexpr" for s in scalars)]
        return bracketed(f"def {kernel}(", [*items, "BLOCK: tl.constexpr", "ACC: tl.constexpr"], "):", 0)

    @property
    def result_names(self) -> list[str]:
        io = self.module.plumbing
        if self.given == self.module.program.op.inputs:
            return [*io.outputs, *io.kept_names]
        return [c.tensor.name for c in self.results]

    def size_lines(self) -> tuple[str, ...]:
        exprs = [w.expr for w in self.live] + [s.body for w in self.live for s in w.sums]
        exprs += [s.body for _, s in self.accumulated]
        used = {s for e in exprs for s in e.atoms(Size)}
        return tuple(f"size_{s.name} = tl.full((), {s.name}, ACC)" for s in self.sizes if s in used)

    # -- loads and stores -------------------------------------------------------------------------------

    def address(self, name: str, kind: str) -> tuple[str, bool]:
        """Where a value lives, and whether it is a vector."""
        row, columns = self.name("row"), self.name("columns")
        places = {
            FULL: (f"{name}_ptr + {row} * {self.module.column.name} + {columns}", True),
            ROW: (f"{name}_ptr + {row}", False),
            SHARED: (f"{name}_ptr + {columns}", True),
            SCALAR: (f"{name}_ptr", False),
        }
        return places[kind]

    def load(self, component: Component) -> str:
        name = component.tensor.name
        place, vector = self.address(name, self.schedule.kind(component))
        mask = f", mask={self.name('inside')}, other=0.0" if vector else ""
        return f"{name} = tl.load({place}{mask}).to(ACC)"

    def store(self, component: Component, shown: str, *, guarded: bool) -> str:
        place, vector = self.address(shown, self.schedule.kind(component))
        mask = f", mask={self.name('inside')}" if vector else ""
        line = f"tl.store({place}, {component.tensor.name}{mask})"
        return f"if {shown}_ptr is not None:\n    {line}" if guarded else line

    # -- code --------------------------------------------------------------------------------------------

    def line(self, work: Work, sums: dict[str, str], indent: int) -> Line:
        code = TritonPrinter(sums).text(work.expr, ())
        return Line(work.statement.note, assign(work.target.tensor.name, code, indent))

    def masked(self, body: str, total: RowSum) -> str:
        """The summand, zero beyond the end of the row. A loaded value is zero there already."""
        loaded = {c.tensor.name for c in self.used if self.schedule.kind(c) in (FULL, SHARED)}
        return body if body in loaded else f"tl.where({self.name('inside')}, {body}, 0.0)"

    def sum_text(self, total: RowSum) -> str:
        return TritonPrinter({}).text(total.body, ())

    # -- a row in a block -----------------------------------------------------------------------------------

    def block(self, kernel: str, persistent: bool = False) -> Kernel:
        indent = 8 if persistent else 4
        lines = []
        for work in self.live:
            sums = {
                s.marker.tensor.name: f"tl.sum({self.masked(self.sum_text(s), s)}, 0)" for s in work.sums
            }
            lines.append(self.line(work, sums, indent))
        shared = [c for c in self.used if self.schedule.kind(c) in (SHARED, SCALAR)]
        own = [c for c in self.used if c not in shared]
        walk = Pass((), (), tuple(lines), tuple(self.accumulate()), (), ())
        return Kernel(
            self.signature(kernel, persistent),
            self.size_lines(),
            tuple(map(self.load, shared)),
            tuple(self.accumulators()),
            tuple(map(self.load, own)),
            (),
            (walk,),
            tuple(self.store(c, n, guarded=persistent) for c, n in zip(self.results, self.result_names, strict=True)),
            tuple(self.partial_stores()),
        )

    def accumulators(self) -> Iterable[str]:
        for work, total in self.accumulated:
            shape = "[BLOCK]" if self.module.shape_of(total) else "()"
            yield f"{self._accumulator(work, total)} = tl.zeros({shape}, ACC)"

    def accumulate(self) -> Iterable[str]:
        for work, total in self.accumulated:
            body = self.sum_text(total)
            if total.over_column and total.kind in (FULL, SHARED):
                body = f"tl.sum({self.masked(body, total)}, 0)"
            yield f"{self._accumulator(work, total)} += {body}"

    def _accumulator(self, work: Work, total: RowSum) -> str:
        return self.module._partial_name(work, total)

    def partial_stores(self) -> Iterable[str]:
        program, columns, inside = self.name("program"), self.name("columns"), self.name("inside")
        for work, total in self.accumulated:
            name = self._accumulator(work, total)
            vector = self.module.shape_of(total)
            place = f"{program} * {self.module.column.name} + {columns}, {name}, mask={inside}"
            where = f"{name}_ptr + {place}" if vector else f"{name}_ptr + {program}, {name}"
            yield f"if {name}_ptr is not None:\n    tl.store({where})"

    # -- a row in tiles ----------------------------------------------------------------------------------------

    def tiles(self, kernel: str, persistent: bool = False) -> Kernel:
        wide = [c for c in self.used if self.schedule.kind(c) in (FULL, SHARED)]
        narrow = [c for c in self.used if c not in wide]
        count = 1 + max(
            [w.body_level if w.sums else w.level for w in self.live]
            + [self.schedule.level_of(s.body) for _, s in self.accumulated]
            + [0]
        )
        passes = tuple(p for k in range(count) if (p := self._pass(k, persistent, wide)) is not None)
        stores = [
            self.store(c, n, guarded=persistent)
            for c, n in zip(self.results, self.result_names, strict=True)
            if self.schedule.kind(c) in (ROW, SCALAR)
        ]
        starts = [f"{self._accumulator(w, s)} = tl.zeros((), ACC)" for w, s in self.accumulated if not self.module.shape_of(s)]
        first = [w for w in self.live if w.kind in (ROW, SCALAR) and w.level == 0]
        return Kernel(
            self.signature(kernel, persistent),
            self.size_lines(),
            (),
            tuple(starts),
            tuple(map(self.load, narrow)),
            tuple(self.line(w, {}, 8 if persistent else 4) for w in first),
            passes,
            tuple(stores),
            tuple(
                line for (w, s), line in zip(self.accumulated, self.partial_stores(), strict=True)
                if not self.module.shape_of(s)
            ),
        )

    def _pass(self, level: int, persistent: bool, wide: list[Component]) -> Pass | None:
        indent = 12 if persistent else 8
        summed = [w for w in self.live if any(not s.over_rows for s in w.sums) and w.body_level == level]
        stored = [
            (c, n) for c, n in zip(self.results, self.result_names, strict=True)
            if self.schedule.kind(c) in (FULL, SHARED) and self._level(c) == level
        ]
        added = [(w, s) for w, s in self.accumulated if self.schedule.level_of(s.body) == level]
        needed = {c.tensor for c, _ in stored}
        needed |= {c.tensor for w in summed for s in w.sums for c in s.body.atoms(Component)}
        needed |= {c.tensor for _, s in added for c in s.body.atoms(Component)}
        inner: list[Work] = []
        for work in reversed(self.live):
            if work.target.tensor in needed and work.kind in (FULL, SHARED):
                needed |= work.uses
                inner.append(work)
        after = [w for w in self.live if w.kind in (ROW, SCALAR) and w.level == level + 1]
        if not (summed or stored or added or after):
            return None
        sums = {s.marker.tensor.name: f"tl.sum({self._partial(w, s)}, 0)" for w in summed for s in w.sums}
        return Pass(
            tuple(self.load(c) for c in wide if c.tensor in needed),
            tuple(f"{self._partial(w, s)} = tl.zeros([BLOCK], ACC)" for w in summed for s in w.sums),
            tuple(self.line(w, {}, indent) for w in reversed(inner)),
            tuple(
                [f"{self._partial(w, s)} += {self.masked(self.sum_text(s), s)}" for w in summed for s in w.sums]
                + [line for w, s in added for line in self._add(w, s)]
            ),
            tuple(self.store(c, n, guarded=persistent) for c, n in stored),
            tuple(self.line(w, sums, indent - 4) for w in after),
        )

    def _level(self, component: Component) -> int:
        return self.schedule.level_of(component)

    def _partial(self, work: Work, total: RowSum) -> str:
        index = [s for s in work.sums if not s.over_rows].index(total)
        suffix = f"_{index}" if len(work.sums) > 1 else ""
        return self.name(f"{work.target.tensor.name}_parts{suffix}")

    def _add(self, work: Work, total: RowSum) -> Iterable[str]:
        """One tile's part of a sum over rows: kept in memory where it keeps the column."""
        body = self.sum_text(total)
        name = self._accumulator(work, total)
        inside = self.name("inside")
        if not self.module.shape_of(total):
            vector = total.kind in (FULL, SHARED)
            yield f"{name} += tl.sum({self.masked(body, total)}, 0)" if vector else f"{name} += {body}"
            return
        place = f"{name}_ptr + {self.name('program')} * {self.module.column.name} + {self.name('columns')}"
        yield (
            f"if {name}_ptr is not None:\n"
            f"    {name} = tl.load({place}, mask={inside}, other=0.0)\n"
            f"    tl.store({place}, {name} + {body}, mask={inside})"
        )


