"""What stands on paper: sums of products of factors, with their letters and ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from sympy import Expr, S

from derive.notation.conditions import Iverson
from derive.notation.functions import Elementwise
from derive.notation.nodes import Component, Index


@dataclass(frozen=True)
class Ones:
    """A one-tensor with one letter."""

    index: Index


@dataclass(frozen=True)
class Call:
    """A function and its arguments."""

    function: Elementwise
    args: tuple[Sum, ...]

    @property
    def sums(self) -> tuple[Sum, ...]:
        return self.args


@dataclass(frozen=True)
class Bracket:
    """[left relation right]."""

    left: Sum
    relation: str
    right: Sum
    holds: bool

    @property
    def sums(self) -> tuple[Sum, ...]:
        return self.left, self.right


@dataclass(frozen=True)
class Choice:
    """One sum of terms where a condition holds, else the other."""

    condition: Bracket | Iverson
    taken: Sum
    other: Sum

    @property
    def sums(self) -> tuple[Sum, ...]:
        inside = self.condition.sums if isinstance(self.condition, Bracket) else ()
        return *inside, self.taken, self.other


@dataclass(frozen=True)
class Largest:
    """max or min over letters of a sum of terms."""

    word: str
    letters: tuple[Index, ...]
    body: Sum

    @property
    def sums(self) -> tuple[Sum, ...]:
        return (self.body,)


@dataclass(frozen=True)
class Operator:
    """∂/∂t of a sum of terms."""

    wrt: Component
    body: Sum


@dataclass(frozen=True)
class Factor:
    """base^exponent; an exponent is an exact number or an expression of scalars."""

    base: Base
    exponent: Expr = S.One
    marked: bool = False  # a step has changed it


@dataclass(frozen=True)
class Product:
    """± number × factors; factors with a negative exponent are the denominator."""

    negative: bool
    number: Expr  # positive
    factors: tuple[Factor, ...]
    summed: int = 0  # how many letters the product sums over
    marked: bool = False  # a step has changed it, sign or number included

    @property
    def above(self) -> tuple[Factor, ...]:
        return tuple(f for f in self.factors if not _is_negative(f.exponent))

    @property
    def below(self) -> tuple[Factor, ...]:
        return tuple(
            replace(f, exponent=-f.exponent) for f in self.factors if _is_negative(f.exponent)
        )


@dataclass(frozen=True)
class Sum:
    """Terms in the order in which they are written."""

    terms: tuple[Product, ...]


Base: TypeAlias = Expr | Ones | Call | Bracket | Choice | Largest | Operator | Sum


def _is_negative(exponent: Expr) -> bool:
    return bool(exponent.as_coeff_Mul()[0].is_negative)
