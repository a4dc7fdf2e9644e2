"""What occurs again is computed once: sigmoid(v τ) in four places, Σ x² in two gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from sympy import Expr, KroneckerDelta

from derive.notation.conditions import Iverson, Position
from derive.notation.functions import Elementwise
from derive.notation.known import free, operations_in, parts_of, reindexed
from derive.notation.nodes import Bound, Component, Index, Tensor
from derive.plan.statement import Statement
from derive.rewrite import everywhere, opened

_MOST_SHARED = 16
_MOST_KNOWN = 1 << 14  # expressions whose calls are remembered


class Form(NamedTuple):
    """A part with its indices renamed in the order in which they stand in its largest tensor.

    Those that stand in no tensor, but in conditions, come last.
    """

    part: Expr
    order: tuple[Index, ...]  # the indices as they are called in this place


Kind = Callable[[Expr], bool]
Define = Callable[[Form, Expr, Statement], Statement]


def share_calls(statements: Sequence[Statement], define: Define) -> list[Statement]:
    """The statements with repeated functions of tensors named.

    `define` makes the statement for one of them, which the given statement is the first to need.
    """
    return _Sharing(_is_call, define).all(statements)


def share_sums(
    statements: Sequence[Statement],
    define: Define,
    aside: Container[Tensor],
    results: Container[Tensor],
) -> list[Statement]:
    """The statements with repeated sums named; what a sum with conditions picks is there already.

    What stands `aside` only holds a sum for one statement: it goes where another one holds it.
    `results` hold none for others, since they may not be asked for.
    """
    return _Sharing(_is_sum, define, aside, results).all(statements)


def _is_call(expr: Expr) -> bool:
    return bool(
        isinstance(expr, Elementwise) and parts_of(expr, Component) and not parts_of(expr, Bound)
    )


def _is_sum(expr: Expr) -> bool:
    picks = (Iverson, Position, KroneckerDelta)
    return isinstance(expr, Bound) and not any(parts_of(expr, kind) for kind in picks)


@dataclass(frozen=True)
class _Sharing:
    """Parts of one kind are named."""

    kind: Kind
    define: Define
    aside: Container[Tensor] = ()
    results: Container[Tensor] = ()

    def all(self, statements: Sequence[Statement]) -> list[Statement]:
        shared = list(statements)
        for _ in range(_MOST_SHARED):
            counts: Counter[Expr] = Counter()
            for part, times in (p for s in shared for p in _parts(s.expr, self.kind).items()):
                counts[form_of(part).part] += times
            repeated = [form for form in counts if counts[form] > 1]
            if not repeated:
                break
            shared = self._one(shared, max(repeated, key=_operations))
        return shared

    def _one(self, statements: list[Statement], chosen: Expr) -> list[Statement]:
        """The part before its first use, and by its name wherever it occurs.

        Where a statement says nothing else, that is the name, and this statement comes first.
        """
        first, part = next(
            (k, part)
            for k, s in enumerate(statements)
            for part in _parts(s.expr, self.kind)
            if form_of(part).part == chosen
        )
        whole = [s for s in statements if self._is_whole(s, chosen)]
        found = form_of(part)
        named = [s for s in whole if self._is_for_all(s, statements[first])]
        if named:
            made = min(named, key=self._is_aside)
            order = form_of(made.expr).order
        else:
            made = self.define(found, part, statements[first])
            order = made.target.indices  # made for the indices of the form, one by one
        gone = {s.target.tensor: s for s in whole if s is not made and self._is_aside(s)}

        def insert(expr: Expr) -> Expr | None:
            if isinstance(expr, Component) and expr.tensor in gone:
                old = gone[expr.tensor]
                letters = dict(zip(old.target.indices, expr.indices, strict=True))
                return _named(made, order, [letters[i] for i in form_of(old.expr).order])
            here = form_of(expr) if self.kind(expr) else None
            return _named(made, order, here.order) if here and here.part == chosen else None

        changed = [
            s.with_expr(everywhere(insert, s.expr))
            for s in statements
            if s is not made and s.target.tensor not in gone
        ]
        return [*changed[:first], made, *changed[first:]]

    def _is_for_all(self, statement: Statement, first: Statement) -> bool:
        """May it hold a sum for others, from the first on that needs it?"""
        if statement.target.tensor in self.results:
            return False
        return statement is first or not self._is_aside(statement)

    def _is_aside(self, statement: Statement) -> bool:
        return statement.target.tensor in self.aside

    def _is_whole(self, statement: Statement, chosen: Expr) -> bool:
        """Does it name the part, with all its indices and no other?"""
        if not self.kind(statement.expr):
            return False
        form = form_of(statement.expr)
        return form.part == chosen and set(form.order) == set(statement.target.indices)


def _named(made: Statement, own: Sequence[Index], order: Sequence[Index]) -> Component:
    """The part by its name, where its `own` indices are called so."""
    places = dict(zip(own, order, strict=True))
    return Component(made.target.tensor, *(places[i] for i in made.target.indices))


@lru_cache(maxsize=_MOST_KNOWN)
def _parts(expr: Expr, kind: Kind) -> Counter[Expr]:
    """How often each part of a kind occurs; those inside sums too."""
    found: Counter[Expr] = Counter([expr] if kind(expr) else [])
    inner = (opened(expr)[0],) if isinstance(expr, Bound) else expr.args
    for arg in inner if not isinstance(expr, Component) else ():
        for part, times in _parts(arg, kind).items():
            found[part] += times
    return found


@lru_cache(maxsize=_MOST_KNOWN)
def _operations(form: Expr) -> int:
    return operations_in(form)


@lru_cache(maxsize=_MOST_KNOWN)
def form_of(part: Expr) -> Form:
    """The part up to the names of its indices. Equal forms are equal functions of them."""
    components = sorted(
        parts_of(part, Component),
        key=lambda c: (-len(c.indices), c.tensor.rank, [i.rank for i in c.indices]),
    )
    known = free(part)
    inside = [i for c in components for i in c.indices if i in known]
    order = tuple(dict.fromkeys([*inside, *sorted(known, key=lambda i: (i.rank, i.name))]))
    places = {i: Index(f"k{n}", i.size, 3_000_000 + n) for n, i in enumerate(order)}
    return Form(reindexed(part, places), order)
