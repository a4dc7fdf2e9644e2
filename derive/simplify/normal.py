"""The normal form: for deciding and comparing, never for printing or computing.

An expression becomes a sum of terms; a term is a coefficient, factors with powers and a set of
dummies. Products are multiplied out, deltas over dummies contracted, a dummy that nothing carries
becomes its size, dummies fall into connected components, so that what a sum does not depend on
stands outside it. Equal normal forms mean equal expressions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, reduce
from itertools import islice
from itertools import product as cartesian

from sympy import Add, Expr, Integer, KroneckerDelta, Mul, Pow, S, floor

from derive.notation.conditions import AT_MOST, LESS, Iverson, iverson
from derive.notation.effort import spend
from derive.notation.functions import Elementwise
from derive.notation.known import size_of
from derive.notation.nodes import Contraction, Extremum, Index, Size, free_indices
from derive.simplify.brackets import counted_once, picked, with_one_value

MOST_TERMS = 2000
_CLOSING, _NODES = 8, 4  # to close a term costs so much, and 1 for each so many nodes in it
_MOST_CHOICES = 64  # of dummies, where factors are looked for in a term


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

    def close(self) -> Expr:
        """The term as an expression, each connected component of its dummies a sum of its own."""
        spend(_CLOSING + sum(map(size_of, self.powers)) // _NODES)
        carried = {b: [i for i in free_indices(b) if i in self.dummies] for b in self.powers}
        used = {i for found in carried.values() for i in found}
        counts = Mul(*(d.size for d in self.dummies if d not in used))
        outside = Mul(*(Pow(b, e) for b, e in self.powers.items() if not carried[b]))
        groups = connected(carried.values())
        sums = [
            _total(
                [
                    Pow(b, e)
                    for b, e in self.powers.items()
                    if carried[b] and carried[b][0] in group
                ],
                group,
            )
            for group in groups
        ]
        return Mul(self.coefficient, counts, outside, *sums)


def _total(factors: list[Expr], dummies: Iterable[Index]) -> Expr:
    """Σ over the dummies of the product; one that was closed before, in other letters, is known."""
    ordered = sorted(dummies, key=_by_rank)
    places = {d: Index(f"_f{k}", d.size, 3_000_000 + k) for k, d in enumerate(ordered)}
    return _closed(Mul(*(f.xreplace(places) for f in factors)), tuple(places.values()))


@lru_cache(maxsize=20_000)
def _closed(body: Expr, dummies: tuple[Index, ...]) -> Expr:
    return Contraction(body, *dummies)


def normal(expr: Expr) -> Expr:
    """The normal form."""
    return _PLAIN.normal(expr)


class NormalForm:
    """What each node becomes. A form that knows more laws overrides what they are about."""

    def normal(self, expr: Expr) -> Expr:
        """The normal form."""
        return Add(*(t.close() for t in self.settle(self.expand(expr))))

    def expand(self, expr: Expr) -> list[Term]:
        """The terms of an expression, as they come."""
        spend(1)
        if _is_coefficient(expr):
            return [constant(expr)] if expr != 0 else []
        if isinstance(expr, Add):
            return [t for a in expr.args for t in self.expand(a)]
        if isinstance(expr, Mul):
            return product(self.expand(a) for a in expr.args)
        if isinstance(expr, Pow):
            return self.power(expr.base, _flat(expr.exp))
        if isinstance(expr, Contraction):
            body, dummies = expr.open()
            more = frozenset(dummies)
            return [Term(t.coefficient, t.powers, t.dummies | more) for t in self.expand(body)]
        if isinstance(expr, Elementwise):
            return self.function(expr)
        if isinstance(expr, Iverson):
            return self.bracket(expr)
        if isinstance(expr, Extremum):
            return self.extremum(expr)
        return [factor(expr)]

    def bracket(self, expr: Iverson) -> list[Term]:
        """[not c] = 1 - [c]; [a <= b] = 1 - [b < a]."""
        left, right = self.normal(expr.left), self.normal(expr.right)
        swapped = expr.relation == AT_MOST
        if swapped:
            left, right = right, left
        found = self.compared(LESS if swapped else expr.relation, left, right)
        if expr.holds != swapped:
            return found
        return [constant(S.One), *(constant(S.NegativeOne) * t for t in found)]

    def compared(self, relation: str, left: Expr, right: Expr) -> list[Term]:
        """[left relation right], the sides in normal form."""
        found = iverson(relation, left, right)
        return [factor(found)] if isinstance(found, Iverson) else self.expand(found)

    def extremum(self, expr: Extremum) -> list[Term]:
        """max …, its body in normal form."""
        body, dummies = expr.open()
        found = expr.func(self.normal(body), *dummies)
        return [factor(found)] if isinstance(found, Extremum) else self.expand(found)

    def power(self, base: Expr, exponent: Expr) -> list[Term]:
        """base^exponent: multiplied out if it is whole and positive."""
        if exponent.is_Integer and exponent > 0:
            return product(self.expand(base) for _ in range(int(exponent)))
        inside = self.normal(base)
        if not isinstance(inside, Add):
            return [self.monomial_power(inside, exponent)]
        content, inside = inside.primitive()
        return [numeric_power(content, exponent) * factor(inside, exponent)]

    def monomial_power(self, base: Expr, exponent: Expr) -> Term:
        """(c Π f^k)^n = c^n Π f^(kn) for whole n; otherwise only what is positive comes out."""
        coefficient, factors = base.as_coeff_mul()
        pairs = [f.as_base_exp() for f in factors]
        outside = [(b, e) for b, e in pairs if exponent.is_Integer or isinstance(b, Size)]
        rest = Mul(*(Pow(b, e) for b, e in pairs if (b, e) not in outside))
        if coefficient.is_negative and not exponent.is_Integer:
            coefficient, rest = -coefficient, -rest
        powers = [factor(b, e * exponent) for b, e in outside]
        inside = [factor(rest, exponent)] if rest != 1 else []
        return product_of([numeric_power(coefficient, exponent), *powers, *inside])

    def function(self, expr: Elementwise) -> list[Term]:
        """f(…), its arguments in normal form."""
        return [factor(expr.func(*map(self.normal, expr.args)))]

    def settle(self, terms: list[Term]) -> list[Term]:
        """Deltas contracted and whole powers of sums multiplied out, as long as there are any."""
        settled = []
        for term in map(contract_deltas, terms):
            tall = [
                b for b, e in term.powers.items() if isinstance(b, Add) and e.is_Rational and e >= 1
            ]
            if not tall:
                settled.append(term)
                continue
            settled += self.settle(self.multiplied_out(term, tall))
            if len(settled) > MOST_TERMS:
                raise TooLarge
        return settled

    def multiplied_out(self, term: Term, tall: Iterable[Expr]) -> list[Term]:
        """The whole part of the powers of some bases as products."""
        whole = {b: whole_part(term.powers[b]) for b in tall}
        rest = product_of([term, *(factor(b, Integer(-n)) for b, n in whole.items())])
        return product([[rest], *(self.expand(b) for b, n in whole.items() for _ in range(n))])


_PLAIN = NormalForm()


def constant(number: Expr) -> Term:
    """A number as a term."""
    return Term(number, {}, frozenset())


def factor(base: Expr, exponent: Expr = S.One) -> Term:
    """base^exponent as a term."""
    return Term(S.One, {base: _flat(exponent)}, frozenset())


def _flat(exponent: Expr) -> Expr:
    """2 (p + 1) = 2 p + 2, so that equal exponents look equal."""
    return exponent if exponent.is_Number else exponent.expand()


def whole_part(exponent: Expr) -> int:
    """⌊n⌋ of an exponent n + k, k symbolic."""
    return int(floor(exponent.as_coeff_Add()[0]))


def numeric_power(number: Expr, exponent: Expr) -> Term:
    """number^exponent; SymPy never ends asking whether a symbolic exponent of 1 is infinite."""
    if number == 1:
        return constant(S.One)
    if not exponent.is_number:
        return factor(number, exponent)
    return constant(number**exponent)


def product(factors: Iterable[list[Term]]) -> list[Term]:
    """Sums of terms multiplied out."""

    def times(left: list[Term], right: list[Term]) -> list[Term]:
        if len(left) * len(right) > MOST_TERMS:
            raise TooLarge
        spend(len(left) * len(right))
        return [a * b for a in left for b in right]

    return reduce(times, factors, [constant(S.One)])


def product_of(terms: Iterable[Term]) -> Term:
    """The product of terms."""
    return reduce(Term.__mul__, terms, constant(S.One))


Key = tuple[frozenset[tuple[Expr, Expr]], frozenset[Index]]


def merged(known: dict[Key, Term], terms: Iterable[Term]) -> dict[Key, Term]:
    """The terms added to those that are known."""
    for term in terms:
        key = (frozenset(term.powers.items()), term.dummies)
        old = known.pop(key, None)
        total = term.coefficient + (old.coefficient if old is not None else S.Zero)
        if total != 0:
            known[key] = Term(total, term.powers, term.dummies)
    return known


def quotient(term: Term, lead: Term) -> Term | None:
    """The term without the factors of `lead`, sums and all, if they are in it."""
    own = sorted(lead.dummies, key=_by_rank)
    choices = [sorted((d for d in term.dummies if d.size == i.size), key=_by_rank) for i in own]
    for chosen in islice(cartesian(*choices), _MOST_CHOICES):
        if len(set(chosen)) == len(chosen):
            found = _quotient(term, lead, dict(zip(own, chosen, strict=True)))
            if found is not None:
                return found
    return None


def _quotient(term: Term, lead: Term, chosen: dict[Index, Index]) -> Term | None:
    powers = dict(term.powers)
    for base, exponent in lead.powers.items():
        moved = base.xreplace(chosen)
        if not isinstance(base, Size) and not _holds(powers.get(moved), exponent):
            return None
        powers[moved] = powers.get(moved, S.Zero) - exponent
    powers = {b: e for b, e in powers.items() if e != 0}
    gone = set(chosen.values())
    if gone and any(gone & set(free_indices(b)) for b in powers):
        return None
    return Term(term.coefficient / lead.coefficient, powers, term.dummies - gone)


def _by_rank(index: Index) -> tuple[int, str]:
    return index.rank, index.name


def _holds(exponent: Expr | None, part: Expr) -> bool:
    """Is b^part a part of b^exponent?"""
    if exponent is None:
        return False
    left = exponent - part
    return bool(left.is_Rational and (left <= 0 if part.is_negative else left >= 0))


def _is_coefficient(expr: Expr) -> bool:
    """A rational, or a root of one; π and exp(1) are factors like any other."""
    if isinstance(expr, Pow):
        return bool(expr.base.is_Rational and expr.exp.is_Rational)
    return bool(expr.is_Rational)


def contract_deltas(term: Term) -> Term:
    """Σ_d δ_id f_d = f_i; a delta between free indices stays, and says the others' letter.

    Of conditions each counts once; two that exclude each other make the term zero.
    """
    done: Powers = {}
    term = Term(term.coefficient, with_one_value(term.powers), term.dummies)
    while True:
        found = next((b for b, e in term.powers.items() if _is_delta(b, e)), None)
        if found is None:
            return _conditioned(term.coefficient, term.powers | done, term.dummies)
        i, j = found.args
        keep, drop = (j, i) if i in term.dummies else (i, j)
        powers: Powers = {}
        for base, exponent in term.powers.items():
            if base != found:
                moved = base.xreplace({drop: keep})
                powers[moved] = powers.get(moved, S.Zero) + exponent
        if S.Zero in powers:
            return constant(S.Zero)
        powers = {b: e for b, e in powers.items() if b != 1 and e != 0}
        if drop not in term.dummies:
            done[found] = S.One
        term = Term(term.coefficient, with_one_value(powers), term.dummies - {drop})


def _conditioned(coefficient: Expr, powers: Powers, dummies: frozenset[Index]) -> Term:
    once = counted_once(powers)
    return constant(S.Zero) if once is None else Term(coefficient, *picked(once, dummies))


def _is_delta(base: Expr, exponent: Expr) -> bool:
    """A delta to a positive power is the delta; below a fraction line it is what it is."""
    return isinstance(base, KroneckerDelta) and bool(exponent.is_positive)


def connected(links: Iterable[Iterable[Index]]) -> list[set[Index]]:
    """Indices that some factor carries together, transitively."""
    groups: list[set[Index]] = []
    for link in map(set, links):
        touching = [g for g in groups if g & link]
        groups = [g for g in groups if not g & link]
        if link:
            groups.append(link.union(*touching))
    return groups
