"""What is known of an expression is known wherever it stands: its parts, free indices, size.

The classes of nodes are asked by what they say of themselves: `is_index`, the `dummies` that they
bind in their `body`, `free_symbols` where they have words of their own for these.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar, cast

from sympy import Basic, Expr

P = TypeVar("P")
_MOST = 1 << 16  # expressions of which something is remembered
_DUMMIES = 16  # so many to be named take about as long as all else that is done with a sum


def parts_of(expr: Expr, kind: type[P]) -> frozenset[P]:
    """The subexpressions of a kind, as `atoms` gives them."""
    return cast("frozenset[P]", _parts(expr, cast(Any, kind)))


@lru_cache(maxsize=_MOST)
def _parts(expr: Any, kind: Any) -> frozenset[Any]:
    own = frozenset((expr,)) if isinstance(expr, kind) else frozenset()
    return own.union(*(_parts(a, kind) for a in expr.args))


@lru_cache(maxsize=_MOST)
def free(expr: Any) -> frozenset[Any]:
    """The indices that nothing in the expression binds."""
    if getattr(expr, "is_index", False):
        return frozenset((expr,))
    if hasattr(expr, "dummies"):
        return free(expr.body).difference(expr.dummies)
    if type(expr).free_symbols is not Basic.free_symbols:
        return frozenset(s for s in expr.free_symbols if getattr(s, "is_index", False))
    return frozenset().union(*map(free, expr.args))


@lru_cache(maxsize=_MOST)
def _indices(expr: Any) -> frozenset[Any]:
    """All indices in an expression, bound ones too."""
    own = (expr,) if getattr(expr, "is_index", False) else ()
    return frozenset(own).union(*map(_indices, expr.args))


@lru_cache(maxsize=_MOST)
def free_by_rank(expr: Any) -> tuple[Any, ...]:
    """The free indices in the order in which they were declared."""
    return tuple(sorted(free(expr), key=lambda i: (i.rank, i.name)))


@lru_cache(maxsize=_MOST)
def size_of(expr: Any) -> int:
    """How many nodes the expression has, written out."""
    return 1 + sum(map(size_of, expr.args))


@lru_cache(maxsize=_MOST)
def work_on(expr: Any) -> int:
    """What an expression costs whoever walks it: its nodes, and those of its sums again and again.

    That is, for the dummies that are named, and for the orders of these that are compared.
    """
    size = size_of(expr)
    named = len(getattr(expr, "dummies", ())) * size // _DUMMIES
    compared = (getattr(expr, "compared", 1) - 1) * size
    return 1 + named + compared + sum(map(work_on, expr.args))


def reindexed(expr: Expr, rule: Mapping[Any, Any]) -> Expr:
    """`xreplace` of indices: what carries none of them is not looked into."""
    keys = frozenset(rule)
    done: dict[Any, Any] = {}

    def visit(part: Any) -> Any:
        if keys.isdisjoint(_indices(part)):
            return part
        if part not in done:
            if getattr(part, "is_index", False):
                done[part] = rule[part]
            elif hasattr(part, "dummies"):
                done[part] = part.xreplace(rule)
            else:
                done[part] = part.func(*map(visit, part.args))
        return done[part]

    return cast(Expr, visit(expr))
