"""Identities found, not listed: what the definitions of an op say about a sum over an index.

A sum is simplified by a bounded search: (a) is it the sum that stands in some definition?
(b) otherwise put one factor's definition in, multiply out, and ask (a) of what came out. A result
counts only if no sum is left of it. So Σ_h mu_bh = 0 comes out of mu = x - m and m = Σ x / H as a
theorem with its proof, and nothing here knows these names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import prod
from typing import cast

from sympy import Add, Expr, Mul, Pow, Rational

from derive.notation.conditions import Iverson
from derive.notation.functions import Elementwise
from derive.notation.known import free, operations_in, parts_of
from derive.notation.nodes import (
    Component,
    Contraction,
    Extremum,
    Index,
    Tensor,
    free_indices,
    rename,
)
from derive.notation.op import Equation, Op, holds_gradient
from derive.notation.solution import Solution
from derive.rewrite import Chain, Law, Step
from derive.simplify.laws import COUNT, EXPANDING
from derive.simplify.matching import match
from derive.simplify.normal import TooLarge, normal

_DEPTH = 2  # definitions put in, one inside the other
_MOST_SUMS = 400  # sums looked at for one op
_MOST_OPERATIONS = 30  # in a summand: an identity worth finding is short
_MOST_TERMS = 12  # that a summand multiplies out to


@dataclass(frozen=True)
class Identity:
    """left = right for every value of the inputs, with its proof."""

    left: Expr
    right: Expr
    steps: tuple[Step, ...]
    reason: str = ""  # what of the op it follows from
    symmetry: object = field(default=None, compare=False)  # if that is one, told by whoever prints


@dataclass(frozen=True)
class Fold:
    """`pattern` is what the definition of a tensor calls `value`; `letters` are free in both."""

    pattern: Expr
    letters: tuple[Index, ...]
    value: Expr
    name: str


class Identities:
    """What the definitions of one op imply about sums, searched for once and remembered."""

    def __init__(self, op: Op) -> None:
        self.op = op
        self._known: dict[tuple[Expr, int], Identity | None] = {}

    # -- a definition read from right to left -----------------------------------------------

    @cached_property
    def sums(self) -> tuple[Fold, ...]:
        """Σ = value, from each definition whose right side holds just one sum."""
        return tuple(f for e in self.op.equations if (f := _sum_fold(e)) is not None)

    @cached_property
    def atoms(self) -> tuple[Fold, ...]:
        """f(…) = t, from each definition that is one function or root of something."""
        return tuple(
            Fold(e.expr, e.target.indices, e.target, e.name)
            for e in self.op.equations
            if isinstance(e.expr, Elementwise | Extremum)
            or _is_selected(e.expr)
            or (isinstance(e.expr, Pow) and not e.expr.exp.is_Integer)
        )

    @cached_property
    def folds(self) -> tuple[Law, ...]:
        """Laws that call what a definition has named by its name: exp(x-m) is e again."""
        return tuple(
            Law(
                f"definition of {f.name}",
                r"f(\ldots) = t",
                partial(_folded, f),
                about=type(f.pattern),
            )
            for f in self.atoms
        )

    # -- the search -------------------------------------------------------------------------

    def simplify(self, total: Contraction) -> tuple[Expr, Identity] | None:
        """The sum made simpler by an identity for all of its dummies, or for one of several."""
        found = self._instance(total)
        if found is not None:
            return found
        if len(total.dummies) < 2:
            return None
        body, dummies = total.open()
        for dummy in dummies:
            carrying, others = _split(body, dummy)
            if not self._may_know(carrying):
                continue
            inner = Contraction(Mul(*carrying), dummy)
            found = self._instance(inner) if isinstance(inner, Contraction) else None
            if found is not None:
                left = [d for d in dummies if d != dummy]
                return Contraction(Mul(Mul(*others), found[0]), *left), found[1]
        return None

    def _may_know(self, factors: Iterable[Expr]) -> bool:
        """Could a definition say anything about a sum of these? Asked before there is a sum."""
        tensors = frozenset[Tensor]().union(*(parts_of(f, Tensor) for f in factors))
        return (
            tensors in self._summed
            or not tensors.isdisjoint(self.op.definitions)
            or any(parts_of(f, Add) for f in factors)
        )

    @cached_property
    def _summed(self) -> frozenset[frozenset[Tensor]]:
        """The tensors in each sum that has a name."""
        return frozenset(parts_of(f.pattern, Tensor) for f in self.sums)

    def _instance(self, total: Contraction) -> tuple[Expr, Identity] | None:
        """An identity stands in letters of the op; here it is used for the indices of a sum."""
        if not self._may_know((total.body,)):
            return None
        letters = self._letters(total)
        found = self.reduce(cast(Contraction, rename(total, letters)))
        if found is None:
            return None
        return rename(found.right, {letter: own for own, letter in letters.items()}), found

    def _letters(self, total: Contraction) -> dict[Index, Index]:
        """A letter of the op for each opened dummy that the sum carries."""
        free = free_indices(total)
        chosen: dict[Index, Index] = {}
        for index in (i for i in free if i.is_dummy):
            taken = [*free, *chosen.values()]
            spare = (i for i in self.op.letters if i.size == index.size and i not in taken)
            chosen[index] = next(spare, index)
        return chosen

    def reduce(self, total: Contraction) -> Identity | None:
        """The sum without a sum, if the definitions give it."""
        if holds_gradient(total):
            return None  # a gradient is arbitrary: no definition says anything about it
        if operations_in(total.body) > _MOST_OPERATIONS:
            return None
        for depth in range(_DEPTH + 1):
            found = self._attempt(total, depth)
            if found is not None:
                return found
        return None

    def _attempt(self, total: Contraction, depth: int) -> Identity | None:
        key = (total, depth)
        if key not in self._known:
            if len(self._known) >= _MOST_SUMS:
                return None
            self._known[key] = None  # a sum is no help in its own proof
            self._known[key] = self._named(total) or (self._opened(total, depth) if depth else None)
        return self._known[key]

    def _named(self, total: Contraction) -> Identity | None:
        """(a) The sum of some definition."""
        for fold in self.sums:
            mapping = match(fold.pattern, fold.letters, total)
            if mapping is not None:
                value = rename(fold.value, mapping)
                return Identity(
                    total, value, (Step(f"definition of {fold.name}", "", total, value),)
                )
        return None

    def _opened(self, total: Contraction, depth: int) -> Identity | None:
        """(b) One factor by its definition, and what then follows for the sums that come out."""
        for name, opened in self._openings(total):
            if terms_of(opened) > _MOST_TERMS:
                continue
            chain = Chain(total, total)
            if name:
                chain.record(f"definition of {name}", "", opened)
            chain.run(EXPANDING)
            try:
                right = self._without_sums(chain, depth - 1)
            except TooLarge:
                continue
            if right is not None:
                return Identity(total, right, tuple(chain.steps))
        return None

    def _openings(self, total: Contraction) -> Iterator[tuple[str, Expr]]:
        """The sum itself, to be multiplied out; then with one factor's definition put in."""
        body, dummies = total.open()
        if body.atoms(Add):
            yield "", total
        components = sorted(body.atoms(Component), key=lambda c: (-c.tensor.rank, str(c)))
        for component in components:
            equation = self.op.definitions.get(component.tensor)
            if any(i.is_bound for i in component.indices):
                continue  # it stands in a sum of its own
            if equation is None or isinstance(equation.expr, Solution):
                continue
            if set(component.indices) & set(dummies):
                inside = instantiate(equation, component)
                yield equation.name, Contraction(body.xreplace({component: inside}), *dummies)

    def _without_sums(self, chain: Chain, depth: int) -> Expr | None:
        """The chain's end with every sum replaced by what is known of it; None if one is left."""
        form = normal(chain.expr)
        known: dict[Expr, Expr] = {}
        for total in outer_sums(form):
            found = self._attempt(total, depth)
            if found is None:
                return None
            known[total] = found.right
        visible = [i for t in outer_sums(chain.expr) if (i := self._attempt(t, depth)) is not None]
        replaced = chain.expr.xreplace({i.left: i.right for i in visible})
        lemmas = [step for i in visible if len(i.steps) > 1 for step in i.steps]
        chain.record(_reasons(visible), "", replaced, lemmas)
        chain.apply(COUNT)
        right = normal(form.xreplace(known))
        chain.record("collect", "", right)
        return right if not outer_sums(right) else None


