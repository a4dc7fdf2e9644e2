"""Syntax trees to SymPy expressions, node by node; no text is ever evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import factorial

from sympy import Add, Expr, Integer, Mul, Pow, Rational, nan, oo, pi, zoo

from derive.errors import Report, Span
from derive.notation import arithmetic
from derive.notation import tree as t
from derive.notation.conditions import EQUAL, Position, contrary, iverson
from derive.notation.evaluate import is_real
from derive.notation.functions import POWERS, call
from derive.notation.indices import Indices
from derive.notation.nodes import (
    Component,
    Contraction,
    Index,
    Maximum,
    Minimum,
    Partial,
    fresh_index,
)
from derive.notation.scope import Scope

EXTREMA = {"max": Maximum, "min": Minimum}

MOST_WRITTEN = 50_000  # nodes of an expression; a file has room for less, written once each


@dataclass
class Labour:
    """What work a file may cause: sums in tens of microseconds. Layer norm takes 30 of these."""

    left: int = 25_000


class Refused(Exception):
    """The expression has no value; the report tells why."""


@dataclass(frozen=True)
class Builder:
    """Builds the expressions of one op or statement."""

    scope: Scope
    letters: Mapping[str, Index]
    placed: Indices
    report: Report

    def whole(self, node: t.Node, labour: Labour) -> Expr:
        """The expression of a side of an equation; `Refused` if it would take too long."""
        if _written(node) > MOST_WRITTEN:
            self._refuse("E402", node.span, "conditions in conditions are too many", "name some")
        labour.left -= self._labour(node)
        if labour.left < 0:
            self._refuse("E408", node.span, "too many sums for one expression", "name parts of it")
        return self.build(node)

    def _labour(self, node: t.Node) -> int:
        """The work of naming the dummies: of each sum, their orders times its size.

        A sum of several dummies names those of the sums inside it once more for each of its orders.
        """
        labour, todo = 0, [(node, 1)]
        while todo:
            part, times = todo.pop()
            bound = part.letters if isinstance(part, t.Reduction) else ()
            dummies = len(bound) or len(self.placed.sums.get(part, ()))
            if dummies:
                orders = factorial(min(dummies, 5))
                labour += times * orders * sum(1 for _ in t.walk(part))
                times *= orders + 2 if dummies > 1 else 1
            todo += ((p, times) for p in part.parts)
        return labour

    def build(self, node: t.Node) -> Expr:
        """The expression of a node; `Refused` if it has no real value or one too large."""
        if isinstance(node, t.Leaf):
            return self._summed(node, self._leaf(node))
        match node:
            case t.Sum():
                return self._sum(node)
            case t.Product():
                return self._product(node)
            case t.Power():
                return self._power(node, self.build(node.base), self.build(node.exponent))
        return self._other(node)

    def _other(self, node: t.Node) -> Expr:
        match node:
            case t.Number():
                return Rational(node.value.numerator, node.value.denominator)
            case t.Reduction():
                return self._reduction(node)
            case t.Call():
                return self._call(node)
            case t.Where():
                return self._where(node)
        raise AssertionError(node)

    def _leaf(self, node: t.Leaf) -> Expr:
        match node:
            case t.Ones():
                return Integer(1)
            case t.Reference():
                return self._reference(node)
            case t.Delta():
                return iverson(EQUAL, *map(self._number, node.axes))
            case t.Position():
                return Position(self.letters[node.letters[0].name])
            case t.Jacobian():
                return Partial(self._component(node.of), self._component(node.wrt))

    def _indices(self, letters: tuple[t.Letter, ...]) -> list[Index]:
        return [self.letters[letter.name] for letter in letters]

    def _component(self, node: t.Reference | t.Label) -> Expr:
        return Component(self.scope.tensors[node.name].tensor, *self._indices(node.letters))

    def _number(self, axis: t.Axis) -> Expr:
        """The value of an index, as it is compared."""
        if isinstance(axis, t.Label):
            return self._component(axis)
        if isinstance(axis, t.Place):
            return self.build(axis.value)
        return Position(self.letters[axis.name])

    def _labelled(self, node: t.Reference) -> Expr:
        """x[b,t[b]] is Σ_c [c = t_b] x_bc, and x[b,s-k] is Σ_c [c = s - k] x_bc."""
        declared = self.scope.tensors[node.name]
        indices, picked = [], []
        for axis, letter in zip(node.axes, declared.letters, strict=True):
            index = self.letters[axis.name] if isinstance(axis, t.Letter) else None
            if index is None:
                index = fresh_index(self.letters[letter])
                picked.append((index, self._number(axis)))
            indices.append(index)
        picks = (iverson(EQUAL, Position(i), label) for i, label in picked)
        return Contraction(
            Mul(*picks, Component(declared.tensor, *indices)), *(i for i, _ in picked)
        )

    def _reference(self, node: t.Reference) -> Expr:
        if node.name in self.scope.tensors:
            return self._component(node) if node.plain else self._labelled(node)
        if node.name in self.scope.scalars:
            return self.scope.scalars[node.name]
        letter = self.scope.sizes.named(node.name)
        return self.letters[letter].size if letter else pi

    def _summed(self, node: t.Node, body: Expr) -> Expr:
        letters = self.placed.sums.get(node, ())
        return Contraction(body, *(self.letters[k] for k in letters))

    def _sum(self, node: t.Sum) -> Expr:
        terms = [self.build(p) for p in node.parts]
        self._allow(arithmetic.sum_is_small(terms), node.span)
        return Add(*terms)

    def _times(self, factors: list[Expr], span: Span) -> Expr:
        self._allow(arithmetic.product_is_small(factors), span)
        return Mul(*factors)

    def _product(self, node: t.Product) -> Expr:
        """Each sum stands around the factors that its dummies connect, and around no other."""
        summed = frozenset(self.placed.sums.get(node, ()))
        outside: list[Expr] = []
        groups: list[tuple[set[str], list[Expr]]] = [({k}, []) for k in sorted(summed)]
        for part in node.parts:
            built = self.build(part)
            carried = summed & self.placed.alone(part).free.keys()
            if not carried:
                outside.append(built)
            elif not isinstance(part, t.Ones):  # 1[h,k] is 1[h] * 1[k] and connects nothing
                groups = _joined(groups, set(carried), built)
        for letters, factors in groups:
            order = sorted(letters, key=self.placed.order)
            outside.append(
                Contraction(self._times(factors, node.span), *(self.letters[k] for k in order))
            )
        return self._real(self._times(outside, node.span), node.span)

    def _power(self, node: t.Node, base: Expr, exponent: Expr) -> Expr:
        if base == 0 and exponent.is_negative:
            self._refuse("E601", node.span, "division by zero", "")
        if not arithmetic.exponent_is_small(exponent):
            self._refuse("E404", node.span, "an exponent of absolute value over 64", "64 at most")
        self._allow(arithmetic.power_is_small(base, exponent), node.span)
        return self._real(Pow(base, exponent), node.span)

    def _reduction(self, node: t.Reduction) -> Expr:
        dummies = self._indices(node.letters)
        if node.name in EXTREMA:
            return EXTREMA[node.name](self.build(node.body), *dummies)
        total = Contraction(self.build(node.body), *dummies)
        if node.name == "sum":
            return total
        return self._times([total, *(Pow(d.size, -1) for d in dummies)], node.span)

    def _call(self, node: t.Call) -> Expr:
        args = [self.build(p) for p in node.parts]
        if node.name in POWERS:
            return self._power(node, args[0], POWERS[node.name])
        found = call(node.name, *args)
        if found.is_number and not is_real(found):
            self._refuse("E602", node.span, "this is not a real number", "")
        return found

    def _where(self, node: t.Where) -> Expr:
        """[c] a + [not c] b."""
        comparison, first, second = node.parts
        assert isinstance(comparison, t.Comparison)
        sides = map(self.build, comparison.parts)
        holds = iverson(comparison.relation, *sides)
        taken, other = self.build(first), self.build(second)
        return Add(Mul(holds, taken), Mul(contrary(holds), other))

    def _real(self, value: Expr, span: Span) -> Expr:
        """Values are real numbers: `sqrt(-1)` and the like are refused."""
        numbers = value.args if value.is_Mul else (value,)
        if value.has(zoo, nan, oo) or any(arithmetic.is_imaginary(n) for n in numbers):
            self._refuse("E602", span, "this is not a real number", "")
        return value

    def _allow(self, small: bool, span: Span) -> None:
        if not small:
            self._refuse("E406", span, "the numbers multiplied or added here become too large", "")

    def _refuse(self, code: str, span: Span, message: str, remedy: str) -> None:
        self.report.add(code, span, message, remedy)
        raise Refused


def _written(node: t.Node) -> int:
    """How many nodes there will be: `where(c, a, b)` is [c] a + [not c] b, so c is there twice."""
    count, todo = 0, [(node, 1)]
    while todo and count <= MOST_WRITTEN:
        part, times = todo.pop()
        count += times
        todo += ((p, times * (1 + isinstance(p, t.Comparison))) for p in part.parts)
    return count


def _joined(
    groups: list[tuple[set[str], list[Expr]]], letters: set[str], factor: Expr
) -> list[tuple[set[str], list[Expr]]]:
    """The groups with a factor added, those it connects made one."""
    joined: tuple[set[str], list[Expr]] = (set(letters), [])
    apart = []
    for group in groups:
        if group[0] & letters:
            joined = (joined[0] | group[0], joined[1] + group[1])
        else:
            apart.append(group)
    joined[1].append(factor)
    return [*apart, joined]
