"""The element-wise functions: one row each, with its derivative, its value and its spellings.

A derivative is written in the argument(s) and in `y`, the value of the function, as the books do
(`tanh`: 1 - y²). At a kink it is torch's own subgradient. `^` and `sqrt` are powers, not functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import mpmath
from sympy import Expr, Function, Integer, Pow, Rational, S


class Elementwise(Function):
    """A function of the table. It never evaluates by itself: what is written stays written."""

    row: Row
    is_finite = True
    is_zero = False

    @classmethod
    def eval(cls, *args: Expr) -> Expr | None:
        return None

    def _sympystr(self, printer: Any) -> str:
        return f"{self.row.name}({', '.join(printer.doprint(a) for a in self.args)})"


@dataclass(frozen=True)
class Row:
    """A function: how many arguments, its partial derivatives, its value, its spellings."""

    name: str
    derivatives: tuple[Callable[..., Expr], ...]
    value: Callable[..., Any]
    latex: str
    torch: str
    triton: str

    @property
    def arity(self) -> int:
        return len(self.derivatives)


def _sign(x: Any) -> Any:
    return mpmath.sign(x)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def _softplus(x: Any) -> Any:
    return mpmath.log(1 + mpmath.exp(x)) if x < 30 else x + mpmath.log(1 + mpmath.exp(-x))


def call(name: str, *args: Expr) -> Expr:
    """The function `name` of the table, applied."""
    return cast(Expr, CLASSES[name](*args))


_half = Rational(1, 2)

# In torch and triton, {0} and {1} stand for the arguments. Names with a leading underscore are
# helpers that a generated file defines for itself when it uses them.
ROWS = (
    Row("exp", (lambda x, y: y,), mpmath.exp, r"\exp", "torch.exp({0})", "tl.exp({0})"),
    Row("log", (lambda x, y: 1 / x,), mpmath.log, r"\log", "torch.log({0})", "tl.log({0})"),
    Row(
        "sin", (lambda x, y: call("cos", x),), mpmath.sin, r"\sin", "torch.sin({0})", "tl.sin({0})"
    ),
    Row(
        "cos", (lambda x, y: -call("sin", x),), mpmath.cos, r"\cos", "torch.cos({0})", "tl.cos({0})"
    ),
    Row("tan", (lambda x, y: 1 + y**2,), mpmath.tan, r"\tan", "torch.tan({0})", "_tan({0})"),
    Row("tanh", (lambda x, y: 1 - y**2,), mpmath.tanh, r"\tanh", "torch.tanh({0})", "_tanh({0})"),
    Row(
        "sigmoid",
        (lambda x, y: y * (1 - y),),
        _sigmoid,
        r"\operatorname{sigmoid}",
        "torch.sigmoid({0})",
        "tl.sigmoid({0})",
    ),
    Row(
        "softplus",
        (lambda x, y: call("sigmoid", x),),
        _softplus,
        r"\operatorname{softplus}",
        "torch.nn.functional.softplus({0}, threshold=40)",
        "_softplus({0})",
    ),
    Row(
        "erf",
        (lambda x, y: 2 / Pow(S.Pi, _half) * call("exp", -(x**2)),),
        mpmath.erf,
        r"\operatorname{erf}",
        "torch.erf({0})",
        "tl.erf({0})",
    ),
    Row(
        "abs",
        (lambda x, y: call("sign", x),),
        abs,
        r"\operatorname{abs}",
        "torch.abs({0})",
        "tl.abs({0})",
    ),
    Row(
        "sign",
        (lambda x, y: Integer(0),),
        _sign,
        r"\operatorname{sign}",
        "torch.sign({0})",
        "_sign({0})",
    ),
    Row(
        "relu",
        (lambda x, y: call("sign", y),),
        lambda x: max(x, mpmath.mpf(0)),
        r"\operatorname{relu}",
        "torch.relu({0})",
        "_relu({0})",
    ),
    Row(  # at a tie each argument receives half, as in torch
        "min",
        (
            lambda a, b, y: (1 - call("sign", a - b)) / 2,
            lambda a, b, y: (1 + call("sign", a - b)) / 2,
        ),
        min,
        r"\min",
        "torch.minimum({0}, {1})",
        "_minimum({0}, {1})",
    ),
    Row(
        "max",
        (
            lambda a, b, y: (1 + call("sign", a - b)) / 2,
            lambda a, b, y: (1 - call("sign", a - b)) / 2,
        ),
        max,
        r"\max",
        "torch.maximum({0}, {1})",
        "_maximum({0}, {1})",
    ),
)

FUNCTIONS = {row.name: row for row in ROWS}
CLASSES: dict[str, type[Elementwise]] = {
    row.name: cast(
        "type[Elementwise]", type(row.name, (Elementwise,), {"row": row, "nargs": row.arity})
    )
    for row in ROWS
}
POWERS = {"sqrt": _half, "rsqrt": -_half}  # words of the language that are powers
WORDS = (*(r.name for r in ROWS), *POWERS)
