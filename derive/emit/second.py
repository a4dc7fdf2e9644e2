"""The double backward in a generated file: derived like everything else, from the backward pass.

The backward pass is an op: inputs and cotangents to gradients. Its own gradient is a function of
these inputs alone. Statistics that the forward pass saved are computed again, since to hold them
fixed would lose what depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from derive.derivation import Derivation, differentiate
from derive.emit.interface import Extras, Plumbing
from derive.emit.source import bracketed, unpacked
from derive.emit.tangent import Tangent, TangentModule, without_rows
from derive.emit.torch_module import Function, TorchModule
from derive.higher import backward
from derive.notation.nodes import Component, Labels, Size
from derive.notation.op import Op, gradient
from derive.plan.program import Program, plan
from derive.plan.roles import roles


@dataclass(frozen=True)
class Second:
    """Strings for the template: the formulas, the function around them, the autograd.Function."""

    function: str  # the name of the autograd.Function of the backward pass
    inner: Function
    signature: str
    doc: str
    prepare: tuple[str, ...]
    call: str
    fused: tuple[str, ...]  # the call of kernels, if there are any
    given: str  # the tensors
    returns: str
    arguments: str
    first: str  # the call of the backward pass itself
    setup: tuple[str, ...]
    cotangents: str
    context_call: tuple[str, ...]
    tangent: Tangent  # of the backward pass
    dots: str
    jvp: tuple[str, ...]


Kernels = Callable[[Program, Derivation, Plumbing], Any]


@lru_cache(maxsize=64)
def _derived(op: Op) -> tuple[Op, Derivation]:
    """Both backends have the same double backward."""
    second = backward(op)
    return second, differentiate(second)


@lru_cache(maxsize=64)
def _planned(op: Op, shared: bool) -> Program:
    return plan(*_derived(op), recomputed=True, shared=shared)


class SecondModule:
    """The double backward of one program."""

    def __init__(self, first: Plumbing, kernels: Kernels | None = None) -> None:
        self.first, self.more = first, Extras()
        op, found = _derived(first.op)
        leading = roles(first.op).leading
        rows = leading.size if leading is not None else None
        formulas = _unshown(without_rows(_planned(first.op, shared=True), rows))
        self.program = _told(formulas, rows)
        self.io, self.inner = (Plumbing(p, found, rows=rows) for p in (self.program, formulas))
        self.io.casts = self.inner.casts = first.casts
        self.back = self._fused(found, rows, kernels) if kernels is not None else None
        self.module = TorchModule(formulas, found, self.inner, followed=True)
        self.tangent = TangentModule(self.io, found, rows, "backward_")
        pairs = zip(op.inputs[len(first.op.inputs) :], first.op.outputs, strict=True)
        self.given = {grad.tensor.name: gradient(y).tensor.name for grad, y in pairs}

    def _fused(self, found: Derivation, rows: Size | None, kernels: Kernels) -> Any:
        """Kernels that take the same arguments; they share products by themselves."""
        program = without_rows(_planned(self.first.op, shared=False), rows)
        io = Plumbing(program, found, rows=rows, kernels=True)
        io.casts = self.first.casts
        same = (io.saved_inputs, io.numbers) == (self.io.saved_inputs, self.io.numbers)
        return kernels(program, found, io) if same else None

    @property
    def saved(self) -> list[str]:
        """What the backward pass as a function saves, in the names of its own op."""
        return [*self.io.saved_inputs, *self.tangent.extras.inputs]

    @property
    def numbers(self) -> list[str]:
        return [*self.io.numbers, *self.tangent.extras.numbers]

    @property
    def extras(self) -> Extras:
        own = {*self.first.saved_inputs, *self.given}
        inputs = tuple(n for n in self.saved if n not in own)
        return Extras(inputs, tuple(n for n in self.numbers if n not in self.first.numbers))

    def build(self, extras: Extras) -> Second:
        """`extras`: all that is saved besides what the backward pass needs."""
        self.more = extras
        first, io, name = self.first, self.io, f"{self.first.op.name}_double_backward"
        inputs = ", ".join(io.documented((c,)) for c in self.program.op.differentiable)
        return Second(
            function=f"{first.function}Backward",
            inner=self.module.backward("_double_backward"),
            signature=io.backward_signature(name, optional=True),
            doc=f"The gradients of {first.op.name}_backward by {inputs}; None for one not needed.",
            prepare=tuple(self._prepared()),
            call=self.inner.backward_call("_double_backward"),
            fused=tuple(self.back.launch.launch) if self.back else (),
            given=", ".join(c.tensor.name for c in io.given if not isinstance(c.tensor, Labels)),
            returns=io.backward_returns(),
            arguments=", ".join([*self._arguments(), f"*{first.needs}"]),
            first=self._first_call(),
            setup=tuple(self._setup()),
            cotangents=", ".join(self._cotangents()),
            context_call=self._context_call(name),
            tangent=(tangent := self.tangent.build(self.tangent.extras)),
            dots=self._dots(),
            jvp=self._jvp(tangent),
        )

    def _dots(self) -> str:
        """The tangents of the arguments of the backward pass."""
        moved = self.tangent.dot_of
        own = {self.given.get(n, n): dot for n, dot in moved.items() if dot in self.tangent.dots}
        names = [own.get(n, f"_{k}") for k, n in enumerate(self._arguments())]
        return ", ".join([*names, "*_"])

    def _jvp(self, tangent: Tangent) -> tuple[str, ...]:
        """A tangent for each gradient, in the order of the inputs; None for integers."""
        *lines, last = tangent.context_call
        order = [c.tensor.name for c in self.first.op.differentiable]
        names = [c.tensor.name for c in self.first.op.inputs]
        found = [f"dots[{order.index(n)}]" if n in order else "None" for n in names]
        call = last.removeprefix("return ").removesuffix("[0]")
        items = found if len(found) > 1 else [f"{found[0]},"]
        return (*lines, f"dots = {call}", bracketed("return (", items, ")", 8))

    def _prepared(self) -> list[str]:
        """Sizes, and zeros for the cotangents of gradients that nobody asked for."""
        io = self.io
        saved = [c for c in self.program.saved if c not in self.program.kept]
        sure = self.program.cotangents if _is_sure(self.program) else ()
        lines = [
            line for line in io.prepare((*saved, *sure), check=False) if "_work_dtype" not in line
        ]
        real = [c.tensor.name for c in (*_real(saved), *sure)]
        for c in (c for c in self.program.cotangents if c not in sure):
            name = c.tensor.name
            lines += [f"if {name} is None:", f"    {name} = {real[0]}.new_zeros({io.shape(c)})"]
        if io.casts:
            names = [*(c.tensor.name for c in self.program.cotangents), *real]
            lines.append(f"{io.work} = _work_dtype({', '.join(dict.fromkeys(names))})")
        return lines

    # -- the autograd.Function ---------------------------------------------------------------------

    def _arguments(self) -> list[str]:
        """Of the backward pass as a function: cotangents, what was saved, numbers."""
        first = self.first
        tensors = [*first.cotangents, *first.saved_inputs, *first.kept_names, *self.more.inputs]
        return [*tensors, *first.numbers, *self.more.numbers]

    def _first_call(self) -> str:
        first = self.first
        items = [*first.cotangents, *first.saved_inputs, *first.kept_names, *first.numbers]
        items.append(f"{first.needs}={first.needs}")
        return bracketed(f"return {first.op.name}_backward(", items, ")", 8)

    def _setup(self) -> list[str]:
        saved = ", ".join(self.given.get(n, n) for n in self.saved)
        used = {*(self.given.get(n, n) for n in self.saved), *self.numbers}
        names = [n if n in used else "_" for n in self._arguments()]
        lines = [f"{', '.join([*names, '*_'])} = inputs"]
        lines += [f"ctx.save_for_backward({saved})", f"ctx.save_for_forward({saved})"]
        if self.numbers:
            lines.append(f"ctx.numbers = {unpacked(self.numbers)}")
        return lines

    def _cotangents(self) -> list[str]:
        pairs = zip(self.first.op.differentiable, self.program.cotangents, strict=True)
        names = {declared: cotangent.tensor.name for declared, cotangent in pairs}
        return [names.get(c, f"_{k}") for k, c in enumerate(self.first.op.inputs)]

    def _context_call(self, name: str) -> tuple[str, ...]:
        """Gradients in the order of the arguments; what was saved besides inputs is no argument."""
        arguments = self._arguments()
        places = {n: k for k, n in enumerate(arguments)}
        order = [self.given.get(c.tensor.name, c.tensor.name) for c in self.program.op.inputs]
        asked = [f"ctx.needs_input_grad[{places[n]}]" if n in places else "False" for n in order]
        count, some = len(self.io.saved_inputs), len(self.io.numbers)
        all_saved, all_numbers = count == len(self.saved), some == len(self.numbers)
        tensors = "*ctx.saved_tensors" if all_saved else f"*ctx.saved_tensors[:{count}]"
        numbers = "*ctx.numbers" if all_numbers else f"*ctx.numbers[:{some}]"
        real = [c for c in self._cotangents() if not c.startswith("_")]
        needs = f"{self.io.needs}=({', '.join(asked)}{',' if len(asked) == 1 else ''})"
        items = [*real, *([tensors] if count else []), *([numbers] if some else []), needs]
        call = bracketed(f"grads = {name}(", items, ")", 8)
        found = [f"grads[{order.index(n)}]" if n in order else "None" for n in arguments]
        nones = f"*[None] * {len(self.first.inputs)}"
        return call, bracketed("return (", [*found, nones], ")", 8)


def _real(components: Iterable[Component]) -> list[Component]:
    return [c for c in components if not isinstance(c.tensor, Labels)]


def _known(program: Program) -> set[Size]:
    """The sizes that what is saved shows."""
    return {i.size for c in program.saved for i in c.indices} | set(program.saved_sizes)


def _is_sure(program: Program) -> bool:
    """Is the cotangent there? A lone one that tells what nothing saved does, its shape or its type.

    Without it, nothing would be differentiated.
    """
    (first, *more) = program.cotangents
    shown = {i.size for i in first.indices} <= _known(program)
    return not more and not (shown and _real(program.saved))


def _unshown(program: Program) -> Program:
    """Without the sizes that a cotangent shows which is there."""
    if not _is_sure(program):
        return program
    shown = {i.size for c in program.cotangents for i in c.indices}
    return replace(program, saved_sizes=tuple(s for s in program.saved_sizes if s not in shown))


def _told(program: Program, rows: Size | None) -> Program:
    """With what tells the shapes of several cotangents, of which any may be missing.

    That is the cotangent of the backward pass itself, and sizes that it does not show.
    """
    if len(program.cotangents) == 1:
        return program
    wanted = {i.size for c in program.cotangents for i in c.indices}
    for c in _real(program.op.inputs)[::-1]:
        missing = wanted - _known(program)
        if not _real(program.saved) or missing & {i.size for i in c.indices}:
            program = replace(program, saved=(*program.saved, c))
    missing = wanted - _known(program) - {rows}
    sizes = sorted({*program.saved_sizes, *missing}, key=lambda s: s.rank)
    return replace(program, saved_sizes=tuple(sizes))
