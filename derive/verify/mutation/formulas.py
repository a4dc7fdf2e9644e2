"""The mutants of a derivation: its program with one mistake in one of its formulas.

Two programs compute the gradients: the chain, which is what is generated, and the closed forms,
which is what a person quotes. Mistakes are made in both, and in the forward equations that the
backward pass relies on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sympy import Expr, I, nan, preorder_traversal, zoo

from derive.derivation import Derivation, primes, total_gradient
from derive.notation.evaluate import is_real
from derive.notation.nodes import Component, Size, Tensor, free_indices
from derive.notation.op import Equation, gradient
from derive.notation.text import component_text, equation_text, to_text
from derive.rewrite import keeping_shape
from derive.simplify.normal import TooLarge, normal
from derive.verify.mutation.operators import OPERATORS, Change, Known
from derive.verify.mutation.places import places
from derive.verify.program import Program, program

CHAIN, CLOSED = "chain", "closed form"


@dataclass(frozen=True)
class Mutant:
    """A program with one wrong equation."""

    form: str
    original: Program
    number: int  # of the equation
    equation: Equation  # wrong
    change: str

    @property
    def place(self) -> str:
        where = component_text(self.equation.target)
        return f"{where}, {self.form}" if self.form == CLOSED else where

    @property
    def text(self) -> str:
        letters = self.original.derivation.op.letters
        return equation_text(self.equation.target, self.equation.expr, letters)

    @property
    def is_forward(self) -> bool:
        return self.number < len(self.original.derivation.op.equations)

    @property
    def program(self) -> Program:
        equations = list(self.original.equations)
        equations[self.number] = self.equation
        return replace(self.original, equations=tuple(equations))


def closed_program(derivation: Derivation) -> Program:
    """Forward equations, then the closed form of each input's gradient."""
    op = derivation.op
    stages = (derivation.stage[c.tensor.name] for c in op.differentiable)
    closed = (Equation(total_gradient(op, s.component), s.closed, "") for s in stages)
    return Program(derivation, (*op.equations, *closed))


def mutants(derivation: Derivation) -> list[Mutant]:
    """Every mistake in every equation of the backward pass, those of equal value once."""
    chain, closed = program(derivation), closed_program(derivation)
    first = len(derivation.op.equations)
    own = {e.expr for e in chain.equations}
    with keeping_shape():
        found = [m for k in _backward(chain) for m in _of_equation(CHAIN, chain, k)]
        for k in range(first, len(closed.equations)):
            if closed.equations[k].expr not in own:
                found += _of_equation(CLOSED, closed, k)
    return found


def _backward(made: Program) -> list[int]:
    """The gradients, and the forward equations that some of them depend on."""
    first = len(made.derivation.op.equations)
    wanted: set[Tensor] = set()
    numbers: list[int] = []
    for number in reversed(range(len(made.equations))):
        equation = made.equations[number]
        if number >= first or equation.target.tensor in wanted:
            numbers.append(number)
            wanted |= {c.tensor for c in equation.expr.atoms(Component)}
    return numbers[::-1]


def _of_equation(form: str, made: Program, number: int) -> Iterator[Mutant]:
    equation, op = made.equations[number], made.derivation.op
    letters = (*op.letters, *primes(op).values())
    known = _known(form, made, number)
    seen: set[Expr] = set()
    for place in places(equation.expr, equation.target.indices, letters):
        for change in (c for operator in OPERATORS for c in operator(place, known)):
            expr = place.put(change.instead)
            if expr == equation.expr or expr.has(nan, zoo, I) or not _fits(expr, equation):
                continue
            if (value := _value(expr)) in seen:
                continue
            seen.add(value)
            yield Mutant(form, made, number, replace(equation, expr=expr), _said(change, made))


def _fits(expr: Expr, equation: Equation) -> bool:
    """Can it be computed? Not with an index that is free on the right alone, nor with log(-1)."""
    parts = (p for p in preorder_traversal(expr) if isinstance(p, Expr) and p.is_number)
    real = all(p.is_Rational or is_real(p) for p in parts)
    return real and set(free_indices(expr)) <= set(equation.target.indices)


def _value(expr: Expr) -> Expr:
    """The same for two mistakes that come to the same."""
    try:
        return normal(expr)
    except TooLarge:
        return expr


def _known(form: str, made: Program, number: int) -> Known:
    """The tensors that are there before an equation is computed."""
    op = made.derivation.op
    first = len(op.equations)
    cotangents = [gradient(c) for c in op.outputs] if number >= first else []
    before = made.equations[: number if form == CHAIN else first]
    tensors: dict[tuple[Size, ...], list[Tensor]] = {}
    for component in (*op.inputs, *cotangents, *(e.target for e in before)):
        tensors.setdefault(tuple(i.size for i in component.indices), []).append(component.tensor)
    return Known(tensors, tuple(op.sizes.values()))


def _said(change: Change, made: Program) -> str:
    if change.now is None:
        return f"{change.kind}: {_shown(change.was, made)}"
    return f"{change.kind}: {_shown(change.now, made)} for {_shown(change.was, made)}"


def _shown(expr: Expr, made: Program) -> str:
    return to_text(expr, free_indices(expr), made.derivation.op.letters)