def _reasons(used: Iterable[Identity]) -> str:
    """What a step calls what it uses: a definition by its name, a lemma that has its own proof."""
    laws = (i.steps[0].law if len(i.steps) == 1 else "use an identity" for i in used)
    return ", ".join(dict.fromkeys(laws))


def _folded(fold: Fold, expr: Expr) -> Expr | None:
    """The name of what a definition says, where `expr` is an instance of it."""
    if isinstance(fold.pattern, Pow):
        return _power_of(fold, expr)
    if isinstance(fold.pattern, Mul):
        return _selected(fold, expr)
    mapping = match(fold.pattern, fold.letters, expr)
    return None if mapping is None else rename(fold.value, mapping)


def _is_selected(expr: Expr) -> bool:
    """Is this a function where some conditions hold, else zero?"""
    rest = [f for f in Mul.make_args(expr) if not isinstance(f, Iverson)]
    return isinstance(expr, Mul) and len(rest) == 1 and isinstance(rest[0], Elementwise)


def _selected(fold: Fold, expr: Expr) -> Expr | None:
    """With t = [c] f: t for [c] f in a product."""
    if not isinstance(expr, Mul):
        return None
    (function,) = (f for f in fold.pattern.args if isinstance(f, Elementwise))
    conditions = [f for f in fold.pattern.args if f != function]
    for factor in (f for f in expr.args if type(f) is type(function)):
        mapping = match(function, fold.letters, factor)
        here = [rename(c, mapping) for c in conditions] if mapping is not None else []
        if mapping is not None and set(here) <= set(expr.args):
            rest = (f for f in expr.args if f != factor and f not in here)
            return Mul(rename(fold.value, mapping), *rest)
    return None


