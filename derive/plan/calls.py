"""Functions that occur again are computed once: sigmoid(v τ) in four places, say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sympy import Expr

from derive.notation.functions import Elementwise
from derive.notation.nodes import Component, Contraction, Index
from derive.plan.statement import Statement
from derive.rewrite import everywhere

_MOST_SHARED = 16


class Form(NamedTuple):
    """A call with its indices renamed in the order in which they stand in its largest tensor."""

    call: Expr
    order: tuple[Index, ...]  # the indices as they are called in this place


def share_calls(
    statements: Sequence[Statement], define: Callable[[Form, Expr], Statement]
) -> list[Statement]:
    """The statements with repeated calls named; `define` makes the statement for one of them."""
    shared = list(statements)
    for _ in range(_MOST_SHARED):
        found = [(form.call, call) for s in shared for form, call in _calls(s.expr)]
        counts = Counter(form for form, _ in found)
        repeated = [form for form in counts if counts[form] > 1]
        if not repeated:
            break
        chosen = max(repeated, key=lambda form: int(form.count_ops()))
        shared = _with_named(shared, chosen, define)
    return shared


def _with_named(
    statements: list[Statement], chosen: Expr, define: Callable[[Form, Expr], Statement]
) -> list[Statement]:
    """The call before its first use, and by its name wherever it occurs."""
    first, (form, call) = next(
        (k, pair)
        for k, s in enumerate(statements)
        for pair in _calls(s.expr)
        if pair[0].call == chosen
    )
    made = define(form, call)

    def insert(expr: Expr) -> Expr | None:
        if not isinstance(expr, Elementwise) or expr.atoms(Contraction):
            return None
        here = form_of(expr)
        return Component(made.target.tensor, *here.order) if here.call == chosen else None

    changed = [s.with_expr(everywhere(insert, s.expr)) for s in statements]
    return [*changed[:first], made, *changed[first:]]


def _calls(expr: Expr) -> Iterator[tuple[Form, Expr]]:
    """The calls in an expression that hold a tensor and no sum; those inside sums too."""
    if isinstance(expr, Contraction):
        expr = expr.open()[0]
    if isinstance(expr, Elementwise) and expr.atoms(Component) and not expr.atoms(Contraction):
        yield form_of(expr), expr
    for arg in expr.args if not isinstance(expr, Component) else ():
        yield from _calls(arg)


def form_of(call: Expr) -> Form:
    """The call up to the names of its indices. Equal forms are equal functions of them."""
    components = sorted(
        call.atoms(Component),
        key=lambda c: (-len(c.indices), c.tensor.rank, [i.rank for i in c.indices]),
    )
    order = tuple(dict.fromkeys(i for c in components for i in c.indices))
    places = {i: Index(f"k{n}", i.size, 3_000_000 + n) for n, i in enumerate(order)}
    return Form(call.xreplace(places), order)
