"""The tangent of an op in a generated file: forward-mode differentiation, derived like the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from derive.derivation import Derivation
from derive.emit.interface import Extras, Plumbing, place_of
from derive.emit.source import bracketed, unpacked
from derive.emit.torch_module import Function, TorchModule
from derive.errors import DeriveError
from derive.higher import jvp
from derive.notation.nodes import Labels, Size
from derive.notation.op import Op
from derive.plan.program import Program, plan_forward


@dataclass(frozen=True)
class Tangent:
    """Strings for the template: the formulas, the function around them, the method of the class."""

    inner: Function
    signature: str
    doc: str
    prepare: tuple[str, ...]
    call: str
    returns: str
    arguments: str
    context_call: tuple[str, ...]


@lru_cache(maxsize=64)
def _planned(op: Op) -> tuple[Op, Program]:
    """Both backends have the same tangent."""
    tangent = jvp(op)
    return tangent, plan_forward(tangent)


class TangentModule:
    """The tangent of one program."""

    def __init__(
        self, first: Plumbing, derivation: Derivation, rows: Size | None, stem: str = ""
    ) -> None:
        """`rows` is the size that stands for any number of leading axes, if one does."""
        self.first, self.stem = first, stem
        op, program = _planned(first.op)
        program = without_rows(program, rows)
        moving = op.inputs[len(first.op.inputs) :]
        pairs = zip(first.op.differentiable, moving, strict=True)
        self.dot_of = {c.tensor.name: dot.tensor.name for c, dot in pairs}
        used = {c.tensor for s in program.forward for c in s.uses}
        numbers = tuple(p for p in op.parameters if p.symbol in program.saved_scalars)
        kept = replace(
            op, inputs=tuple(c for c in op.inputs if c.tensor in used), parameters=numbers
        )
        if not kept.inputs:
            raise DeriveError(f"no output of {first.op.name} moves")
        self.program: Program = replace(program, op=kept)
        self.io = Plumbing(self.program, derivation, rows=rows)
        self.io.casts = first.casts
        self.module = TorchModule(self.program, derivation, self.io, followed=True)

    @property
    def dots(self) -> list[str]:
        """The tangents of the inputs that it depends on."""
        return [n for n in self.io.inputs if n in set(self.dot_of.values())]

    @property
    def inputs(self) -> list[str]:
        return [n for n in self.io.inputs if n not in self.dots]

    @property
    def numbers(self) -> list[str]:
        """Parameters and sizes that its statements mention and no input of it shows."""
        symbols = self.program.saved_scalars
        return [*(s.name for s in self.program.saved_sizes), *(s.name for s in symbols)]

    @property
    def extras(self) -> Extras:
        inputs = tuple(n for n in self.inputs if n not in self.first.saved_inputs)
        return Extras(inputs, tuple(n for n in self.numbers if n not in self.first.numbers))

    def build(self, extras: Extras) -> Tangent:
        """`extras`: all that is saved besides what the backward pass needs."""
        first, io = self.first, self.io
        name, inner = f"{first.op.name}_jvp", f"_{self.stem}jvp"
        parameters = [f"{n}: Tensor | None" for n in self.dots]
        parameters += [f"{n}: Tensor" for n in self.inputs]
        parameters += [f"{s.name}: int" for s in self.program.saved_sizes]
        parameters += [f"{s.name}: float" for s in self.program.saved_scalars]
        ordered = [*self.dots, *self.inputs]
        flat = {c.tensor.name: io.flat(c, cast=True) for c in self.program.op.inputs}
        results = [c.tensor.name for c in self.program.op.outputs]
        scalars = [s.name for s in self.program.saved_scalars]
        shown = self.program.op.inputs
        hidden = [s for s in self.program.saved_sizes if place_of(s, shown) is None]
        given = [*(flat[n] for n in io.inputs), *(s.name for s in hidden), *scalars]
        assert set(ordered) == set(io.inputs)
        return Tangent(
            inner=self.module.forward(inner, hidden),
            signature=bracketed(f"def {name}(", parameters, ") -> tuple[Tensor, ...]:", 0),
            doc=f"The tangents of {first.documented(first.op.outputs)}.",
            prepare=tuple(self._prepared()),
            call=bracketed(f"{unpacked(results)} = {inner}(", given, ")", 4),
            returns=self._returns(),
            arguments=", ".join([*self._tangent_arguments(), "*_"]),
            context_call=self._context_call(name, extras),
        )

    def _prepared(self) -> list[str]:
        """Sizes, and zeros for the tangents of inputs that do not move.

        A tangent that alone shows some size is there: without it nothing would move.
        """
        io = self.io
        by_name = {c.tensor.name: c for c in self.program.op.inputs}
        saved = [by_name[n] for n in self.inputs]
        real = [c.tensor.name for c in saved if not isinstance(c.tensor, Labels)]
        known = {i.size for c in saved for i in c.indices} | set(self.program.saved_sizes)
        dots = [by_name[n] for n in self.dots]
        sure = [c for c in dots if not real or not {i.size for i in c.indices} <= known]
        prepared = io.prepare((*saved, *sure), check=False)
        lines = [line for line in prepared if "_work_dtype" not in line]
        real += [c.tensor.name for c in sure]
        for c in (c for c in dots if c not in sure):
            name = c.tensor.name
            lines += [f"if {name} is None:", f"    {name} = {real[0]}.new_zeros({io.shape(c)})"]
        if io.casts:
            names = dict.fromkeys([*self.dots, *real])
            lines.append(f"{io.work} = _work_dtype({', '.join(names)})")
        return lines

    def _returns(self) -> str:
        like = next(iter(self.dots))
        dtype = f".to({like}.dtype)" if self.io.casts else ""
        pairs = zip(self.program.op.outputs, self.first.op.outputs, strict=True)
        items = [f"{dot.tensor.name}.reshape({self.io.shape(dot)}){dtype}" for dot, _ in pairs]
        return bracketed("return (", items if len(items) > 1 else [f"{items[0]},"], ")", 4)

    def _tangent_arguments(self) -> list[str]:
        names = [self.dot_of.get(c.tensor.name, "") for c in self.first.op.inputs]
        return [n if n in self.dots else f"_{k}" for k, n in enumerate(names)]

    def _context_call(self, name: str, extras: Extras) -> tuple[str, ...]:
        first = self.first
        saved = [*first.saved_inputs, *first.kept_names, *extras.inputs]
        lines = []
        if self.inputs:
            places = [n if n in self.inputs else "_" for n in saved]
            lines.append(f"{unpacked(places)} = ctx.saved_tensors")
        numbers = [*first.numbers, *extras.numbers]
        if self.numbers:
            places = [n if n in self.numbers else "_" for n in numbers]
            lines.append(f"{unpacked(places)} = ctx.numbers")
        nones = "".join(", None" for _ in first.kept_names)
        items = [*self.dots, *self.inputs, *self.numbers]
        call = bracketed(f"{name}(", items, ")", 8)
        if nones:
            return (*lines, f"return *{call}{nones}")
        pick = "" if len(first.outputs) > 1 else "[0]"
        return (*lines, f"return {call}{pick}")


def without_rows(program: Program, rows: Size | None) -> Program:
    """The size that stands for leading axes is no number that could be saved."""
    return replace(program, saved_sizes=tuple(s for s in program.saved_sizes if s != rows))


def joined(parts: list[Extras]) -> Extras:
    """All that several modules need."""
    inputs = dict.fromkeys(n for p in parts for n in p.inputs)
    return Extras(tuple(inputs), tuple(dict.fromkeys(n for p in parts for n in p.numbers)))