def _split(body: Expr, dummy: Index) -> tuple[list[Expr], list[Expr]]:
    """The factors that carry a dummy, and the others."""
    carrying: list[Expr] = []
    others: list[Expr] = []
    for factor in Mul.make_args(body):
        (carrying if dummy in free(factor) else others).append(factor)
    return carrying, others


def instantiate(equation: Equation, component: Component) -> Expr:
    """The right side of a definition, for the indices of one component."""
    return rename(equation.expr, dict(zip(equation.target.indices, component.indices, strict=True)))


def terms_of(expr: Expr) -> int:
    """How many terms an expression multiplies out to, sums in functions and powers left alone."""
    if isinstance(expr, Add):
        return sum(map(terms_of, expr.args))
    if isinstance(expr, Mul):
        return prod(map(terms_of, expr.args))
    if isinstance(expr, Contraction):
        return terms_of(expr.body)
    if isinstance(expr, Pow) and expr.exp.is_Integer and expr.exp > 0:
        return int(terms_of(expr.base) ** min(int(expr.exp), 64))
    return 1


def outer_sums(expr: Expr) -> list[Contraction]:
    """The contractions of an expression that stand inside no other, in SymPy's order."""
    if isinstance(expr, Contraction):
        return [expr]
    found = [c for a in expr.args for c in outer_sums(a)]
    return list(dict.fromkeys(found))


def _sum_fold(equation: Equation) -> Fold | None:
    """From t = c Σ + rest: Σ = (t - rest) / c, if the sum carries all letters of t.

    c divides: it may hold numbers, sizes and divisors, but no tensor that could be zero.
    """
    if isinstance(equation.expr, Solution):
        return None
    try:
        terms = Add.make_args(normal(equation.expr))
    except TooLarge:
        return None
    summed = [t for t in terms if outer_sums(t)]
    if len(summed) != 1:
        return None
    sums = [f for f in Mul.make_args(summed[0]) if isinstance(f, Contraction)]
    rest = Mul(*(f for f in Mul.make_args(summed[0]) if not isinstance(f, Contraction)))
    if len(sums) != 1 or outer_sums(rest) or any(map(_may_be_zero, Mul.make_args(rest))):
        return None
    value = (equation.target - Add(*(t for t in terms if t is not summed[0]))) / rest
    letters = tuple(free_indices(sums[0]))
    if not set(equation.target.indices) <= set(letters):
        return None
    return Fold(sums[0], letters, value, equation.name)


def _may_be_zero(factor: Expr) -> bool:
    base, exponent = factor.as_base_exp()
    return bool(base.atoms(Component)) and not exponent.is_negative


def _power_of(fold: Fold, expr: Expr) -> Expr | None:
    """With t = u^a: u^b is t^(b/a), where that is a whole power."""
    if not isinstance(expr, Pow) or expr.exp.is_Integer:
        return None
    ratio = expr.exp / fold.pattern.exp
    mapping = match(fold.pattern.base, fold.letters, expr.base)
    if mapping is None or not isinstance(ratio, Rational) or not ratio.is_Integer:
        return None
    return Pow(rename(fold.value, mapping), ratio)
