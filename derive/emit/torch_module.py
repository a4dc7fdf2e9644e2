"""The torch backend: a program as two plain functions over tensors, and their plumbing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sympy import Expr

from derive.derivation import Derivation
from derive.emit.environment import render
from derive.emit.interface import Plumbing, place_of
from derive.emit.names import ROWS
from derive.emit.source import Block, Line, assign, bracketed, unpacked
from derive.emit.torch_chains import Memory
from derive.emit.torch_printer import TorchPrinter
from derive.notation.conditions import Position
from derive.notation.nodes import Component, Labels, Size
from derive.notation.op import Op
from derive.plan.memory import Spent, spent, width
from derive.plan.program import Program, plan
from derive.plan.short import Types, typed
from derive.plan.statement import Statement
from derive.rewrite import keeping_shape

TEMPLATE = "torch/op.py.jinja"


@dataclass(frozen=True)
class Function:
    """A function over tensors in the indices of the op."""

    signature: str
    doc: str
    sizes: tuple[str, ...]
    blocks: tuple[Block, ...]
    returns: str
    unset: str = ""  # the gradients, before any is computed


def torch_module(op: Op, derivation: Derivation) -> str:
    """The body of `torch/<op>.py`."""
    with keeping_shape():
        return plain(op, derivation).render()


def plain(op: Op, derivation: Derivation) -> TorchModule:
    """The program of an op, its matrix products in the type of the tensors."""
    program = plan(op, derivation)
    made = typed(program)
    if made is None:
        return TorchModule(program, derivation)
    return TorchModule(made.program, derivation, types=made.types)


class TorchModule:
    def __init__(
        self,
        program: Program,
        derivation: Derivation,
        plumbing: Plumbing | None = None,
        *,
        followed: bool = False,
        types: Types | None = None,
    ) -> None:
        """`followed`: autograd follows the formulas, so nothing is written over."""
        self.program, self.derivation, self.followed = program, derivation, followed
        self.plumbing = plumbing or Plumbing(program, derivation)
        self.types = self.plumbing.types = types

    def render(self) -> str:
        from derive.emit.modes import Modes

        more = Modes(self.plumbing, self.derivation)
        passes = {"forward": self.forward(), "backward": self.backward()}
        self.plumbing.in_place = frozenset(n for n, made in passes.items() if writes_over(made))
        formulas = {**passes, **more.build()}
        io = self.plumbing.build(more.extras, **more.offered)
        return render(
            TEMPLATE,
            io=io,
            products=multiplies_in(formulas),
            unrounded=calls("_unrounded", formulas),
            places=calls("_at", formulas),
            leads=calls(ROWS, io, formulas),
            **formulas,
        )

    def forward(self, name: str = "_forward", sizes: Sequence[Size] = ()) -> Function:
        """`sizes` are given as numbers: no input shows them."""
        p, names = self.program, self.plumbing
        out = [*names.outputs, *names.kept]
        doc = f"{documented(p.op.inputs)} -> {documented((*p.op.outputs, *p.kept))}"
        copies = [
            f"{n}.clone()" if n in names.outputs and k >= len(names.outputs) else n
            for k, n in enumerate(out)
        ]
        parameters = [*names.context, *(f"{n}: Tensor" for n in names.inputs)]
        parameters += [f"{s.name}: int" for s in sizes] + [f"{n}: float" for n in names.scalars]
        return Function(
            bracketed(f"def {name}(", parameters, f") -> {_tuple_type(len(out))}:", 0),
            doc,
            self._sizes(self.steps_forward, p.op.inputs, sizes),
            (Block("", tuple(self._lines(self.steps_forward, p.op.inputs, 4))),),
            unpacked(copies),
        )

    def backward(self, name: str = "_backward") -> Function:
        p, names = self.program, self.plumbing
        given = (*p.cotangents, *p.saved)
        parameters = [*names.context, *(f"{c.tensor.name}: Tensor" for c in given)]
        parameters += [f"{n.name}: int" for n in p.saved_sizes] + [
            f"{n.name}: float" for n in p.saved_scalars
        ]
        grads = [c.tensor.name for c in p.gradients]
        shown = documented(tuple(gradients_as_declared(p)))
        return Function(
            bracketed(
                f"def {name}(",
                [*parameters, f"{names.needs}: Sequence[bool]"],
                ") -> tuple[Tensor | None, ...]:",
                0,
            ),
            f"{documented(given)} -> {shown}",
            self._sizes(self.steps_backward, given, set(p.saved_sizes)),
            tuple(self._guarded(given)),
            unpacked(grads),
            " = ".join([*grads, *self.maybe]),
        )

    # -- statements -------------------------------------------------------------------------------

    @property
    def steps_forward(self) -> Sequence[Any]:
        """What the forward pass does, one after another: statements, and whatever `_line` tells."""
        return self.program.forward

    @property
    def steps_backward(self) -> Sequence[Any]:
        return self.program.backward

    @property
    def maybe(self) -> Sequence[str]:
        """What is read even where it was not computed."""
        return ()

    def _guarded(self, given: tuple[Component, ...]) -> Iterable[Block]:
        """Statements that only some gradients need run only if one of those is needed."""
        blocks: list[tuple[str, list[Any]]] = []
        for step in self.steps_backward:
            condition = self._condition(step)
            if not blocks or blocks[-1][0] != condition:
                blocks.append((condition, []))
            blocks[-1][1].append(step)
        for condition, steps in blocks:
            yield Block(condition, tuple(self._lines(steps, given, 8 if condition else 4)))

    def _condition(self, step: Any) -> str:
        return self.plumbing.condition(step.target.tensor)

    def _lines(
        self, steps: Iterable[Any], given: tuple[Component, ...], indent: int
    ) -> Iterable[Line]:
        for step in steps:
            yield self._line(step, given, indent)

    def _line(self, step: Any, given: tuple[Component, ...], indent: int) -> Line:
        code = self._code(step, given)
        return Line(step.note, assign(step.target.tensor.name, code, indent))

    def _code(self, statement: Statement, given: tuple[Component, ...]) -> str:
        memory = None
        if not self.followed:
            memory = Memory(width(self.program.op), self._spent[id(statement)])
        types, work = None, ""
        if self.types is not None:
            types, work = self.types.told[id(statement)], self.plumbing.work
        printer = TorchPrinter(like_of(given), self._positions, work, memory, types)
        code = printer.shaped(statement.target, types.expr if types else statement.expr)
        return f"{code}.clone()" if statement.target.tensor in self.program.copied else code

    @cached_property
    def _spent(self) -> Spent:
        """The tensors over which each statement may write."""
        p = self.program
        forward = spent(p.forward, (*p.op.inputs, *p.op.outputs, *p.kept))
        return {**forward, **spent(p.backward, (*p.cotangents, *p.saved, *p.gradients))}

    def _sizes(
        self,
        steps: Iterable[Any],
        given: tuple[Component, ...],
        known: Collection[Size] = (),
    ) -> tuple[str, ...]:
        """Lines that name the sizes that some statement's code mentions."""
        steps = tuple(steps)
        statements = tuple(s for s in steps if isinstance(s, Statement))
        text = " ".join(self._line(s, given, 4).code for s in steps)
        counts = [*self._counts(statements, given, text)]
        text = " ".join([text, *counts])
        lines = []
        for size in _all_sizes(statements, given):
            place = place_of(size, given)
            if place is not None and size not in known and _mentions(text, size.name):
                lines.append(f"{size.name} = {place[0]}.shape[{place[1]}]")
        if self.types is not None and _mentions(text, self.plumbing.work):
            lines.append(f"{self.plumbing.work} = _work_dtype({like_of(given)})")
        return (*lines, *counts)

    @cached_property
    def _positions(self) -> dict[Size, str]:
        """The names of 0, 1, … along each axis that some condition counts."""
        every = (*self.program.forward, *self.program.backward)
        found = {p.index.size for s in every for p in s.expr.atoms(Position)}
        return {s: self.plumbing.name(s.name.lower()) for s in sorted(found, key=lambda s: s.rank)}

    def _counts(
        self, statements: Iterable[Statement], given: tuple[Component, ...], text: str
    ) -> Iterator[str]:
        """Lines that count along the axes whose positions some condition compares."""
        found = {p.index.size for s in statements for p in s.expr.atoms(Position)}
        for size, name in self._positions.items():
            if size in found and _mentions(text, name):
                yield f"{name} = torch.arange({size.name}, device={like_of(given)}.device)"


