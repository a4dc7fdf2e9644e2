"""What a change of the inputs makes of every tensor of an op, each tangent as short as it gets."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from sympy import Expr, Mul, Rational, S

from derive.higher import pushed
from derive.notation.known import operations_in
from derive.notation.nodes import Component, Contraction, Index, Size, Tensor, rename
from derive.notation.op import Equation, Op
from derive.rewrite import everywhere
from derive.simplify.collect import factored
from derive.simplify.identities import Identities
from derive.simplify.inverse import inverted
from derive.simplify.normal import normal
from derive.simplify.zero import reduced
from derive.theorems.symmetries import Answer, Search, Symmetry


def tangents(op: Op, change: Symmetry, c: Component) -> dict[Tensor, Expr]:
    """The tangent of each tensor, inputs and outputs in the letters of the header.

    Where a tensor answers with k c t or k c at every point tried, that is taken for its tangent;
    what is made of it is for the caller to prove.
    """
    op = _in_letters_of_header(op)
    search, identities = Search(op), Identities(op)
    found: dict[Tensor, Expr] = {x.tensor: S.Zero for x in op.inputs}
    for part in change.parts:
        scale = part.component if part.scales else S.One
        found[part.component.tensor] = Mul(part.sign, c, scale)
    for equation in op.equations:
        answer = search.answer(change, equation.target)
        found[equation.target.tensor] = (
            _pushed(op, equation, found, identities)
            if answer is None
            else answered(answer, equation.target, c)
        )
    return found


def _in_letters_of_header(op: Op) -> Op:
    """An equation may call its indices as it likes; c has the header's letters."""
    letters = {i.size: i for c in op.inputs for i in reversed(c.indices)}
    return replace(op, equations=tuple(_renamed(e, letters) for e in op.equations))


def _renamed(equation: Equation, letters: dict[Size, Index]) -> Equation:
    """Unless two of its axes have one size: then nothing tells which letter is whose."""
    own = {i: letters[i.size] for i in equation.target.indices}
    if len(set(own.values())) < len(own):
        return equation
    target = cast(Component, rename(equation.target, own))
    return replace(equation, target=target, expr=rename(equation.expr, own))


def answered(answer: Answer, component: Component, c: Component) -> Expr:
    """k c t, or k c."""
    k = Rational(answer.k.numerator, answer.k.denominator)
    return Mul(k, c, component if answer.scales else S.One)


def _pushed(op: Op, equation: Equation, known: dict[Tensor, Expr], identities: Identities) -> Expr:
    def tangent(component: Component) -> Expr:
        declared = op.tensors[component.tensor.name]
        letters = dict(zip(declared.indices, component.indices, strict=True))
        return rename(known[component.tensor], letters)

    def simpler(expr: Expr) -> Expr | None:
        reduced = identities.simplify(expr) if isinstance(expr, Contraction) else None
        return None if reduced is None else reduced[0]

    expr = everywhere(simpler, normal(pushed(op, equation, tangent, identities)))
    plain = normal(expr)
    tried = [factored(inverted(op, e)) for e in (plain, reduced(plain))]
    return min(tried, key=operations_in)
