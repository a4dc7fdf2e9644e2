"""Expressions over large tensors as chains of passes, each in the memory of the one before it.

`mu*gamma/sigma + beta` is mu times gamma, over sigma, plus beta. The first pass takes new memory,
unless it begins with a tensor that is new itself or that nothing needs any more. A product that is
added is one pass with its sum. What has fewer axes is multiplied first, in its own few axes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sympy import Add, Expr, KroneckerDelta, Mul, Pow, Rational, S

from derive.notation.conditions import Iverson, choices
from derive.notation.functions import Elementwise
from derive.notation.nodes import Component, Contraction, Index, Tensor, free_indices
from derive.plan.memory import is_new
from derive.plan.order import factor_order, is_divisor, term_order

Space = tuple[Index, ...]
IN_PLACE = frozenset({"exp", "log", "sin", "cos", "tan", "tanh", "sigmoid", "erf", "abs", "relu"})
_POWERS = {Rational(1, 2): "sqrt", S(2): "square"}


@dataclass(frozen=True)
class Step:
    """A pass: what is done with what there is, and with which operands.

    `number` is what the operand of `add`, or the product of `addcmul`, `addcdiv`, is multiplied by.
    """

    word: str
    operands: tuple[Part, ...] = ()
    number: Expr = S.One


@dataclass(frozen=True)
class Chain:
    """Passes one after another; the first takes new memory if `start` is to be kept."""

    start: Part
    steps: tuple[Step, ...]
    in_place: bool

    def then(self, *steps: Step) -> Chain:
        return Chain(self.start, (*self.steps, *steps), self.in_place)


Part: TypeAlias = "Expr | Chain"


@dataclass(frozen=True)
class _Product:
    """A product as operands over the whole space, in the order in which they are multiplied."""

    start: Part
    times: tuple[Part, ...]
    over: tuple[Part, ...]
    number: Expr = S.One  # of numbers and sizes that belong to no operand
    below: Expr = S.One  # what divides of them: a size may be 0, which a tensor is divided by

    @property
    def steps(self) -> tuple[Step, ...]:
        over = self.over if self.below == 1 else (*self.over, self.below)
        found = [Step("mul", (f,)) for f in self.times] + [Step("div", (f,)) for f in over]
        if self.number == -1:
            found.append(Step("neg"))
        elif self.number != 1:
            found.append(Step("mul", (self.number,)))
        return tuple(found)


@dataclass(frozen=True)
class Chains:
    """Plans the expressions of one statement; `spent` are the tensors that it may write over."""

    spent: frozenset[Tensor]

    def chain(self, expr: Expr, space: Space, *, summed: bool = False) -> Part:
        """The expression as a chain, or as it is where it has no passes of its own.

        `summed`: it is a term of a sum, where what cancels must be rounded alike.
        """
        if set(free_indices(expr)) != set(space) or _chooses(expr):
            return expr
        if isinstance(expr, Elementwise | Pow):
            return self._call(expr, space)
        if isinstance(expr, Mul):
            product = self._product(expr, space, summed)
            return expr if product is None else self._begun(product.start, product.steps)
        return self._sum(expr, space) if isinstance(expr, Add) else expr

    def owns(self, part: Part) -> bool:
        """Does the part come in memory that nothing else needs?"""
        if isinstance(part, Chain):
            return True
        if isinstance(part, Component):
            return part.tensor in self.spent
        return is_new(part) and not _chooses(part)

    def _begun(self, start: Part, steps: tuple[Step, ...]) -> Part:
        if not steps:
            return start
        if isinstance(start, Chain):
            return start.then(*steps)
        return Chain(start, steps, self.owns(start))

    # -- functions -------------------------------------------------------------------------------

    def _call(self, expr: Expr, space: Space) -> Part:
        word = _POWERS.get(expr.args[1], "") if isinstance(expr, Pow) else ""
        if isinstance(expr, Elementwise) and expr.row.name in IN_PLACE:
            word = expr.row.name
        if not word:
            return expr
        inner = self.chain(expr.args[0], space)
        return self._begun(inner, (Step(word),)) if isinstance(inner, Chain | Component) else expr

    # -- products --------------------------------------------------------------------------------

    def _product(self, expr: Expr, space: Space, summed: bool) -> _Product | None:
        """None for one that has no factor over the whole space."""
        number, rest = expr.as_coeff_Mul()
        groups: dict[frozenset[Index], list[Expr]] = {}
        for factor in sorted(Mul.make_args(rest), key=factor_order):
            groups.setdefault(frozenset(free_indices(factor)), []).append(factor)
        whole = groups.pop(frozenset(space), [])
        above = [f for f in whole if not is_divisor(f)]
        if not above:
            return None
        scalars = groups.pop(frozenset(), [])
        above, scalars = _with_means(above, scalars)
        front = number * Mul(*scalars)
        times, over = [], [1 / f for f in whole if is_divisor(f)]
        for group in sorted(groups.values(), key=lambda g: all(map(is_divisor, g))):
            if summed and front == 1 and all(map(is_divisor, group)):
                over.append(Mul(*(1 / f for f in group)))
            else:  # what all of a row is divided by is inverted once: to divide takes longer
                times.append(Mul(front, *group))
                front = S.One
        parts = [f if isinstance(f, Mul) else self.chain(f, space) for f in above]
        start = max(parts, key=self._promise)
        parts.remove(start)
        plain = not front.atoms(Component)
        below = [1 / f for f in Mul.make_args(front) if plain and is_divisor(f) and not f.is_number]
        front = Mul(front, *below)
        found = tuple(self.chain(f, space) for f in over)
        return _Product(start, (*parts, *times), found, front, Mul(*below))

    def _promise(self, part: Part) -> int:
        """How good it is to begin with it: it may bring memory of its own."""
        if isinstance(part, Chain):
            return (3 if isinstance(part.start, Component) else 2) if part.in_place else 1
        return (3 if isinstance(part, Component) else 2) if self.owns(part) else 0

    # -- sums ------------------------------------------------------------------------------------

    def _sum(self, expr: Expr, space: Space) -> Part:
        terms = sorted(Add.make_args(expr), key=term_order)
        if choices(expr)[0]:
            return expr
        whole = [t for t in terms if set(free_indices(t)) == set(space) and not _chooses(t)]
        if not whole:
            return expr
        base = max(whole, key=self._worth_of(space))
        rest = [t for t in terms if t is not base]
        if isinstance(self.chain(base, space), Chain) and isinstance(-base, Component):
            base, rest = self._from_a_number(base, rest)
        start = base if isinstance(base, Add) else self.chain(base, space, summed=True)
        return self._begun(start, tuple(self._added(t, space) for t in rest))

    def _from_a_number(self, base: Expr, rest: list[Expr]) -> tuple[Expr, list[Expr]]:
        """1 - t is one pass where t must stay as it is."""
        number = next((t for t in rest if not free_indices(t)), None)
        if number is None or self.owns(-base):
            return base, rest
        return Add(number, base), [t for t in rest if t is not number]

    def _worth_of(self, space: Space) -> Callable[[Expr], tuple[bool, int]]:
        def worth(term: Expr) -> tuple[bool, int]:
            part = self.chain(term, space, summed=True)
            positive = not term.as_coeff_Mul()[0].is_negative
            return positive, self._promise(part)

        return worth

    def _added(self, term: Expr, space: Space) -> Step:
        """A term as one pass, its last multiplication in it."""
        number, rest = term.as_coeff_Mul()
        negative = bool(number.is_negative)
        product = None
        if set(free_indices(term)) == set(space) and isinstance(rest, Mul) and not _chooses(rest):
            product = self._product(abs(number) * rest, space, summed=True)
        if product is None or not (product.times or product.over):
            return Step("sub" if negative else "add", (-term if negative else term,))
        times, over = list(product.times), list(product.over)
        word = "addcdiv" if over else "addcmul"
        last = over.pop() if over else times.pop()
        rest = _Product(S.One, tuple(times), tuple(over), below=product.below)
        left = self._begun(product.start, rest.steps)
        return Step(word, (left, last), -product.number if negative else product.number)


def _chooses(expr: Expr) -> bool:
    """Is it selected by a condition, which torch.where does?"""
    return any(isinstance(f, Iverson | KroneckerDelta) for f in Mul.make_args(expr))


def _with_means(factors: list[Expr], scalars: list[Expr]) -> tuple[list[Expr], list[Expr]]:
    """Factors and scalars, a sum together with the sizes that make it a mean."""
    found: list[Expr] = []
    for factor in factors:
        own = {1 / d.size for d in factor.dummies} if isinstance(factor, Contraction) else set()
        found.append(Mul(factor, *(s for s in scalars if s in own)))
        scalars = [s for s in scalars if s not in own]
    return found, scalars