def like_of(given: Iterable[Component]) -> str:
    """A tensor of numbers, whose dtype and device new ones take."""
    return next(c.tensor.name for c in given if not isinstance(c.tensor, Labels))


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(name)}\b", text) is not None


def _all_sizes(statements: Iterable[Statement], given: Iterable[Component]) -> list[Size]:
    found = {i.size for c in given for i in c.indices}
    for statement in statements:
        found |= {i.size for i in statement.target.indices} | _sizes_in(statement.expr)
    return sorted(found, key=lambda s: s.rank)


def _sizes_in(expr: Expr) -> set[Size]:
    return set(expr.atoms(Size))


def multiplies_in(formulas: dict[str, Any]) -> bool:
    """Do some formulas multiply matrices? Autocast would change the types of these alone."""
    text = repr(formulas)
    return " @ " in text or "einsum(" in text or "_unrounded(" in text


def writes_over(function: Function) -> bool:
    """Does some statement write into memory that is there?"""
    return any(
        re.search(r"\.\w+_\(", line.code) for block in function.blocks for line in block.lines
    )


def calls(helper: str, *parts: object) -> bool:
    """Is a function of the module called in some of its parts?"""
    return any(re.search(rf"\b{helper}\(", repr(part)) for part in parts)


def documented(components: Iterable[Component]) -> str:
    return ", ".join(f"{c.tensor.name} [{' '.join(i.name for i in c.indices)}]" for c in components)


def gradients_as_declared(program: Program) -> Iterable[Component]:
    """The gradients with the letters of their inputs."""
    for declared, grad in zip(program.op.differentiable, program.gradients, strict=True):
        yield Component(grad.tensor, *declared.indices)


def _tuple_type(count: int) -> str:
    return f"tuple[{', '.join(['Tensor'] * count)}]" if count <= 4 else "tuple[Tensor, ...]"
