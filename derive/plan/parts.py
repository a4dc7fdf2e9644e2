"""Statements taken apart: products by themselves, and what may be about one row at a time.

In `y = relu(x w + b)` the product is torch's and gets a name; in `dx = (dy sign(y)) w` what is
multiplied does, once for all products that it stands in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sympy import Expr, Mul
from sympy.core.sorting import default_sort_key

from derive.notation.conditions import brackets_of
from derive.notation.nodes import (
    Bound,
    Component,
    Contraction,
    Index,
    Tensor,
    free_indices,
    rename,
)
from derive.notation.op import Op
from derive.notation.text import equation_text
from derive.plan.autocast import multiplies
from derive.plan.miniature import Miniature, miniature
from derive.plan.passes import passes
from derive.plan.paths import merged
from derive.plan.statement import Statement


@dataclass(frozen=True, eq=False)
class Part:
    """A statement that is one of several, or all, of `whole`; `small`: it may be in a group.

    `told` is the whole with names for what it multiplies. An operand has no whole: it belongs to
    all whose ids are its `users`.
    """

    statement: Statement
    whole: Statement | None
    told: Statement | None
    small: Miniature | None
    users: set[int] = field(default_factory=set)


class Parting:
    """Takes the statements of one pass apart."""

    def __init__(
        self,
        op: Op,
        declared: dict[Tensor, Component],
        fresh: Callable[[str], Tensor],
    ) -> None:
        self.op, self.declared, self.fresh = op, declared, fresh
        self.operands: dict[Expr, Part] = {}

    def parts(self, statement: Statement) -> Iterator[Part]:
        """The statement as it is, or what it needs and then what is left of it."""
        small = self._small(statement)
        if small is not None:
            yield Part(statement, statement, statement, small)
            return
        known = [*self.operands.values()]
        told = statement.with_expr(self._with_operands(statement))
        yield from (p for p in self.operands.values() if p not in known)
        for choose in (_products, _sums):
            found = [t for t in choose(told.expr) if t != told.expr]
            if made := list(self._rest(told, found, statement)):
                yield from made
                return
        yield Part(told, statement, told, None)

    def _small(self, statement: Statement) -> Miniature | None:
        return miniature(self.op, [statement], self.declared)

    # -- what is left of a statement when its sums have names --------------------------------------

    def _rest(self, told: Statement, found: list[Expr], whole: Statement) -> Iterator[Part]:
        """Sums, then the rest: if that is about a row, or else if each of the sums is."""
        if not found:
            return
        made = [self._sum(told, total) for total in found]
        targets = {total: m.target for total, m in zip(found, made, strict=True)}
        rest = replace(told, expr=told.expr.xreplace(targets))
        small = self._small(rest)
        own = [None if small else self._small(m) for m in made]
        if small is not None or all(own):
            for sum_, its in zip(made, own, strict=True):
                yield Part(sum_, whole, told, its)
            yield Part(rest, whole, told, small)

    def _sum(self, statement: Statement, total: Expr) -> Statement:
        """A sum as a statement of its own; in a relation it carries letters of the rows."""
        carried = free_indices(total)
        own = [i for i in statement.target.indices if i in carried]
        own += [i for i in carried if i not in own]
        word = "product" if total in _products(total) else "part"
        return self._named(f"{statement.target.tensor.name}_{word}", own, total)

    def _named(self, name: str, indices: Sequence[Index], expr: Expr) -> Statement:
        target = Component(self.fresh(name), *indices)
        self.declared[target.tensor] = target
        return Statement(target, expr, equation_text(target, expr, self.op.letters))

    # -- what is multiplied -----------------------------------------------------------------------

    def _with_operands(self, statement: Statement) -> Expr:
        """The expression, with names for what its products multiply."""
        found = {}
        for total in _products(statement.expr):
            body, dummies = total.open()
            factors = merged(list(Mul.make_args(body)))
            named = [self._operand(f, statement) for f in factors]
            if named != factors:
                found[total] = Contraction(Mul(*named), *dummies)
        return statement.expr.xreplace(found)

    def _operand(self, factor: Expr, statement: Statement) -> Expr:
        """A matrix that is computed number by number gets a name, one for all its letters."""
        whole = self._carrier(factor)
        if whole is None or factor.atoms(Bound) or not passes(factor):
            return factor
        letters = dict(zip(whole.indices, self.declared[whole.tensor].indices, strict=True))
        told = rename(factor, letters)
        part = self.operands.get(told) or self._new_operand(told, [*letters.values()])
        if part is None:
            return factor
        part.users.add(id(statement))
        return Component(part.statement.target.tensor, *whole.indices)

    def _new_operand(self, told: Expr, indices: Sequence[Index]) -> Part | None:
        found = sorted(told.atoms(Component), key=lambda c: (-len(c.indices), c.tensor.rank))
        names = list(dict.fromkeys(c.tensor.name for c in found))[:2]
        named = self._named("_".join(names), indices, told)
        small = self._small(named)
        if small is None:
            return None
        self.operands[told] = Part(named, None, None, small)
        return self.operands[told]

    def _carrier(self, factor: Expr) -> Component | None:
        """A component with all indices, if there are two or more."""
        free = free_indices(factor)
        for component in sorted(factor.atoms(Component), key=default_sort_key):
            declared = self.declared.get(component.tensor)
            if set(component.indices) == set(free) and declared is not None:
                distinct = len(set(declared.indices)) == len(component.indices) == len(free) > 1
                if distinct:
                    return component
        return None


def _products(expr: Expr) -> list[Contraction]:
    """The matrix products of an expression."""
    return [t for t in _sums(expr) if isinstance(t, Contraction) and _multiplies(t)]


def _multiplies(total: Contraction) -> bool:
    """What one place, a label or a window picks is no product."""
    body, dummies = total.open()
    return not brackets_of(body) and multiplies(body, (*free_indices(total), *dummies))


def _sums(expr: Expr) -> list[Expr]:
    """The sums and extrema that stand inside no other."""
    if isinstance(expr, Bound):
        return [expr]
    return list(dict.fromkeys(b for a in expr.args for b in _sums(a)))


def once(statements: Sequence[Statement], results: set[Tensor]) -> list[Statement]:
    """The statements without products that another one has computed, in whatever order of axes."""
    first: dict[Expr, Component] = {}
    same: dict[Tensor, tuple[Component, Component]] = {}  # what it was, in letters, and what it is
    kept = []
    for statement in statements:
        told = statement.with_expr(_by_first(statement.expr, same))
        target, known = told.target, first.get(told.expr)
        if known is not None and target.tensor not in results:
            same[target.tensor] = target, known
            continue
        if isinstance(told.expr, Contraction) and _multiplies(told.expr):
            first.setdefault(told.expr, target)
        kept.append(told)
    return kept


def _by_first(expr: Expr, same: dict[Tensor, tuple[Component, Component]]) -> Expr:
    found = {}
    for component in expr.atoms(Component):
        if component.tensor in same:
            was, known = same[component.tensor]
            letters = dict(zip(was.indices, component.indices, strict=True))
            found[component] = Component(known.tensor, *(letters[i] for i in known.indices))
    return expr.xreplace(found) if found else expr
