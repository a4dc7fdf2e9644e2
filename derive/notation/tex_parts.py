"""What a formula in LaTeX consists of before it is known what belongs to what."""

from __future__ import annotations

from dataclasses import dataclass

from lark import Token

from derive.errors import Span
from derive.notation import tree as t
from derive.notation.grow import Child


@dataclass(frozen=True)
class Name:
    """A name before its scripts are known; any of the spellings may be the op's."""

    span: Span
    spellings: tuple[str, ...]


@dataclass(frozen=True)
class Ones:
    """A bold 1."""

    span: Span


@dataclass(frozen=True)
class Below:
    """A subscript."""

    span: Span
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class Above:
    """A superscript."""

    span: Span
    node: t.Node


@dataclass(frozen=True)
class Bracket:
    """What stands in brackets: a factor, or the arguments of the function before it."""

    span: Span
    arguments: tuple[t.Node, ...]


@dataclass(frozen=True)
class Differential:
    """`\\partial y_{b h}`, above or below the line of a derivative."""

    span: Span
    of: t.Node
    total: bool


@dataclass(frozen=True)
class Head:
    """A function, `\\sum_h` or ∂/∂t, which takes what follows it."""

    span: Span
    name: str  # empty for ∂/∂t
    letters: tuple[t.Letter, ...] = ()
    wrt: t.Reference | None = None
    exponent: t.Node | None = None
    end: t.Letter | None = None


@dataclass(frozen=True, eq=False)
class Bounded(t.Reduction):
    """`\\sum_{k=1}^{C}`: k runs over as many values as c, the size of which is C."""

    end: t.Letter  # c, where C stands


def span_of(item: Child) -> Span:
    found: Span = item.span
    return found
