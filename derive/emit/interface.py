"""The part of a generated module that both backends have: signatures, shapes, what is saved.

Leading axes are flattened to one on the way in and restored on the way out, so the formulas
themselves are written for the indices of the op.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from derive.emit.shapes import Shapes
from derive.emit.source import WIDTH, as_docstring, bracketed, comma, fill, split_top, unpacked
from derive.notation.nodes import Component, Index, Size
from derive.notation.op import gradient
from derive.notation.text import equation_text
from derive.plan.autocast import Autocast, autocast
from derive.plan.blocks import Blocks, blocks

_AUTOCAST = {
    Autocast.SHORT: "torch.get_autocast_dtype(device)",
    Autocast.FULL: "torch.float32",
    Autocast.NONE: "",
}


@dataclass(frozen=True)
class Interface:
    """Strings for the template; the names of the fields are what a reader of the template sees."""

    op: str
    function: str  # the autograd.Function
    docstring: str
    signature: str
    doc: str
    tensors: str  # the inputs, without numbers
    pick: str  # the outputs among what the Function returns
    forward_signature: str
    forward_doc: str
    prepare_forward: tuple[str, ...]
    forward_call: str
    forward_returns: str
    backward_signature: str
    backward_doc: str
    prepare_backward: tuple[str, ...]
    backward_call: str
    backward_returns: str
    arguments: str
    autocast: str  # the dtype that inputs take under autocast, if any
    autocast_doc: str
    scalars: bool  # are there parameters?
    reals: str  # the inputs that are no integers, as they are unpacked
    real_arguments: str
    unpack_forward: str
    forward_results: str
    setup: tuple[str, ...]
    cotangents: str
    context_call: tuple[str, ...]
    casts: bool
    short: bool  # have products a type of their own?
    labels: bool
    in_place: bool  # do some formulas write over memory of their own?
    by_rows: bool  # do some of these run on a few rows at a time?


@dataclass(frozen=True)
class Extras:
    """What a double backward needs besides what the backward pass is given."""

    inputs: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


class Plumbing(Shapes):
    """Builds the interface of one program; `context` comes first among the arguments."""

    context: tuple[str, ...] = ()
    in_place: frozenset[str] = frozenset()  # the passes that write over memory of their own

    # -- the whole ------------------------------------------------------------------------------

    def build(self, extras: Extras, *, second: bool, tangent: bool) -> Interface:
        """`extras`: what is saved besides, for a double backward and a tangent if there are any."""
        op = self.op
        defaults = [f"{s.symbol.name}: float = {s.text}" for s in op.parameters]
        defaults += [f"{e.size.name}: int = {e.default}" for e in op.extents]
        header = [*self.context, *(f"{n}: Tensor" for n in self.inputs), *defaults]
        results = "Tensor" if len(op.outputs) == 1 else "tuple[Tensor, ...]"
        return Interface(
            op=op.name,
            function=self.function,
            docstring=self._docstring(),
            signature=bracketed(f"def {op.name}(", header, f") -> {results}:", 0),
            doc=f"{self.documented(op.outputs)} from {self.documented(op.inputs)}; differentiable.",
            tensors=", ".join(self.inputs),
            pick=self._pick(),
            forward_signature=bracketed(
                f"def {op.name}_forward(", header, ") -> tuple[Any, ...]:", 0
            ),
            forward_doc=self._forward_doc(),
            prepare_forward=tuple(self.prepare(op.inputs, check=True)),
            forward_call=self._forward_call(),
            forward_returns=self._forward_returns(),
            backward_signature=self.backward_signature(f"{op.name}_backward"),
            backward_doc=f"The gradients of {self.documented(op.inputs)}; None for one not needed.",
            prepare_backward=tuple(self.prepare(self.given, check=False)),
            backward_call=self.backward_call("_backward"),
            backward_returns=self.backward_returns(),
            arguments=", ".join([*self.inputs, *self.scalars, *self.extents]),
            autocast=_AUTOCAST[(kind := autocast(op))],
            autocast_doc=f"Under autocast in {kind.value}, as torch's own ops of this kind.",
            scalars=bool(op.parameters),
            reals=unpacked(reals := [c.tensor.name for c in op.differentiable]),
            real_arguments=", ".join(reals),
            unpack_forward=self._unpack_forward(),
            forward_results=", ".join([*self.outputs, *self.kept_names]),
            setup=tuple(self._setup(extras, tangent)),
            cotangents=", ".join([*self.cotangents, *(["*_"] if self.kept else [])]),
            context_call=self._context_call(extras, second),
            casts=self.casts,
            short=self.types is not None,
            labels=len(op.differentiable) < len(op.inputs),
            in_place=bool(self.in_place),
            by_rows=any(self.blocks[which] for which in self.in_place),
        )

    @property
    def cotangents(self) -> list[str]:
        return [c.tensor.name for c in self.program.cotangents]

    @property
    def given(self) -> tuple[Component, ...]:
        """What the backward pass is given in the shapes that users see."""
        return (*self.program.cotangents, *self._saved_public())

    def _pick(self) -> str:
        if not self.kept:
            return ""
        return "[0]" if len(self.outputs) == 1 else f"[:{len(self.outputs)}]"

    def _forward_call(self) -> str:
        results = unpacked([*self.outputs, *self.kept_names])
        arguments = [*(self.flat(c, cast=True) for c in self.op.inputs), *self.scalars]
        name = "_launch_forward" if self.kernels else "_forward"
        return self._calling(results, name, [*self.context, *arguments], "forward")

    def _calling(self, results: str, name: str, arguments: list[str], which: str) -> str:
        """A call of formulas; those that write over their own memory run on blocks of rows."""
        if which not in self.in_place:
            return bracketed(f"{results} = {name}(", arguments, ")", 4)
        found = self.blocks[which]
        if found is None:
            return bracketed(f"{results} = _in_place(", [name, *arguments], ")", 4)
        places = [
            f"cut=({comma(map(str, found.cut))})",
            f"joined=({comma(map(str, found.joined))})",
        ]
        places[1] = places[1] if found.joined else "joined=()"
        return bracketed(f"{results} = _by_rows(", [name, *arguments, *places], ")", 4)

    @cached_property
    def blocks(self) -> dict[str, Blocks | None]:
        """Of each pass: how it may run on a few rows at a time."""
        return dict(zip(("forward", "backward"), blocks(self.program), strict=True))

    def backward_signature(self, name: str, *, optional: bool = False) -> str:
        """`optional`: a cotangent may be None."""
        kind = "Tensor | None" if optional else "Tensor"
        sizes = [f"{s.name}: int" for s in self.program.saved_sizes]
        scalars = [f"{s.name}: float" for s in self.program.saved_scalars]
        tensors = [f"{n}: {kind}" for n in self.cotangents]
        tensors += [f"{n}: Tensor" for n in [*self.saved_inputs, *self.kept_names]]
        needs = f"{self.needs}: Sequence[bool] = ({comma(['True'] * len(self.inputs))})"
        items = [*self.context, *tensors, *sizes, *scalars, "*", needs]
        return bracketed(f"def {name}(", items, ") -> tuple[Tensor | None, ...]:", 0)

    def backward_call(self, inner: str) -> str:
        grads = unpacked([c.tensor.name for c in self.program.gradients])
        arguments = [
            *self.context,
            *(self.flat(c, cast=True) for c in self.given),
            *map(self._kept_as, self.program.kept, self.kept_names),
            *self.numbers,
            self.needs,
        ]
        return self._calling(grads, inner, arguments, "backward")

    def _kept_as(self, component: Component, name: str) -> str:
        """What was kept in the type of products, in that of the backward pass."""
        short = self.types is not None and component.tensor in self.types.backward
        return f"{name}.to({self.product})" if short else name

    def _unpack_forward(self) -> str:
        blanks = ["_"] * len(self.saved_inputs), ["_"] * len(self.numbers)
        return unpacked([*self.outputs, *blanks[0], *self.kept_names, *blanks[1]])

    def _setup(self, extras: Extras, tangent: bool) -> list[str]:
        numbers = [*self._numbers_from_inputs(), *map(self._number_from_inputs, extras.numbers)]
        used = {*self.saved_inputs, *extras.inputs, *(n.split(".")[0] for n in numbers)}
        names = [n if n in used else "_" for n in [*self.inputs, *self.scalars, *self.extents]]
        saved = [*self.saved_inputs, *self.kept_names, *extras.inputs]
        lines = [f"{unpacked(names)} = inputs"] if used else []
        if self.kept:
            lines.append(f"{unpacked([*('_' for _ in self.outputs), *self.kept_names])} = output")
            lines.append(f"ctx.mark_non_differentiable({', '.join(self.kept_names)})")
        lines.append(f"ctx.save_for_backward({', '.join(saved)})")
        if tangent:
            lines.append(f"ctx.save_for_forward({', '.join(saved)})")
        if numbers:
            lines.append(f"ctx.numbers = ({comma(numbers)})")
        return lines

    def _number_from_inputs(self, name: str) -> str:
        """A parameter, or a size by the input that shows it."""
        if name in [*self.scalars, *self.extents]:
            return name
        return self._size_from_inputs(self.op.sizes[name])

    def _context_call(self, extras: Extras, second: bool) -> tuple[str, ...]:
        """The last lines of the Function's backward: a scalar has no gradient."""
        numbers = ["*ctx.numbers"] if self.numbers or extras.numbers else []
        needs = f"ctx.needs_input_grad[:{len(self.inputs)}]"
        items = [*self.cotangents, "*ctx.saved_tensors", *numbers]
        if not second:
            tensors = len(self.saved_inputs) + len(self.kept)
            saved = f"*ctx.saved_tensors[:{tensors}]" if extras.inputs else "*ctx.saved_tensors"
            some = f"*ctx.numbers[:{len(self.numbers)}]" if extras.numbers else "*ctx.numbers"
            items = [*self.cotangents, saved, *([some] if self.numbers else [])]
            backward, items = f"{self.op.name}_backward(", [*items, f"{self.needs}={needs}"]
        else:
            backward, items = f"{self.function}Backward.apply(", [*items, f"*{needs}"]
        numbers_in = [*self.scalars, *self.extents]
        if not numbers_in:
            return (bracketed(f"return {backward}", items, ")", 8),)
        nones = ", ".join("None" for _ in numbers_in)
        call = bracketed(f"grads = {backward}", items, ")", 8)
        return call, f"return *grads, {nones}"

    def _saved_public(self) -> tuple[Component, ...]:
        return tuple(c for c in self.program.saved if c not in self.program.kept)

    def _forward_doc(self) -> str:
        what = ", ".join([*self.saved_inputs, *self.kept_names, *self.numbers])
        needs = f", then what {self.op.name}_backward needs: {what}" if what else ""
        return f"{self.documented(self.op.outputs)}{needs}."

    def _forward_returns(self) -> str:
        casts = self.casts and not self.kernels
        dtype = f".to({self.op.differentiable[0].tensor.name}.dtype)" if casts else ""
        public = [f"_shaped({c.tensor.name}, {self.shape(c)}){dtype}" for c in self.op.outputs]
        items = [*public, *self.saved_inputs, *self.kept_names, *self.numbers]
        return bracketed("return (", items if len(items) > 1 else [f"{items[0]},"], ")", 4)

    def backward_returns(self) -> str:
        items = []
        gradients = dict(zip(self.op.differentiable, self.program.gradients, strict=True))
        for declared in self.op.inputs:
            if (grad := gradients.get(declared)) is None:
                items.append("None")
                continue
            name = declared.tensor.name
            dtype = f"{name}.dtype" if name in self.saved_inputs else self._work_dtype()
            items.append(f"_give({grad.tensor.name}, {self.shape(declared)}, {dtype})")
        return bracketed("return (", items if len(items) > 1 else [f"{items[0]},"], ")", 4)

    def _work_dtype(self) -> str:
        """The dtype of a gradient whose input was not saved; autograd casts it to the input's."""
        return self.work if self.casts else f"{self.cotangents[0]}.dtype"

    def _numbers_from_inputs(self) -> list[str]:
        found = []
        given = {e.size for e in self.op.extents}
        for size in self.program.saved_sizes:
            if size in given:
                found.append(size.name)
                continue
            found.append(self._size_from_inputs(size))
        return [*found, *(s.name for s in self.program.saved_scalars)]

    def _size_from_inputs(self, size: Size) -> str:
        """The axis that shows a size, or the one from which it follows."""
        shown = [(c, c.tensor.axes(c.indices)) for c in self.op.inputs]
        axes = [(c, k - len(found), a) for c, found in shown for k, a in enumerate(found)]
        carrying = [(c, k, a) for c, k, a in axes if size in {i.size for i in a}]
        component, place, group = min(carrying, key=lambda found: len(found[2]))
        text = f"{component.tensor.name}.shape[{place}]"
        others = [i.size for i in group if i.size != size]
        if not others:
            return text
        known = {e.size: e.size.name for e in self.op.extents}
        return text + "".join(f" // {known.get(s) or self._size_from_inputs(s)}" for s in others)

    def _docstring(self) -> str:
        op, d = self.op, self.derivation
        title = list(op.title) or [op.name]
        equations = [f"    {e.text}" for e in op.equations]
        gradients = [
            _wrapped(equation_text(p, s.closed, op.letters))
            for s, p in (
                (d.stage[c.tensor.name], g)
                for c, g in zip(op.differentiable, self._primed(), strict=True)
            )
        ]
        lines = [
            *title,
            "",
            f"    {op.header}",
            "",
            *equations,
            "",
            "Gradients, with dt for ∂l/∂t:",
            "",
            *gradients,
        ]
        return as_docstring("\n".join(lines))

    def _primed(self) -> list[Component]:
        return [
            gradient(self.derivation.stage[c.tensor.name].component) for c in self.op.differentiable
        ]


def _wrapped(equation: str) -> str:
    """An equation in a docstring, broken before + and - where it is too long for a line."""
    if len(equation) + 4 <= WIDTH:
        return f"    {equation}"
    left, right = equation.split(" = ", 1)
    indent = " " * (len(left) + 7)
    lines = fill(split_top(right, ("+", "-")), WIDTH - len(indent))
    return f"    {left} = " + f"\n{indent}".join(lines)


def place_of(size: Size, components: tuple[Component, ...]) -> tuple[str, int] | None:
    """Which axis of which tensor shows a size."""
    for component in components:
        for k, index in enumerate(component.indices):
            if index.size == size:
                return component.tensor.name, k
    return None


def sizes_used(indices: set[Index], sizes: set[Size]) -> list[Size]:
    """Sizes in order of their declaration."""
    return sorted(sizes | {i.size for i in indices}, key=lambda s: s.rank)
