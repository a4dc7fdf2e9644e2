"""One gradient followed through with numbers: small tensors, every step, one component worked out.

The numbers are those of the recorded chain of gradients, computed by the evaluator that proofs and
refutations use, in fifteen digits and more; at the end they are held against differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import mpmath
from sympy import Add, Expr, Mul, Pow

from derive.derivation import Derivation
from derive.forms import form
from derive.notation.evaluate import Evaluator, Point
from derive.notation.explicit import multiplicands, summands
from derive.notation.latex import component_latex, name_latex
from derive.notation.nodes import Component, Index, Tensor, free_indices
from derive.notation.op import Equation, gradient, is_gradient
from derive.notation.point import Sample
from derive.notation.solution import Solution
from derive.page.worked import Worked, Working, decimal, given

_LENGTHS = ((2, 3), (3, 2))  # of the indices, in turn: those that are tried
_LEAST = 1e-3  # what is less may be all that rounding leaves of a difference
_MOST_LENGTH = 3  # of an index whose size the op says itself
_DIGITS = 30
_STEP = mpmath.mpf(10) ** -9
_MOST_SHOWN = 36  # numbers of one tensor
_MOST_WORKED = 400  # characters of LaTeX
_COMPARED = 10  # digits
_SEED = 3


@dataclass(frozen=True)
class Line:
    """A tensor with its values: `worked` is one component with the numbers put in."""

    component: Component
    equation: Equation | None  # none for what is given
    values: str  # LaTeX
    worked: str


@dataclass(frozen=True)
class Example:
    """What is given, what is computed forward, what back; one component against differences."""

    wrt: str
    setting: tuple[str, ...]  # LaTeX: sizes and parameters with their values
    given: tuple[Line, ...]
    forward: tuple[Line, ...]
    back: tuple[Line, ...]
    component: str  # LaTeX of the one that is compared
    value: float  # of that one
    derived: str
    differences: str


def example(derivation: Derivation) -> Example | None:
    """The longest way back, at the first point where everything has a value; none if none has.

    A row of two that is normalized has a gradient that ε alone keeps from zero: one of three is
    tried then.
    """
    names = [c.tensor.name for c in derivation.op.differentiable]
    if not names:
        return None
    wrt = max(names, key=lambda n: len(form(derivation, n, "chain").equations))
    with mpmath.workdps(_DIGITS):
        usual, other = _LENGTHS
        found = [_at(derivation, wrt, usual)]
        if found[0] and abs(found[0].value) < _LEAST:
            found.append(_at(derivation, wrt, other))
    return max(filter(None, found), key=lambda f: abs(f.value) >= _LEAST, default=None)


def _at(derivation: Derivation, wrt: str, lengths: tuple[int, ...]) -> Example | None:
    for positive in (False, True):
        try:
            return _Follower(derivation, wrt, lengths, positive).run()
        except (ArithmeticError, ValueError, TypeError, LookupError):
            continue
    return None


class _InOrder(Evaluator):
    """An evaluator that adds and multiplies in the order in which the formula is written."""

    def value(self, expr: Expr, at: Point) -> Any:
        if isinstance(expr, Add):
            return self._total(expr, at, in_brackets=False)
        if isinstance(expr, Mul) and not self._is_excluded(expr, at):
            factors = multiplicands(expr)
            factors.sort(key=lambda f: not (isinstance(f, Component) and is_gradient(f)))
            return self.arithmetic.product([self._factor(f, at) for f in factors])
        if isinstance(expr, Pow):
            return self.arithmetic.power(self._factor(expr.base, at), self.value(expr.exp, at))
        return super().value(expr, at)

    def _factor(self, expr: Expr, at: Point) -> Any:
        if isinstance(expr, Add):
            return self._total(expr, at, in_brackets=True)
        return self.value(expr, at)

    def _total(self, expr: Expr, at: Point, *, in_brackets: bool) -> Any:
        terms = summands(expr, free_indices(expr), in_brackets=in_brackets)
        return self.arithmetic.total([self.value(t, at) for t in terms])


class _Follower:
    def __init__(
        self, derivation: Derivation, wrt: str, lengths: tuple[int, ...], positive: bool
    ) -> None:
        self.op, self.wrt, self.positive = derivation.op, wrt, positive
        self.lengths = self._own(lengths)
        self.chain = {e.target.tensor: e for e in form(derivation, wrt, "chain").equations}
        self.sample = self._drawn()
        self.sizes = self.sample.sizes
        self.values: dict[tuple[Tensor, tuple[int, ...]], Any] = {}
        self.shown: dict[Tensor, tuple[int, ...]] = {}  # of the one compared: no zero, if it can be
        self.numbers = Evaluator(self.sizes, self.sample.scalars, self._number)
        scalars = {s: given(v) for s, v in self.sample.scalars.items()}
        self.working = _InOrder(self.sizes, scalars, self._known, Working())

    def _drawn(self) -> Sample:
        return Sample(self.op, self.lengths, _SEED, self.positive)

    def _own(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """Of the sizes in their order; one that is a parameter has its own, if it is small."""
        own = {e.size: e.default for e in self.op.extents if e.default <= _MOST_LENGTH}
        sizes = dict.fromkeys(i.size for i in self.op.letters)
        return tuple(own.get(s, lengths[k % len(lengths)]) for k, s in enumerate(sizes))

    def run(self) -> Example:
        op = self.op
        start = (*op.inputs, *(gradient(c) for c in op.outputs if self._matters(gradient(c))))
        last = [*self.chain.values()][-1].target
        place = next((p for p in self._places(last) if self._number(last, p)), self._first(last))
        self.shown = {last.tensor: place}
        derived, differences = self._number(last, place), self._difference(place)
        return Example(
            self.wrt,
            tuple(self._setting()),
            tuple(self._line(c, None) for c in start),
            tuple(self._line(e.target, e) for e in op.equations),
            tuple(self._line(e.target, e) for e in self.chain.values()),
            self._shown_place(last),
            float(derived),
            decimal(derived, _COMPARED),
            decimal(differences, _COMPARED),
        )

    def _setting(self) -> Iterator[str]:
        values = {s.name: str(n) for s, n in self.sizes.items()}
        values |= {s.name: decimal(v) for s, v in self.sample.scalars.items()}
        return (f"{name_latex(name)} = {value}" for name, value in values.items())

    def _matters(self, cotangent: Component) -> bool:
        used = {c.tensor for e in self.chain.values() for c in e.expr.atoms(Component)}
        return cotangent.tensor in used

    # -- numbers ----------------------------------------------------------------------------------

    def _number(self, component: Component, place: tuple[int, ...]) -> Any:
        key = (component.tensor, place)
        if key not in self.values:
            equation = self.chain.get(component.tensor)
            if equation is None:
                self.values[key] = _real(self.sample.evaluator.lookup(component, place))
            else:
                at = dict(zip(equation.target.indices, place, strict=True))
                self.values[key] = _real(self.numbers.value(equation.expr, at))
        return self.values[key]

    def _known(self, component: Component, place: tuple[int, ...]) -> Worked:
        return given(self._number(component, place))

    def _difference(self, place: tuple[int, ...]) -> Any:
        """What Σ dy y changes by for a small step of one component of the input."""
        declared = self.op.tensors[self.wrt]
        sides = []
        for step in (_STEP, -_STEP):
            moved = self._drawn()
            moved.known[declared.tensor, place] += step
            sides.append(self._loss(moved))
        return _real((sides[0] - sides[1]) / (2 * _STEP))

    def _loss(self, sample: Sample) -> Any:
        lookup = sample.evaluator.lookup
        return mpmath.fsum(
            lookup(gradient(y), place) * lookup(y, place)
            for y in self.op.outputs
            for place in self._places(y)
        )

    def _places(self, component: Component) -> Iterator[tuple[int, ...]]:
        return product(*(range(self.sizes[i.size]) for i in component.indices))

    # -- what is shown ----------------------------------------------------------------------------

    def _line(self, component: Component, equation: Equation | None) -> Line:
        worked = self._worked(equation) if equation is not None else ""
        return Line(component, equation, self._matrix(component), worked)

    def _worked(self, equation: Equation) -> str:
        """A component with the numbers put in; empty if that would be too long."""
        if isinstance(equation.expr, Solution):
            return ""
        target = equation.target
        place = self.shown.get(target.tensor, self._first(target))
        at = dict(zip(target.indices, place, strict=True))
        found = self.working.value(equation.expr, at).latex
        value = self._number(target, place)
        if len(found) > _MOST_WORKED or found == decimal(value):
            return ""
        return f"{self._shown_place(equation.target)} = {found} = {decimal(value)}"

    def _shown_place(self, component: Component) -> str:
        """`x_{0 0}`: a component with places for its letters."""
        place = self.shown.get(component.tensor, self._first(component))
        pairs = zip(place, component.indices, strict=True)
        places = [Index(str(n), i.size, i.rank) for n, i in pairs]
        return component_latex(Component(component.tensor, *places))

    def _first(self, component: Component) -> tuple[int, ...]:
        return (0,) * len(component.indices)

    def _matrix(self, component: Component) -> str:
        """A number, a row, a matrix, or matrices side by side; empty if there are too many."""
        lengths = [self.sizes[i.size] for i in component.indices]
        numbers = [decimal(self._number(component, place)) for place in self._places(component)]
        if prod(lengths) > _MOST_SHOWN:
            return ""
        if not lengths:
            return numbers[0]
        return _nested(numbers, lengths)


def _nested(numbers: Sequence[str], lengths: Sequence[int]) -> str:
    if len(lengths) <= 2:
        width = lengths[-1]
        rows = [numbers[k : k + width] for k in range(0, len(numbers), width)]
        body = r" \\ ".join(" & ".join(row) for row in rows)
        return rf"\begin{{pmatrix}} {body} \end{{pmatrix}}"
    size = prod(lengths[1:])
    parts = (numbers[k : k + size] for k in range(0, len(numbers), size))
    inside = r",\; ".join(_nested(part, lengths[1:]) for part in parts)
    return rf"\left[{inside}\right]"


def _real(value: Any) -> Any:
    """A real number that is finite, or an error."""
    if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value):
        raise ValueError("no real number")
    return value
