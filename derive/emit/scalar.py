"""Printing an expression as Python: numbers exact where they can be, brackets only where needed.

What is common to both backends is here: precedence, signs, fractions, the order of factors. How a
component, a sum over an index or a power is spelled is each backend's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from sympy import Add, Expr, Mul, Pow, Rational, S

from derive.notation.conditions import Iverson, choices
from derive.notation.evaluate import constant
from derive.notation.functions import CLASSES, Elementwise, Row
from derive.notation.nodes import (
    Component,
    Contraction,
    Extremum,
    Index,
    Scalar,
    Size,
)
from derive.plan.order import factor_order, is_divisor, term_order

Code = tuple[str, int]  # source text and its precedence
SUM, PRODUCT, UNARY, POWER, ATOM = range(5)


def bracket(code: Code, least: int) -> str:
    """The text, in brackets if it binds less than `least`."""
    return code[0] if code[1] >= least else f"({code[0]})"


class ScalarPrinter(ABC):
    """Expression → source text, in the space of some ordered indices."""

    def text(self, expr: Expr, space: Sequence[Index]) -> str:
        return self.code(expr, tuple(space))[0]

    def code(self, expr: Expr, space: tuple[Index, ...]) -> Code:
        if expr.is_number:
            return self.number(expr)
        if any(isinstance(f, Iverson) for f in Mul.make_args(expr)):
            return self.selected(expr, space)
        if isinstance(expr, Add | Mul | Pow | Elementwise):
            return self._operation(expr, space)
        if isinstance(expr, Contraction):
            return self.contraction(expr, S.One, space)
        if isinstance(expr, Extremum):
            return self.extremum(expr, space)
        if isinstance(expr, Component):
            return self.component(expr, space)
        if isinstance(expr, Size):
            return self.size(expr)
        if isinstance(expr, Scalar):
            return expr.name, ATOM
        return self.other(expr, space)

    def _operation(self, expr: Expr, space: tuple[Index, ...]) -> Code:
        if isinstance(expr, Add):
            return self._sum(expr, space)
        if isinstance(expr, Mul):
            return self._product(expr, space)
        if isinstance(expr, Pow):
            return self.power(expr.base, expr.exp, space)
        return self._call(expr.row, expr.args, space)

    # -- what a backend spells in its own way ----------------------------------------------------

    @abstractmethod
    def component(self, component: Component, space: tuple[Index, ...]) -> Code: ...

    @abstractmethod
    def contraction(self, total: Contraction, factor: Expr, space: tuple[Index, ...]) -> Code:
        """`factor` × the sum, where `factor` is a number or 1/size that a mean may take in."""

    @abstractmethod
    def extremum(self, largest: Extremum, space: tuple[Index, ...]) -> Code: ...

    @abstractmethod
    def selected(self, product: Expr, space: tuple[Index, ...]) -> Code:
        """A product of conditions and other factors: these where all those hold, else 0."""

    @abstractmethod
    def choice(
        self, condition: Iverson, taken: Expr, other: Expr, space: tuple[Index, ...]
    ) -> Code:
        """One expression where a condition holds, else the other."""

    @abstractmethod
    def power(self, base: Expr, exponent: Expr, space: tuple[Index, ...]) -> Code: ...

    @abstractmethod
    def function(self, row: Row, args: Sequence[Expr], space: tuple[Index, ...]) -> str: ...

    @abstractmethod
    def size(self, size: Size) -> Code: ...

    def other(self, expr: Expr, space: tuple[Index, ...]) -> Code:
        raise TypeError(f"{type(expr).__name__} has no spelling")

    # -- what they share ---------------------------------------------------------------------------

    def number(self, number: Expr) -> Code:
        """An exact number: `0.5`, `1 / 3`; an irrational one to the last digit of a double."""
        value = number if number.is_Rational else None
        if value is None:
            return _signed(repr(constant(number)))
        if value.q == 1:
            return _signed(
                str(value.p) if value.p in (1, -1) or abs(value.p) < 10**15 else repr(float(value))
            )
        if Rational(repr(float(value))) == value:
            return _signed(repr(float(value)))
        return f"{value.p} / {value.q}", PRODUCT

    def _call(self, row: Row, args: Sequence[Expr], space: tuple[Index, ...]) -> Code:
        if all(a.is_number for a in args):
            return _signed(repr(constant(CLASSES[row.name](*args))))
        return self.function(row, args, space), ATOM

    def _sum(self, expr: Add, space: tuple[Index, ...]) -> Code:
        """Positive terms first, larger tensors first, the last defined last."""
        pairs, terms = choices(expr)
        codes = [(False, self.choice(*pair, space)) for pair in pairs]
        if len(codes) == 1 and not terms:
            return codes[0][1]
        for term in sorted(terms, key=term_order):
            negative = bool(term.as_coeff_Mul()[0].is_negative)
            codes.append((negative, self.code(-term if negative else term, space)))
        text = ""
        for negative, code in codes:
            shown = bracket(code, PRODUCT if negative else SUM)
            text += (
                (" - " if negative else " + ") + shown
                if text
                else ("-" if negative else "") + shown
            )
        return text, SUM

    def _product(self, expr: Mul, space: tuple[Index, ...]) -> Code:
        number, rest = expr.as_coeff_Mul()
        if number.is_negative:
            return "-" + bracket(self.code(-expr, space), PRODUCT), UNARY
        return self.product(number, list(Mul.make_args(rest)), space)

    def product(self, number: Expr, factors: list[Expr], space: tuple[Index, ...]) -> Code:
        """Number and numerator, then divisors one by one."""
        above = [f for f in factors if not is_divisor(f)]
        below = [1 / f for f in factors if is_divisor(f)]
        parts = [self.code(f, space) for f in sorted(above, key=factor_order)]
        coefficient = self.number(number)
        if number != 1 or not parts:
            parts.insert(0, coefficient)
        text = " * ".join(bracket(p, PRODUCT) for p in parts)
        code = (text, PRODUCT) if len(parts) > 1 else parts[0]
        for divisor in sorted(below, key=factor_order):
            code = self.quotient(code, self.code(divisor, space))
        return code

    def quotient(self, above: Code, below: Code) -> Code:
        return f"{bracket(above, PRODUCT)} / {bracket(below, UNARY)}", PRODUCT


def _signed(text: str) -> Code:
    return text, UNARY if text.startswith("-") else ATOM
