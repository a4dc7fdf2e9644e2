"""Terms taken apart: number × Π base^power, summed over dummies; and names for such products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sympy import Expr, Mul, Pow, S

from derive.notation.nodes import Component, Contraction, Index, free_indices, rename
from derive.rewrite import everywhere
from derive.simplify.collect import common_number, meet
from derive.simplify.laws import OUTSIDE, separated
from derive.simplify.matching import match

Powers = dict[Expr, Expr]


@dataclass(frozen=True)
class Monomial:
    """number × Π base^power, summed over `dummies`."""

    number: Expr
    powers: Powers
    dummies: tuple[Index, ...] = ()

    def expr(self) -> Expr:
        total = separated(product_of(self.powers), self.dummies)
        return Mul(self.number, everywhere(OUTSIDE.apply, total))

    def divided(self, parts: Powers) -> Monomial:
        left = {b: e - parts.get(b, S.Zero) for b, e in self.powers.items()}
        return replace(self, powers={b: e for b, e in left.items() if e != 0})

    def times(self, base: Expr, power: Expr = S.One) -> Monomial:
        powers = self.powers | {base: self.powers.get(base, S.Zero) + power}
        return replace(self, powers={b: e for b, e in powers.items() if e != 0})

    def carrying(self, dummy: Index) -> Powers:
        """The factors that carry a dummy."""
        return {b: e for b, e in self.powers.items() if dummy in free_indices(b)}


@dataclass(frozen=True)
class Pattern:
    """`target` stands for the product `powers`, summed over `dummies`, in letters of the target."""

    target: Component
    powers: Powers
    dummies: tuple[Index, ...] = ()

    @property
    def expr(self) -> Expr:
        return Contraction(product_of(self.powers), *self.dummies)


def product_of(powers: Powers) -> Expr:
    return Mul(*(Pow(b, e) for b, e in powers.items()))


def monomial(term: Expr) -> Monomial:
    """The term, every sum in its product opened."""
    number, rest = term.as_coeff_Mul()
    powers: Powers = {}
    dummies: list[Index] = []
    for factor in _opened(rest, dummies):
        base, exponent = factor.as_base_exp()
        powers[base] = powers.get(base, S.Zero) + exponent
    return Monomial(number, {b: e for b, e in powers.items() if e != 0}, tuple(dummies))


def _opened(product: Expr, dummies: list[Index]) -> Iterator[Expr]:
    for part in Mul.make_args(product):
        if isinstance(part, Contraction):
            body, opened = part.open()
            dummies += opened
            yield from _opened(body, dummies)
        else:
            yield part


def in_front(terms: list[Monomial]) -> tuple[Expr, list[Monomial]]:
    """What all terms share that carries no dummy, and what is left of them."""
    free = [
        {b: e for b, e in t.powers.items() if not set(free_indices(b)) & set(t.dummies)}
        for t in terms
    ]
    shared = meet(free)
    number = common_number([t.number for t in terms])
    rest = [replace(t.divided(shared), number=t.number / number) for t in terms]
    return Mul(number, product_of(shared)), rest


# -- names in place of products -------------------------------------------------------------------


def folded(term: Monomial, pattern: Pattern) -> Monomial:
    """The term with the name in place of the product, as often as that occurs."""
    for _ in range(8):
        found = next(_instances(term, pattern), None)
        if found is None:
            break
        mapping, parts, gone = found
        left = tuple(d for d in term.dummies if d not in gone)
        term = replace(term.divided(parts), dummies=left).times(rename(pattern.target, mapping))
    return term


def _instances(
    term: Monomial, pattern: Pattern
) -> Iterator[tuple[dict[Index, Index], Powers, tuple[Index, ...]]]:
    """Letters for which the term holds the product of the pattern, and the dummies of its sum."""
    letters = pattern.target.indices
    if pattern.dummies:
        for dummy in term.dummies:
            parts = term.carrying(dummy)
            mapping = match(pattern.expr, letters, Contraction(product_of(parts), dummy))
            if mapping is not None:
                yield mapping, parts, (dummy,)
        return
    lead = max(pattern.powers, key=lambda base: len(free_indices(base)))
    if set(free_indices(lead)) != set(letters):
        return
    for base in term.powers:
        mapping = match(lead, letters, base)
        if mapping is None:
            continue
        parts = {rename(b, mapping): e for b, e in pattern.powers.items()}
        if all(_holds(term.powers.get(b, S.Zero), e) for b, e in parts.items()):
            yield mapping, parts, ()


def _holds(power: Expr, wanted: Expr) -> bool:
    """Is there as much of a factor as is wanted, on the same side of the fraction line?"""
    if not (power.is_Rational and wanted.is_Rational):
        return power == wanted
    return bool(power >= wanted > 0 or power <= wanted < 0)
