"""What is known of an expression is known wherever it stands: its parts, free indices, size.

The classes of nodes are asked by what they say of themselves: `is_index`, the `dummies` that they
bind in their `body`, `free_symbols` where they have words of their own for these.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cmp_to_key, lru_cache
from typing import Any, TypeVar, cast

from sympy import Add, Basic, Expr, Mul, Pow

P = TypeVar("P")
_MOST = 1 << 16  # expressions of which something is remembered
_BY_SYMPY = cmp_to_key(Basic.compare)  # the order in which SymPy has the factors of a product
_DUMMIES = 16  # so many to be named take about as long as all else that is done with a sum


def parts_of(expr: Expr, kind: type[P]) -> frozenset[P]:
    """The subexpressions of a kind, as `atoms` gives them."""
    return cast("frozenset[P]", _parts(expr, cast(Any, kind)))


@lru_cache(maxsize=_MOST)
def _parts(expr: Any, kind: Any) -> frozenset[Any]:
    own = frozenset((expr,)) if isinstance(expr, kind) else frozenset()
    return own.union(*(_parts(a, kind) for a in expr.args))


@lru_cache(maxsize=_MOST)
def kinds_in(expr: Any) -> frozenset[type]:
    """The classes of its nodes."""
    return frozenset((type(expr),)).union(*map(kinds_in, expr.args))


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


@lru_cache(maxsize=_MOST)
def operations_in(expr: Any) -> int:
    """How many operations are written: what SymPy's `count_ops` counts, but once for each part."""
    if isinstance(expr, Add):
        signs = [_is_signed(a) for a in expr.args]
        return len(signs) - 1 + sum(map(operations_in, expr.args)) - sum(signs) + all(signs)
    if isinstance(expr, Mul):
        return _in_product(expr)
    if isinstance(expr, Pow):
        divides = expr.exp == -1
        return 1 + operations_in(expr.base) + (0 if divides else operations_in(expr.exp))
    if expr.is_Rational:
        return int(expr.p < 0) + int(expr.q != 1)
    return int(expr.is_Function) + sum(map(operations_in, expr.args))


def _is_signed(term: Any) -> bool:
    """Does a minus stand in front?"""
    return bool(term.as_coeff_Mul()[0].is_negative)


def _in_product(product: Any) -> int:
    """A sign, what is multiplied, and one division for all that is divided by."""
    number, factors = product.as_coeff_mul()
    powers = [f.as_base_exp() for f in factors]
    above = [(b, e) for b, e in powers if not _divides(e)]
    below = [(b, -e) for b, e in powers if _divides(e)]
    inside = sum(operations_in(b) + (e != 1) * (1 + operations_in(e)) for b, e in above + below)
    upper = len(above) + (abs(number.p) != 1)
    lower = len(below) + (number.q != 1)
    times = max(upper - 1, 0) + max(lower - 1, 0)
    return int(inside) + times + (lower > 0) + bool(number.is_negative)


def _divides(exponent: Any) -> bool:
    return bool(exponent.could_extract_minus_sign())


def reindexed(expr: Expr, rule: Mapping[Any, Any]) -> Expr:
    """`xreplace` of indices: what carries none of them is not looked into."""
    keys = frozenset(rule)
    done: dict[Any, Any] = {}
    if not keys:
        return expr
    injective = len({rule.get(i, i) for i in _indices(expr)}) == len(_indices(expr))

    def visit(part: Any) -> Any:
        if keys.isdisjoint(_indices(part)):
            return part
        if part not in done:
            if getattr(part, "is_index", False):
                done[part] = rule[part]
            elif hasattr(part, "dummies"):
                done[part] = part.xreplace(rule)
            elif injective and isinstance(part, Mul | Add):
                done[part] = _resorted(part, [visit(a) for a in part.args])
            else:
                done[part] = part.func(*map(visit, part.args))
        return done[part]

    return cast(Expr, visit(expr))


def _resorted(old: Any, args: list[Any]) -> Any:
    """A product or sum where only names have changed: nothing can be merged, only the order."""
    number = [a for a in args[:1] if a.is_Number]
    ordered = sorted(args[len(number) :], key=_BY_SYMPY)
    return old._from_args((*number, *ordered), is_commutative=True)  # noqa: SLF001  # as made before
