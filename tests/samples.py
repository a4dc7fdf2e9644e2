"""The ops that the tests loop over, and random numbers for what stands in their equations."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import mpmath
from sympy import Expr, Integer, Rational, S

from derive import catalogue
from derive.derivation import Derivation, differentiate, total_gradient
from derive.notation.draw import draw_label
from derive.notation.evaluate import Evaluator
from derive.notation.nodes import Component, Index, Labels, Size, Tensor
from derive.notation.op import Op, gradient, is_gradient
from derive.notation.statement import read_equation

TESTS = Path(__file__).parent
DIGITS = 40
CLOSE = mpmath.mpf(10) ** -25

_PI = Rational(str(S.Pi.evalf(60)))

Place = tuple[int, ...]


FIRST = ("layer_norm", "linear", "matmul", "rms_norm", "softmax")


@cache
def shipped() -> tuple[Op, ...]:
    """The ops of the catalogue that tests loop over; all of it is verified by `test_native`."""
    return tuple(catalogue.load(name) for name in FIRST)


@cache
def collected() -> tuple[Op, ...]:
    """The ops of `tests/ops`."""
    return catalogue.load_all(TESTS / "ops")


def every_op() -> tuple[Op, ...]:
    return (*shipped(), *collected())


@cache
def named(name: str) -> Op:
    """An op of `tests/ops` or of the catalogue."""
    return next((op for op in every_op() if op.name == name), None) or catalogue.load(name)


@cache
def derived(name: str) -> Derivation:
    """The derivation of an op, worked out once."""
    return differentiate(named(name))


def name_of(op: Op) -> str:
    return op.name


def lines_of(path: Path) -> list[str]:
    """The lines of a file of cases, without comments."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


# -- expressions from text ----------------------------------------------------------------------

_LABEL = re.compile(r"delta\[(\w+),(\w+)\[")
_COMPARED = re.compile(r"(\w+)\[\w+\] [!=]= (\d+)")
_TENSOR = re.compile(r"\b([A-Za-z]\w*|1)\[([\w,]+)\]")


