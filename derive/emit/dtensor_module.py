"""The dtensor backend: a program that each rank runs on its part of the tensors.

The formulas are those of the torch backend, with what is summed along an axis that may be cut taken
over all ranks. Which axes those are follows from the roles of the indices.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from derive.derivation import Derivation
from derive.emit.environment import render
from derive.emit.interface import Extras
from derive.emit.source import Line, assign, bracketed, comma
from derive.emit.torch_module import TorchModule, calls
from derive.errors import DeriveError
from derive.notation.nodes import Component, Size
from derive.notation.op import Op
from derive.plan.program import plan
from derive.plan.sharding import Sharded, sharded
from derive.plan.statement import Across, Statement
from derive.rewrite import keeping_shape

TEMPLATE = "dtensor/op.py.jinja"
RANKS, LEADING = "ranks", "..."


@dataclass(frozen=True)
class Axes:
    """The axes of a tensor by the letters they may be cut along; empty where they may not."""

    name: str
    letters: tuple[str, ...]
    partial: tuple[str, ...] = ()  # letters over which each rank has a part of the sum

    @property
    def text(self) -> str:
        return f'"{self.name}": _Axes(({comma(map(_quoted, self.letters))}), {self._partial})'

    @property
    def _partial(self) -> str:
        return f"({comma(map(_quoted, self.partial))})" if self.partial else "()"


def dtensor_module(op: Op, derivation: Derivation) -> str:
    """The body of `dtensor/<op>.py`."""
    with keeping_shape():
        return DTensorModule(sharded(plan(op, derivation)), derivation).render()


class DTensorModule(TorchModule):
    def __init__(self, made: Sharded, derivation: Derivation) -> None:
        super().__init__(made.program, derivation, followed=True)  # ranks may share what they hold
        self.made = made
        leading = self.plumbing.leading
        if leading is not None and leading.size not in made.sizes:
            raise DeriveError(f"{made.program.op.name} cannot be shared out among ranks")
        self.plumbing.context = (RANKS,)

    def render(self) -> str:
        io, op = self.plumbing, self.program.op
        saved = len(io.saved_inputs) + len(io.kept)
        formulas = {"forward": self.forward(), "backward": self.backward()}
        return render(
            TEMPLATE,
            io=io.build(Extras(), second=False, tangent=False),
            **formulas,
            places=calls("_at", formulas),
            axes=[a.text for a in self.axes()],
            public=self._public(),
            named=", ".join(f'"{n}": {n}' for n in io.inputs),
            outputs=io.outputs,
            inputs=len(io.inputs),
            numbers=len(io.scalars) + len(io.extents),
            saved=saved,
            summary=list(self.summary()),
            opname=op.name,
        )

    def _public(self) -> str:
        io, op = self.plumbing, self.program.op
        defaults = [f"{s.symbol.name}: float = {s.text}" for s in op.parameters]
        defaults += [f"{e.size.name}: int = {e.default}" for e in op.extents]
        results = "Tensor" if len(op.outputs) == 1 else "tuple[Tensor, ...]"
        header = [*(f"{n}: Tensor" for n in io.inputs), *defaults]
        return bracketed(f"def {op.name}(", header, f") -> {results}:", 0)

    # -- rules ------------------------------------------------------------------------------------

    def axes(self) -> Iterator[Axes]:
        """Of the inputs, the outputs, and the gradients of the inputs."""
        op, partial = self.program.op, self.made.partial
        for component in (*op.inputs, *op.outputs):
            yield self._axes_of(component.tensor.name, component, partial.get(component.tensor, ()))
        gradients = zip(op.differentiable, self.program.gradients, strict=True)
        for declared, grad in gradients:
            yield self._axes_of(f"d{declared.tensor.name}", declared, partial.get(grad.tensor, ()))

    def _axes_of(self, name: str, component: Component, partial: Collection[Size]) -> Axes:
        groups = component.tensor.axes(component.indices)
        letters = [self._letter(g[0].size) if len(g) == 1 else "" for g in groups]
        parts = [self._letter(s) for s in sorted(partial, key=lambda s: s.rank)]
        return Axes(name, tuple(letters), tuple(parts))

    def _letter(self, size: Size) -> str:
        """What the axes of a size are called; empty if they may not be cut."""
        leading = self.plumbing.leading
        if leading is not None and size == leading.size:
            return LEADING
        if size not in self.made.sizes:
            return ""
        return next(i.name for i in self.program.op.letters if i.size == size)

    def summary(self) -> Iterator[str]:
        """For each letter what is exchanged along it, pass by pass."""
        for size in self.made.sizes:
            passes = zip((self.program.forward, self.program.backward), _PASSES, strict=True)
            counts = [(_counted(group, size), name) for group, name in passes]
            parts = [t.name for t, sizes in self.made.partial.items() if size in sizes]
            letter = self._letter(size).replace(LEADING, "leading axes")
            said = [f"{counted} in the {name} pass" for counted, name in counts if counted]
            said += [f"{', '.join(parts)} in parts that are to be added"] if parts else []
            yield f"{letter}: {', '.join(said) or 'nothing is exchanged'}"

    # -- statements -------------------------------------------------------------------------------

    def _lines(
        self, statements: Iterable[Statement], given: tuple[Component, ...], indent: int
    ) -> Iterable[Line]:
        """Sums over all ranks that are ready together travel together."""
        for group in _together(statements):
            codes = [self._code(s, given) for s in group]
            targets = ", ".join(s.target.tensor.name for s in group)
            across = group[0].across
            if across is None:
                yield Line(group[0].note, assign(targets, codes[0], indent))
                continue
            note = "; ".join(s.note for s in group)
            call = bracketed(
                f"{RANKS}.{across.word}(", [self._letters(across), *codes], ")", indent
            )
            yield Line(f"{note}, over all ranks", f"{targets} = {call}")

    def _letters(self, across: Across) -> str:
        return f"({comma(_quoted(self._letter(s)) for s in across.sizes)})"

    def _sizes(
        self,
        statements: Iterable[Statement],
        given: tuple[Component, ...],
        known: Collection[Size] = (),
    ) -> tuple[str, ...]:
        """The sizes of the parts, then those of all ranks together."""
        statements = tuple(statements)
        text = " ".join(self._code(s, given) for s in statements)
        wanted = [s for s, w in self.made.whole.items() if re.search(rf"\b{w.name}\b", text)]
        lines = list(super()._sizes(statements, given, known))
        here = {line.split(" = ")[0] for line in lines} | {s.name for s in known}
        lines += [self._size_line(s, given) for s in wanted if s.name not in here]
        total = [
            f'{self.made.whole[s].name} = {RANKS}.size("{self._letter(s)}", {s.name})'
            for s in wanted
        ]
        return (*lines, *total)

    def _size_line(self, size: Size, given: tuple[Component, ...]) -> str:
        from derive.emit.interface import place_of

        place = place_of(size, given)
        assert place is not None
        return f"{size.name} = {place[0]}.shape[{place[1]}]"


_PASSES = ("forward", "backward")


def _together(statements: Iterable[Statement]) -> Iterator[list[Statement]]:
    """Neighbours that are taken over the same ranks and do not need each other."""
    group: list[Statement] = []
    for statement in statements:
        needed = {c.tensor for c in statement.uses} & {s.target.tensor for s in group}
        fits = group and statement.across is not None and statement.across == group[0].across
        if group and not (fits and not needed):
            yield group
            group = []
        group.append(statement)
    if group:
        yield group


def _quoted(text: str) -> str:
    return f'"{text}"'


def _counted(group: Iterable[Statement], size: Size) -> str:
    """What is exchanged along an axis: 1 max and 2 sums."""
    made = {id(s): s.across.word for s in group if s.across and size in s.across.sizes}
    counts = Counter(made.values())
    return " and ".join(f"{n} {word}{'s' * (n > 1)}" for word, n in counts.items())
