"""Is a mutant no mistake at all? Proved, or not; numbers that agree are no proof."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from sympy import Expr

from derive.derivation import Derivation, Stage, total_gradient
from derive.notation.nodes import Component, Tensor
from derive.notation.op import Equation
from derive.notation.statement import Statement
from derive.prove import Proof, prove_statement
from derive.rewrite import Chain, everywhere, keeping_shape
from derive.simplify.identities import instantiate
from derive.verify.mutation.formulas import CLOSED, Mutant


def is_equivalent(mutant: Mutant) -> bool:
    """Is every gradient proved to be what it was?

    A wrong gradient is compared with the right one. A wrong forward equation is put into the
    gradients of the inputs, and these are compared.
    """
    derivation = mutant.original.derivation
    if not mutant.is_forward:
        right = mutant.original.equations[mutant.number]
        return _proved(derivation, mutant.equation.expr, right.expr, mutant.equation)
    stages = (derivation.stage[c.tensor.name] for c in derivation.op.differentiable)
    sides = ((opened(mutant, s.computed), Equation(s.component, s.closed, "")) for s in stages)
    return all(_proved(derivation, wrong, right.expr, right) for wrong, right in sides)


def _proved(derivation: Derivation, wrong: Expr, right: Expr, of: Equation) -> bool:
    statement = Statement(wrong, right, of.target.indices, of.name)
    return isinstance(prove_statement(derivation, statement), Proof)


def mutated(mutant: Mutant) -> Derivation:
    """The derivation with the mistake in it, for checks that take one."""
    derivation = mutant.original.derivation
    inputs = {c.tensor for c in derivation.op.inputs}

    def changed(stage: Stage) -> Stage:
        if mutant.is_forward:
            is_input = stage.component.tensor in inputs
            return replace(stage, computed=opened(mutant, stage.computed)) if is_input else stage
        if total_gradient(derivation.op, stage.component).tensor != mutant.equation.target.tensor:
            return stage
        if mutant.form == CLOSED:
            return replace(stage, closing=Chain(stage.closing.subject, mutant.equation.expr))
        return replace(stage, computed=mutant.equation.expr)

    return replace(derivation, stages=tuple(map(changed, derivation.stages)))


def opened(mutant: Mutant, expr: Expr) -> Expr:
    """A gradient in cotangents and in what the wrong forward equation leaves as it was.

    Gradients of intermediates are put in, and every tensor that follows from the wrong one.
    """
    first = len(mutant.original.derivation.op.equations)
    forward, chain = mutant.program.equations[:first], mutant.program.equations[first:]
    known = {e.target.tensor: e for e in (*_following(mutant, forward), *chain)}
    with keeping_shape():
        return put_in(expr, known)


def put_in(expr: Expr, known: Mapping[Tensor, Equation]) -> Expr:
    """With every tensor that is known replaced by what it is."""
    for _ in range(len(known)):
        after = everywhere(lambda e: _definition(e, known), expr)
        if after == expr:
            break
        expr = after
    return expr


def _following(mutant: Mutant, forward: Collection[Equation]) -> list[Equation]:
    wrong = {mutant.equation.target.tensor}
    found = []
    for equation in forward:
        uses = {c.tensor for c in equation.expr.atoms(Component)}
        if equation.target.tensor in wrong or uses & wrong:
            wrong.add(equation.target.tensor)
            found.append(equation)
    return found


def _definition(expr: Expr, known: Mapping[Tensor, Equation]) -> Expr | None:
    if isinstance(expr, Component) and expr.tensor in known:
        return instantiate(known[expr.tensor], expr)
    return None
