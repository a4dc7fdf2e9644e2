"""Every gradient of a derivation, exactly: no floating point, so no error hides below a tolerance.

An op is run forward once, on random rational inputs, with dual numbers: each component t_P carries
an ε of its own, so that the ε's of ⟨outputs, cotangents⟩ are ∂l/∂t_P, for inputs and intermediates
alike (Wengert 1964; Griewank, Walther, Evaluating Derivatives, 2008, chapter 3). The derived closed
forms and the chain of computed gradients must give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from itertools import islice, product
from math import prod
from random import Random
from typing import TypeAlias

import mpmath
from sympy import Expr, Pow

from derive.derivation import Derivation, Stage, differentiate, total_gradient
from derive.notation.draw import draw_label
from derive.notation.evaluate import Evaluator
from derive.notation.nodes import Bound, Component, Labels, Scalar, Size
from derive.notation.op import Op, gradient
from derive.notation.solution import Solution
from derive.verify.algebraic import Exact, Intractable, bounded, real, sign
from derive.verify.numbers import Dual, DualNumbers, ExactNumbers, Seed, chained

Place: TypeAlias = tuple[int, ...]
Drawing: TypeAlias = Callable[[Random, int], list[Fraction]]  # so many numbers

_LENGTHS = ((3, 4, 5), (3, 4), (2, 3, 4), (2, 3), (2,))  # of the indices: the first that are cheap
_CHEAP = 20_000  # nodes of expressions to be evaluated
_TRIALS = 4  # of each kind of draw


@dataclass(frozen=True)
class Mismatch:
    """A component of a gradient that is derived wrong; None where what is derived has no value."""

    component: str
    form: str
    derived: Exact | None
    wanted: Exact

    def __str__(self) -> str:
        wanted = mpmath.nstr(real(self.wanted), 6)
        if self.derived is None:
            return f"{self.component}, {self.form}: no value, not {wanted}"
        off = mpmath.nstr(real(self.derived - self.wanted), 6)
        return f"{self.component}, {self.form}: off by {off} of {wanted}"


@dataclass(frozen=True)
class Report:
    """How many components of gradients are right, before the first that is not."""

    components: int
    mismatch: Mismatch | None = None

    def __str__(self) -> str:
        if self.mismatch is not None:
            return str(self.mismatch)
        return f"{self.components} components" if self.components else "not decided"


def exact(op: Op, derivation: Derivation | None = None, seed: int = 0) -> Report:
    """Compare every component of every gradient, at each kind of draw if that is quick.

    No component and no mismatch: the op has no value at any draw, or exact numbers do not suffice.
    """
    derivation = derivation or differentiate(op)
    sizes = _sizes(derivation)
    draws = max(1, _CHEAP // _cost(derivation, sizes))
    report = Report(0)
    for report in islice(_reports(derivation, sizes, seed), draws):
        if report.mismatch is not None:
            break
    return report


def _reports(derivation: Derivation, sizes: Mapping[Size, int], seed: int) -> Iterator[Report]:
    """For each kind of draw, the first at which the op has a value."""
    for kind in range(len(_DRAWINGS)):
        for trial in range(_TRIALS):
            try:
                forward = _forward(derivation.op, tuple(sizes.items()), seed, kind, trial)
                report = _Trial(derivation, forward).run()
            except ArithmeticError:
                continue
            except Intractable:
                return
            yield report
            break


# -- what is drawn --------------------------------------------------------------------------------


def _positive(random: Random, count: int) -> list[Fraction]:
    return [Fraction(random.randint(1, 9), random.randint(1, 3)) for _ in range(count)]


def _signed(random: Random, count: int) -> list[Fraction]:
    """Of two and more, some are positive and some negative."""
    signs = random.sample([1, -1] * (count // 2 + 1), k=count)
    return [s * n for s, n in zip(signs, _positive(random, count), strict=True)]


def _sparse(random: Random, count: int, first: int = 0) -> list[Fraction]:
    """One in three is zero: no gradient may divide by what the op does not divide by."""
    return [n * (k % 3 != first) for k, n in enumerate(_signed(random, count))]


_DRAWINGS: tuple[Drawing, ...] = (
    _signed,
    _sparse,
    partial(_sparse, first=1),  # for an op that divides by a scalar
    _positive,  # for roots and logarithms
    lambda random, count: [1 / (1 + n) for n in _positive(random, count)],
    lambda random, count: [1 + n for n in _positive(random, count)],
)


def _scalars(op: Op, random: Random | None) -> dict[Scalar, Fraction]:
    """Random numbers, so that an ε counts; in exponents, or without `random`, the defaults."""
    exponents = [power.exp for e in op.equations for power in e.expr.atoms(Pow)]
    kept = {scalar for exponent in exponents for scalar in exponent.atoms(Scalar)}
    return {
        p.symbol: p.default
        if random is None or p.symbol in kept
        else Fraction(random.randint(1, 9), 7) * (sign(p.default) or 1)
        for p in op.parameters
    }


def _sizes(derivation: Derivation) -> dict[Size, int]:
    """The first lengths with which there is little to evaluate, else the last."""
    names = list(dict.fromkeys(i.size for i in derivation.op.letters))
    choices = ({s: n[k % len(n)] for k, s in enumerate(names)} for n in _LENGTHS)
    return next((c for c in choices if _cost(derivation, c) <= _CHEAP), dict.fromkeys(names, 2))


def _cost(derivation: Derivation, sizes: Mapping[Size, int]) -> int:
    """How many nodes of expressions are evaluated."""
    pairs = [(e.target, e.expr) for e in derivation.op.equations]
    pairs += [(s.component, expr) for s in derivation.stages for expr in (s.closed, s.computed)]
    return sum(prod(sizes[i.size] for i in c.indices) * _nodes(expr, sizes) for c, expr in pairs)


def _nodes(expr: Expr, sizes: Mapping[Size, int]) -> int:
    if isinstance(expr, Bound):
        return prod(sizes[d.size] for d in expr.dummies) * _nodes(expr.body, sizes)
    return 1 if isinstance(expr, Component) else 1 + sum(_nodes(a, sizes) for a in expr.args)


# -- one draw -------------------------------------------------------------------------------------


class _Forward:
    """Inputs and cotangents, the values that follow from them, and every gradient by the ε's."""

    def __init__(
        self,
        op: Op,
        sizes: Mapping[Size, int],
        scalars: Mapping[Scalar, Fraction],
        random: Random,
        drawing: Drawing,
    ) -> None:
        """ArithmeticError where the op has no value."""
        self.op, self.sizes, self.scalars, self.random = op, sizes, scalars, random
        self.given: dict[Seed, Exact] = {}
        self.duals: dict[Seed, Dual] = {}
        self.numbers = ExactNumbers(random)
        constants = {scalar: Dual(value, {}) for scalar, value in scalars.items()}
        self.evaluator = Evaluator(sizes, constants, self.dual, DualNumbers(self.numbers))
        for component in op.inputs:
            tensor = component.tensor
            self._draw(component, self._labels(tensor) if isinstance(tensor, Labels) else drawing)
        for component in op.outputs:
            self._draw(gradient(component), _signed)
        self.slopes = self._loss().slopes

    def seeds(self, component: Component) -> Iterator[Seed]:
        ranges = (range(self.sizes[i.size]) for i in component.indices)
        return ((component.tensor, place) for place in product(*ranges))

    def _labels(self, labels: Labels) -> Drawing:
        def drawing(random: Random, count: int) -> list[Fraction]:
            return [
                Fraction(draw_label(labels, random, self.sizes, self.scalars)) for _ in range(count)
            ]

        return drawing

    def _draw(self, component: Component, drawing: Drawing) -> None:
        seeds = list(self.seeds(component))
        self.given |= zip(seeds, drawing(self.random, len(seeds)), strict=True)

    def _loss(self) -> Dual:
        """⟨outputs, cotangents⟩."""
        ends = ((c, seed[1]) for c in self.op.outputs for seed in self.seeds(c))
        pairs = ((self.given[gradient(c).tensor, at], self.dual(c, at)) for c, at in ends)
        return chained(Fraction(0), pairs)

    def dual(self, component: Component, place: Place) -> Dual:
        """A component, with an ε of its own added to it."""
        seed = (component.tensor, place)
        if seed not in self.duals:
            equation = self.op.definitions.get(component.tensor)
            if equation is None:
                found = Dual(self.given[seed], {})
            else:
                at = dict(zip(equation.target.indices, place, strict=True))
                found = self.evaluator.value(equation.expr, at)
            self.duals[seed] = Dual(bounded(found.value), {**found.slopes, seed: Fraction(1)})
        return self.duals[seed]


