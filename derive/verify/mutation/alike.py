"""What changes no output, proved: an exchange of two inputs, another sign of an intermediate.

In (x + r)^2 the inputs may change places; in Σ μ_i μ_j all of μ may have the other sign.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sympy import Expr

from derive.derivation import differentiate, total_gradient
from derive.notation.nodes import Bound, Component, Tensor
from derive.notation.op import Equation, Op
from derive.plan.program import plan
from derive.rewrite import keeping_shape
from derive.simplify.normal import TooLarge, normal
from derive.simplify.zero import is_zero_by_laws
from derive.verify.mutation.equivalence import put_in

ALIKE = "the op is the same in both: every output is proved to be what it was"
EQUAL = "both are one gradient: the formulas of the two are proved to be equal"
EVEN = "the sign makes no difference: every result is proved to be what it was"


def are_alike(op: Op, names: Collection[str]) -> bool:
    """Is every output the same when two inputs change places?"""
    inputs = {c.tensor.name: c for c in op.inputs}
    if len(names) != 2 or not set(names) <= inputs.keys():
        return False
    one, other = (inputs[name] for name in names)
    try:
        with keeping_shape():
            opened = [put_in(c, op.definitions) for c in op.outputs]
            pairs = [(e, _exchanged(e, one, other)) for e in opened]
            return all(e is not None and _are_equal(o, e) for o, e in pairs)
    except TooLarge:
        return False


def are_one_gradient(op: Op, names: Collection[str]) -> bool:
    """Are these two gradients equal, as those of both summands of a sum are?"""
    ends, known = _backward(op)
    two = [e for e in ends if e.tensor.name in names]
    if len(two) != 2 or len(names) != 2 or two[0].indices != two[1].indices:
        return False
    try:
        with keeping_shape():
            return _are_equal(*(put_in(e, known) for e in two))
    except TooLarge:
        return False


def _backward(op: Op) -> tuple[list[Component], dict[Tensor, Equation]]:
    """The gradients of the inputs, and how all gradients are computed."""
    derivation = differentiate(op)
    gradients = {total_gradient(op, s.component): s for s in derivation.stages}
    known = {g.tensor: Equation(g, s.computed, "") for g, s in gradients.items()}
    stages = (derivation.stage[c.tensor.name] for c in op.differentiable)
    return [total_gradient(op, s.component) for s in stages], known


def is_even(op: Op, name: str, backward: bool) -> bool:
    """Is every result of a pass the same when this tensor has the other sign wherever it is used?

    The backward pass is given inputs and what is saved; it computes the rest again.
    """
    saved = {c.tensor for c in plan(op, differentiate(op)).saved} if backward else set()
    known = {t: e for t, e in op.definitions.items() if t not in saved}
    ends = list(op.outputs)
    if backward:
        ends, more = _backward(op)
        known |= more
    wrong = {t: replace(e, expr=_negated(e.expr, name)) for t, e in known.items()}
    try:
        with keeping_shape():
            return all(_are_equal(put_in(e, known), put_in(e, wrong)) for e in ends)
    except TooLarge:
        return False


def _are_equal(one: Expr, other: Expr) -> bool:
    """By the laws, of which one is |-u| = |u|."""
    return bool(normal(one) == normal(other)) or is_zero_by_laws(one - other)


def _negated(expr: Expr, name: str) -> Expr:
    return expr.xreplace({c: -c for c in expr.atoms(Component) if c.tensor.name == name})


def _exchanged(expr: Expr, one: Component, other: Component) -> Expr | None:
    """With each in the place of the other; of other axes, with its own, where all is free."""
    moved = {one.tensor: other, other.tensor: one}
    places = [c for c in expr.atoms(Component) if c.tensor in moved]
    if len(one.indices) == len(other.indices):
        return expr.xreplace({c: Component(moved[c.tensor].tensor, *c.indices) for c in places})
    if not set(places) <= {one, other} or expr.atoms(Bound):
        return None
    return expr.xreplace({c: moved[c.tensor] for c in places})
