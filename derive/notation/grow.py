"""lark's trees to ours, rule by rule, from the leaves up; form without sense is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

from lark import Token, Tree

from derive.errors import Report, Span
from derive.notation import tree as t
from derive.notation.functions import WORDS
from derive.notation.habits import remedy_for
from derive.notation.lines import MOST_NESTED, Line
from derive.notation.meant import CONNECTIVES, INDEX, index_meant, kind_meant
from derive.notation.merged import declared
from derive.notation.names import REDUCTIONS

MOST_DIGITS, MOST_DECIMAL_EXPONENT = 40, 400
_ZERO = Fraction(0)

Child = Any  # a lark Token, or what a rule below made of a subtree


class Grower:
    """One method a rule of the grammar, called from the leaves up, so that no input is too deep."""

    def __init__(self, line: Line, report: Report, bare: Mapping[str, bool] | None = None) -> None:
        self.line, self.report = line, report
        # names without indices, which are no index in a condition; do they hold integers?
        self.bare: Mapping[str, bool] = {} if bare is None else bare

    def grow(self, parsed: Tree[Token]) -> Any:
        made: dict[int, Any] = {}
        for sub in parsed.iter_subtrees():
            children = [made[id(c)] if isinstance(c, Tree) else c for c in sub.children]
            rule: Callable[[Span, list[Child]], Any] = getattr(self, f"_{sub.data}")
            made[id(sub)] = rule(self._place(sub), children)
        return made[id(parsed)]

    def _place(self, sub: Tree[Token]) -> Span:
        return self.line.end if sub.meta.empty else self.line.place(sub.meta)

    # -- expressions ---------------------------------------------------------------------------

    def _number(self, span: Span, children: list[Child]) -> t.Node:
        if len(children) == 1:
            return t.Number(span, self._value(children[0]))
        letters = self._letters(children[1])
        if children[0] != "1":
            self.report.add(
                "E110",
                span,
                f"only the one-tensor `1[…]` carries indices, not `{clipped(children[0])}`",
                f"write `{clipped(children[0])} * 1[{','.join(k.name for k in letters) or 'h'}]`",
            )
        if not letters:
            self.report.add("E306", span, "a one-tensor has at least one index", "write `1`")
        return t.Ones(span, letters)

    def _value(self, token: Token) -> Fraction:
        mantissa, _, exponent = token.lower().partition("e")
        power = exponent.lstrip("+-").lstrip("0")
        if (digits := sum(c.isdigit() for c in mantissa)) > MOST_DIGITS:
            return self._refuse_number(token, f"a number of {digits} digits", "40 at most")
        if len(power) > 3 or int(power or 0) > MOST_DECIMAL_EXPONENT:
            return self._refuse_number(token, "a number with too large an exponent", "400 at most")
        return Fraction(str(token))

    def _refuse_number(self, token: Token, message: str, remedy: str) -> Fraction:
        self.report.add("E405", self.line.place(token), message, remedy)
        return _ZERO

    def _reference(self, span: Span, children: list[Child]) -> t.Node:
        name = children[0]
        axes = self._slots(children[1]) if len(children) == 2 else ()
        if len(children) == 2 and not axes:
            self.report.add(
                "E306",
                span,
                f"`{name}[]` carries no index",
                f"a tensor with no index is written bare: `{name}`",
            )
        if name != "delta":
            return t.Reference(span, str(name), axes)
        if len(axes) != 2:
            self.report.add("E304", span, "`delta` has two indices", "write `delta[i,j]`")
        return t.Delta(span, axes)

    def _axes(self, span: Span, children: list[Child]) -> list[Child]:
        return children

    def _slots(self, axes: Iterable[Child]) -> tuple[t.Axis, ...]:
        """What stands in the brackets of a component: letters, integer tensors, arithmetic."""
        return tuple(map(self._slot, axes))

    def _slot(self, node: t.Node) -> t.Axis:
        if isinstance(node, t.Reference) and (node.axes or self.bare.get(node.name)) and node.plain:
            return t.Label(node.span, node.name, node.letters)
        if isinstance(node, t.Sum | t.Product | t.Number):
            return t.Place(node.span, self._counted(node))
        return self._letter(node)

    def _letters(self, axes: Iterable[Child]) -> tuple[t.Letter, ...]:
        return tuple(self._letter(node) for node in axes)

    def _letter(self, node: t.Node) -> t.Letter:
        if not (isinstance(node, t.Reference) and not node.axes and INDEX.fullmatch(node.name)):
            message = f"`{self.report.quote(node.span)}` is no index"
            self.report.once("E111", node.span, message, index_meant(node))
        return t.Letter(node.span, getattr(node, "name", ""))

    def _bracket(self, span: Span, children: list[Child]) -> Child:
        return children[0]

    def _comparison(self, span: Span, children: list[Child]) -> t.Comparison:
        left, relation, right = children
        parts = (self._counted(left), self._counted(right))
        height = self._height(span, parts)
        return t.Comparison(span, str(relation), parts=parts, height=height)

    def _counted(self, node: t.Node) -> t.Node:
        """A side of a condition, where a bare small letter is an index, counted from 0."""
        if isinstance(node, t.Reference):
            is_index = not node.axes and INDEX.fullmatch(node.name)
            if not is_index or node.name in self.bare:
                return node
            return t.Position(node.span, (t.Letter(node.span, node.name),))
        if not isinstance(node, t.Sum | t.Product | t.Power | t.Call):
            return node
        return replace(node, parts=tuple(map(self._counted, node.parts)))

    def _signed(self, span: Span, children: list[Child]) -> t.Node:
        minus = sum(sign == "-" for sign in children[:-1]) % 2
        return self._negative(span, children[-1]) if minus else children[-1]

    def _negative(self, span: Span, node: t.Node) -> t.Node:
        return self._multiplied(span, [t.Number(Span(*span[:2], *span[:2]), Fraction(-1)), node])

    def _sum(self, span: Span, children: list[Child]) -> t.Node:
        terms = [children[0]]
        for sign, term in zip(children[1::2], children[2::2], strict=True):
            terms.append(self._negative(term.span, term) if sign == "-" else term)
        flat = [part for n in terms for part in (n.parts if isinstance(n, t.Sum) else (n,))]
        return t.Sum(span, parts=tuple(flat), height=self._height(span, flat))

    def _product(self, span: Span, children: list[Child]) -> t.Node:
        factors = [children[0]]
        for sign, factor in zip(children[1::2], children[2::2], strict=True):
            factors.append(self._inverse(factor) if sign == "/" else factor)
        return self._multiplied(span, self._fused(factors))

    def _multiplied(self, span: Span, factors: list[t.Node]) -> t.Node:
        flat = [part for n in factors for part in (n.parts if isinstance(n, t.Product) else (n,))]
        return t.Product(span, parts=tuple(flat), height=self._height(span, flat))

    def _inverse(self, node: t.Node) -> t.Node:
        parts = (node, t.Number(node.span, Fraction(-1)))
        return t.Power(node.span, parts=parts, height=self._height(node.span, parts))

    def _fused(self, factors: list[t.Node]) -> list[t.Node]:
        """`d(A)/d(B)`, read as a quotient of calls, is one factor."""
        fused: list[t.Node] = []
        for factor in factors:
            under = _divisor(factor)
            if fused and _is_differential(fused[-1]) and under and _is_differential(under):
                fused[-1] = self._jacobian(fused[-1], under)
            else:
                fused.append(factor)
        return fused

    def _jacobian(self, above: t.Node, below: t.Node) -> t.Node:
        (of, wrt), span = (above.parts[0], below.parts[0]), Span(*above.span[:2], *below.span[2:])
        if isinstance(of, t.Reference) and isinstance(wrt, t.Reference):
            return t.Jacobian(span, of, wrt)
        self.report.add(
            "E114", span, "a Jacobian is of one component by another", "write `d(y[b])/d(x[c])`"
        )
        return above

    def _power(self, span: Span, children: list[Child]) -> t.Node:
        parts = (children[0], children[2])
        return t.Power(span, parts=parts, height=self._height(span, parts))

    def _call(self, span: Span, children: list[Child]) -> t.Node:
        name, rest = children[0], children[1:]
        if rest and isinstance(rest[0], list):
            return self._reduction(span, name, self._letters(rest[0]), rest[1:])
        height = self._height(span, rest)
        compared = [p for p in rest if isinstance(p, t.Comparison)]
        if name in CONNECTIVES and compared:
            message = "one condition has one comparison"
            remedy = "nest them: `where(a > 0, where(b > 0, u, v), v)`"
            self.report.add("E502", span, message, remedy)
            return compared[0]
        if name == "where":
            self._check_where(span, rest)
            return t.Where(span, parts=tuple(rest), height=height)
        for part in compared:
            message = "a comparison is the condition of a `where`"
            remedy = remedy_for(name) or "write `where(a < b, 1, 0)`"
            self.report.add("E502", part.span, message, remedy)
        return t.Call(span, str(name), parts=tuple(rest), height=height)

    def _check_where(self, span: Span, parts: list[Child]) -> None:
        kinds = [isinstance(p, t.Comparison) for p in parts]
        if kinds != [True, False, False]:
            message = "`where` takes a comparison and two values"
            remedy = "write `where(x[b,h] > 0, x[b,h], 0)`"
            self.report.add("E502", span, message, remedy)

    def _reduction(
        self, span: Span, name: Token, letters: tuple[t.Letter, ...], body: list[Child]
    ) -> t.Node:
        if name not in REDUCTIONS:
            message = f"`{clipped(name)}` is no reduction"
            small = name.lower()
            reduction = f"write `{small}[h](…)`" if small in REDUCTIONS else ""
            remedy = (
                remedy_for(name, WORDS)
                or reduction
                or ("reductions are `sum[h](…)`, `mean`, `max`, `min`; write `*` between factors")
            )
            self.report.add("E202", self.line.place(name), message, remedy)
        elif len(body) != 1 or not letters:
            message = f"`{name}` has indices and one argument"
            one = f"`{name}[h](…)`"
            two = f"; of two values write `{name}(a, b)`" if name in ("max", "min") else ""
            self.report.add("E114", span, message, f"write {one}{two}")
        parts = tuple(body)
        return t.Reduction(span, str(name), letters, parts=parts, height=self._height(span, parts))

    def _height(self, span: Span, parts: Iterable[t.Node]) -> int:
        height = 1 + max((p.height for p in parts), default=0)
        if height > MOST_NESTED:
            self.report.nested(span)
            raise TooDeep
        return height

    # -- lines -----------------------------------------------------------------------------------

    def _statement(self, span: Span, children: list[Child]) -> t.Stated:
        left, right, *quantified = children
        return t.Stated((left, right), quantified[0] if quantified else ())

    def _quantifier(self, span: Span, children: list[Child]) -> tuple[t.Letter, ...]:
        return self._letters(children)

    def _equation(self, span: Span, children: list[Child]) -> t.Equality:
        return t.Equality(self._declaration(span, children[:-1]), children[-1])

    def _implicit(self, span: Span, children: list[Child]) -> t.Equality:
        """`solve y: left = right`."""
        _, name, left, right = children
        found = (
            p
            for side in (left, right)
            for p in t.walk(side)
            if isinstance(p, t.Reference) and p.name == name
        )
        place = self.line.place(name)
        unknown = next(found, None)
        if unknown is None:
            message = f"`{name}` does not occur in the relation that is to be solved for it"
            self.report.add("E507", place, message, "write `solve y: A[i,k]*y[k] = b[i]`")
        letters = unknown.letters if unknown is not None else ()
        return t.Equality(t.Declaration(place, str(name), place, letters), right, left)

    def _declaration(self, span: Span, children: list[Child]) -> t.Declaration:
        name, rest = children[0], children[1:]
        values = rest.pop() if rest and isinstance(rest[-1], tuple) else None
        axes = rest[0] if rest else None
        if axes is not None and not axes:
            self.report.add("E306", span, f"`{name}[]` carries no index", f"write `{name}`")
        shown = [self._shown(node) for node in axes or []]
        letters = tuple(k for group in shown for k in group)
        groups = tuple(map(len, shown)) if len(letters) > len(shown) else ()
        return t.Declaration(span, str(name), self.line.place(name), letters, values, groups)

    def _shown(self, node: t.Node) -> tuple[t.Letter, ...]:
        """The letters of an axis where a tensor is declared: one, or several as `g*S+s`."""
        if isinstance(node, t.Sum):
            place = t.Place(node.span, self._counted(node))
            if (letters := declared(place)) is not None:
                return letters
        if isinstance(node, t.Reference) and node.axes:
            message = f"`{self.report.quote(node.span)}` is no index of what is defined"
            remedy = "write `y[c] = delta[c,t[b]]*x[b]`: it adds up by label"
            self.report.add("E111", node.span, message, remedy)
            return ()
        return (self._letter(node),)

    def _kind(self, span: Span, children: list[Child]) -> tuple[t.Letter, ...]:
        """`int[c]`: the index of which a tensor of integers holds values."""
        name, letters = children[0], self._letters(children[1] if len(children) > 1 else ())
        if name != "int" or len(letters) > 1:
            message = f"`{self.report.quote(span)}` is no kind of tensor"
            self.report.add("E501", span, message, kind_meant(str(name), letters))
        return letters

    def _inputs(self, span: Span, children: list[Child]) -> tuple[Child, ...]:
        return tuple(children)

    _outputs = _defaults = _inputs

    def _default(self, span: Span, children: list[Child]) -> t.Default:
        name, node = children[0], children[-1]
        if any(isinstance(c, tuple) for c in children) and not self.report.within(span):
            message = "a parameter is a number, without a kind"
            given = self.report.quote(node.span) if isinstance(node, t.Node) else "1"
            self.report.add("E501", span, message, f"write `{name} = {given}`")
        value = _constant(node) if isinstance(node, t.Node) else None
        text = _literal(self.line, node.span, value) if isinstance(node, t.Node) else ""
        if value is None:
            self.report.add(
                "E603",
                span,
                f"the parameter `{name}` needs a number as its default",
                f"write `{name} = 1e-5`",
            )
        return t.Default(span, str(name), value or _ZERO, text)

    def _head(self, span: Span, children: list[Child]) -> t.Head:
        _, name, inputs = children[:3]
        parameters = children[3] if len(children) == 5 else ()
        return t.Head(span, str(name), self.line.place(name), inputs, parameters, children[-1])


def clipped(text: str) -> str:
    """A word as it is quoted in a message."""
    return text if len(text) <= 40 else text[:39] + "…"


class TooDeep(Exception):
    """Ends the reading of a line whose tree is too deep; the report tells where."""


def _divisor(node: t.Node) -> t.Node | None:
    """What a factor divides by, if it does."""
    if isinstance(node, t.Power) and isinstance(node.exponent, t.Number):
        return node.base if node.exponent.value == -1 else None
    return None


def _is_differential(node: t.Node) -> bool:
    return isinstance(node, t.Call) and node.name == "d" and len(node.parts) == 1


def _constant(node: t.Node) -> Fraction | None:
    """The value of a number with an optional sign, or of a quotient of two; None for all else."""
    if isinstance(node, t.Number):
        return node.value
    if under := _divisor(node):
        return 1 / under.value if isinstance(under, t.Number) and under.value else None
    if not isinstance(node, t.Product):
        return None
    values = [_constant(part) for part in node.parts]
    known = [value for value in values if value is not None]
    return prod(known, start=Fraction(1)) if len(known) == len(values) else None


def _literal(line: Line, span: Span, value: Fraction | None) -> str:
    """A default as written if that is a number in Python too, else as a quotient."""
    row = line.code.split("\n")[span.line - line.first]
    written = row[span.column - 1 : span.end_column - 1].replace(" ", "")
    plain = re.fullmatch(r"-?[0-9.]+([eE][+-]?[0-9]+)?", written) and span.line == span.end_line
    return re.sub(r"^(-?)0+(?=[0-9])", r"\1", written) if plain else str(value)
