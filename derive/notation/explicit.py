"""From the tree to what a strict writer puts on paper: dummies get letters, ones are written out.

The tree has no one-tensor. On paper each summed letter stands in at least two factors of its
product, and each term of a sum has all its indices; where that is not so, a `1` with the letter is
put in. What comes out can be read again and means the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeGuard

from sympy import Add, Expr, KroneckerDelta, Mul, Pow, Rational, S

from derive.notation.conditions import Iverson, Pick, Position, choices
from derive.notation.functions import Elementwise
from derive.notation.known import parts_of
from derive.notation.nodes import (
    Bound,
    Component,
    Contraction,
    Differentiate,
    Extremum,
    Index,
    Partial,
    Scalar,
    Size,
    free_indices,
    rename,
)
from derive.notation.op import is_gradient
from derive.notation.written import (
    Base,
    Bracket,
    Call,
    Choice,
    Factor,
    Largest,
    Ones,
    Operator,
    Product,
    Sum,
)

_MOST_WRITTEN = 1 << 15  # expressions of which it is remembered how they are written
_TENSORS = (Component, KroneckerDelta, Partial, Position)


def explicit(expr: Expr, free: Sequence[Index], letters: Sequence[Index]) -> Sum:
    """The expression as written where `free` stand on the left; dummies take `letters`."""
    return _Writer(letters).sum(expr, tuple(free), set(free))


def summands(total: Expr, free: Sequence[Index], *, in_brackets: bool) -> list[Expr]:
    """The terms of a sum in the order in which they are written."""
    writer, parts = _Writer(()), Add.make_args(total)
    terms = [writer.product(t, tuple(free), set(free), len(parts) == 1) for t in parts]
    ordered = sorted(zip(parts, terms, strict=True), key=_term_key)
    if in_brackets:
        ordered.sort(key=lambda pair: _simplicity(pair[1]))
    return [part for part, _ in ordered]


def multiplicands(product: Expr) -> list[Expr]:
    """The factors of a product in the order in which they are written."""
    return sorted(Mul.make_args(product), key=_factor_key)


class _Writer:
    def __init__(self, letters: Sequence[Index]) -> None:
        self.letters = letters

    def sum(self, expr: Expr, free: tuple[Index, ...], taken: set[Index]) -> Sum:
        """Terms; each takes letters of its own, so two terms may use the same."""
        if not parts_of(expr, Bound):
            return _unbound(expr, free)
        return self.terms(expr, free, taken)

    def terms(self, expr: Expr, free: tuple[Index, ...], taken: set[Index]) -> Sum:
        """Terms, whether or not they bind indices."""
        pairs, parts = choices(expr) if parts_of(expr, Iverson) else ([], Add.make_args(expr))
        parts = [p for p in parts if p != 0]
        alone = len(parts) + len(pairs) == 1
        chosen = [self._choice(*pair, free, set(taken)) for pair in pairs]
        terms = [self.product(t, free, set(taken), alone) for t in parts]
        ordered = sorted(zip(parts, terms, strict=True), key=_term_key)
        return Sum((*chosen, *(t for _, t in ordered)))

    def _choice(
        self,
        condition: Iverson,
        taken: Expr,
        other: Expr,
        free: tuple[Index, ...],
        used: set[Index],
    ) -> Product:
        """[c] a + [not c] b; between numbers, with the ones that the condition lacks."""
        bracket = self._bracket(condition, used)
        branches = [
            self.sum(branch, free if _is_tensor(branch) else (), set(used))
            for branch in (taken, other)
        ]
        numbers, told = not any(map(_is_tensor, (taken, other))), _told(free_indices(condition))
        ones = [Factor(Ones(i)) for i in _told(free) if numbers and i not in told]
        return Product(False, S.One, (*ones, Factor(Choice(bracket, *branches))))

    def bracket(self, expr: Expr, taken: set[Index]) -> Sum:
        """A sum that is a factor: all its letters in each term, the simplest term first."""
        if not parts_of(expr, Bound):
            taken.update(free_indices(expr))
            return _unbound_bracket(expr)
        inner = self.sum(expr, tuple(free_indices(expr)), taken)
        taken.update(_letters_of(inner))
        return _simplest_first(inner)

    def product(
        self, term: Expr, free: tuple[Index, ...], taken: set[Index], alone: bool
    ) -> Product:
        """One product, its sums merged into it, with the ones that its letters need."""
        factors, dummies = _picked(*self._flatten(term, taken))
        number = Mul(*(f for f in factors if f.is_Rational))
        factors = [f for f in factors if not f.is_Rational]
        written = tuple(self._factor(f, taken) for f in sorted(factors, key=_factor_key))
        carried = Counter(i for f in factors for i in dict.fromkeys(_carries(f)))
        is_tensor = bool(dummies or any(parts_of(term, kind) for kind in _TENSORS))
        ones = [i for i in _told(free) if i not in carried and (alone or is_tensor)]
        for dummy in dummies:
            ones += [dummy] * max(
                _are_apart(dummy, factors), 2 - carried[dummy] - _repeats(dummy, factors)
            )
        if len(written) > 1:
            written = tuple(map(_in_brackets, written))
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
            named = [self._letter(d, taken) for d in factor.dummies]
            body = rename(factor.body, dict(zip(factor.dummies, named, strict=True)))
            inner, more = self._flatten(body, taken)
            factors += inner
            dummies += named + more
        return factors, dummies

    def _letter(self, dummy: Index, taken: set[Index]) -> Index:
        """The first letter of the dummy's size that is not in use; then letters of no op."""
        names = {i.name for i in taken}
        own = (i for i in self.letters if i.size == dummy.size)
        known = next((i for i in own if i.name not in names), None)
        names |= {i.name for i in self.letters}
        letter = known or next(
            Index(n, dummy.size, 5000 + k) for k, n in enumerate(_alphabet()) if n not in names
        )
        taken.add(letter)
        return letter

    def _factor(self, factor: Expr, taken: set[Index]) -> Factor:
        base, exponent = factor.as_base_exp() if isinstance(factor, Pow) else (factor, S.One)
        return Factor(self._base(base, taken), exponent)

    def _base(self, base: Expr, taken: set[Index]) -> Base:
        if isinstance(base, Elementwise):
            shared = tuple(_carries(base))
            args = tuple(self.sum(a, shared, taken) for a in base.args)
            for written, arg in zip(args, base.args, strict=True):
                bound = parts_of(arg, Bound)
                taken.update(_letters_of(written) if bound else free_indices(arg))
            return Call(base, args)
        if isinstance(base, Iverson):
            return self._bracket(base, taken)
        if isinstance(base, Extremum):
            return self._extremum(base, taken)
        if isinstance(base, Differentiate):
            if isinstance(base.expr, Component):
                return Partial(base.expr, base.wrt)
            return Operator(base.wrt, self.sum(base.expr, tuple(free_indices(base.expr)), taken))
        if isinstance(base, (Add, Mul, Contraction)):
            return _unwrapped(self.bracket(base, taken))
        return base

    def _bracket(self, base: Iverson, taken: set[Index]) -> Bracket | Iverson:
        """A condition; where a label picks a value of an index, it is a delta."""
        if base.picks is not None and not base.only_asks:
            return base
        sides = base.filled.written
        left, right = (self.sum(s, _broadcast(s), taken) for s in sides[::2])
        taken.update(_letters_of(left), _letters_of(right))
        return Bracket(left, sides[1], right, base.holds)

    def _extremum(self, base: Extremum, taken: set[Index]) -> Largest:
        body, opened = base.open()
        named = [self._letter(d, taken) for d in opened]
        inside = body.xreplace(dict(zip(opened, named, strict=True)))
        written = self.sum(inside, tuple(free_indices(inside)), taken)
        return Largest(base.word, tuple(named), written)


