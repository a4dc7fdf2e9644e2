"""Every subexpression of an equation, with what puts another expression in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from sympy import Expr, KroneckerDelta, Pow

from derive.notation.conditions import Iverson
from derive.notation.functions import Elementwise
from derive.notation.nodes import Bound, Component, Index, free_indices, fresh_index
from derive.notation.solution import Solution


@dataclass(frozen=True)
class Place:
    """A subexpression; `scope` holds the letters that mean something where it stands."""

    node: Expr
    scope: tuple[Index, ...]
    put: Callable[[Expr], Expr]  # the whole with something else here
    is_side: bool = False  # a whole right side, or an argument of a function
    is_base: bool = False  # what a power is taken of


def places(expr: Expr, free: Sequence[Index], letters: Sequence[Index]) -> Iterator[Place]:
    """All places of the right side of an equation, whose left side carries `free`.

    Sums are opened with `letters` that are not in use there, so that a place reads as on paper.
    """
    yield from _below(Place(expr, tuple(free), lambda new: new, is_side=True), letters)


def _below(place: Place, letters: Sequence[Index]) -> Iterator[Place]:
    yield place
    node = place.node
    if isinstance(node, Bound):
        yield from _below(_opened(place, node, letters), letters)
    elif isinstance(node, Solution):
        rest = tuple(i for i in place.scope if i not in node.columns)
        scopes = ((*rest, *node.rows, *node.columns), (*rest, *node.rows))
        for k, scope in enumerate(scopes):
            yield from _below(replace(_argument(place, k), scope=scope), letters)
    elif not isinstance(node, Component | Iverson | KroneckerDelta):
        for k in range(len(node.args) - isinstance(node, Pow)):  # an exponent is no place
            yield from _below(_argument(place, k), letters)


def _argument(place: Place, k: int) -> Place:
    node = place.node

    def put(new: Expr) -> Expr:
        return place.put(node.func(*node.args[:k], new, *node.args[k + 1 :]))

    is_side, is_base = isinstance(node, Elementwise), isinstance(node, Pow)
    return Place(node.args[k], place.scope, put, is_side, is_base)


def _opened(place: Place, total: Bound, letters: Sequence[Index]) -> Place:
    body, dummies = total.open()
    taken = {*place.scope, *free_indices(total)}
    named: dict[Index, Index] = {}
    for dummy in dummies:
        spare = (i for i in letters if i.size == dummy.size and i not in taken)
        named[dummy] = next(spare, None) or fresh_index(dummy)
        taken.add(named[dummy])
    own = tuple(named.values())

    def put(new: Expr) -> Expr:
        return place.put(total.func(new, *own))

    return replace(
        place, node=body.xreplace(named), scope=(*place.scope, *own), put=put, is_side=False
    )
