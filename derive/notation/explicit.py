"""From the tree to what a strict writer puts on paper: dummies get letters, ones are written out.

The tree has no one-tensor. On paper each summed letter stands in at least two factors of its
product, and each term of a sum has all its indices; where that is not so, a `1` with the letter is
put in. What comes out can be read again and means the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sympy import Add, Expr, KroneckerDelta, Mul, Pow, Rational, S

from derive.notation.functions import Elementwise
from derive.notation.nodes import (
    Component,
    Contraction,
    Differentiate,
    Index,
    Partial,
    Scalar,
    Size,
    free_indices,
)
from derive.notation.op import is_gradient


@dataclass(frozen=True)
class Ones:
    """A one-tensor with one letter."""

    index: Index


@dataclass(frozen=True)
class Call:
    """A function and its arguments."""

    function: Elementwise
    args: tuple[Sum, ...]


@dataclass(frozen=True)
class Operator:
    """∂/∂t of a sum of terms."""

    wrt: Component
    body: Sum


@dataclass(frozen=True)
class Factor:
    """base^exponent; an exponent is an exact number or an expression of scalars."""

    base: Expr | Ones | Call | Operator | Sum
    exponent: Expr = S.One


@dataclass(frozen=True)
class Product:
    """± number × factors; factors with a negative exponent are the denominator."""

    negative: bool
    number: Expr  # positive
    factors: tuple[Factor, ...]
    summed: int = 0  # how many letters the product sums over

    @property
    def above(self) -> tuple[Factor, ...]:
        return tuple(f for f in self.factors if not _is_negative(f.exponent))

    @property
    def below(self) -> tuple[Factor, ...]:
        return tuple(
            replace(f, exponent=-f.exponent) for f in self.factors if _is_negative(f.exponent)
        )


@dataclass(frozen=True)
class Sum:
    """Terms in the order in which they are written."""

    terms: tuple[Product, ...]


def explicit(expr: Expr, free: Sequence[Index], letters: Sequence[Index]) -> Sum:
    """The expression as written where `free` stand on the left; dummies take `letters`."""
    return _Writer(letters).sum(expr, tuple(free), set(free))


class _Writer:
    def __init__(self, letters: Sequence[Index]) -> None:
        self.letters = letters

    def sum(self, expr: Expr, free: tuple[Index, ...], taken: set[Index]) -> Sum:
        """Terms; each takes letters of its own, so two terms may use the same."""
        parts = Add.make_args(expr) if expr != 0 else ()
        terms = [self.product(t, free, set(taken), alone=len(parts) == 1) for t in parts]
        return Sum(tuple(t for _, t in sorted(zip(parts, terms, strict=True), key=_term_key)))

    def bracket(self, expr: Expr, taken: set[Index]) -> Sum:
        """A sum that is a factor: all its letters in each term, the simplest term first."""
        inner = self.sum(expr, tuple(free_indices(expr)), taken)
        taken.update(_letters_of(inner))
        return Sum(tuple(sorted(inner.terms, key=lambda t: (t.negative, _degree(t)))))

    def product(
        self, term: Expr, free: tuple[Index, ...], taken: set[Index], alone: bool
    ) -> Product:
        """One product, its sums merged into it, with the ones that its letters need."""
        factors, dummies = self._flatten(term, taken)
        number = Mul(*(f for f in factors if f.is_Rational))
        factors = [f for f in factors if not f.is_Rational]
        written = tuple(self._factor(f, taken) for f in sorted(factors, key=_factor_key))
        carried = [i for f in factors for i in _carries(f)]
        is_tensor = bool(dummies or term.atoms(Component, KroneckerDelta, Partial))
        ones = [i for i in free if i not in carried and (alone or is_tensor)]
        for dummy in dummies:
            ones += [dummy] * max(
                0, 2 - sum(dummy in _carries(f) for f in factors) - _repeats(dummy, factors)
            )
        place = sum(isinstance(f.base, Component) and is_gradient(f.base) for f in written)
        placed = written[:place] + tuple(Factor(Ones(i)) for i in ones) + written[place:]
        return Product(bool(number.is_negative), abs(number), placed, len(dummies))

    def _flatten(self, expr: Expr, taken: set[Index]) -> tuple[list[Expr], list[Index]]:
        """The factors of a product, with those of its sums, whose dummies get letters."""
        factors: list[Expr] = []
        dummies: list[Index] = []
        for factor in Mul.make_args(expr):
            if not isinstance(factor, Contraction):
                factors += [factor] if factor != 1 else []
                continue
            body, opened = factor.open()
            named = [self._letter(d, taken) for d in opened]
            inner, more = self._flatten(body.xreplace(dict(zip(opened, named, strict=True))), taken)
            factors += inner
            dummies += named + more
        return factors, dummies

    def _letter(self, dummy: Index, taken: set[Index]) -> Index:
        """The first letter of the dummy's size that is not in use; then letters of no op."""
        names = {i.name for i in taken}
        known = next(
            (i for i in self.letters if i.size == dummy.size and i.name not in names), None
        )
        names |= {i.name for i in self.letters}
        letter = known or next(
            Index(n, dummy.size, 5000 + k) for k, n in enumerate(_alphabet()) if n not in names
        )
        taken.add(letter)
        return letter

    def _factor(self, factor: Expr, taken: set[Index]) -> Factor:
        base, exponent = factor.as_base_exp() if isinstance(factor, Pow) else (factor, S.One)
        return Factor(self._base(base, taken), exponent)

    def _base(self, base: Expr, taken: set[Index]) -> Expr | Ones | Call | Operator | Sum:
        if isinstance(base, Elementwise):
            shared = tuple(free_indices(base))
            args = tuple(self.sum(a, shared, taken) for a in base.args)
            for arg in args:
                taken.update(_letters_of(arg))
            return Call(base, args)
        if isinstance(base, Differentiate):
            if isinstance(base.expr, Component):
                return Partial(base.expr, base.wrt)
            return Operator(base.wrt, self.sum(base.expr, tuple(free_indices(base.expr)), taken))
        if isinstance(base, (Add, Mul, Contraction)):
            return self.bracket(base, taken)
        return base


