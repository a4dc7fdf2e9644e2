"""Products that several statements need are computed once: dy γ in three sums, say.

Only a gradient times something no larger than itself is shared: its product is then no larger than
the gradient, so it is never the outer product that a matrix product avoids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sympy import Expr, Mul

from derive.notation.nodes import Bound, Component, Index, Tensor
from derive.notation.op import is_gradient
from derive.plan.statement import Statement
from derive.rewrite import everywhere

_MOST_SHARED = 8


class Pair(NamedTuple):
    """A gradient and a factor beside it; `places` are the factor's indices among the gradient's."""

    gradient: Tensor
    factor: Tensor
    places: tuple[int, ...]

    def of(self, gradient: Component) -> Component:
        """The factor that stands beside this component of the gradient."""
        return Component(self.factor, *(gradient.indices[k] for k in self.places))


def share(
    statements: Sequence[Statement],
    letters: Mapping[Tensor, Component],
    define: Callable[[Component, Component], Statement],
) -> list[Statement]:
    """The statements with common products named.

    `letters` holds each gradient as declared; `define` makes the statement for a new product.
    """
    shared = list(statements)
    for _ in range(_MOST_SHARED):
        counts = Counter(pair for s in shared for pair in dict.fromkeys(_pairs(s.expr)))
        pair, uses = max(counts.items(), key=lambda item: item[1], default=(None, 0))
        if pair is None or uses < 2:
            break
        made = define(letters[pair.gradient], pair.of(letters[pair.gradient]))
        shared = _with_shared(shared, pair, made)
    return shared


def _with_shared(statements: list[Statement], pair: Pair, made: Statement) -> list[Statement]:
    """The new product before its first use, and by its name wherever it occurs."""

    def insert(expr: Expr) -> Expr | None:
        found = next((g for g, p in _pairs_in(expr) if p == pair), None)
        if found is None:
            return None
        rest = Mul(*(f for f in expr.args if f not in (found, pair.of(found))))
        return Mul(rest, Component(made.target.tensor, *found.indices))

    first = next(k for k, s in enumerate(statements) if pair in set(_pairs(s.expr)))
    changed = [s.with_expr(everywhere(insert, s.expr)) for s in statements]
    return [*changed[:first], made, *changed[first:]]


def _pairs(expr: Expr) -> Iterator[Pair]:
    """The pairs in all products of an expression, those inside sums too."""
    if isinstance(expr, Bound):
        expr = expr.open()[0]
    for _, pair in _pairs_in(expr):
        yield pair
    for arg in expr.args if not isinstance(expr, Component) else ():
        yield from _pairs(arg)


def _pairs_in(expr: Expr) -> Iterator[tuple[Component, Pair]]:
    """Each gradient of one product with each factor beside it that carries no other index."""
    if not isinstance(expr, Mul):
        return
    components = [f for f in expr.args if isinstance(f, Component)]
    for gradient in (c for c in components if is_gradient(c) and _distinct(c.indices)):
        for factor in components:
            if (
                factor != gradient
                and factor.indices
                and set(factor.indices) <= set(gradient.indices)
            ):
                places = tuple(gradient.indices.index(i) for i in factor.indices)
                yield gradient, Pair(gradient.tensor, factor.tensor, places)


def _distinct(indices: tuple[Index, ...]) -> bool:
    return len(set(indices)) == len(indices)
