"""A bound on the work that one text may cause: nodes are counted, not seconds.

So what is refused is refused on every machine, whatever was remembered from before. Layer norm
takes 1.5 thousand nodes, the double backward of its double backward 25 thousand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from derive.errors import Diagnostic, SourceError, Span
from derive.notation.op import Equation, Op

_left: ContextVar[list[int] | None] = ContextVar("_left", default=None)


class Exhausted(Exception):
    """The work is more than is allowed."""


@contextmanager
def bounded(nodes: int, within: bool = True) -> Iterator[None]:
    """`Exhausted` is raised inside once more than so many nodes are spent.

    They are part of what is allowed around this, unless the result is remembered for others.
    """
    outer = _left.get() if within else None
    most = nodes if outer is None else min(nodes, outer[0])
    left = [most]
    token = _left.set(left)
    try:
        yield
    finally:
        _left.reset(token)
        if outer is not None:
            outer[0] -= most - left[0]


def spend(nodes: int) -> None:
    """Count nodes that are worked on; where nothing is bounded, nothing is counted."""
    left = _left.get()
    if left is not None:
        left[0] -= nodes
        if left[0] < 0:
            raise Exhausted


def refusal(op: Op, equation: Equation) -> SourceError:
    """What is said of the equation at which the work got too much."""
    span = equation.span or Span(1, 1, 1, len(equation.text) + 1)
    message = f"the derivation of `{op.name}` becomes too long here"
    remedy = "name parts of this by equations of their own, or split the op"
    source = equation.source or equation.text
    return SourceError((Diagnostic("E410", message, span, remedy, op.path, source),))
