"""A product of several tensors is contracted two at a time, in the order that costs least.

Sizes are not known when code is written: all indices count as about equally long, the rows as
longer, and what no tensor with rows carries, such as the rank of an adapter, as shorter.
Smith, Gray, opt_einsum, JOSS 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import opt_einsum
from sympy import Add, Expr, Mul

from derive.notation.conditions import Iverson, brackets_of, without
from derive.notation.nodes import Contraction, Index, Size, free_indices, fresh_index
from derive.notation.op import Op
from derive.rewrite import everywhere

ROWS, USUAL, INNER = 80, 64, 48  # lengths that indices count as
_MOST_EXACT = 8  # factors whose best order is searched for among all

Lengths = Callable[[Index], int]


def lengths(op: Op, rows: set[Size]) -> Lengths:
    """How long an index counts as, where it matters what is multiplied first."""
    sizes = [{i.size for i in c.indices} for c in (*op.inputs, *op.outputs)]
    carried = set().union(*(s for s in sizes if s & rows))

    def length(index: Index) -> int:
        if index.size in rows:
            return ROWS
        return USUAL if index.size in carried or not rows else INNER

    return length


def in_pairs(expr: Expr, length: Lengths) -> Expr:
    """The expression with each sum over three and more tensors as sums over two."""
    return everywhere(partial(_paired, length), expr)


def merged(factors: list[Expr]) -> list[Expr]:
    """The factors of a sum, each at the first other one that has all of its indices."""
    rest: list[Expr] = []
    for factor in sorted(factors, key=lambda f: -len(free_indices(f))):
        own = set(free_indices(factor))
        home = next((k for k, f in enumerate(rest) if own <= set(free_indices(f))), None)
        if home is None:
            rest.append(factor)
        else:
            rest[home] = Mul(rest[home], factor)
    return rest


def _paired(length: Lengths, expr: Expr) -> Expr | None:
    if not isinstance(expr, Contraction):
        return None
    opened = expr.open()
    body, dummies = _picked(*_flattened(*_picked(*opened, length), length), length)
    scattered = _scattered(body, dummies, length)
    if scattered is not None:
        return scattered
    factors = merged(list(Mul.make_args(body)))
    if len(factors) < 3:
        return None if body == opened[0] else Contraction(Mul(*factors), *dummies)
    for places in _path(factors, dummies, length)[:-1]:
        chosen = [factors[k] for k in places]
        factors = [f for k, f in enumerate(factors) if k not in places]
        needed = {i for f in factors for i in free_indices(f)} | set(free_indices(expr))
        over = [d for d in dummies if d not in needed and any(d in free_indices(f) for f in chosen)]
        factors.append(Contraction(Mul(*chosen), *over))
    left = [d for d in dummies if any(d in free_indices(f) for f in factors)]
    return Contraction(Mul(*factors), *left)


def _picked(
    body: Expr, dummies: tuple[Index, ...], length: Lengths
) -> tuple[Expr, tuple[Index, ...]]:
    """Σ_c [c = t_b] u_cd, what a label picks, comes before all else: it is as small as it gets.

    So does Σ_r [r = s - k] x_r, where the window k is short.
    """
    for condition in brackets_of(body):
        index = _told(condition, dummies, length)
        others = without(body, condition)
        if index is None:
            continue
        carrying = Mul(*(f for f in Mul.make_args(others) if index in free_indices(f)))
        rest = Mul(*(f for f in Mul.make_args(others) if index not in free_indices(f)))
        if rest == 1 and len(dummies) == 1:
            continue
        found = Contraction(Mul(condition, carrying), index)
        return _picked(Mul(found, rest), tuple(d for d in dummies if d != index), length)
    return body, dummies


def _told(condition: Iverson, dummies: tuple[Index, ...], length: Lengths) -> Index | None:
    """The dummy that a label, or a place in a window shorter than its axis, tells."""
    known = [d for d in dummies if condition.solved_for(d) is not None]
    if condition.picks is not None or not known:
        return known[0] if known else None
    longest = max(known, key=length)
    others = (length(i) for i in free_indices(condition) if i != longest)
    return longest if length(longest) > min(others, default=length(longest)) else None


def _scattered(body: Expr, dummies: tuple[Index, ...], length: Lengths) -> Expr | None:
    """Σ_b [v = t_b] f_b: f is computed first, and then added where t points."""
    for condition in brackets_of(body):
        label = condition.picks
        over = [d for d in dummies if label is not None and d in label.indices]
        if not over or condition.index in dummies:
            continue
        inner = [d for d in dummies if d not in over]
        rest = at_label(without(body, condition), condition)
        if rest == 1:
            continue
        value = Contraction(rest, *inner)
        return Contraction(Mul(condition, everywhere(partial(_paired, length), value)), *over)
    return None


def at_label(expr: Expr, condition: Iverson) -> Expr:
    """f_c beside [c = t] is f_t, which does not carry c any more."""
    index = condition.index
    carrying = [f for f in Mul.make_args(expr) if index in free_indices(f)]
    if not carrying:
        return expr
    other = fresh_index(index)
    moved = Mul(condition, *carrying).xreplace({index: other})
    rest = (f for f in Mul.make_args(expr) if f not in carrying)
    return Mul(Contraction(moved, other), *rest)


def _flattened(
    body: Expr, dummies: tuple[Index, ...], length: Lengths
) -> tuple[Expr, tuple[Index, ...]]:
    """Σ_o a_o Σ_r b_or c_r as one sum over o and r, if the inner one is of products."""
    factors = list(Mul.make_args(body))
    for inner in (f for f in factors if isinstance(f, Contraction)):
        own, more = inner.open()
        picks = any(_told(c, more, length) is not None for c in brackets_of(own))
        if set(free_indices(inner)) & set(dummies) and not (isinstance(own, Add) or picks):
            rest = Mul(*(f for f in factors if f is not inner))
            return _flattened(Mul(rest, own), (*dummies, *more), length)
    return body, dummies


def _path(
    factors: list[Expr], dummies: tuple[Index, ...], length: Lengths
) -> list[tuple[int, ...]]:
    """Which factors meet next, by their places among those that are left."""
    own = [free_indices(f) for f in factors]
    letters = list(dict.fromkeys(i for indices in own for i in indices))
    names = {i: opt_einsum.get_symbol(k) for k, i in enumerate(letters)}
    left = ",".join("".join(names[i] for i in indices) for indices in own)
    right = "".join(names[i] for i in letters if i not in dummies)
    shapes = [tuple(map(length, indices)) for indices in own]
    how = "dp" if len(factors) <= _MOST_EXACT else "auto"
    path, _ = opt_einsum.contract_path(f"{left}->{right}", *shapes, shapes=True, optimize=how)
    return [tuple(places) for places in path]
