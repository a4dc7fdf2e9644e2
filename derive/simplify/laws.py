"""The laws that keep the shape a person wrote: deltas contract, sums are linear, ones count.

Each acts on one node and knows nothing of the rest; `rewrite` applies them. A sum of plain
quantities such as (x - m) is never multiplied out: that would lose accuracy, and no step needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod

from sympy import Add, Expr, KroneckerDelta, Mul

from derive.notation.conditions import Iverson, is_implied
from derive.notation.effort import Exhausted
from derive.notation.known import parts_of
from derive.notation.nodes import Contraction, Delta, Index, free_indices
from derive.notation.op import holds_gradient
from derive.rewrite import Law, opened
from derive.simplify.normal import MOST_TERMS, connected


def _distribute(wanted: Callable[[Expr], bool]) -> Callable[[Expr], Expr | None]:
    """a (b + c) = ab + ac for the sums that are `wanted`."""

    def apply(expr: Expr) -> Expr | None:
        if not isinstance(expr, Mul):
            return None
        sums = [f for f in expr.args if isinstance(f, Add) and wanted(f)]
        if not sums:
            return None
        if prod(len(s.args) for s in sums) > MOST_TERMS:
            raise Exhausted
        rest = Mul(*(f for f in expr.args if f not in sums))
        return Add(*reduce(lambda left, s: [a * b for a in left for b in s.args], sums, [rest]))

    return apply


def _signed(expr: Expr) -> Expr | None:
    """A minus goes to every term of a sum; that needs no line of its own."""
    if not isinstance(expr, Mul) or len(expr.args) != 2 or expr.args[0] != -1:
        return None
    total = expr.args[1]
    return (
        Add(*(-t for t in total.args)) if isinstance(total, Add) and holds_gradient(total) else None
    )


def _linear(wanted: Callable[[Expr], bool]) -> Callable[[Expr], Expr | None]:
    """Σ (a + b) = Σ a + Σ b for the sums that are `wanted`."""

    def apply(expr: Expr) -> Expr | None:
        if (
            not isinstance(expr, Contraction)
            or not isinstance(expr.body, Add)
            or not wanted(expr.body)
        ):
            return None
        body, dummies = opened(expr)
        return Add(*(Contraction(term, *dummies) for term in body.args))

    return apply


def _holds_delta(expr: Expr) -> bool:
    """Does it hold a delta, of two indices or of an index and a label?"""
    free = set(free_indices(expr))
    picks = any(b.picks is not None and b.index in free for b in parts_of(expr, Iverson))
    return picks or bool(parts_of(expr, KroneckerDelta))


def _contract(expr: Expr) -> Expr | None:
    if not isinstance(expr, Contraction) or _bound_delta(expr.body, expr.dummies) is None:
        return None
    body, dummies = opened(expr)
    left = list(dummies)
    while (found := _bound_delta(body, left)) is not None:
        factor, drop, keep = found
        body = Mul(*(f for f in Mul.make_args(body) if f != factor)).xreplace({drop: keep})
        left.remove(drop)
    return Contraction(body, *left) if len(left) < len(dummies) else None


def _bound_delta(body: Expr, dummies: Sequence[Index]) -> tuple[Expr, Index, Index] | None:
    for factor in Mul.make_args(body):
        if isinstance(factor, KroneckerDelta):
            i, j = factor.args
            if i in dummies or j in dummies:
                return (factor, i, j) if i in dummies else (factor, j, i)
    return None


def _count(expr: Expr) -> Expr | None:
    if not isinstance(expr, Contraction):
        return None
    if set(expr.dummies) <= set(free_indices(expr.body)):
        return None
    body, dummies = opened(expr)
    carried = free_indices(body)
    unused = [d for d in dummies if d not in carried]
    return Mul(
        *(d.size for d in unused), Contraction(body, *(d for d in dummies if d not in unused))
    )


def _pick(expr: Expr) -> Expr | None:
    """Σ_c [c = t] = [t is a value of c]: a label is, or it is a number that it is compared with."""
    if not isinstance(expr, Contraction):
        return None
    factors = Mul.make_args(expr.body)
    for bracket in (f for f in factors if isinstance(f, Iverson) and f.picks is not None):
        index = bracket.index
        if index in expr.dummies and not any(
            index in free_indices(f) for f in factors if f is not bracket
        ):
            body, dummies = expr.open()
            fresh = dict(zip(expr.dummies, dummies, strict=True))
            gone = bracket.xreplace(fresh)
            rest = Mul(*(f for f in Mul.make_args(body) if f != gone))
            left = (d for d in dummies if d != fresh[index])
            return Contraction(rest * gone.chosen(Mul.make_args(rest)), *left)
    return None


def _implied(expr: Expr) -> Expr | None:
    """[t is no sentinel] [t is a value of c] = [t is no sentinel]."""
    factors = Mul.make_args(expr)
    kept = [f for f in factors if not is_implied(f, factors)]
    return Mul(*kept) if len(kept) < len(factors) else None


def _outside(expr: Expr) -> Expr | None:
    if not isinstance(expr, Contraction) or not isinstance(expr.body, Mul):
        return None
    carried, groups = _components(expr.body, expr.dummies)
    if all(carried.values()) and len(groups) == 1:
        return None
    body, dummies = opened(expr)
    return separated(body, dummies)


def separated(body: Expr, dummies: Sequence[Index]) -> Expr:
    """Σ over the dummies of a product, each connected component of them a sum of its own."""
    if not isinstance(body, Mul):
        return Contraction(body, *dummies)
    carried, groups = _components(body, dummies)
    outside = [f for f in body.args if not carried[f]]
    sums = [
        Contraction(
            Mul(*(f for f in body.args if carried[f] and carried[f][0] in group)),
            *sorted(group, key=lambda i: i.rank),
        )
        for group in groups
    ]
    return Mul(*outside, *sums)


def _components(
    body: Expr, dummies: Sequence[Index]
) -> tuple[dict[Expr, list[Index]], list[set[Index]]]:
    """Which dummies each factor carries, and which of them some factor carries together."""
    bound = set(dummies)
    carried = {f: [i for i in free_indices(f) if i in bound] for f in body.args}
    return carried, connected([[d] for d in dummies] + list(carried.values()))


DISTRIBUTE_DELTAS = Law(
    "distribute over the sum",
    r"a\,(b + c) = a\,b + a\,c",
    _distribute(_holds_delta),
    ("x[b]*(y[b]*delta[b,p] + z[b]*delta[b,p])", "x[b]*y[b]*delta[b,p] + x[b]*z[b]*delta[b,p]"),
    about=Add,
)
DISTRIBUTE_GRADIENTS = Law(
    "distribute over the sum",
    r"a\,(b + c) = a\,b + a\,c",
    _distribute(holds_gradient),
    ("x[b]*(dy[b] + dz[b])", "x[b]*dy[b] + x[b]*dz[b]"),
    about=Add,
)
DISTRIBUTE = Law(
    "distribute over the sum",
    r"a\,(b + c) = a\,b + a\,c",
    _distribute(lambda s: True),
    ("x[b]*(y[b] + z[b])", "x[b]*y[b] + x[b]*z[b]"),
    about=Add,
)
LINEAR_IN_DELTAS = Law(
    "a sum over an index is linear",
    r"\mathbf{1}_{h}\,(a_{h} + b_{h}) = \mathbf{1}_{h} a_{h} + \mathbf{1}_{h} b_{h}",
    _linear(_holds_delta),
    (
        "1[h]*(x[b,h]*delta[h,q] + y[b,h]*delta[h,q])",
        "1[h]*x[b,h]*delta[h,q] + 1[h]*y[b,h]*delta[h,q]",
    ),
    about=Contraction,
)
LINEAR_IN_GRADIENTS = Law(
    "a sum over an index is linear",
    r"\mathbf{1}_{h}\,(a_{h} + b_{h}) = \mathbf{1}_{h} a_{h} + \mathbf{1}_{h} b_{h}",
    _linear(holds_gradient),
    ("1[h]*(dx[b,h] + dy[b,h])", "1[h]*dx[b,h] + 1[h]*dy[b,h]"),
    about=Contraction,
)
LINEAR = Law(
    "a sum over an index is linear",
    r"\mathbf{1}_{h}\,(a_{h} + b_{h}) = \mathbf{1}_{h} a_{h} + \mathbf{1}_{h} b_{h}",
    _linear(lambda s: True),
    ("1[h]*(x[b,h] + y[b,h])", "1[h]*x[b,h] + 1[h]*y[b,h]"),
    about=Contraction,
)
CONTRACT = Law(
    "contract the delta",
    r"a_{h}\,\delta_{h q} = a_{q}",
    _contract,
    ("x[b,h]*delta[h,q]", "x[b,q]"),
    about=Delta,
)
COUNT = Law(
    "ones count",
    r"\mathbf{1}_{h} \mathbf{1}_{h} = H",
    _count,
    ("1[h]*1[h]*m[b]", "H*m[b]"),
    about=Contraction,
)
PICK = Law(
    "a label picks one value of its index, if it is one",
    r"\mathbf{1}_{c}\,\delta_{c t} = 1",
    _pick,
    ("1[h]*delta[h,t[b]]*m[b]", "m[b]"),
    about=Iverson,
)
IMPLIED = Law(
    "any other label is in range",
    r"[t \neq i]\,[0 \leq t]\,[t < C] = [t \neq i]",
    _implied,
    (
        "delta[h,t[b]]*where(t[b] != 1, where(0 <= t[b], where(t[b] < H, x[b,h], 0), 0), 0)",
        "delta[h,t[b]]*where(t[b] != 1, x[b,h], 0)",
    ),
    about=Iverson,
)
OUTSIDE = Law(
    "what does not carry the index stands outside the sum",
    r"\mathbf{1}_{h}\,(a\,b_{h}) = a\,(\mathbf{1}_{h} b_{h})",
    _outside,
    ("1[h]*(m[b]*x[b,h])", "m[b]*(1[h]*x[b,h])"),
    about=Contraction,
    silent=True,
)

SIGN = Law(
    "distribute over the sum",
    r"-(a + b) = -a - b",
    _signed,
    ("-(dx[b] + dy[b])", "-dx[b] - dy[b]"),
    about=Add,
    silent=True,
)

# The order in which a derivation meets them.
CONTRACTING = (DISTRIBUTE_DELTAS, LINEAR_IN_DELTAS, CONTRACT, PICK, IMPLIED, COUNT, OUTSIDE)
COLLECTING = (
    *(DISTRIBUTE_GRADIENTS, LINEAR_IN_GRADIENTS, SIGN),
    *(CONTRACT, OUTSIDE, PICK, IMPLIED, COUNT),
)
EXPANDING = (DISTRIBUTE, LINEAR, OUTSIDE)
LAWS = (*CONTRACTING, *COLLECTING[:3], *EXPANDING[:2])