@lru_cache(maxsize=_MOST_WRITTEN)
def _unbound(expr: Expr, free: tuple[Index, ...]) -> Sum:
    """What binds no index is written in one way, whatever letters are taken."""
    return _Writer(()).terms(expr, free, set(free))


@lru_cache(maxsize=_MOST_WRITTEN)
def _unbound_bracket(expr: Expr) -> Sum:
    return _simplest_first(_unbound(expr, tuple(free_indices(expr))))


def _simplest_first(written: Sum) -> Sum:
    return Sum(tuple(sorted(written.terms, key=_simplicity)))


def _in_brackets(factor: Factor) -> Factor:
    """What a factor differentiates stands in the order of a bracket, not of an equation."""
    if not isinstance(factor.base, Operator):
        return factor
    return replace(factor, base=replace(factor.base, body=_simplest_first(factor.base.body)))


def _simplicity(term: Product) -> tuple[bool, int]:
    return term.negative, _degree(term)


def _unwrapped(written: Sum) -> Base:
    """`where(…)` stands without brackets around it, as does the one value that a label picks."""
    if len(written.terms) == 1:
        (term,) = written.terms
        alone = term == Product(False, S.One, term.factors) and len(term.factors) == 1
        if alone and term.factors[0].exponent == 1:
            base = term.factors[0].base
            return base if isinstance(base, Choice | Component) else written
    return written


def _is_tensor(expr: Expr) -> bool:
    return bool(expr.atoms(Component, KroneckerDelta, Partial))


def _broadcast(side: Expr) -> tuple[Index, ...]:
    """The indices that each term of a side has: `i - j` is written as it stands."""
    return () if side.atoms(Position) else tuple(free_indices(side))


def _picked(factors: list[Expr], dummies: list[Index]) -> tuple[list[Expr], list[Index]]:
    """Σ_c [c = t_b] x_bc is x_{b t_b}; Σ_c [c = s - k] x_bc is x_{b s-k}."""
    told = [f for f in factors if isinstance(f, Iverson) and not f.only_asks]
    pairs = [(f, d) for f in told for d in dummies]
    for bracket, index in sorted(pairs, key=lambda pair: -_axes(pair[1], factors)):
        label = bracket.solved_for(index)
        others = [f for f in factors if f is not bracket]
        if label is not None and any(_axes(index, [f]) for f in others):
            put = _put(index, label, others)
            return _picked([f.xreplace(put) for f in others], [d for d in dummies if d != index])
    return factors, dummies


