"""The normal form: for deciding and comparing, never for printing or computing.

An expression becomes a sum of terms; a term is a coefficient, factors with powers and a set of
dummies. Products are multiplied out, deltas over dummies contracted, a dummy that nothing carries
becomes its size, dummies fall into connected components, so that what a sum does not depend on
stands outside it. Equal normal forms mean equal expressions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from sympy import Add, Expr, Integer, KroneckerDelta, Mul, Pow, Rational, S, floor

from derive.notation.functions import Elementwise, call
from derive.notation.nodes import Contraction, Index, Size, free_indices

MOST_TERMS = 2000


class TooLarge(Exception):
    """Multiplying out would give more terms than are worth having."""


Powers = dict[Expr, Expr]


class Term:
    """coefficient × Π base^exponent, summed over `dummies`."""

    __slots__ = ("coefficient", "dummies", "powers")

    def __init__(self, coefficient: Expr, powers: Powers, dummies: frozenset[Index]) -> None:
        self.coefficient, self.powers, self.dummies = coefficient, powers, dummies

    def __mul__(self, other: Term) -> Term:
        powers = dict(self.powers)
        for base, exponent in other.powers.items():
            powers[base] = powers.get(base, S.Zero) + exponent
        powers = {base: exponent for base, exponent in powers.items() if exponent != 0}
        return Term(self.coefficient * other.coefficient, powers, self.dummies | other.dummies)


def normal(expr: Expr, *, split_exp: bool = False) -> Expr:
    """The normal form. With `split_exp`, exp(a+b) is written exp(a) exp(b) first."""
    return Add(*(_close(t) for t in _settle(_expand(expr, split_exp), split_exp)))


def _expand(expr: Expr, split: bool) -> list[Term]:
    if _is_coefficient(expr):
        return [Term(expr, {}, frozenset())] if expr != 0 else []
    if isinstance(expr, Add):
        return [t for a in expr.args for t in _expand(a, split)]
    if isinstance(expr, Mul):
        return _product(_expand(a, split) for a in expr.args)
    if isinstance(expr, Pow):
        return _power(expr, split)
    if isinstance(expr, Contraction):
        body, dummies = expr.open()
        more = frozenset(dummies)
        return [Term(t.coefficient, t.powers, t.dummies | more) for t in _expand(body, split)]
    if isinstance(expr, Elementwise):
        return _function(expr, split)
    return [Term(S.One, {expr: S.One}, frozenset())]


def _is_coefficient(expr: Expr) -> bool:
    """A rational, or a root of one; π and exp(1) are factors like any other."""
    if isinstance(expr, Pow):
        return bool(expr.base.is_Rational and expr.exp.is_Rational)
    return bool(expr.is_Rational)


def _product(factors: Iterable[list[Term]]) -> list[Term]:
    def times(left: list[Term], right: list[Term]) -> list[Term]:
        if len(left) * len(right) > MOST_TERMS:
            raise TooLarge
        return [a * b for a in left for b in right]

    return reduce(times, factors, [Term(S.One, {}, frozenset())])


def _power(expr: Pow, split: bool) -> list[Term]:
    base, exponent = expr.args
    if exponent.is_Integer and exponent > 0:
        return _product(_expand(base, split) for _ in range(int(exponent)))
    inside = normal(base, split_exp=split)
    if not isinstance(inside, Add):
        return _monomial_power(inside, exponent)
    content, inside = inside.primitive()
    return [_numeric_power(content, exponent) * Term(S.One, {inside: exponent}, frozenset())]


def _monomial_power(base: Expr, exponent: Expr) -> list[Term]:
    """(c Π f^k)^n = c^n Π f^(kn) for whole n; otherwise only what is positive comes out."""
    coefficient, factors = base.as_coeff_mul()
    pairs = [f.as_base_exp() for f in factors]
    if exponent.is_Integer:
        powers = {b: e * exponent for b, e in pairs}
        return [_numeric_power(coefficient, exponent) * Term(S.One, powers, frozenset())]
    powers = {b: e * exponent for b, e in pairs if isinstance(b, Size)}
    rest = Mul(*(Pow(b, e) for b, e in pairs if not isinstance(b, Size)))
    if coefficient.is_negative:
        coefficient, rest = -coefficient, -rest
    inside = {rest: exponent} if rest != 1 else {}
    return [_numeric_power(coefficient, exponent) * Term(S.One, powers | inside, frozenset())]


def _numeric_power(number: Expr, exponent: Expr) -> Term:
    """number^exponent; SymPy never ends asking whether a symbolic exponent of 1 is infinite."""
    if number == 1:
        return Term(S.One, {}, frozenset())
    if not exponent.is_number:
        return Term(S.One, {number: exponent}, frozenset())
    return Term(number**exponent, {}, frozenset())


def _function(expr: Elementwise, split: bool) -> list[Term]:
    args = [normal(a, split_exp=split) for a in expr.args]
    if split and expr.row.name == "exp":
        return [reduce(Term.__mul__, (_exp_term(a) for a in Add.make_args(args[0])))]
    return [Term(S.One, {expr.func(*args): S.One}, frozenset())]


def _exp_term(arg: Expr) -> Term:
    """exp(c u) = exp(u)^c, exp(log u) = u."""
    coefficient, rest = arg.as_coeff_Mul()
    if rest == 1:
        return Term(S.One, {call("exp", arg): S.One} if arg != 0 else {}, frozenset())
    is_log = isinstance(rest, Elementwise) and rest.row.name == "log"
    base = rest.args[0] if is_log else call("exp", rest)
    return Term(S.One, {base: coefficient}, frozenset())


def _settle(terms: list[Term], split: bool) -> list[Term]:
    """Deltas contracted and whole powers of sums multiplied out, as long as there are any."""
    settled = []
    for term in map(_contract_deltas, terms):
        tall = [
            b for b, e in term.powers.items() if isinstance(b, Add) and e.is_Rational and e >= 1
        ]
        if not tall:
            settled.append(term)
            continue
        whole = {b: floor(term.powers[b]) for b in tall}
        rest = {b: e - whole.get(b, Integer(0)) for b, e in term.powers.items()}
        rest = {b: e for b, e in rest.items() if e != 0}
        parts = [[Term(term.coefficient, rest, term.dummies)]]
        parts += [_expand(b, split) for b, n in whole.items() for _ in range(int(n))]
        settled += _settle(_product(parts), split)
        if len(settled) > MOST_TERMS:
            raise TooLarge
    return settled


def _contract_deltas(term: Term) -> Term:
    """Σ_d δ_id f_d = f_i; a delta between free indices stays, and says the others' letter."""
    done: Powers = {}
    while True:
        found = next((b for b, e in term.powers.items() if _is_delta(b, e)), None)
        if found is None:
            return Term(term.coefficient, term.powers | done, term.dummies)
        i, j = found.args
        keep, drop = (j, i) if i in term.dummies else (i, j)
        powers: Powers = {}
        for base, exponent in term.powers.items():
            if base != found:
                moved = base.xreplace({drop: keep})
                powers[moved] = powers.get(moved, S.Zero) + exponent
        powers.pop(S.One, None)
        if drop not in term.dummies:
            done[found] = S.One
        term = Term(term.coefficient, powers, term.dummies - {drop})


