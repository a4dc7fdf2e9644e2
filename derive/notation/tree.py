"""The syntax tree of the op language: what was written and where, before any meaning is given.

Nodes are told apart by identity, so tables may be keyed by the place in the source. `height` counts
the levels below a node. A sum holds no sum and a product no product: they are flattened when read,
a difference is a sum with a factor -1, a quotient a product with a power of -1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from derive.errors import Span


@dataclass(frozen=True, eq=False)
class Letter:
    """An index in the brackets of a component."""

    span: Span
    name: str


@dataclass(frozen=True, eq=False)
class Node:
    """An expression."""

    span: Span
    parts: tuple[Node, ...] = field(default=(), kw_only=True)
    height: int = field(default=0, kw_only=True)  # levels below; stored, so reading never recurses


@dataclass(frozen=True, eq=False)
class Number(Node):
    """An exact number."""

    value: Fraction


@dataclass(frozen=True, eq=False)
class Label:
    """An integer tensor as an index in the brackets of a component: `t[b]` in `x[b,t[b]]`."""

    span: Span
    name: str
    letters: tuple[Letter, ...]


@dataclass(frozen=True, eq=False)
class Place:
    """Arithmetic as an index: `s-k` in `x[b,s-k]`; where it is outside the axis, x is zero."""

    span: Span
    value: Node

    @property
    def letters(self) -> tuple[Letter, ...]:
        return tuple(k for node in walk(self.value) for k in getattr(node, "letters", ()))

    @property
    def name(self) -> str:
        return "…"


Axis = Letter | Label | Place


@dataclass(frozen=True, eq=False)
class Reference(Node):
    """A name with its indices: a component, a bare tensor, a scalar, a size, pi."""

    name: str
    axes: tuple[Axis, ...] = ()

    @property
    def letters(self) -> tuple[Letter, ...]:
        """Every letter in the brackets, those of labels too."""
        return _letters(self.axes)

    @property
    def labels(self) -> tuple[Label, ...]:
        return tuple(a for a in self.axes if isinstance(a, Label))

    @property
    def plain(self) -> bool:
        """Do only letters stand in the brackets?"""
        return all(isinstance(a, Letter) for a in self.axes)


@dataclass(frozen=True, eq=False)
class Ones(Node):
    """The one-tensor."""

    letters: tuple[Letter, ...]


@dataclass(frozen=True, eq=False)
class Delta(Node):
    """Kronecker's delta."""

    axes: tuple[Axis, ...]

    @property
    def letters(self) -> tuple[Letter, ...]:
        return _letters(self.axes)


@dataclass(frozen=True, eq=False)
class Position(Node):
    """An index as a number, in conditions only."""

    letters: tuple[Letter]


@dataclass(frozen=True, eq=False)
class Jacobian(Node):
    """`d(y[b,h])/d(x[p,q])`, in statements only."""

    of: Reference
    wrt: Reference

    @property
    def letters(self) -> tuple[Letter, ...]:
        return self.of.letters + self.wrt.letters


Leaf = Reference | Ones | Delta | Position | Jacobian


@dataclass(frozen=True, eq=False)
class Sum(Node):
    """Terms added."""


@dataclass(frozen=True, eq=False)
class Product(Node):
    """Factors multiplied."""


@dataclass(frozen=True, eq=False)
class Power(Node):
    """A base and its exponent."""

    @property
    def base(self) -> Node:
        return self.parts[0]

    @property
    def exponent(self) -> Node:
        return self.parts[1]


@dataclass(frozen=True, eq=False)
class Call(Node):
    """A function of the language applied."""

    name: str


@dataclass(frozen=True, eq=False)
class Comparison(Node):
    """`a <= b`, the condition of a `where`."""

    relation: str


@dataclass(frozen=True, eq=False)
class Where(Node):
    """`where(condition, a, b)`; the condition is its first part."""


@dataclass(frozen=True, eq=False)
class Reduction(Node):
    """`sum[h,k](…)`, `mean`, `max` or `min`: the letters are bound in the body."""

    name: str
    letters: tuple[Letter, ...]

    @property
    def body(self) -> Node:
        return self.parts[0]


@dataclass(frozen=True, eq=False)
class Derivative(Node):
    """The operator ∂/∂t_pq applied to an expression, in statements only."""

    wrt: Reference

    @property
    def letters(self) -> tuple[Letter, ...]:
        return self.wrt.letters

    @property
    def body(self) -> Node:
        return self.parts[0]


@dataclass(frozen=True, eq=False)
class Declaration:
    """A tensor as the head of an op or the left side of an equation names it."""

    span: Span
    name: str
    name_span: Span
    letters: tuple[Letter, ...]
    values: tuple[Letter, ...] | None = None  # `[c]` of `t[b]: int[c]`; empty for `t[b]: int`
    groups: tuple[int, ...] = ()  # how many letters each axis shows, if one shows several


@dataclass(frozen=True, eq=False)
class Default:
    """A scalar parameter and its default."""

    span: Span
    name: str
    value: Fraction
    text: str


@dataclass(frozen=True, eq=False)
class Head:
    """The line `op name(inputs; parameters) -> outputs`."""

    span: Span
    name: str
    name_span: Span
    inputs: tuple[Declaration, ...]
    parameters: tuple[Default, ...]
    outputs: tuple[Declaration, ...]


@dataclass(frozen=True, eq=False)
class Stated:
    """`left = right for p, q`: two sides, and the letters that are said to be free."""

    sides: tuple[Node, Node]
    free: tuple[Letter, ...] = ()


@dataclass(frozen=True, eq=False)
class Equality:
    """An equation: what it defines, and by what; `left = right` is a relation if `solve` says so.

    The target of a relation has the letters with which the unknown is first written.
    """

    target: Declaration
    right: Node
    left: Node | None = None

    @property
    def sides(self) -> tuple[Node, ...]:
        return (self.right,) if self.left is None else (self.left, self.right)


def _letters(axes: Iterable[Axis]) -> tuple[Letter, ...]:
    return tuple(k for a in axes for k in ((a,) if isinstance(a, Letter) else a.letters))


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order of the source."""
    todo = [node]
    while todo:
        at = todo.pop()
        yield at
        todo.extend(reversed(at.parts))


def letters_in(node: Node) -> Iterator[Letter]:
    """The letters of an expression in the order of the source."""
    for part in walk(node):
        yield from getattr(part, "letters", ())
