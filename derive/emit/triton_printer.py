"""Printing an expression inside a Triton kernel: a row is a vector, a statistic of it a scalar."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence

from sympy import Expr, Mul, Pow, Rational, S

from derive.emit.scalar import (
    ATOM,
    POWER,
    PRODUCT,
    Code,
    ScalarPrinter,
    bracket,
)
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
    `exact`: quotients and roots round to the nearest, which Triton's own do in fp64 alone.
    """

    def __init__(
        self,
        sums: dict[str, str],
        name: Callable[[str], str],
        vectors: Container[Tensor] = (),
        position: Callable[[Size], str] = str,
        across: Callable[[Component], bool] = lambda _: False,
        *,
        exact: bool = False,
    ) -> None:
        self.sums, self.name, self.vectors = sums, name, vectors
        self.position, self.across, self.exact = position, across, exact

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
        """What is divided by one number for the whole row is multiplied by its inverse.

        With a high power below that number comes first: in x^5 s / sigma^3 the numerator may leave
        the range of its type, though the whole does not; and 1 / sigma^3 alone may leave it, too.
        """
        known = [f for f in factors if not f.atoms(Component, Size, Position)]
        if self.exact and any(map(is_divisor, known)) and len(known) < len(factors):
            return self._with_known(number, known, [f for f in factors if f not in known], space)
        sums = [f for f in factors if self._is_sum(f)]
        below = [f for f in factors if is_divisor(f)]
        if self.exact and sums and below and not any(map(_is_size_or_high, below)):
            return self._as_its_terms(number, sums, [f for f in factors if f not in sums], space)
        long = [f for f in factors if any(c.tensor in self.vectors for c in f.atoms(Component))]
        short = [f for f in factors if f not in long]
        if not self._divides_rows(long, short):
            return super().product(number, factors, space)
        if not long:
            return self._of_the_row(number, short, space), ATOM
        first = self._of_the_row(number, short, space)
        rest = bracket(super().product(S.One, long, space), PRODUCT)
        joined = f"{first} / {rest[4:]}" if rest.startswith("1 / ") else f"{rest} * {first}"
        return joined, PRODUCT

    def _is_sum(self, factor: Expr) -> bool:
        return isinstance(factor, Component) and factor.tensor.name in self.sums

    def _as_its_terms(self, number: Expr, sums: list[Expr], rest: list[Expr], space: Space) -> Code:
        """A sum is divided as its terms are, by an inverse: what should cancel does."""
        total = bracket(super().product(S.One, sums, space), PRODUCT)
        return f"{total} * {bracket(self.product(number, rest, space), PRODUCT)}", PRODUCT

    def _divides_rows(self, long: list[Expr], short: list[Expr]) -> bool:
        """Is something as long as a row divided by one number for each, which others are not?"""
        if not any(map(is_divisor, short)) or any(f.atoms(Position) for f in short):
            return False
        if not long:
            return any(map(self.across, _components(short)))
        return not any(map(_is_high, short)) or not all(map(is_divisor, short))

    def _of_the_row(self, number: Expr, factors: list[Expr], space: Space) -> str:
        """A product that is one number for the row, beside what runs along it."""
        is_row = any(map(self.across, _components(factors)))
        told = any(f.atoms(Component, Size, Position) for f in factors)
        code = self._as(exact=told).product(number, factors, space)
        if is_row:
            return f"{bracket(code, ATOM)}[:, None]"
        return bracket(code, PRODUCT if told else ATOM)

    def _as(self, *, exact: bool) -> TritonPrinter:
        """The same for values that are one for each row."""
        return TritonPrinter(self.sums, self.name, position=self.position, exact=exact)

    def _with_known(self, number: Expr, known: list[Expr], rest: list[Expr], space: Space) -> Code:
        """Factors that no tensor is in come first: of numbers, any quotient is exact."""
        first = bracket(self._as(exact=False).product(number, known, space), PRODUCT)
        return f"{first} * {bracket(self.product(S.One, rest, space), PRODUCT)}", PRODUCT

    def _argument(self, arg: Expr) -> str:
        """A function wants a value of the accumulator's type, not a constant."""
        code = self.code(arg, ())[0]
        return code if arg.atoms(Component, Size, Position) else f"tl.full((), {code}, ACC)"

    def power(self, base: Expr, exponent: Expr, space: Space) -> Code:
        if exponent.as_coeff_Mul()[0].is_negative:
            below = self.code(Pow(base, -exponent), space)
            if not base.atoms(Component, Size, Position):
                return super().quotient(("1", ATOM), below)
            return self.quotient(("1", ATOM), below)
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
        root = f"{'_root' if self.exact else 'tl.sqrt'}({code[0]})"
        if exponent == _HALF:
            return root, ATOM
        if exponent.is_Rational and exponent.q == 2:
            return f"_power({root}, {exponent.p})", ATOM
        return f"_real_power({code[0]}, {self.code(exponent, ())[0]})", ATOM

    def quotient(self, above: Code, below: Code) -> Code:
        if not self.exact:
            return super().quotient(above, below)
        return f"_quotient({above[0]}, {below[0]})", ATOM


def _components(factors: Sequence[Expr]) -> set[Component]:
    return {c for f in factors for c in f.atoms(Component)}


def _is_size_or_high(factor: Expr) -> bool:
    """Has it a size below, which is whole and divides a mean exactly, or a high power?"""
    return bool(factor.atoms(Size)) or _is_high(factor)


def _is_high(factor: Expr) -> bool:
    """Does it divide by more than a root or a first power?"""
    return bool(factor.as_base_exp()[1].as_coeff_Mul()[0] < -1)


HELPERS = {h for row in ROWS for h in _HELPER.findall(row.triton)}
HELPERS |= {"_power", "_real_power", "_largest", "_smallest", "_quotient", "_root", "_part_sums"}
HELPERS |= {"_as_matrix", "_as_lines", "_lines"}


def helpers_in(text: str) -> list[str]:
    """The helper functions that some code calls."""
    return sorted(HELPERS & set(_HELPER.findall(text)))
