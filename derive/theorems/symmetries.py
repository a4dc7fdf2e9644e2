"""Symmetries of an op, found by numbers: changes of its inputs that the outputs do not notice.

An infinitesimal change of the inputs, t + c or t + c t with c free over some of the indices of t,
is pushed through the op at random points. A symmetry is one that leaves each output y as it is,
multiplies or shifts it: ẏ = k c y or ẏ = k c. One that leaves it as it is only where the op's
parameters vanish is a symmetry up to these. Numbers only propose; a proof is asked for elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, combinations, islice, product
from math import prod
from typing import Any, NamedTuple

import mpmath
from sympy import Expr

from derive.notation.draw import values_of
from derive.notation.effort import spend
from derive.notation.evaluate import Evaluator
from derive.notation.nodes import Bound, Component, Index, Labels, Scalar, Tensor
from derive.notation.op import Equation, Op
from derive.notation.solution import Solution

_DIGITS = 60
_STEP = mpmath.mpf(10) ** -20  # from both sides: an error of 1e-40
_ZERO = mpmath.mpf(10) ** -25
_LENGTHS = (3, 4, 5, 3)  # two normalized numbers would always be 1 and -1
_MANY, _SHORT = 4, (3, 2)  # from so many sizes on, shorter ones
_DRAWS = ((0, "-1.5"), (1, "0.2"), (2, "-1.5"))  # a seed, the lowest number
_FEW = 2  # places that must fit before all are looked at
_MOST_INPUTS = 8
_MOST_AXES = 4
_MOST_WORK = 12_000  # nodes that are worth evaluating at a point
_LARGEST_DEGREE = 6
_LEAST = mpmath.mpf(1) / (4 * _LARGEST_DEGREE)  # below, no such fraction is near


Values = dict[tuple[str, tuple[int, ...]], Any]  # of components, by the name of the tensor


class Part(NamedTuple):
    """sign × c, or sign × c t, added to the input t."""

    sign: int
    component: Component
    scales: bool


class Answer(NamedTuple):
    """What becomes of an output: ẏ = k c y if it scales, else ẏ = k c."""

    k: Fraction
    scales: bool


@dataclass(frozen=True)
class Symmetry:
    """A change of the inputs, the indices of its c, and each output's answer.

    `answers` is None where the outputs stay as they are only up to the op's parameters.
    """

    parts: tuple[Part, ...]
    over: tuple[Index, ...]
    answers: tuple[Answer, ...] | None

    @property
    def is_silent(self) -> bool:
        """Do all outputs stay as they are?"""
        return self.answers is not None and not any(a.k for a in self.answers)


def symmetries(op: Op) -> list[Symmetry]:
    """The symmetries of one input, and those of two or three that none of them has alone."""
    if any(isinstance(e.expr, Solution) for e in op.equations):
        return []  # the tangent of what a relation defines is no sum of terms
    if len(op.inputs) > _MOST_INPUTS or any(len(c.indices) > _MOST_AXES for c in op.inputs):
        return []
    search = Search(op)
    alone = _largest(s for c in _changes(op) if (s := search.symmetry(c)) is not None)
    still = {s.parts[0].component for s in alone if _is_still(s)}
    telling = [s for s in alone if _is_still(s) or s.parts[0].component not in still]
    return [*(s for s in telling if _tells(op, s)), *_largest(search.joint(alone))]


def _changes(op: Op) -> Iterator[Symmetry]:
    """Shifts and scalings of one input, by c over each subset of its indices."""
    for component in op.differentiable:
        letters = _letters(component)
        for over in chain.from_iterable(
            combinations(letters, n) for n in range(len(letters), -1, -1)
        ):
            for scales in (False, True):
                yield Symmetry((Part(1, component, scales),), over, None)


def _letters(component: Component) -> tuple[Index, ...]:
    """The indices over which c may be free: a diagonal is no axis."""
    return tuple(i for i in component.indices if component.indices.count(i) == 1)


def _largest(found: Iterable[Symmetry]) -> list[Symmetry]:
    """Without those that follow from one whose c is free over more indices."""
    found = list(found)
    return [
        s for s in found if not any(o.parts == s.parts and set(s.over) < set(o.over) for o in found)
    ]


class Search:
    """Points at which changes are tried."""

    def __init__(self, op: Op) -> None:
        self.op = op
        self.points = _points(op, None)
        self.bare = _points(op, {p.symbol: mpmath.mpf(0) for p in op.parameters})

    def symmetry(self, change: Symmetry) -> Symmetry | None:
        """The change with its degrees, if it is a symmetry."""
        answers = _fitted(self.points, change, self.op.outputs)
        if answers is not None:
            return replace(change, answers=answers)
        return change if self._up_to_parameters(change) else None

    def answer(self, change: Symmetry, of: Component) -> Answer | None:
        """How a tensor of the op answers to the change."""
        found = _fitted(self.points, change, [of])
        return found[0] if found is not None else None

    def joint(self, alone: Sequence[Symmetry]) -> Iterator[Symmetry]:
        """Changes of two or three inputs by one c; of those that follow from others, none."""
        for scales in (True, False):
            for over in dict.fromkeys(c.over for c in _changes(self.op)):
                parts = (
                    Part(1, c, scales)
                    for c in self.op.differentiable
                    if set(over) <= set(_letters(c))
                )
                yield from self._linked([p for p in parts if not _covered(p, over, alone)], over)

    def _linked(self, parts: Sequence[Part], over: tuple[Index, ...]) -> Iterator[Symmetry]:
        """Each symmetry ties inputs together; two that are tied already say nothing new."""
        groups: list[set[Component]] = []
        for signed in _signed(parts):
            inputs = {p.component for p in signed}
            if any(len(inputs & group) > 1 for group in groups):
                continue
            found = self.symmetry(Symmetry(signed, over, None))
            if found is not None and found.answers is not None:
                touching = [g for g in groups if g & inputs]
                groups = [*(g for g in groups if g not in touching), inputs.union(*touching)]
                yield found

    def _up_to_parameters(self, change: Symmetry) -> bool:
        """Does nothing change where all parameters are zero, though the input still counts?"""
        if not self.op.parameters or not self.bare or len(change.parts) > 1:
            return False
        (part,) = change.parts
        everywhere = Symmetry((part,), tuple(dict.fromkeys(part.component.indices)), None)
        answers = _fitted(self.bare, change, self.op.outputs)
        silent = answers is not None and not any(a.k for a in answers)
        return silent and _fitted(self.bare, everywhere, self.op.outputs) is None


def _tells(op: Op, found: Symmetry) -> bool:
    """No theorem: what is done to one component of an input is done to one of an output."""
    (part,) = found.parts
    if found.answers is None or found.is_silent:
        return True
    local = set(found.over) == set(part.component.indices)
    within = all(set(y.indices) == set(found.over) for y in op.outputs)
    return not local or (part.scales and not within)


def _covered(part: Part, over: tuple[Index, ...], alone: Iterable[Symmetry]) -> bool:
    """Is the scaling of an input a symmetry by itself, or has the input no gradient at all?"""
    return any(
        s.parts[0].component == part.component
        and (_is_still(s) or (s.parts[0].scales == part.scales and set(over) <= set(s.over)))
        for s in alone
    )


def _is_still(found: Symmetry) -> bool:
    """Any change at all of the input leaves the outputs as they are."""
    (part,) = found.parts
    every = set(found.over) == set(part.component.indices)
    return found.is_silent and not part.scales and every


def _signed(parts: Sequence[Part]) -> Iterator[tuple[Part, ...]]:
    """Two parts with opposite or equal signs, three parts with equal ones."""
    for first, second in combinations(parts, 2):
        yield (first, second._replace(sign=-1))
        yield (first, second)
    yield from combinations(parts, 3)


class Response(NamedTuple):
    """At one place of an output: ẏ, c y and c."""

    dot: Any
    scaled: Any
    c: Any


def _fitted(
    points: Sequence[_Point], change: Symmetry, of: Sequence[Component]
) -> tuple[Answer, ...] | None:
    """The answer of each tensor, the same at every place; a few places are looked at first."""
    with mpmath.workdps(_DIGITS):
        if _agreed([p.response(change, of, _FEW) for p in points[:1]]) is None:
            return None
        return _agreed([p.response(change, of, None) for p in points])


def _agreed(samples: Sequence[list[list[Response]] | None]) -> tuple[Answer, ...] | None:
    if not samples or any(s is None for s in samples):
        return None
    outputs = zip(*(s for s in samples if s is not None), strict=True)
    answers = [_answer([r for responses in output for r in responses]) for output in outputs]
    return tuple(a for a in answers if a is not None) if None not in answers else None


def _answer(found: Sequence[Response]) -> Answer | None:
    scaling = _ratio([(r.dot, r.scaled) for r in found])
    if scaling is not None:
        return Answer(scaling, True)
    shift = _ratio([(r.dot, r.c) for r in found])
    return None if shift is None else Answer(shift, False)


def _ratio(pairs: Sequence[tuple[Any, Any]]) -> Fraction | None:
    """k with dot = k scale for all pairs, a small rational."""
    size = max((abs(scale) for _, scale in pairs), default=mpmath.mpf(0))
    if all(abs(dot) <= _ZERO * max(1, size) for dot, _ in pairs):
        return Fraction(0)
    dot, scale = max(pairs, key=lambda pair: abs(pair[1]))
    if scale == 0 or not _LEAST < abs(dot / scale) <= _LARGEST_DEGREE:
        return None
    k = Fraction(str(mpmath.nstr(dot / scale, 20))).limit_denominator(_LARGEST_DEGREE)
    ratio = mpmath.mpf(k.numerator) / k.denominator
    return k if all(abs(d - ratio * s) <= _ZERO * max(1, size) for d, s in pairs) else None


# -- numbers -----------------------------------------------------------------------------------


def _points(op: Op, scalars: dict[Scalar, Any] | None) -> list[_Point]:
    """Random points, of both signs and positive, where the op is finite."""
    made = (_Point(op, seed, mpmath.mpf(low), scalars) for seed, low in _DRAWS)
    return [point for point in made if point.is_sound()]


class _Point:
    """Random inputs, and how the outputs respond to a change of them."""

    def __init__(
        self, op: Op, seed: int, low: Any, scalars: dict[Scalar, Any] | None = None
    ) -> None:
        self.op, self.seed, self.low = op, seed, low
        self.works: dict[str, int] = {}
        self.drawn: dict[tuple[str, tuple[int, ...]], Any] = {}
        self.still: Values = {}  # where nothing is changed
        names = dict.fromkeys(i.size for i in op.letters)
        lengths = _LENGTHS if len(names) < _MANY else _SHORT
        self.sizes = {s: lengths[k % len(lengths)] for k, s in enumerate(names)}
        self.scalars = scalars or {
            p.symbol: mpmath.mpf(p.default.numerator) / p.default.denominator for p in op.parameters
        }

    def is_sound(self) -> bool:
        """Are the outputs finite, and is the op small enough?"""
        if sum(self._work(e.expr, e.target.indices) for e in self.op.equations) > _MOST_WORK:
            return False
        with mpmath.workdps(_DIGITS):
            return self._values(None, self.op.outputs, 0) is not None

    def _work_of(self, equation: Equation) -> int:
        """How many nodes are evaluated for one component; four take the time of a proof's step."""
        if equation.name not in self.works:
            self.works[equation.name] = 1 + self._work(equation.expr, ()) // 4
        return self.works[equation.name]

    def _work(self, expr: Expr, over: Iterable[Index]) -> int:
        """How many nodes are evaluated, each for every value of the indices around it."""
        times = prod(self.sizes[i.size] for i in over)
        if isinstance(expr, Bound):
            return times * self._work(expr.body, expr.dummies)
        return times * (1 + sum(self._work(a, ()) for a in expr.args))

    def response(
        self, change: Symmetry, of: Sequence[Component], most: int | None
    ) -> list[list[Response]] | None:
        """ẏ beside c y and c at places of each tensor; None where a number is not finite."""
        found = [self._values(change, of, step, most) for step in (_STEP, -_STEP, 0)]
        ahead, behind, here = found
        if ahead is None or behind is None or here is None:
            return None
        return [
            [
                Response((a - b) / (2 * _STEP), (c := self._factor(change, tensor, place)) * y, c)
                for place, a, b, y in zip(self._places(tensor), *values, strict=False)
            ]
            for tensor, *values in zip(of, ahead, behind, here, strict=True)
        ]

    def _values(
        self,
        change: Symmetry | None,
        of: Sequence[Component],
        step: Any,
        most: int | None = None,
    ) -> list[list[Any]] | None:
        """Tensors, at so many places at most, where the inputs have gone a step of the change."""
        mine: Values = {}
        moved = self._moved(change) if step else set()

        def lookup(component: Component, place: tuple[int, ...]) -> Any:
            key = (component.tensor.name, place)
            values = mine if key[0] in moved else self.still
            if key not in values:
                equation = self.op.definitions.get(component.tensor)
                if equation is None:
                    values[key] = self._input(component.tensor, place, change, step)
                else:
                    spend(self._work_of(equation))
                    at = dict(zip(equation.target.indices, place, strict=True))
                    values[key] = evaluator.value(equation.expr, at)
            return values[key]

        evaluator = Evaluator(self.sizes, self.scalars, lookup)
        try:
            found = [[lookup(t, place) for place in islice(self._places(t), most)] for t in of]
        except (ValueError, ZeroDivisionError, OverflowError, TypeError):
            return None
        sound = all(isinstance(n, mpmath.mpf) and mpmath.isfinite(n) for y in found for n in y)
        return found if sound else None

    def _moved(self, change: Symmetry | None) -> set[str]:
        """The inputs that change, and all that is made of them."""
        moved = {p.component.tensor.name for p in change.parts} if change is not None else set()
        for equation in self.op.equations:
            if moved & {c.tensor.name for c in equation.expr.atoms(Component)}:
                moved.add(equation.name)
        return moved

    def _input(
        self, tensor: Tensor, place: tuple[int, ...], change: Symmetry | None, step: Any
    ) -> Any:
        here = self._draw(tensor.name, place)
        if isinstance(tensor, Labels):
            values = values_of(tensor, self.sizes)
            return mpmath.mpf(values[int(here * 10**6) % len(values)])
        for part in change.parts if change is not None else ():
            if part.component.tensor == tensor:
                c = step * part.sign * self._factor(change, part.component, place)
                return here + (c * here if part.scales else c)
        return here

    def _factor(self, change: Symmetry | None, component: Component, place: tuple[int, ...]) -> Any:
        """c at a place of a tensor; 0 where the tensor lacks one of its indices."""
        at = dict(zip(component.indices, place, strict=True))
        if change is None or not set(change.over) <= set(at):
            return mpmath.mpf(0)
        return self._draw("", tuple(at[i] for i in change.over))

    def _places(self, component: Component) -> Iterator[tuple[int, ...]]:
        return product(*(range(self.sizes[i.size]) for i in component.indices))

    def _draw(self, name: str, place: tuple[int, ...]) -> Any:
        """A number that depends on the name and the place alone."""
        if (name, place) not in self.drawn:
            own = random.Random(f"{self.seed} {name} {place}")  # noqa: S311  # no secret
            thousandths = mpmath.mpf(own.randint(1, 10**6)) * 3 / 2 / 10**6
            self.drawn[name, place] = self.low + thousandths + mpmath.mpf(1) / 997
        return self.drawn[name, place]
