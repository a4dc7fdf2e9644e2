"""Conditions in LaTeX: `\\begin{cases}` and Iverson's bracket, as `where`."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from lark import Token

from derive.errors import Span
from derive.notation import tree as t
from derive.notation.grow import Child
from derive.notation.tex_subscripts import Subscripts

_RELATIONS = {
    "=": "==",
    **dict.fromkeys(("<", "lt"), "<"),
    **dict.fromkeys((">", "gt"), ">"),
    **dict.fromkeys(("le", "leq", "leqslant"), "<="),
    **dict.fromkeys(("ge", "geq", "geqslant"), ">="),
    **dict.fromkeys(("ne", "neq", "not="), "!="),
}
_MIRRORED = {">": "<", ">=": "<="}


@dataclass(frozen=True)
class Condition:
    """A comparison, or where `holds` is false its contrary: `\\not<` is not `\\ge` of a NaN."""

    comparison: t.Comparison
    holds: bool


@dataclass(frozen=True)
class Case:
    """A row of cases; without conditions it is what is left."""

    span: Span
    value: t.Node
    conditions: tuple[Condition, ...]


class Cases(Subscripts):
    """Reads what stands under conditions."""

    def _node(self, child: Child) -> t.Node:
        """A finished expression."""
        raise NotImplementedError

    def _condition(self, span: Span, children: list[Child]) -> t.Node:
        """Iverson's bracket: 1 where the condition holds, else 0."""
        return self._product_of(span, children[0])

    def _conditions(self, span: Span, children: list[Child]) -> tuple[Condition, ...]:
        """`a < x \\le b` is two of them."""
        sides, signs = [self._node(c) for c in children[::2]], children[1::2]
        return tuple(
            self._compared(left, sign, right)
            for (left, right), sign in zip(pairwise(sides), signs, strict=True)
        )

    def _compared(self, left: t.Node, sign: Token, right: t.Node) -> Condition:
        name = sign.replace("\\", "").replace(" ", "")
        span = Span(*left.span[:2], *right.span[2:])
        word = _RELATIONS.get(name) or _RELATIONS[name.removeprefix("not")]
        comparison = self._comparison(span, [left, word, right])
        return Condition(comparison, name in _RELATIONS)

    def _case(self, span: Span, children: list[Child]) -> Case:
        conditions = [c for c in children[1:] if not isinstance(c, Token)]
        return Case(span, self._node(children[0]), conditions[0] if conditions else ())

    def _cases(self, span: Span, children: list[Child]) -> t.Node:
        """The first row whose condition holds; where none does it is 0."""
        rows = [c for c in children if isinstance(c, Case)]
        for row in rows[:-1]:
            if not row.conditions:
                self._add("E502", row.span, "what is left stands in the last row", "move it there")
        last = rows[-1]
        is_left = not last.conditions or (len(rows) == 2 and self._parted(*rows))
        node = last.value if is_left else self._chosen(last, t.Number(span, Fraction(0)))
        for row in rows[-2::-1]:
            node = self._chosen(row, node)
        return node

    def _chosen(self, row: Case, other: t.Node) -> t.Node:
        """v where all conditions hold, else u; of several [c] v + (1 - [c]) u: u stands once."""
        if len(row.conditions) < 2:
            return self._where(row.span, row.conditions, row.value, other)
        one = t.Number(row.span, Fraction(1))
        inside = self._product_of(row.span, row.conditions)
        outside = super()._sum(row.span, [one, Token("SIGN", "-"), inside])
        if isinstance(row.value, t.Number) and row.value.value == 0:
            return self._multiplied(row.span, [outside, other])
        again = self._product_of(row.span, deepcopy(row.conditions))
        taken = self._multiplied(row.span, [again, row.value])
        left = self._multiplied(row.span, [outside, other])
        return super()._sum(row.span, [taken, Token("SIGN", "+"), left])

    def _product_of(self, span: Span, conditions: tuple[Condition, ...]) -> t.Node:
        """1 where all of them hold, else 0."""
        one, zero = (t.Number(span, Fraction(k)) for k in (1, 0))
        brackets = [self._where(span, (c,), one, zero) for c in conditions]
        return brackets[0] if len(brackets) == 1 else self._multiplied(span, brackets)

    def _where(
        self, span: Span, conditions: tuple[Condition, ...], taken: t.Node, other: t.Node
    ) -> t.Node:
        if not conditions:
            return taken
        (condition,) = conditions
        branches = (taken, other) if condition.holds else (other, taken)
        parts = (condition.comparison, *branches)
        return t.Where(span, parts=parts, height=self._height(span, parts))

    def _parted(self, *rows: Case) -> bool:
        """Do two rows part all numbers, as `x > 0` and `x \\le 0` do?"""
        if [len(row.conditions) for row in rows] != [1, 1]:
            return False
        (left, right, one), (first, second, other) = (self._written(*r.conditions) for r in rows)
        if {one, other} == {"<", "<="}:
            return (left, right) == (second, first)
        if {one, other} == {"==", "!="}:
            return {left, right} == {first, second}
        return (left, right) == (first, second) and other in (f"not{one}", one.removeprefix("not"))

    def _written(self, condition: Condition) -> tuple[str, str, str]:
        """Its sides as they are written and its relation, a larger one mirrored."""
        comparison = condition.comparison
        left, right = ("".join(self.report.quote(p.span).split()) for p in comparison.parts)
        relation = comparison.relation
        if relation in _MIRRORED:
            left, relation, right = right, _MIRRORED[relation], left
        return left, right, relation if condition.holds else f"not{relation}"