def _letters_of(written: Sum) -> Iterable[Index]:
    """The letters used anywhere in a written sum."""
    for term in written.terms:
        for factor in term.factors:
            base = factor.base
            if isinstance(base, Sum):
                yield from _letters_of(base)
            elif isinstance(base, Call):
                for arg in base.args:
                    yield from _letters_of(arg)
            elif isinstance(base, Ones):
                yield base.index
            elif isinstance(base, Expr):
                yield from free_indices(base)


def _degree(term: Product) -> int:
    """How many factors stand above the line, ones not counted."""
    return sum(not isinstance(f.base, Ones) for f in term.above)


def _carries(factor: Expr) -> list[Index]:
    """The free letters of a factor."""
    return free_indices(factor)


def _repeats(dummy: Index, factors: Iterable[Expr]) -> int:
    """A component that repeats a letter counts twice."""
    return sum(isinstance(f, Component) and f.indices.count(dummy) > 1 for f in factors)


def _is_negative(exponent: Expr) -> bool:
    return bool(exponent.as_coeff_Mul()[0].is_negative)


def _factor_key(factor: Expr) -> tuple[object, ...]:
    """Numbers, sizes, gradients, Jacobians, tensors of most indices first, brackets, deltas."""
    base = factor.as_base_exp()[0] if isinstance(factor, Pow) else factor
    if isinstance(base, Component):
        kind = 2 if is_gradient(base) else 4
        return (
            kind,
            -len(base.indices) if kind == 4 else 0,
            base.tensor.rank,
            _ranks(base.indices),
        )
    order: tuple[type, ...] = (Rational, Size, Scalar, Partial, Elementwise, Add, KroneckerDelta)
    places = (0, 1, 1, 3, 5, 6, 7)
    kind = next((p for t, p in zip(order, places, strict=True) if isinstance(base, t)), 6)
    kind = 7 if is_delta(base) else kind
    return (kind, 0, 0, _ranks(free_indices(base)), base.sort_key())


def is_delta(base: object) -> bool:
    """A Kronecker delta, or ∂t_ij/∂t_pq, which is a product of them."""
    own = isinstance(base, Partial) and base.of.tensor == base.wrt.tensor
    return own or isinstance(base, KroneckerDelta)


def _ranks(indices: Iterable[Index]) -> tuple[int, ...]:
    return tuple(i.rank for i in indices)


def _term_key(pair: tuple[Expr, Product]) -> tuple[object, ...]:
    """Positive first, then fewer sums, then as the gradients were defined, larger tensors first."""
    term, written = pair
    components = sorted(term.atoms(Component), key=lambda c: (-len(c.indices), c.tensor.rank))
    gradients = [c.tensor.rank for c in components if is_gradient(c)]
    sizes = [-len(c.indices) for c in components]
    ranks = [c.tensor.rank for c in components]
    return (written.negative, written.summed, gradients, sizes or [0], ranks, term.sort_key())


def _alphabet() -> Iterable[str]:
    yield from "rstuwijklnmpqcdefgabhvzxyo"
    number = 1
    while True:
        yield f"r{number}"
        number += 1
