"""What several terms share put in front of these, where that takes fewer operations.

Either a factor that some terms have, a b + a c + d = a (b + c) + d; or a sum over an index, with
all in it that the terms have in common: Σ_j k_j p_j d_j - Σ_j k_j p_j u = Σ_j k_j p_j (d_j - u).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from sympy import Add, Expr, Integer, Mul

from derive.forms.cost import operations
from derive.forms.monomial import Monomial, Powers, in_front, product_of
from derive.notation.known import parts_of
from derive.notation.nodes import Component, Contraction, Index, Size, free_indices, fresh_index
from derive.rewrite import everywhere
from derive.simplify.collect import meet
from derive.simplify.laws import OUTSIDE

_TYPICAL = 64  # a size, to compare costs by
_MOST_TERMS = 12


def price(exprs: Iterable[Expr]) -> int:
    """The operations where every size is the same."""
    total = Add(*map(operations, exprs))
    return int(total.xreplace({s: Integer(_TYPICAL) for s in total.atoms(Size)}))


def grouped(terms: list[Monomial]) -> Expr:
    """The sum of the terms, what some of them share in front of these."""
    plain = Add(*(t.expr() for t in terms))
    if not 1 < len(terms) <= _MOST_TERMS:
        return plain
    front, rest = in_front(terms)
    if front != 1:
        return Mul(front, grouped(rest))
    return min([plain, *_groupings(terms)], key=lambda e: price([e]))


def _groupings(terms: list[Monomial]) -> Iterator[Expr]:
    yield from _under_one_sum(terms)
    summed = [t for t in terms if t.dummies]
    others = [t for t in terms if not t.dummies]
    if others and len(summed) > 1:
        rest = grouped(others)
        yield from (Add(e, rest) for e in _under_one_sum(summed))
    counts = Counter(b for t in terms for b in _free(t) if parts_of(b, Component))
    shared = max(counts.values(), default=0)
    if 1 < shared < len(terms):
        base = next(b for b, n in counts.items() if n == shared)
        having = [t for t in terms if base in t.powers]
        yield Add(grouped(having), grouped([t for t in terms if base not in t.powers]))


def _free(term: Monomial) -> Iterator[Expr]:
    return (b for b in term.powers if not set(free_indices(b)) & set(term.dummies))


def _under_one_sum(terms: list[Monomial]) -> Iterator[Expr]:
    """One sum for all terms, over a dummy of each."""
    for dummy in terms[0].dummies:
        fresh = fresh_index(dummy)
        moved = [_moved(terms[0], dummy, fresh)]
        for term in terms[1:]:
            common = moved[0].carrying(fresh)
            tried = [_moved(term, d, fresh) for d in term.dummies if d.size == dummy.size]
            moved += sorted(tried, key=lambda t: -_alike(common, t.carrying(fresh)))[:1]
        shared = meet([t.carrying(fresh) for t in moved])
        if len(moved) == len(terms) and shared:
            body = Mul(product_of(shared), grouped([t.divided(shared) for t in moved]))
            yield everywhere(OUTSIDE.apply, Contraction(body, fresh))


def _moved(term: Monomial, dummy: Index, fresh: Index) -> Monomial:
    """The term with one of its sums opened, over a dummy that others have too."""
    powers = {b.xreplace({dummy: fresh}): e for b, e in term.powers.items()}
    return replace(term, powers=powers, dummies=tuple(d for d in term.dummies if d != dummy))


def _alike(one: Powers, other: Powers) -> int:
    return len(meet([one, other])) if one else 0
