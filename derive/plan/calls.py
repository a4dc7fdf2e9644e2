"""Functions that occur again are computed once: sigmoid(v τ) in four places, say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from sympy import Expr

from derive.notation.functions import Elementwise
from derive.notation.known import operations_in, parts_of, reindexed
from derive.notation.nodes import Bound, Component, Index
from derive.plan.statement import Statement
from derive.rewrite import everywhere, opened

_MOST_SHARED = 16
_MOST_KNOWN = 1 << 14  # expressions whose calls are remembered


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
        counts: Counter[Expr] = Counter()
        for call, times in (found for s in shared for found in _calls(s.expr).items()):
            counts[form_of(call).call] += times
        repeated = [form for form in counts if counts[form] > 1]
        if not repeated:
            break
        chosen = max(repeated, key=_operations)
        shared = _with_named(shared, chosen, define)
    return shared


def _with_named(
    statements: list[Statement], chosen: Expr, define: Callable[[Form, Expr], Statement]
) -> list[Statement]:
    """The call before its first use, and by its name wherever it occurs."""
    first, call = next(
        (k, call)
        for k, s in enumerate(statements)
        for call in _calls(s.expr)
        if form_of(call).call == chosen
    )
    made = define(form_of(call), call)

    def insert(expr: Expr) -> Expr | None:
        if not isinstance(expr, Elementwise) or parts_of(expr, Bound):
            return None
        here = form_of(expr)
        return Component(made.target.tensor, *here.order) if here.call == chosen else None

    changed = [s.with_expr(everywhere(insert, s.expr)) for s in statements]
    return [*changed[:first], made, *changed[first:]]


@lru_cache(maxsize=_MOST_KNOWN)
def _calls(expr: Expr) -> Counter[Expr]:
    """How often each call occurs that holds a tensor and no sum; those inside sums too."""
    if isinstance(expr, Bound):
        expr = opened(expr)[0]
    found: Counter[Expr] = Counter()
    if isinstance(expr, Elementwise) and parts_of(expr, Component) and not parts_of(expr, Bound):
        found[expr] = 1
    for arg in expr.args if not isinstance(expr, Component) else ():
        for call, times in _calls(arg).items():
            found[call] += times
    return found


@lru_cache(maxsize=_MOST_KNOWN)
def _operations(form: Expr) -> int:
    return operations_in(form)


@lru_cache(maxsize=_MOST_KNOWN)
def form_of(call: Expr) -> Form:
    """The call up to the names of its indices. Equal forms are equal functions of them."""
    components = sorted(
        parts_of(call, Component),
        key=lambda c: (-len(c.indices), c.tensor.rank, [i.rank for i in c.indices]),
    )
    order = tuple(dict.fromkeys(i for c in components for i in c.indices))
    places = {i: Index(f"k{n}", i.size, 3_000_000 + n) for n, i in enumerate(order)}
    return Form(reindexed(call, places), order)
