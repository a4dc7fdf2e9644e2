"""Printing an expression inside a Triton kernel: a row is a vector, a statistic of it a scalar."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from sympy import Expr, Pow, Rational

from derive.emit.scalar import ATOM, PRODUCT, UNARY, Code, ScalarPrinter, bracket
from derive.notation.functions import ROWS, Row
from derive.notation.nodes import Component, Contraction, Index, Size

Space = tuple[Index, ...]
_HALF = Rational(1, 2)
_HELPER = re.compile(r"(?<![\w.])_[a-z0-9_]+(?=\()")


class TritonPrinter(ScalarPrinter):
    """Expressions over values that are named like their tensors; `sums` spells each marker."""

    def __init__(self, sums: dict[str, str], name: Callable[[str], str]) -> None:
        self.sums, self.name = sums, name

    def component(self, component: Component, space: Space) -> Code:
        name = component.tensor.name
        return self.sums.get(name, name), ATOM

    def contraction(self, total: Contraction, factor: Expr, space: Space) -> Code:
        raise TypeError("a sum has a marker of its own")

    def size(self, size: Size) -> Code:
        """Sizes are cast to the accumulator's type once: an integer quotient would be in fp32."""
        return self.name(f"size_{size.name}"), ATOM

    def function(self, row: Row, args: Sequence[Expr], space: Space) -> str:
        return row.triton.format(*(self._argument(a) for a in args))

    def _argument(self, arg: Expr) -> str:
        """A function wants a value of the accumulator's type, not a constant."""
        code = self.code(arg, ())[0]
        return code if arg.atoms(Component, Size) else f"tl.full((), {code}, ACC)"

    def power(self, base: Expr, exponent: Expr, space: Space) -> Code:
        if exponent.as_coeff_Mul()[0].is_negative:
            return "1 / " + bracket(self.code(Pow(base, -exponent), space), UNARY), PRODUCT
        code = self.code(base, space)
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


HELPERS = {h for row in ROWS for h in _HELPER.findall(row.triton)} | {"_power", "_real_power"}


def helpers_in(text: str) -> list[str]:
    """The helper functions that some code calls."""
    return sorted(HELPERS & set(_HELPER.findall(text)))
