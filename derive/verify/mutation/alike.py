"""What changes no output, proved: an exchange of two inputs, another sign of an intermediate.

In (x + r)^2 the inputs may change places; in Σ μ_i μ_j all of μ may have the other sign.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from sympy import Expr

from derive.notation.nodes import Component, Tensor
from derive.notation.op import Equation, Op
from derive.rewrite import keeping_shape
from derive.simplify.normal import TooLarge, normal
from derive.verify.mutation.equivalence import put_in

ALIKE = "the op is the same in both: every output is proved to be what it was"
EVEN = "the op is even in it: every output is proved to be what it was"


def are_alike(op: Op, names: Collection[str]) -> bool:
    """Is every output the same when two inputs change places?"""
    inputs = {c.tensor.name: c.tensor for c in op.inputs}
    if len(names) != 2 or not set(names) <= inputs.keys():
        return False
    one, other = (inputs[name] for name in names)
    return _same(op, lambda e: _exchanged(e, one, other), op.definitions)


def is_even(op: Op, name: str) -> bool:
    """Is every output the same when this tensor has the other sign wherever it is used?"""
    known = {t.name: (t, e) for t, e in op.definitions.items()}
    if name not in known:
        return False
    tensor, equation = known[name]
    negative = replace(equation, expr=-equation.expr)
    return _same(op, lambda e: e, {**op.definitions, tensor: negative})


def _same(op: Op, changed: Callable[[Expr], Expr], definitions: Mapping[Tensor, Equation]) -> bool:
    try:
        with keeping_shape():
            return all(
                normal(put_in(c, op.definitions)) == normal(changed(put_in(c, definitions)))
                for c in op.outputs
            )
    except TooLarge:
        return False


def _exchanged(expr: Expr, one: Tensor, other: Tensor) -> Expr:
    moved = {one: other, other: one}
    places = (c for c in expr.atoms(Component) if c.tensor in moved)
    return expr.xreplace({c: Component(moved[c.tensor], *c.indices) for c in places})
