"""Printing an expression inside a Triton kernel: a row is a vector, a statistic of it a scalar."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence

from sympy import Expr, Mul, Pow, Rational, S

from derive.emit.scalar import ATOM, POWER, PRODUCT, UNARY, Code, ScalarPrinter, bracket
from derive.notation.conditions import EQUAL, Iverson, Position, brackets_of
from derive.notation.functions import ROWS, Row
from derive.notation.nodes import (
    Component,
    Contraction,
    Extremum,
    Index,
    Labels,
    Size,
    Tensor,
)
from derive.plan.order import is_divisor

Space = tuple[Index, ...]
_HALF = Rational(1, 2)
_HELPER = re.compile(r"(?<![\w.])_[a-z0-9_]+(?=\()")


class TritonPrinter(ScalarPrinter):
    """Expressions over values that are named like their tensors; `sums` spells each marker.

    `vectors` are the tensors that run along the row; `position` tells where along an axis of some
    size a value is; `across`: is a component one number for each of several rows, beside columns?
    """

    def __init__(
        self,
        sums: dict[str, str],
        name: Callable[[str], str],
        vectors: Container[Tensor] = (),
        position: Callable[[Size], str] = str,
        across: Callable[[Component], bool] = lambda _: False,
    ) -> None:
        self.sums, self.name, self.vectors = sums, name, vectors
        self.position, self.across = position, across

    def component(self, component: Component, space: Space) -> Code:
        name = component.tensor.name
        text = self.sums.get(name, name)
        return f"{text}[:, None]" if self.across(component) else text, ATOM

    def contraction(self, total: Contraction, factor: Expr, space: Space) -> Code:
        raise TypeError("a sum has a marker of its own")

    def extremum(self, largest: Extremum, space: Space) -> Code:
        raise TypeError("an extremum has a marker of its own")

    def other(self, expr: Expr, space: Space) -> Code:
        """A position along an axis of rows or columns: no other is compared in a kernel."""
        if not isinstance(expr, Position):
            return super().other(expr, space)
        return self.position(expr.index.size), ATOM

    # -- conditions ------------------------------------------------------------------------------

    def selected(self, product: Expr, space: Space) -> Code:
        conditions = brackets_of(product)
        rest = Mul(*(f for f in Mul.make_args(product) if f not in conditions))
        text = self._argument(rest)
        for condition in reversed(conditions):  # one by one: `&` of a scalar is not interpreted
            text = f"tl.where({self._condition(condition)}, {text}, 0.0)"
        return text, ATOM

    def choice(self, condition: Iverson, taken: Expr, other: Expr, space: Space) -> Code:
        asked = self._condition(condition)
        values = [self._argument(taken), self._branch(other)]
        return f"tl.where({asked}, {', '.join(values)})", ATOM

    def _condition(self, condition: Iverson) -> str:
        left, relation, right = condition.written
        sides = [self._side(s) for s in (left, right)]
        if not condition.holds and relation == EQUAL:
            return f"{sides[0]} != {sides[1]}"
        text = f"{sides[0]} {relation} {sides[1]}"
        return text if condition.holds else f"({text}) == 0"

    def _side(self, side: Expr) -> str:
        """Where positions are compared, sizes are the whole numbers that they are."""
        code = self.code(side, ())[0]
        if side.atoms(Position, Labels):
            for size in side.atoms(Size):
                code = code.replace(self.size(size)[0], size.name)
        return code

    def _branch(self, expr: Expr) -> str:
        """Beside one of the accumulator's type 0 and 1 are of it; another number is made so."""
        return self.code(expr, ())[0] if expr in (0, 1) else self._argument(expr)

    def size(self, size: Size) -> Code:
        """Sizes are cast to the accumulator's type once: an integer quotient would be in fp32."""
        return self.name(f"size_{size.name}"), ATOM

    def function(self, row: Row, args: Sequence[Expr], space: Space) -> str:
        return row.triton.format(*(self._argument(a) for a in args))

    def product(self, number: Expr, factors: list[Expr], space: Space) -> Code:
        """With a high power below, what is one number for the whole row comes first.

        In x^5 s / sigma^3 the numerator may leave the range of its type, though the whole does not.
        """
        long = [f for f in factors if any(c.tensor in self.vectors for c in f.atoms(Component))]
        short = [f for f in factors if f not in long]
        if not (long and any(map(_is_high, short))) or all(map(is_divisor, short)):
            return super().product(number, factors, space)
        first = super().product(number, short, space)[0]
        rest = super().product(S.One, long, space)[0]
        joined = f"{first} / {rest[4:]}" if rest.startswith("1 / ") else f"{first} * {rest}"
        return joined, PRODUCT

    def _argument(self, arg: Expr) -> str:
        """A function wants a value of the accumulator's type, not a constant."""
        code = self.code(arg, ())[0]
        return code if arg.atoms(Component, Size, Position) else f"tl.full((), {code}, ACC)"

    def power(self, base: Expr, exponent: Expr, space: Space) -> Code:
        if exponent.as_coeff_Mul()[0].is_negative:
            return "1 / " + bracket(self.code(Pow(base, -exponent), space), UNARY), PRODUCT
        code = self.code(base, space)
        if not base.atoms(Component, Size, Position):  # of parameters alone: known when compiled
            shown = self.code(exponent, ())
            return f"{bracket(code, ATOM)}**{bracket(shown, ATOM)}", POWER
        if exponent.is_Integer:
            short = exponent <= 3 and isinstance(base, Component)
            text = (
                " * ".join([code[0]] * int(exponent)) if short else f"_power({code[0]}, {exponent})"
            )
            return text, PRODUCT if short else ATOM
        if exponent == _HALF:
            return f"tl.sqrt({code[0]})", ATOM
        if exponent.is_Rational and exponent.q == 2:
            return f"_power(tl.sqrt({code[0]}), {exponent.p})", ATOM
        return f"_real_power({code[0]}, {self.code(exponent, ())[0]})", ATOM


def _is_high(factor: Expr) -> bool:
    """Does it divide by more than a root or a first power?"""
    return bool(factor.as_base_exp()[1].as_coeff_Mul()[0] < -1)


HELPERS = {h for row in ROWS for h in _HELPER.findall(row.triton)}
HELPERS |= {"_power", "_real_power", "_largest", "_smallest"}


def helpers_in(text: str) -> list[str]:
    """The helper functions that some code calls."""
    return sorted(HELPERS & set(_HELPER.findall(text)))
