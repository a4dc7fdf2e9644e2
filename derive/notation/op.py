"""An op: what it takes, what it gives, and the equations between, in the order of its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

from sympy import Expr

from derive.errors import Span
from derive.notation.known import parts_of
from derive.notation.nodes import Component, Index, Labels, Scalar, Size, Tensor


@dataclass(frozen=True)
class Parameter:
    """A numeric parameter and its default, exact; `text` is the default as it was written."""

    symbol: Scalar
    default: Fraction
    text: str


@dataclass(frozen=True)
class Extent:
    """A size that is a parameter, as `G = 32` in the header; `default` is a whole number."""

    size: Size
    default: int


@dataclass(frozen=True)
class Equation:
    """`target = expr`: each index of the target is free in `expr`, each sum is a Contraction."""

    target: Component
    expr: Expr
    text: str  # as written, without comment, white space around it trimmed
    span: Span | None = field(default=None, compare=False, repr=False)  # in its file
    source: str = field(default="", compare=False, repr=False)  # the line on which that starts

    @property
    def name(self) -> str:
        return self.target.tensor.name


@dataclass(frozen=True)
class Op:
    """An op as read: `inputs` and `outputs` are components with the letters of the header."""

    name: str
    inputs: tuple[Component, ...]
    parameters: tuple[Parameter, ...]
    outputs: tuple[Component, ...]
    equations: tuple[Equation, ...]
    letters: tuple[Index, ...]  # every index letter, free or summed, in order of appearance
    title: tuple[str, ...] = ()  # the comment block above `op`, a line each, without `#`
    header: str = ""  # the `op …` line as written, on one line
    text: str = field(default="", compare=False, repr=False)  # this op's own lines of its file
    path: str = field(default="", compare=False)  # the file it came from, as the user named it
    extents: tuple[Extent, ...] = ()  # sizes given as parameters

    @cached_property
    def differentiable(self) -> tuple[Component, ...]:
        """The inputs that receive a gradient: all but integers."""
        return tuple(c for c in self.inputs if not isinstance(c.tensor, Labels))

    @cached_property
    def definitions(self) -> dict[Tensor, Equation]:
        """The equation that defines each tensor that is no input."""
        return {e.target.tensor: e for e in self.equations}

    @cached_property
    def tensors(self) -> dict[str, Component]:
        """Every tensor by its name, inputs first, with the letters it was declared with."""
        found = {c.tensor.name: c for c in self.inputs}
        return found | {e.name: e.target for e in self.equations}

    @cached_property
    def sizes(self) -> dict[str, Size]:
        """The size symbols by name."""
        return {i.size.name: i.size for i in self.letters}


_GRADIENT, _TOTAL = 10_000, 20_000  # what ranks of gradients lie below their tensors' by


def gradient(component: Component) -> Component:
    """∂l/∂t as a component of the tensor `dt`; gradients sort before all tensors of the op."""
    tensor = component.tensor
    made = Tensor(f"d{tensor.name}", tensor.rank - _GRADIENT, tensor.groups)
    return Component(made, *component.indices)


def total(op: Op, component: Component) -> Component:
    """The whole gradient of an output that is used again: its cotangent and what comes back."""
    tensor = component.tensor
    name = f"d{tensor.name}_total"
    while name in op.tensors or name.removeprefix("d") in op.tensors:
        name += "_"
    return Component(Tensor(name, tensor.rank - _TOTAL, tensor.groups), *component.indices)


def is_gradient(component: Component) -> bool:
    """Is this a component of some ∂l/∂t?"""
    return component.tensor.rank < 0


def is_total(component: Component) -> bool:
    """Is this the whole gradient of an output that is used again?"""
    return component.tensor.rank < -_GRADIENT


def declared_as(op: Op, component: Component) -> Component:
    """The tensor that a gradient is the gradient of; anything else is itself."""
    if not is_gradient(component):
        return op.tensors.get(component.tensor.name, component)
    rank = component.tensor.rank + (_TOTAL if is_total(component) else _GRADIENT)
    return next((c for c in op.tensors.values() if c.tensor.rank == rank), component)


def holds_gradient(expr: Expr) -> bool:
    """Does any ∂l/∂t occur in the expression?"""
    return any(is_gradient(c) for c in parts_of(expr, Component))
