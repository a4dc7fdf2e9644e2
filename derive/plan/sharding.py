"""The program of an op whose tensors are shared out among ranks: what must be added up, and when.

An axis may be cut where all that happens along it is pointwise, a sum or an extremum. Each rank
then computes on its part; a sum along a cut axis is the sum of the ranks' sums. A result that is
linear in such sums stays as it is, a part on each rank (a gradient of what all rows share is).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

from sympy import Add, Expr, KroneckerDelta, Mul

from derive.notation.conditions import Iverson, Position
from derive.notation.nodes import (
    Bound,
    Component,
    Contraction,
    Extremum,
    Index,
    Size,
    Tensor,
    free_indices,
    rename,
)
from derive.notation.solution import Solution
from derive.notation.text import equation_text
from derive.plan.program import Program
from derive.plan.statement import Across, Statement
from derive.rewrite import keeping_shape

_RANK = 200_000  # of the tensors that are made here, above those of a plan
ALL = "_all"  # behind a size: that of all ranks together


@dataclass(frozen=True)
class Sharded:
    """A program for one rank; `partial` has, for each result, the sizes it is a part in."""

    program: Program
    sizes: tuple[Size, ...]  # those along which axes may be cut
    whole: Mapping[Size, Size]  # the symbol of a cut size's length over all ranks
    partial: Mapping[Tensor, frozenset[Size]]


def sharded(program: Program) -> Sharded:
    """The program with its sums and extrema along the axes that may be cut taken over all ranks."""
    with keeping_shape():
        return _Sharder(program).run()


class _Sharder:
    def __init__(self, program: Program) -> None:
        self.program, self.op = program, program.op
        self.cut = _may_be_cut(program)
        self.whole = {s: Size(s.name + ALL, s.rank) for s in self.cut}
        self.partial: dict[Tensor, frozenset[Size]] = {}
        self.made = 0

    def run(self) -> Sharded:
        forward = self._pass(self.program.forward, [c.tensor for c in self.op.outputs])
        backward = self._pass(self.program.backward, [c.tensor for c in self.program.gradients])
        made = replace(self.program, forward=_gathered(forward), backward=_gathered(backward))
        return Sharded(made, self.cut, self.whole, self.partial)

    def _pass(
        self, statements: Sequence[Statement], results: Iterable[Tensor]
    ) -> Iterator[Statement]:
        used = {c.tensor for s in statements for c in s.uses} | {c.tensor for c in self._kept}
        ends = {tensor for tensor in results if tensor not in used}
        for statement in statements:
            parts = self._parts(statement.expr) if statement.target.tensor in ends else frozenset()
            if parts:
                self.partial[statement.target.tensor] = parts
            yield from self._statement(statement, parts)

    @cached_property
    def _kept(self) -> Sequence[Component]:
        return self.program.saved

    def _parts(self, expr: Expr) -> frozenset[Size]:
        """The sizes over which every term has a sum as a factor, and no other use of them."""
        terms = [self._part(term) for term in Add.make_args(expr)]
        return terms[0] if all(t == terms[0] for t in terms) else frozenset()

    def _part(self, term: Expr) -> frozenset[Size]:
        factors = Mul.make_args(term)
        sums = [f for f in factors if isinstance(f, Contraction) and self._across(f)]
        rest = [f for f in factors if f not in sums]
        if len(sums) != 1 or any(self._across(b) for f in rest for b in f.atoms(Bound)):
            return frozenset()
        return frozenset(self._across(sums[0]))

    def _across(self, bound: Bound) -> tuple[Size, ...]:
        """The cut sizes over which a sum runs."""
        sizes = dict.fromkeys(d.size for d in bound.dummies if d.size in self.cut)
        return tuple(sorted(sizes, key=lambda s: s.rank))

    def _statement(self, statement: Statement, parts: frozenset[Size]) -> Iterator[Statement]:
        made: list[Statement] = []
        expr = self._global(statement.expr, statement.target, made, parts)
        expr = expr.xreplace(cast("dict[Expr, Expr]", self.whole))
        if made and made[-1].target == expr:  # the statement is this sum
            *made, last = made
            yield from made
            yield replace(last, target=statement.target, note=statement.note)
        else:
            yield from made
            yield statement.with_expr(expr)

    def _global(
        self, expr: Expr, target: Component, made: list[Statement], parts: frozenset[Size]
    ) -> Expr:
        """The expression with names for what is summed over all ranks, but for whole `parts`."""
        if not expr.args or isinstance(expr, Component):
            return expr
        if isinstance(expr, Bound):
            body, dummies = expr.open()
            body = self._global(body, target, made, frozenset())
            found = expr.func(body, *dummies)
            if not isinstance(found, Bound) or parts or not self._across(found):
                return found
            return self._named(found, target, made)
        deeper = parts if isinstance(expr, Add | Mul) else frozenset()
        return expr.func(*(self._global(a, target, made, deeper) for a in expr.args))

    def _named(self, bound: Bound, target: Component, made: list[Statement]) -> Component:
        indices = tuple(free_indices(bound))
        word = bound.word if isinstance(bound, Extremum) else "sum"
        name = self._fresh(f"{target.tensor.name}_{word}")
        component = Component(Tensor(name, _RANK + self.made), *indices)
        letters = self._letters(indices)
        named = cast(Component, rename(component, letters))
        body = rename(bound.xreplace(cast("dict[Expr, Expr]", self.whole)), letters)
        note = equation_text(named, body, self.op.letters)
        made.append(Statement(named, body, note, Across(word, self._across(bound))))
        return component

    def _letters(self, indices: Sequence[Index]) -> dict[Index, Index]:
        """A letter of the op for each index of a sum around this one."""
        chosen: dict[Index, Index] = {}
        for index in (i for i in indices if i.is_dummy):
            taken = {*indices, *chosen.values()}
            spare = (i for i in self.op.letters if i.size == index.size and i not in taken)
            chosen[index] = next(spare, index)
        return chosen

    def _fresh(self, stem: str) -> str:
        self.made += 1
        taken = {s.target.tensor.name for s in (*self.program.forward, *self.program.backward)}
        taken |= {*self.op.tensors, *self._names}
        name = next(n for n in _tries(stem) if n not in taken)
        self._names.add(name)
        return name

    @cached_property
    def _names(self) -> set[str]:
        return set()


def _gathered(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """Each exchange moved up to an earlier one like it, if it is ready by then."""
    found: list[Statement] = []
    for statement in statements:
        place = len(found)
        if statement.across is not None:
            needed = {c.tensor for c in statement.uses}
            for k in reversed(range(len(found))):
                if found[k].target.tensor in needed:
                    break
                place = k + 1 if found[k].across == statement.across else place
        found.insert(place, statement)
    return tuple(found)


def _tries(stem: str) -> Iterator[str]:
    yield stem
    count = 2
    while True:
        yield f"{stem}{count}"
        count += 1


def _may_be_cut(program: Program) -> tuple[Size, ...]:
    """Sizes that no tensor has twice, no axis has beside others, and that nothing counts along."""
    op = program.op
    statements = (*program.forward, *program.backward)
    components = {*op.tensors.values(), *(c for s in statements for c in (s.target, *s.uses))}
    sizes = {i.size for c in op.tensors.values() for i in c.indices}
    for component in components:
        own = [i.size for i in component.indices]
        sizes -= {s for s in own if own.count(s) > 1}
        axes = component.tensor.axes(component.indices)
        sizes -= {i.size for axis in axes if len(axis) > 1 for i in axis}
    sizes -= {e.size for e in op.extents}
    for expr in (s.expr for s in statements):
        sizes -= set(_positional(expr))
    return tuple(sorted(sizes, key=lambda s: s.rank))


def _positional(expr: Expr) -> Iterator[Size]:
    """The sizes of axes along which places are told apart, by a delta, a label, a relation."""
    for delta in expr.atoms(KroneckerDelta):
        yield from (i.size for i in delta.args)
    for bracket in expr.atoms(Iverson):
        yield from (p.index.size for p in bracket.atoms(Position))
    for relation in expr.atoms(Solution):
        yield from (i.size for i in (*relation.rows, *relation.columns))
