"""Statements in LaTeX: the rules of the op language, the operator ∂/∂t, and one leniency.

A term or a case that lacks an index of its neighbours is read as broadcast, as authors mean it:
`1_q / σ_p` beside `μ_ph μ_pq / σ_p^3`. It is noted, for a strict writer puts the one-tensor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sympy import Expr

from derive.errors import Report
from derive.notation import tree as t
from derive.notation.build import Builder
from derive.notation.indices import Alone, Indices, Letters, Shape
from derive.notation.nodes import Differentiate
from derive.notation.op import Op
from derive.notation.scope import Declared
from derive.notation.spelling import Names
from derive.notation.statement import Reader
from derive.notation.tex_parts import Bounded


class TexIndices(Indices):
    """The rules, for an operator too; a broadcast that was not written is noted."""

    notes: list[str]

    def _look(self, node: t.Node) -> Alone:
        if not isinstance(node, t.Derivative):
            return super()._look(node)
        body, own = self.alone(node.body), Counter(k.name for k in node.letters)
        free = body.free | {k: n == 1 and k not in body.free for k, n in own.items()}
        return Alone(free, body.bound)

    def place(self, node: t.Node, bound: Letters) -> Shape:
        if not isinstance(node, t.Derivative):
            return super().place(node, bound)
        own = {k.name for k in node.letters}
        summed = {k for k in own if not self.alone(node).free[k]} - bound
        self._sum_at(node, summed)
        variable = self.place(node.wrt, bound | summed)
        body = self.place(node.body, bound | summed)
        return Shape((body.indices | variable.indices) - summed, number=False)

    def _refuse_term(self, node: t.Node, part: t.Node, lacking: Letters) -> None:
        if not isinstance(node, t.Sum | t.Where):
            super()._refuse_term(node, part, lacking)
            return
        term, ones = self.report.quote(part.span).strip(), self.ones(lacking)
        note = f"`{term}` is read as broadcast over {self.listed(lacking)}"
        self.notes.append(f"{note}; a strict writer would put `{ones}`")

    def ones(self, letters: Letters) -> str:
        return rf"\mathbf{{1}}_{{{' '.join(sorted(letters, key=self.order))}}}"


class TexBuilder(Builder):
    """Builds the operator as a node, which the prover carries out."""

    def _other(self, node: t.Node) -> Expr:
        if not isinstance(node, t.Derivative):
            return super()._other(node)
        made = Differentiate(self.build(node.body), self._component(node.wrt))
        return self._summed(node, made)


class TexReader(Reader):
    """A statement from the trees of two sides in LaTeX."""

    indices_class = TexIndices
    builder_class = TexBuilder

    def __init__(self, op: Op, sides: tuple[t.Node, t.Node], names: Names, report: Report) -> None:
        super().__init__(op, sides, report)
        self.names = names
        self.notes = self.indices.notes = []  # type: ignore[attr-defined]  # indices_class

    def _declare(self) -> None:
        super()._declare()
        for name, total in self.names.totals.items():
            letters = self.scope.tensors[name].letters
            self.scope.tensors[total.tensor.name] = Declared(total.tensor, letters)

    def _check_letters(self) -> None:
        """The end of a sum gives its index a size, if nothing else does."""
        for side in self.sides:
            for node in t.walk(side):
                if isinstance(node, Bounded):
                    self._bound(node.letters[0], node.end)
        super()._check_letters()

    def _bound(self, letter: t.Letter, end: t.Letter) -> None:
        sizes = self.scope.sizes
        if not sizes.agree(letter.name, end.name):
            size = sizes.first(letter.name).upper()
            ends = end.name.upper()
            message = f"the index `{letter.name}` has size {size}, but its sum ends at `{ends}`"
            self.report.add("E305", end.span, message, f"write `{size}`, or leave it out")


def foreign(sides: Iterable[t.Node], names: Names, op: Op) -> list[str]:
    """What is none of the op's, as it was spelled; if nothing is, tensors without their indices."""
    numbers = {*(p.symbol.name for p in op.parameters), *op.sizes, "pi"}
    references = [r for side in sides for r in _references(side)]
    unknown = [
        f"`{r.name}` is none of {op.name}"
        for r in references
        if names.arity(r.name) is None and r.name not in numbers
    ]
    bare = [
        f"`{r.name}` stands without its indices"
        for r in references
        if not r.letters and r.name not in numbers and names.arity(r.name)
    ]
    return list(dict.fromkeys(unknown or bare))


def _references(node: t.Node) -> list[t.Reference]:
    found: list[t.Reference] = []
    for part in t.walk(node):
        if isinstance(part, t.Reference):
            found.append(part)
        elif isinstance(part, t.Jacobian):
            found += [part.of, part.wrt]
        elif isinstance(part, t.Derivative):
            found.append(part.wrt)
    return found


def mentions_tensors(node: t.Node, names: Names) -> bool:
    """Does a tensor, a one-tensor or a delta stand in it?"""
    return any(
        isinstance(p, t.Ones | t.Delta | t.Jacobian | t.Derivative)
        or (isinstance(p, t.Reference) and names.arity(p.name) is not None)
        for p in t.walk(node)
    )


def is_component(node: t.Node) -> bool:
    """One component whose letters differ: what an equation defines."""
    letters = [k.name for k in node.letters] if isinstance(node, t.Reference) else [""]
    return isinstance(node, t.Reference) and len({*letters}) == len(letters)
