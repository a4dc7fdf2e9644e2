"""Statements about an op, such as `1[h]*mu[b,h] = 0`: its tensors, their gradients, Jacobians."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sympy import Expr
from sympy.core.parameters import distribute

from derive.errors import Report, Span
from derive.notation import names
from derive.notation import tree as t
from derive.notation.build import Builder, Labour, Refused
from derive.notation.indices import Indices
from derive.notation.lines import logical, physical
from derive.notation.merged import unmerged
from derive.notation.nodes import Index, Labels
from derive.notation.op import Op, gradient
from derive.notation.parse import parse
from derive.notation.scope import Declared, Scope, check, letters_of
from derive.notation.sizes import of_indices
from derive.notation.text import to_text

MOST_CHARACTERS = 65_536


@dataclass(frozen=True)
class Statement:
    """`lhs = rhs` for all values of the free indices."""

    lhs: Expr
    rhs: Expr
    free: tuple[Index, ...]
    text: str


def read_equation(op: Op, text: str) -> Statement:
    """A statement in the names of the op; `SourceError` with every refusal."""
    lines = physical(text)
    report = Report(lines)
    whole = Span(1, 1, 1, 2)
    if len(text) > MOST_CHARACTERS:
        report.add("E401", whole, "a statement of more than 64 KiB", "")
        raise report.error()
    found = list(logical(lines, report))
    if len(found) != 1:
        message = "a statement is one line `left = right`"
        report.add("E102", whole, message, "write one, such as `dx[p,h]*1[h] = 0`")
    report.check()
    scalars = {n: isinstance(c.tensor, Labels) for n, c in op.tensors.items() if not c.indices}
    given = [*(f"d{n}" for n in scalars), *(p.symbol.name for p in op.parameters)]
    stated = parse("statement", found[0], report, dict.fromkeys(given, False) | scalars)
    report.check()
    return Reader(op, stated.sides, report, stated.free).read(found[0].text)


def statement_text(op: Op, lhs: Expr, rhs: Expr, free: tuple[Index, ...]) -> str:
    """`lhs = rhs` as `read_equation` reads it; `for p`, where p would be summed otherwise."""
    text = " = ".join(to_text(side, free, op.letters) for side in (lhs, rhs))
    names = [i.name for i in free]
    understood = not free or {i.name for i in read_equation(op, text).free} == set(names)
    return text if understood else f"{text} for {', '.join(names)}"


def _shapes(op: Op) -> dict[str, t.Declaration]:
    """The tensors, and their gradients, of which an axis shows several indices."""
    place = Span(1, 1, 1, 1)
    found: dict[str, t.Declaration] = {}
    for name, component in op.tensors.items():
        groups = component.tensor.groups
        letters = tuple(t.Letter(place, i.size.name.lower()) for i in component.indices)
        for own in (name, f"d{name}") if groups else ():
            found[own] = t.Declaration(place, own, place, letters, groups=groups)
    return found


class Reader:
    """A statement from the trees of its sides."""

    indices_class: type[Indices] = Indices
    builder_class: type[Builder] = Builder

    def __init__(
        self,
        op: Op,
        sides: tuple[t.Node, t.Node],
        report: Report,
        quantified: tuple[t.Letter, ...] = (),
    ) -> None:
        shapes = _shapes(op)
        self.sides = tuple(unmerged(side, shapes, report) for side in sides) if shapes else sides
        self.report, self.quantified = report, quantified
        known = {i.name: i for i in op.letters}
        self.op, self.known = op, known
        letters = [k.name for side in sides for k in letters_of(side)]
        self.scope = Scope(of_indices(known, letters), jacobians=True)
        self.indices = self.indices_class(
            self.scope.is_tensor, self.scope.sizes.rank.__getitem__, report
        )

    def read(self, text: str) -> Statement:
        self._declare()
        for side in self.sides:
            check(side, self.scope, self.report)
        self._check_letters()
        self.report.check()
        free = self._free()
        for side in self.sides:
            self._place(side, free)
        self.report.check()
        return self._build(free, text)

    def _declare(self) -> None:
        for name, component in self.op.tensors.items():
            letters = tuple(i.name for i in component.indices)
            if isinstance(component.tensor, Labels):
                values = self._letter_of(component.tensor)
                self.scope.tensors[name] = Declared(component.tensor, letters, values)
                continue
            self.scope.tensors[name] = Declared(component.tensor, letters)
            self.scope.tensors[f"d{name}"] = Declared(gradient(component).tensor, letters)
        self.scope.scalars = {p.symbol.name: p.symbol for p in self.op.parameters}

    def _letter_of(self, labels: Labels) -> str:
        """A letter of the size that a tensor of integers holds values of."""
        return next((k for k, i in self.known.items() if i.size == labels.values), "")

    def _check_letters(self) -> None:
        written = {k.name for side in self.sides for k in letters_of(side)}
        for letter in (k for k in self.quantified if k.name not in written):
            message = f"the index `{letter.name}` occurs on neither side"
            self.report.add("E311", letter.span, message, "name the indices that are not summed")
        for side in self.sides:
            for letter in letters_of(side):
                self._check_letter(letter)

    def _check_letter(self, letter: t.Letter) -> None:
        if fault := names.fault(letter.name):
            self.report.add(fault[0], letter.span, *fault[1:])
        elif not self.scope.sizes.is_known(letter.name):
            self.report.add(
                "E311",
                letter.span,
                f"the index `{letter.name}` has no size: it runs over no axis",
                "",
            )

    def _free(self) -> frozenset[str]:
        """Those that `for` names; those of one component on the left; those no side would sum."""
        if self.quantified:
            return frozenset(letter.name for letter in self.quantified)
        left, right = self.sides
        leaf = self._single(left)
        if leaf is not None:
            return frozenset(letter.name for letter in leaf.letters)
        return frozenset(
            k for side in (left, right) for k, free in self.indices.alone(side).free.items() if free
        )

    def _single(self, node: t.Node) -> t.Reference | t.Jacobian | None:
        """The one component or Jacobian in a product with numbers; it repeats no index."""
        parts = node.parts if isinstance(node, t.Product) else (node,)
        rest = [p for p in parts if not self._is_number(p)]
        if len(rest) != 1 or not isinstance(rest[0], t.Reference | t.Jacobian):
            return None
        repeated = Counter(letter.name for letter in rest[0].letters).most_common(1)
        return None if repeated and repeated[0][1] > 1 else rest[0]

    def _is_number(self, node: t.Node) -> bool:
        return not any(
            isinstance(p, t.Ones | t.Delta | t.Jacobian)
            or (isinstance(p, t.Reference) and self.scope.is_tensor(p.name))
            for p in t.walk(node)
        )

    def _place(self, side: t.Node, free: frozenset[str]) -> None:
        before = self.report.refused
        shape = self.indices.place(side, free)
        lacking = free - shape.indices
        if lacking and not shape.exempt and self.report.refused == before:
            self.report.add(
                "E313",
                side.span,
                f"this side lacks {self.indices.listed(lacking)} of the other",
                f"multiply by `{self.indices.ones(lacking)}`",
            )

    def _build(self, free: frozenset[str], text: str) -> Statement:
        letters = self.scope.sizes.indices() | self.known
        builder = self.builder_class(self.scope, letters, self.indices, self.report)
        sides, labour = [], Labour()
        with distribute(False):
            for side in self.sides:
                try:
                    sides.append(builder.whole(side, labour))
                except Refused:
                    continue
        self.report.check()
        order = sorted(free, key=self.scope.sizes.rank.__getitem__)
        return Statement(sides[0], sides[1], tuple(letters[k] for k in order), text)
