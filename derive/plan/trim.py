"""What statements need and what they do not: sums as they are computed, live statements, sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from sympy import Expr, Mul

from derive.notation.conditions import Iverson, brackets_of
from derive.notation.nodes import Component, Contraction, Index, Labels, Scalar, Size, Tensor
from derive.notation.op import Op
from derive.plan.statement import Statement
from derive.rewrite import everywhere
from derive.simplify.laws import CONTRACT, COUNT, OUTSIDE


def tidy(expr: Expr) -> Expr:
    """Sums as they are computed: nothing in them that does not depend on their index."""
    expr = everywhere(_merged, expr)
    for law in (CONTRACT, OUTSIDE, COUNT):
        expr = everywhere(law.apply, expr)
    return expr


def _merged(expr: Expr) -> Expr | None:
    """Σ_s a Σ_k [q = s - k] b as one sum: which of the two is picked is for printing to choose."""
    if not isinstance(expr, Contraction):
        return None
    body, dummies = expr.open()
    factors = Mul.make_args(body)
    for inner in (f for f in factors if isinstance(f, Contraction)):
        own, more = inner.open()
        conditions = [c for c in brackets_of(own) if any(c.solved_for(d) for d in dummies)]
        if conditions:
            return Contraction(Mul(*(f for f in factors if f is not inner), own), *dummies, *more)
    return None


def live(statements: list[Statement], wanted: set[Tensor]) -> list[Statement]:
    """The statements that something wanted depends on."""
    live: list[Statement] = []
    wanted = set(wanted)
    for statement in reversed(statements):
        if statement.target.tensor in wanted:
            live.append(statement)
            wanted |= {c.tensor for c in statement.uses}
    return live[::-1]


def missing_sizes(statements: Iterable[Statement], given: Iterable[Component]) -> set[Size]:
    """Sizes that the backward pass uses and no tensor it is given shows."""
    shown = {i.size for c in given for i in c.indices}
    used: set[Size] = set()
    for s in statements:
        used |= s.expr.atoms(Size) | {i.size for i in s.target.indices}
        used |= {i.size for i in s.expr.atoms(Index)}
    return used - shown


def picking(statements: Iterable[Statement]) -> set[Tensor]:
    """The labels by which a sum picks or adds up: torch refuses there what is no value."""
    sums = {total for s in statements for total in s.expr.atoms(Contraction)}
    pairs = ((b, set(total.dummies)) for total in sums for b in total.body.atoms(Iverson))
    picks = ((b, b.picks, dummies) for b, dummies in pairs if not b.only_asks)
    return {
        label.tensor
        for bracket, label, dummies in picks
        if label is not None and {bracket.index, *label.indices} & dummies
    }


def scalars_in(statements: Iterable[Statement]) -> set[Scalar]:
    """The parameters that they mention, and those that a label which picks may be."""
    said = {e for s in statements for e in (s.expr, *_sentinels(s.expr))}
    return {a for e in said for a in e.atoms(Scalar)}


def _sentinels(expr: Expr) -> Iterator[Expr]:
    for label in (b.picks for b in expr.atoms(Iverson)):
        if label is not None:
            yield from cast(Labels, label.tensor).sentinels


def hidden_sizes(op: Op, public: Iterable[Component]) -> set[Size]:
    """Of the sizes that one axis shows together, those without which none can be told."""
    axes = [[i.size for i in a] for c in public for a in c.tensor.axes(c.indices)]
    shown = {a[0] for a in axes if len(a) == 1}
    extents = {e.size for e in op.extents}
    hidden: set[Size] = set()
    for merged in (a for a in axes if len(a) > 1):
        unknown = [s for s in merged if s not in shown | hidden]
        given = [s for s in unknown if s in extents]
        others = [s for s in unknown if s not in extents]
        hidden |= {*given, *others[:-1]}
    return hidden


def sizes_of_gradients(op: Op, public: Iterable[Component]) -> set[Size]:
    """Sizes of inputs that no tensor shows which the backward pass is given."""
    shown = {i.size for c in public for i in c.indices}
    return {i.size for c in op.differentiable for i in c.indices} - shown
