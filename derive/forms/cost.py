"""How many operations an equation takes, as a polynomial in the sizes of its indices.

Each part is computed once for the indices that it carries, and a product in a good order: the two
factors first that together carry the fewest indices. A sum over an index costs an addition for each
value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations

from sympy import Add, Expr, Mul, Pow, S

from derive.notation.conditions import EQUAL, Iverson, Position
from derive.notation.functions import Elementwise
from derive.notation.known import parts_of
from derive.notation.nodes import Bound, Component, Contraction, Index, free_indices
from derive.notation.solution import Solution


def operations(expr: Expr) -> Expr:
    """Additions, multiplications and functions, for all values of the free indices."""
    counted: dict[Expr, Expr] = {}
    _count(_placed(expr), counted)
    return Add(*counted.values())


def _placed(expr: Expr) -> Expr:
    """Without sums that only say where a number is: Σ_r x_r [r = s - k] is x_{s-k}, and what is
    added up by a label is added once."""
    if not expr.args or isinstance(expr, Component):
        return expr
    if not isinstance(expr, Contraction):
        return expr.func(*map(_placed, expr.args))
    body, dummies = expr.open()
    factors, left = list(Mul.make_args(body)), list(dummies)
    while place := next(filter(_is_place, factors), None):
        factors.remove(place)
        counted = sorted((p.index for p in place.atoms(Position)), key=lambda i: i.rank)
        sizes = [i.size for i in counted]
        found = [i for i in counted if i in left]
        if found:  # of x[s-k] the place in x, which runs along the axis of s
            gone = next((i for i in found if sizes.count(i.size) > 1), found[0])
            left.remove(gone)
            others = [i for i in free_indices(place) if i != gone]
            factors = [_instead(f, gone, others) for f in factors]
    return Contraction(_placed(Mul(*factors)), *left)


def _is_place(factor: Expr) -> bool:
    return (
        isinstance(factor, Iverson)
        and factor.relation == EQUAL
        and bool(factor.holds)
        and bool(factor.atoms(Position))
    )


def _instead(factor: Expr, gone: Index, others: Sequence[Index]) -> Expr:
    """The factor, carrying the others where it carried an index."""

    def carried(component: Component) -> Component:
        kept = [i for i in component.indices if i != gone]
        return Component(component.tensor, *dict.fromkeys((*kept, *others)))

    found: dict[Expr, Expr] = {c: carried(c) for c in factor.atoms(Component) if gone in c.indices}
    return factor.xreplace(found | {Position(gone): Add(*map(Position, others))})


def _count(expr: Expr, counted: dict[Expr, Expr]) -> None:
    """What `expr` costs beside its parts; a part that occurs again costs nothing."""
    if expr in counted or not expr.args or isinstance(expr, Component) or not _is_tensor(expr):
        return
    counted[expr] = _own(expr)
    for part in _parts(expr):
        _count(part, counted)


def _parts(expr: Expr) -> tuple[Expr, ...]:
    if isinstance(expr, Bound):
        return (expr.body,)
    return (expr.left, expr.right) if isinstance(expr, Iverson) else expr.args


def _is_tensor(expr: Expr) -> bool:
    return bool(parts_of(expr, Component))


@lru_cache(maxsize=1 << 14)
def _own(expr: Expr) -> Expr:
    if isinstance(expr, Mul):
        return _product([a for a in expr.args if a != S.NegativeOne])
    if isinstance(expr, Add):
        return (len(expr.args) - 1) * _places(free_indices(expr))
    if isinstance(expr, Bound):
        return _places([*free_indices(expr.body)])
    if isinstance(expr, Pow):
        return _places(free_indices(expr)) if expr.exp != S.NegativeOne else S.Zero
    if isinstance(expr, Solution):
        return _places([*expr.columns] * 3) + _places(free_indices(expr))
    assert isinstance(expr, Elementwise | Iverson) or expr.is_Function, expr
    return _places(free_indices(expr))


def _product(factors: list[Expr]) -> Expr:
    """Numbers and sizes are one factor; a division counts as a multiplication."""
    tensors = [f for f in factors if free_indices(f) or _is_tensor(f)]
    left = [*([()] if len(tensors) < len(factors) else []), *map(free_indices, tensors)]
    parts = sorted(map(frozenset, left), key=len)
    places: Counter[frozenset[Index]] = Counter()
    while len(parts) > 1:
        one, other = min(combinations(parts, 2), key=lambda pair: len(pair[0] | pair[1]))
        parts.remove(one)
        parts.remove(other)
        parts.insert(0, one | other)
        places[one | other] += 1
    return Add(*(times * _places(indices) for indices, times in places.items()))


def _places(indices: Iterable[Index]) -> Expr:
    return Mul(*(i.size for i in indices))