def _mentioned(texts: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Tensors, deltas and ones with their letters."""
    for match in (m for text in texts for m in _TENSOR.finditer(text)):
        yield match[1], match[2].split(",")


def op_for(*texts: str) -> Op:
    """An op whose inputs are the tensors that the texts name; `dt` is the gradient of t.

    Each letter that is no tensor's has an axis of its own; a delta makes two sizes equal.
    """
    first: dict[str, str] = {}
    for name, letters in _mentioned(texts):
        for letter in letters:
            first.setdefault(letter, letter)
        if name == "delta":
            low, high = sorted((first[k] for k in letters), key=list(first).index)
            first = {k: low if v == high else v for k, v in first.items()}
    rank = {k: n for n, k in enumerate(first)}
    index = {k: Index(k, Size(v.upper(), rank[v]), rank[k]) for k, v in first.items()}
    found: dict[str, list[str]] = {}
    for name, letters in _mentioned(texts):
        if name not in ("delta", "1"):
            found.setdefault(name.removeprefix("d"), letters)
    found |= {f"axis{n}": [k] for n, k in enumerate(first)}
    labels = {name: index[k].size for text in texts for k, name in _LABEL.findall(text)}
    compared = dict.fromkeys(pair for text in texts for pair in _COMPARED.findall(text))
    told = {name: tuple(Integer(n) for k, n in compared if k == name) for name in labels}
    inputs = tuple(
        Component(
            Labels(name, n, labels[name], (), told[name]) if name in labels else Tensor(name, n),
            *(index[k] for k in letters),
        )
        for n, (name, letters) in enumerate(found.items())
    )
    return Op("sample", inputs, (), (), (), tuple(index.values()))


@dataclass(frozen=True)
class Pair:
    """Two expressions over the tensors of one op, and the indices that are free in both."""

    op: Op
    free: tuple[Index, ...]
    before: Expr
    after: Expr


def pair(free: str, before: str, after: str, op: Op | None = None) -> Pair:
    """Both texts as right sides of an equation whose left side carries `free`, such as `b,h`."""
    target = f"whole[{free}]" if free else "whole"
    op = op or op_for(before, after)
    known = {i.name: i for i in op.letters}
    letters = tuple(known[k] for k in free.split(",") if k)
    whole = Component(Tensor("whole", 900), *letters)
    op = replace(op, inputs=(*op.inputs, whole))
    sides = [read_equation(op, f"{target} = {text}") for text in (before, after)]
    return Pair(op, letters, sides[0].rhs, sides[1].rhs)


# -- numbers --------------------------------------------------------------------------------------


class World:
    """Random numbers for the inputs and cotangents of an op; the rest follows from its equations.

    The gradient of an intermediate is what the derivation computes.
    """

    def __init__(
        self,
        op: Op,
        lengths: Sequence[int] = (2, 3, 2, 2),
        seed: int = 0,
        low: float = -1.5,
        high: float = 1.5,
    ) -> None:
        self.op = op
        self.seed = seed
        self.low, self.high = low, high
        names = dict.fromkeys(i.size for i in op.letters)
        self.sizes = {s: lengths[k % len(lengths)] for k, s in enumerate(names)}
        self.scalars = {
            p.symbol: mpmath.mpf(p.default.numerator) / p.default.denominator for p in op.parameters
        }
        self.given: dict[tuple[Tensor, Place], Any] = {}
        self.known: dict[tuple[Tensor, Place], Any] = {}
        self.evaluator = Evaluator(self.sizes, self.scalars, self.component)

    def component(self, component: Component, place: Place) -> Any:
        """The number at one place of a tensor."""
        key = (component.tensor, place)
        if key in self.given:
            return self.given[key]
        if key not in self.known:
            value = self._follows(component, place)
            if value is None:
                return self.given.setdefault(key, self._draw(key))
            self.known[key] = value
        return self.known[key]

    def _draw(self, key: tuple[Tensor, Place]) -> Any:
        """A number that depends on the place alone, not on what was drawn before."""
        own = random.Random(f"{self.seed} {key[0].rank} {key[1]}")
        if isinstance(key[0], Labels):
            return mpmath.mpf(draw_label(key[0], own, self.sizes, self.scalars))
        return mpmath.mpf(round(own.uniform(self.low, self.high), 6)) + mpmath.mpf(1) / 997

    def _follows(self, component: Component, place: Place) -> Any:
        definition = self.op.definitions.get(component.tensor)
        if definition is not None:
            at = dict(zip(definition.target.indices, place, strict=True))
            return self.evaluator.value(definition.expr, at)
        if not is_gradient(component) or self.op.name == "sample":
            return None
        for stage in derived(self.op.name).stages:
            if total_gradient(self.op, stage.component).tensor == component.tensor:
                at = dict(zip(stage.component.indices, place, strict=True))
                return self.evaluator.value(stage.computed, at)
        return None

    def value(self, expr: Expr, at: dict[Index, int]) -> Any:
        expr = expr.xreplace({S.Pi: _PI})
        with mpmath.workdps(DIGITS):
            return self.evaluator.value(expr, at)

    def places(self, indices: Iterable[Index]) -> Iterator[Place]:
        return product(*(range(self.sizes[i.size]) for i in indices))

    def points(self, free: Sequence[Index]) -> Iterator[dict[Index, int]]:
        return (dict(zip(free, place, strict=True)) for place in self.places(free))

    def values(self, expr: Expr, free: Sequence[Index]) -> list[Any]:
        """The expression at every value of its free indices."""
        return [self.value(expr, at) for at in self.points(free)]

    def loss(self) -> Any:
        """⟨outputs, cotangents⟩."""
        with mpmath.workdps(DIGITS):
            return mpmath.fsum(
                self.component(c, place) * self.component(gradient(c), place)
                for c in self.op.outputs
                for place in self.places(c.indices)
            )

    def slope(self, of: Any, tensor: Tensor, place: Place) -> Any:
        """The numerical derivative of a number by one component, from both sides."""
        key, step = (tensor, place), mpmath.mpf(10) ** -12
        with mpmath.workdps(DIGITS):
            middle = self.given[key]
            ends = []
            for x in (middle + step, middle - step):
                self.given[key] = x
                self.known.clear()
                ends.append(of())
            self.given[key] = middle
            self.known.clear()
            return (ends[0] - ends[1]) / (2 * step)


def differs(got: Any, want: Any, close: Any = CLOSE) -> bool:
    """Are two numbers further apart than rounding explains?"""
    return not abs(got - want) <= close * max(1, abs(got), abs(want))


def different(got: Iterable[Any], want: Iterable[Any], close: Any = CLOSE) -> list[tuple[Any, Any]]:
    """The pairs that differ."""
    return [(g, w) for g, w in zip(got, want, strict=True) if differs(g, w, close)]