@lru_cache(maxsize=16)
def _forward(
    op: Op, sizes: tuple[tuple[Size, int], ...], seed: int, kind: int, trial: int
) -> _Forward:
    """Remembered, for the many derivations of one op that mutants are."""
    random = Random(f"{seed} {kind} {trial}")  # noqa: S311  # numbers to compute with, no secret
    scalars = _scalars(op, random if trial % 2 == 0 else None)
    return _Forward(op, dict(sizes), scalars, random, _DRAWINGS[kind])


class _Trial:
    """The gradients derived, at the values of one forward run."""

    def __init__(self, derivation: Derivation, forward: _Forward) -> None:
        self.forward, self.stages = forward, derivation.stages
        self.chain = {total_gradient(derivation.op, s.component).tensor: s for s in self.stages}
        self.gradients: dict[Seed, Exact] = {}
        self.backward = Evaluator(forward.sizes, forward.scalars, self._value, forward.numbers)

    def run(self) -> Report:
        """Compare both forms of every gradient."""
        stages = (s for s in self.stages if not isinstance(s.computed, Solution))
        seeds = [(s, seed) for s in stages for seed in self.forward.seeds(s.component)]
        for count, (stage, seed) in enumerate(seeds):
            wanted = self.forward.slopes.get(seed, Fraction(0))
            found = self._mismatch(stage, seed[1], wanted)
            if found is not None:
                return Report(count, found)
        return Report(len(seeds))

    def _value(self, component: Component, place: Place) -> Exact:
        """What a derived expression finds: a cotangent, a gradient computed before, a value."""
        seed = (component.tensor, place)
        if seed in self.forward.given:
            return self.forward.given[seed]
        if component.tensor not in self.chain:
            return self.forward.dual(component, place).value
        if seed not in self.gradients:
            stage = self.chain[component.tensor]
            self.gradients[seed] = self._derived(stage, stage.computed, place)
        return self.gradients[seed]

    def _derived(self, stage: Stage, expr: Expr, place: Place) -> Exact:
        at = dict(zip(stage.component.indices, place, strict=True))
        return bounded(self.backward.value(expr, at))

    def _mismatch(self, stage: Stage, place: Place, wanted: Exact) -> Mismatch | None:
        where = f"d{stage.name}[{','.join(map(str, place))}]"
        for form, expr in (("closed form", stage.closed), ("chain", stage.computed)):
            try:
                derived = self._derived(stage, expr, place)
            except ArithmeticError:
                return Mismatch(where, form, None, wanted)
            if derived != wanted:
                return Mismatch(where, form, derived, wanted)
        return None