def _put(index: Index, label: Expr, factors: Iterable[Expr]) -> dict[Index, Index]:
    """What stands in the place of an index, also within what stands in the place of another."""
    here = {Position(index): label}
    picks = {p for f in factors for c in f.atoms(Component) for p in c.indices if _is_pick(p)}
    inside = {p: Pick(p, p.label.xreplace(here)) for p in picks if p.label.has(Position(index))}
    return {index: Pick(index, label), **inside}


def _is_pick(index: Index) -> TypeGuard[Pick]:
    return isinstance(index, Pick)


def _axes(index: Index, factors: Iterable[Expr]) -> int:
    """How many axes the largest component has that carries the index; 0 if none does."""
    components = (c for f in factors for c in f.atoms(Component) if index in c.indices)
    return max((len(c.indices) for c in components), default=0)


def _letters_of(written: Sum) -> Iterable[Index]:
    """The letters used anywhere in a written sum."""
    for base in (factor.base for term in written.terms for factor in term.factors):
        if isinstance(base, Sum):
            yield from _letters_of(base)
        elif isinstance(base, Call | Bracket | Choice | Largest):
            yield from base.letters if isinstance(base, Largest) else ()
            for part in base.sums:
                yield from _letters_of(part)
        elif isinstance(base, Ones):
            yield base.index
        elif isinstance(base, Expr):
            yield from free_indices(base)


def _degree(term: Product) -> int:
    """How many factors stand above the line, ones not counted."""
    return sum(not isinstance(f.base, Ones) for f in term.above)


def _carries(factor: Expr) -> list[Index]:
    """The free letters of a factor, those of its labels too."""
    return _told(free_indices(factor))


def _told(found: Sequence[Index]) -> list[Index]:
    """Letters, those of a label in its place."""
    own = [i for i in found if not isinstance(i, Pick)]
    picks = [i for p in found if isinstance(p, Pick) for i in free_indices(p.label)]
    return own + [i for i in dict.fromkeys(picks) if i not in own]


def _are_apart(dummy: Index, factors: Iterable[Expr]) -> bool:
    """Would each factor that carries a letter be a sum by itself, as x_{b t_b} is?"""
    carriers = [f.as_base_exp()[0] for f in factors if dummy in _carries(f)]
    return len(carriers) > 1 and all(
        isinstance(c, Component) and _times(dummy, c) > 1 for c in carriers
    )


def _times(letter: Index, component: Component) -> int:
    """How often it stands in the brackets of a component."""
    labels = (i.label for i in component.indices if isinstance(i, Pick))
    return component.indices.count(letter) + sum(letter in free_indices(k) for k in labels)


def _repeats(dummy: Index, factors: Iterable[Expr]) -> int:
    """A component that repeats a letter counts twice."""
    return sum(isinstance(f, Component) and f.indices.count(dummy) > 1 for f in factors)


@lru_cache(maxsize=_MOST_WRITTEN)
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
    order: tuple[type, ...] = (
        *(Rational, Size, Scalar, Partial, Elementwise, Extremum, Add, Iverson, KroneckerDelta),
    )
    places = (0, 1, 1, 3, 5, 5, 6, 7, 7)
    kind = next((p for t, p in zip(order, places, strict=True) if isinstance(base, t)), 6)
    kind = 7 if is_delta(base) else kind
    return (kind, 0, 0, _ranks(free_indices(base)), base.sort_key())


def is_delta(base: object) -> bool:
    """A Kronecker delta, another bracket, or ∂t_ij/∂t_pq, which is a product of deltas."""
    if isinstance(base, Bracket | Iverson):
        return True
    own = isinstance(base, Partial) and base.of.tensor == base.wrt.tensor
    return own or isinstance(base, KroneckerDelta)


def _ranks(indices: Iterable[Index]) -> tuple[int, ...]:
    return tuple(i.rank for i in indices)


def _term_key(pair: tuple[Expr, Product]) -> tuple[object, ...]:
    """Positive first, then fewer sums, then as the gradients were defined, larger tensors first."""
    term, written = pair
    return (written.negative, written.summed, *_key_of_term(term))


@lru_cache(maxsize=_MOST_WRITTEN)
def _key_of_term(term: Expr) -> tuple[object, ...]:
    components = sorted(parts_of(term, Component), key=lambda c: (-len(c.indices), c.tensor.rank))
    gradients = [c.tensor.rank for c in components if is_gradient(c)]
    sizes = [-len(c.indices) for c in components]
    ranks = [c.tensor.rank for c in components]
    return (gradients, sizes or [0], ranks, term.sort_key())


def _alphabet() -> Iterable[str]:
    yield from "rstuwijklnmpqcdefgabhvzxyo"
    number = 1
    while True:
        yield f"r{number}"
        number += 1
