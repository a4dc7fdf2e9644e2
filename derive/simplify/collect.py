"""Collecting for publication: sums over one index share the factors that carry it.

a_ph c/σ + a_ph μ_ph μ_pq/σ³ = a_ph (c/σ + μ_ph μ_pq/σ³), both summed over h.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from sympy import Add, Expr, Mul, Pow, S
from sympy.core.sorting import default_sort_key

from derive.notation.nodes import Contraction, Index, Size, fresh_index
from derive.notation.op import holds_gradient
from derive.rewrite import Law

Powers = dict[Expr, Expr]


class Piece(NamedTuple):
    """A term: number × sizes × factors outside × Σ factors inside."""

    number: Expr
    sizes: Powers
    outside: Expr
    inside: Powers


def _collect(expr: Expr) -> Expr | None:
    if not isinstance(expr, Add):
        return None
    groups: dict[tuple[Index, ...], list[Expr]] = defaultdict(list)
    for term in expr.args:
        groups[_dummies(term)].append(term)
    done = [_shared(dummies, terms) for dummies, terms in groups.items()]
    result = Add(*done)
    return None if result == expr else result


def factored(expr: Expr) -> Expr:
    """What all terms of a sum share stands in front: a b + a c = a (b + c)."""
    if not isinstance(expr, Add):
        return expr
    shared, rests = divided(expr.args)
    return Mul(shared, Add(*rests))


def divided(terms: tuple[Expr, ...]) -> tuple[Expr, list[Expr]]:
    """What divides all terms, and what is left of each."""
    pairs = [term.as_coeff_Mul() for term in terms]
    powers = [_powers(Mul.make_args(rest)) for _, rest in pairs]
    shared, number = meet(powers), common_number([n for n, _ in pairs])
    rests = [
        n / number * _product(_less(p, shared)) for (n, _), p in zip(pairs, powers, strict=True)
    ]
    return Mul(number, _product(shared)), rests


def _dummies(term: Expr) -> tuple[Index, ...]:
    """The dummies of the one sum in a term that has just one; otherwise none."""
    sums = [f for f in Mul.make_args(term) if isinstance(f, Contraction)]
    return sums[0].dummies if len(sums) == 1 else ()


def _shared(dummies: tuple[Index, ...], terms: list[Expr]) -> Expr:
    fresh = tuple(fresh_index(d) for d in dummies)
    pieces = [_piece(t, dict(zip(dummies, fresh, strict=True))) for t in terms]
    common = meet([p.inside for p in pieces])
    if len(terms) < 2 or not dummies or not holds_gradient(_product(common)):
        return Add(*terms)
    sizes = meet([p.sizes for p in pieces])
    number = common_number([p.number for p in pieces])
    bracket = Add(
        *(
            Mul(
                p.number / number,
                _product(_less(p.sizes, sizes)),
                p.outside,
                _product(_less(p.inside, common)),
            )
            for p in pieces
        )
    )
    return Mul(number, _product(sizes), Contraction(Mul(_product(common), bracket), *fresh))


def _piece(term: Expr, opened: dict[Index, Index]) -> Piece:
    number, rest = term.as_coeff_Mul()
    factors = Mul.make_args(rest)
    sums = [f for f in factors if isinstance(f, Contraction)]
    sizes = [f for f in factors if isinstance(f.as_base_exp()[0], Size)]
    outside = Mul(*(f for f in factors if f not in sums and f not in sizes))
    inside = Mul(*(s.body.xreplace(opened) for s in sums))
    return Piece(number, _powers(sizes), outside, _powers(Mul.make_args(inside)))


def _powers(factors: list[Expr] | tuple[Expr, ...]) -> Powers:
    return dict(f.as_base_exp() for f in factors if f != 1)


def meet(parts: list[Powers]) -> Powers:
    """What divides all: the smaller power where all powers have one sign."""
    shared: Powers = {}
    for base in parts[0]:
        exponents = [p.get(base, S.Zero) for p in parts]
        if all(e.is_Rational for e in exponents):
            if all(e > 0 for e in exponents):
                shared[base] = min(exponents)
            elif all(e < 0 for e in exponents):
                shared[base] = max(exponents)
        elif len(set(exponents)) == 1:
            shared[base] = exponents[0]
    return shared


def _less(powers: Powers, shared: Powers) -> Powers:
    return {b: e - shared.get(b, S.Zero) for b, e in powers.items()}


def _product(powers: Powers) -> Expr:
    ordered = sorted(powers.items(), key=lambda pair: default_sort_key(pair[0]))
    return Mul(*(Pow(b, e) for b, e in ordered))


def common_number(numbers: list[Expr]) -> Expr:
    """The size that all terms have, and their sign if they have one."""
    sign = S.NegativeOne if all(n.is_negative for n in numbers) else S.One
    sizes = {abs(n) for n in numbers}
    return sign * sizes.pop() if len(sizes) == 1 else sign


COLLECT = Law(
    "collect what the sums share",
    r"a_{h} b_{h} + a_{h} c_{h} = a_{h}\,(b_{h} + c_{h})",
    _collect,
    ("dx[p,h]*y[p,h]*u[p] + dx[p,h]*z[h]*w[p]", "dx[p,h]*(y[p,h]*u[p] + z[h]*w[p])"),
    about=Add,
)
