"""An arithmetic whose values know how they were worked out: what a person writes with the numbers.

The evaluator is the one that everything else is checked by; only what it adds and multiplies are
pairs of a number and the LaTeX of how it came about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sympy import Rational

from derive.notation.evaluate import DIGITS
from derive.notation.functions import Row
from derive.notation.latex import short_decimal

_SHOWN = 4  # significant digits
_NOTHING = 1e-25  # less is what rounding leaves of a zero, computed in thirty digits


@dataclass(frozen=True)
class Worked:
    """A number, how it is written, and what that is: a number, a product, a sum, an inverse."""

    value: Any
    latex: str
    kind: str = "number"
    exact: int | None = None  # a whole number that is no rounding
    ratio: tuple[int, int] | None = None  # a fraction of whole numbers

    @property
    def factor(self) -> str:
        """As a factor: in brackets if it is a sum or has a sign."""
        bare = self.kind in ("number", "inverse", "call") and not self.latex.startswith("-")
        return self.latex if bare else rf"\left({self.latex}\right)"


def decimal(value: Any, digits: int = _SHOWN) -> str:
    """A number in a few digits; large and small ones with a power of ten."""
    if abs(value) < _NOTHING:
        return "0"
    shown = f"{float(value):.{digits}g}"
    number, _, power = shown.partition("e")
    if not power:
        return number
    times = {"1": "", "-1": "-"}.get(number, rf"{number} \cdot ")
    return f"{times}10^{{{int(power)}}}"


def given(value: Any) -> Worked:
    """A number that is known."""
    shown = decimal(value)
    return Worked(value, shown, "product" if "10^" in shown else "number")


class Working:
    """Sums and products of what was worked out."""

    def number(self, p: int, q: int = 1) -> Worked:
        value = DIGITS.number(p, q)
        if q == 1:
            return Worked(value, str(p), exact=p)
        if shown := short_decimal(Rational(p, q)):
            return Worked(value, shown)
        return Worked(value, rf"{'-' * (p < 0)}\tfrac{{{abs(p)}}}{{{q}}}", ratio=(p, q))

    def pi(self) -> Worked:
        return Worked(DIGITS.pi(), r"\pi")

    def total(self, terms: Iterable[Worked]) -> Worked:
        terms = [t for t in terms if t.exact != 0]
        if len(terms) < 2:
            return terms[0] if terms else self.number(0)
        shown = "".join(("" if t.latex.startswith("-") else "+") + t.latex for t in terms)
        return Worked(DIGITS.total(t.value for t in terms), shown.removeprefix("+"), "sum")

    def product(self, factors: Iterable[Worked]) -> Worked:
        factors = [part for f in factors for part in self._parted(f)]
        value = DIGITS.product(f.value for f in factors)
        if any(f.exact == 0 for f in factors):
            return self.number(0)
        negative = [f for f in factors if f.exact is not None and f.exact < 0]
        sign = "-" if len(negative) % 2 else ""
        factors = [self.number(-f.exact) if f in negative and f.exact else f for f in factors]
        rest = [f for f in factors if f.exact != 1]
        below = [f for f in rest if f.kind == "inverse"]
        above = [f for f in rest if f.kind != "inverse"]
        if not below and len(above) < 2:
            alone = above[0] if above else self.number(1)
            shown = sign + (alone.factor if sign else alone.latex)
            return Worked(value, shown, alone.kind, None if above else int(f"{sign}1"))
        top = _times(above)
        if not below:
            return Worked(value, sign + top, "product")
        return Worked(value, rf"{sign}\frac{{{top or 1}}}{{{_times(below)}}}", "product")

    def _parted(self, factor: Worked) -> Iterable[Worked]:
        """A fraction as a factor: its halves stand above and below the line."""
        if factor.ratio is None:
            return (factor,)
        above, below = map(self.number, factor.ratio)
        return above, self.power(below, self.number(-1))

    def power(self, base: Worked, exponent: Worked) -> Worked:
        value = DIGITS.power(base.value, exponent.value)
        if exponent.exact == -1:
            return Worked(value, base.factor if base.kind == "number" else base.latex, "inverse")
        inverse = exponent.latex.startswith("-")
        size = exponent.latex.removeprefix("-")
        if size == r"\tfrac{1}{2}":
            return Worked(value, rf"\sqrt{{{base.latex}}}", "inverse" if inverse else "call")
        shown = rf"{base.factor}^{{{size}}}" if size != "1" else base.factor
        return Worked(value, shown, "inverse" if inverse else "call")

    def apply(self, row: Row, args: Sequence[Worked]) -> Worked:
        shown = ", ".join(a.latex for a in args)
        value = DIGITS.apply(row, [a.value for a in args])
        return Worked(value, rf"{row.latex}\left({shown}\right)", "call")

    def extremum(self, word: str, values: Sequence[Worked]) -> Worked:
        shown = ", ".join(v.latex for v in values)
        value = DIGITS.extremum(word, [v.value for v in values])
        return Worked(value, rf"\{word}\left({shown}\right)", "call")

    def compare(self, relation: str, left: Worked, right: Worked) -> bool:
        return DIGITS.compare(relation, left.value, right.value)


def _times(factors: Sequence[Worked]) -> str:
    """Factors side by side; one that stands alone needs no brackets."""
    if len(factors) == 1:
        return factors[0].latex
    return r" \cdot ".join(f.factor for f in factors)
