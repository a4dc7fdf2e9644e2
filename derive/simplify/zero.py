"""Is an expression zero? Decided by the normal form, then by one that knows all laws.

Divisors are the hard part: outside all sums they are cleared, inside a sum they are divided by.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from sympy import Add, Expr, Integer, KroneckerDelta, Mul, Rational, S, floor

from derive.notation.effort import Exhausted, bounded
from derive.notation.functions import Elementwise, call
from derive.notation.nodes import Index, Scalar, Size, free_indices, fresh_index
from derive.simplify.elementary import Elementary, Splitting, is_composite
from derive.simplify.normal import (
    MOST_TERMS,
    NormalForm,
    Powers,
    Term,
    TooLarge,
    constant,
    contract_deltas,
    factor,
    merged,
    quotient,
    whole_part,
)

_MOST_CLEARINGS = 8
_MOST_WORK = 100_000  # to take one divisor apart
_MOST_STEPS = 4000  # laws applied to the terms of one expression

_MINUS, _TWO = S.NegativeOne, Integer(2)


def is_zero(expr: Expr) -> bool:
    """Is the expression zero, as far as any law can tell?"""
    return is_plainly_zero(expr) or is_zero_by_laws(expr)


def is_plainly_zero(expr: Expr) -> bool:
    """Is it zero once exponentials are split and denominators outside all sums are cleared?"""
    return _vanishes(expr, _SPLITTING)


def reduced(expr: Expr) -> Expr:
    """The normal form by all laws: a divisor that a numerator holds is divided by."""
    try:
        return _DECIDING.normal(expr)
    except (TooLarge, ZeroDivisionError):
        return expr


def is_zero_by_laws(expr: Expr) -> bool:
    """Is it zero by the laws of functions, roots and divisors, inside sums too?"""
    try:
        return _vanishes(expr, _DECIDING)
    except ZeroDivisionError:
        return False


def _vanishes(expr: Expr, form: NormalForm) -> bool:
    rest = form.normal(expr)
    for _ in range(_MOST_CLEARINGS):
        clearing = _denominators(rest)
        if rest == 0 or not clearing:
            break
        terms = [t * Term(S.One, clearing, frozenset()) for t in form.expand(rest)]
        rest = Add(*(t.close() for t in form.settle(terms)))
    return bool(rest == 0)


def _denominators(form: Expr) -> Powers:
    """Sums in denominators outside every contraction, with the powers that clear them."""
    powers: Powers = {}
    for divisor in (f for term in Add.make_args(form) for f in Mul.make_args(term)):
        base, exponent = divisor.as_base_exp()
        if exponent.is_Rational and exponent < 0 and isinstance(base, Add):
            powers[base] = max(powers.get(base, S.Zero), Integer(-floor(Rational(exponent))))
    return powers


# -- term by term ---------------------------------------------------------------------------------


class Division(NamedTuple):
    """A sum as its leading term and the rest, with dummies that occur nowhere else."""

    lead: Term
    rest: list[Term]


class Deciding(Elementary):
    """Divisors cancel, inside sums too: lead D^e = D^(e+1) - rest D^e, where D = lead + rest."""

    def settle(self, terms: Iterable[Term]) -> list[Term]:
        """The laws of products applied as long as there are any; equal terms are one."""
        waiting, settled = merged({}, map(contract_deltas, terms)), merged({}, ())
        for _ in range(_MOST_STEPS):
            if not waiting:
                return list(settled.values())
            term = waiting.pop(next(iter(waiting)))
            parts = self._step(term)
            if parts is None:
                merged(settled, [term])
            else:
                merged(waiting, map(contract_deltas, parts))
            if len(waiting) + len(settled) > MOST_TERMS:
                break
        raise TooLarge

    def _step(self, term: Term) -> list[Term] | None:
        """One law applied to one term; None if it is settled."""
        tall = [b for b, e in term.powers.items() if is_composite(b) and whole_part(e) > 0]
        if tall:
            return self.multiplied_out(term, tall)
        for base, exponent in term.powers.items():
            parts = self._by_base(term, base, exponent)
            if parts is not None:
                return parts
        return self._partial_fractions(term)

    def _by_base(self, term: Term, base: Expr, exponent: Expr) -> list[Term] | None:
        """The law for base^exponent in a term, if there is one."""
        name = base.row.name if isinstance(base, Elementwise) else ""
        if name == "sign":
            return self._sign_powers(term, base, exponent)
        if name == "sin" and whole_part(exponent) >= 2:
            return _squares_of_sine(term, base)
        if is_composite(base) and whole_part(exponent) < 0:
            return self._divided(term, base)
        return None

    def _sign_powers(self, term: Term, sign: Expr, exponent: Expr) -> list[Term] | None:
        """s³ = s; u s² = u, as a whole or term by term; s = 1 beside a root of u."""
        (u,) = sign.args
        power = term.powers.get(u, S.Zero)
        if power.is_Rational and not power.is_Integer:
            return [term * factor(sign, -exponent)]
        if not exponent.is_Integer:
            return None
        target = S.One if exponent % 2 else S.Zero if power != 0 else _TWO
        if exponent != target:
            return [term * factor(sign, target - exponent)]
        if exponent != 2 or not is_composite(u):
            return None
        return self._led(term, u, [t * factor(sign, -_TWO) for t in self.expand(u)])

    def _divided(self, term: Term, base: Expr) -> list[Term] | None:
        """lead D^e = D^(e+1) - rest D^e."""
        return self._led(term, base, [factor(base)])

    def _led(self, term: Term, base: Expr, whole: list[Term]) -> list[Term] | None:
        """lead m = whole m - rest m in a term that holds `lead`, where base = lead + rest."""
        division = self.division(base)
        found = quotient(term, division.lead) if division is not None else None
        if division is None or found is None:
            return None
        return [*(found * w for w in whole), *(constant(_MINUS) * found * r for r in division.rest)]

    def _partial_fractions(self, term: Term) -> list[Term] | None:
        """(D - E)/(D E) = 1/E - 1/D, where D and E lead with the same and D - E is in the term."""
        divisors = [b for b, e in term.powers.items() if whole_part(e) < 0]
        for first, second in combinations(divisors, 2):
            parts = self._difference(term, first, second)
            if parts is not None:
                return parts
        return None

    def _difference(self, term: Term, first: Expr, second: Expr) -> list[Term] | None:
        one, two = self.division(first), self.division(second)
        if one is None or two is None or one.lead.dummies or one.lead.powers != two.lead.powers:
            return None
        ratio = constant(-one.lead.coefficient / two.lead.coefficient)
        between = list(merged({}, [*one.rest, *(ratio * t for t in two.rest)]).values())
        lead = max(between, key=_weight, default=None)
        found = quotient(term, lead) if lead is not None else None
        if found is None:
            return None
        rest = [constant(_MINUS) * found * t for t in between if t is not lead]
        return [found * factor(first), ratio * found * factor(second), *rest]

    def division(self, base: Expr) -> Division | None:
        """The base as leading term and rest; None for what is constant or holds a delta."""
        if base.atoms(KroneckerDelta):
            return None
        letters = free_indices(base)
        places = {i: Index(f"_f{k}", i.size, 3_000_000 + k) for k, i in enumerate(letters)}
        terms = _led_by_heaviest(self, base.xreplace(places))
        if not terms:
            return None
        back = {p: i for i, p in places.items()}
        lead, *rest = (_renewed(t, back) for t in terms)
        return Division(lead, rest)


@lru_cache(maxsize=4096)
def _led_by_heaviest(form: Deciding, base: Expr) -> tuple[Term, ...]:
    """The terms of a base, the leading one first; none if not even that carries a tensor.

    They are remembered, so whether it is too much work must not depend on what was done before.
    """
    try:
        with bounded(_MOST_WORK, within=False):
            terms = sorted(form.settle(form.expand(base)), key=_weight, reverse=True)
    except Exhausted:
        raise TooLarge from None
    return tuple(terms) if terms and any(_weight(terms[0])[:2]) else ()


def _weight(term: Term) -> tuple[int, int, int, str]:
    """What leads a sum: a term with many letters, of high degree, with few dummies."""
    letters = {i for b in term.powers for i in free_indices(b)} - term.dummies
    degree = sum(
        max(int(e), 1) if e.is_Rational else 1
        for b, e in term.powers.items()
        if not isinstance(b, Size | Scalar)
    )
    bare = Term(S.One, term.powers, term.dummies)
    return len(letters), degree, -len(term.dummies), str(bare.close())


def _renewed(term: Term, back: dict[Index, Index]) -> Term:
    """The term in other letters, its dummies fresh."""
    moved = back | {d: fresh_index(d) for d in term.dummies}
    powers = {b.xreplace(moved): e for b, e in term.powers.items()}
    return Term(term.coefficient, powers, frozenset(moved[d] for d in term.dummies))


def _squares_of_sine(term: Term, sine: Expr) -> list[Term]:
    """sin² = 1 - cos²."""
    rest = term * factor(sine, -_TWO)
    return [rest, constant(_MINUS) * rest * factor(call("cos", sine.args[0]), _TWO)]


_SPLITTING, _DECIDING = Splitting(), Deciding()