def _is_delta(base: Expr, exponent: Expr) -> bool:
    """A delta to a positive power is the delta; below a fraction line it is what it is."""
    return isinstance(base, KroneckerDelta) and bool(exponent.is_positive)


def _close(term: Term) -> Expr:
    """The term as an expression, each connected component of its dummies a sum of its own."""
    carried = {b: [i for i in free_indices(b) if i in term.dummies] for b in term.powers}
    used = {i for found in carried.values() for i in found}
    counts = Mul(*(d.size for d in term.dummies if d not in used))
    outside = Mul(*(Pow(b, e) for b, e in term.powers.items() if not carried[b]))
    groups = connected(carried.values())
    sums = [
        Contraction(
            Mul(
                *(
                    Pow(b, e)
                    for b, e in term.powers.items()
                    if carried[b] and carried[b][0] in group
                )
            ),
            *sorted(group, key=lambda i: (i.rank, i.name)),
        )
        for group in groups
    ]
    return Mul(term.coefficient, counts, outside, *sums)


def connected(links: Iterable[Iterable[Index]]) -> list[set[Index]]:
    """Indices that some factor carries together, transitively."""
    groups: list[set[Index]] = []
    for link in map(set, links):
        touching = [g for g in groups if g & link]
        groups = [g for g in groups if not g & link]
        if link:
            groups.append(link.union(*touching))
    return groups


def is_zero(expr: Expr) -> bool:
    """Is the expression zero, as far as the normal form can tell? Denominators are cleared."""
    form = normal(expr, split_exp=True)
    for _ in range(8):
        clearing = _denominators(form)
        if form == 0 or not clearing:
            break
        terms = [t * Term(S.One, clearing, frozenset()) for t in _expand(form, True)]
        form = Add(*(_close(t) for t in _settle(terms, True)))
    return bool(form == 0)


def _denominators(form: Expr) -> Powers:
    """Sums in denominators outside every contraction, with the powers that clear them."""
    powers: Powers = {}
    for factor in (f for term in Add.make_args(form) for f in Mul.make_args(term)):
        base, exponent = factor.as_base_exp()
        if exponent.is_Rational and exponent < 0 and isinstance(base, Add):
            powers[base] = max(powers.get(base, S.Zero), Integer(-floor(Rational(exponent))))
    return powers
