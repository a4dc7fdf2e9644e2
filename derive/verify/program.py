"""The derived program run as it stands, equation by equation, in fp64: outputs and gradients.

It is slow and plain like the reference, but it computes the gradients that were derived, not those
of autograd; so it can be disturbed, one term or every operation, to see what a check would notice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from sympy import Add, Expr
from torch import Tensor

from derive.derivation import Derivation, total_gradient
from derive.notation.nodes import Scalar
from derive.notation.op import Equation, gradient
from derive.plan.paths import in_pairs, lengths
from derive.plan.roles import roles
from derive.plan.short import full_in, products_in
from derive.plan.trim import tidy
from derive.rewrite import keeping_shape
from derive.verify.reference import REAL, Numbers, apart, evaluate, together, value
from derive.verify.sample import Sample


@dataclass(frozen=True)
class Place:
    """One term of one equation of the program, or a scalar parameter."""

    name: str
    scalar: str | None = None
    equation: int = 0
    term: int = 0
    parameters: frozenset[str] = frozenset()  # where the term is made of parameters alone


@dataclass(frozen=True)
class Program:
    """Forward equations, then those of the gradients, in the order in which they are computed."""

    derivation: Derivation
    equations: tuple[Equation, ...]

    @property
    def places(self) -> Iterator[Place]:
        """Every term, and every scalar parameter."""
        for number, equation in enumerate(self.equations):
            for k, term in enumerate(Add.make_args(equation.expr)):
                if term != 0:
                    yield _place(equation, number, k, term)
        yield from (Place(p.symbol.name, p.symbol.name) for p in self.derivation.op.parameters)

    def scaled(self, place: Place, factor: float) -> Program:
        """The program with one term wrong by a factor."""
        equations = list(self.equations)
        old = equations[place.equation]
        terms = list(Add.make_args(old.expr))
        terms[place.term] = terms[place.term] * factor
        equations[place.equation] = replace(old, expr=Add(*terms))
        return replace(self, equations=tuple(equations))

    def run(self, sample: Sample, numbers: Numbers = REAL) -> tuple[Tensor, ...]:
        """Outputs and gradients of the inputs."""
        op = self.derivation.op
        values: dict[str, Any] = evaluate(op, (), sample.inputs, sample.scalars)
        for output, cotangent in zip(op.outputs, sample.cotangents, strict=True):
            values[gradient(output).tensor.name] = apart(output, cotangent, values)
        for equation in self.equations:
            axes = equation.target.indices
            shape = [values[i.size.name] for i in axes]
            found = value(equation.expr, axes, values, sample.inputs[0], numbers)
            values[equation.name] = found.expand(shape)
        stages = self.derivation.stage
        wanted = [total_gradient(op, stages[c.tensor.name].component) for c in op.differentiable]
        return tuple(together(c, values[c.tensor.name]) for c in (*op.outputs, *wanted))


def _place(equation: Equation, number: int, k: int, term: Expr) -> Place:
    name = f"term {k + 1} of {equation.name}"
    scalars = frozenset(s.name for s in term.atoms(Scalar)) if term.is_Atom else frozenset()
    return Place(name, None, number, k, scalars)


def program(derivation: Derivation) -> Program:
    """The program of a derivation."""
    op = derivation.op
    gradients = (
        Equation(total_gradient(op, s.component), s.computed, "") for s in derivation.stages
    )
    return Program(derivation, (*op.equations, *gradients))


def in_pairs_of(made: Program) -> Program:
    """The program with products of several matrices taken two at a time, as code does it."""
    op = made.derivation.op
    leading = roles(op).leading
    length = lengths(op, {leading.size} if leading is not None else set())
    with keeping_shape():
        pairs = (replace(e, expr=in_pairs(tidy(e.expr), length)) for e in made.equations)
        return replace(made, equations=tuple(pairs))


def in_short(numbers: Numbers, made: Program, unit: float, seed: int) -> Numbers:
    """The same where products of matrices have a type of 16 bits, in which all tensors are given.

    What they multiply is rounded to it, if it was not given, and so is what most come to.
    """
    op = made.derivation.op
    given = {c.tensor.name for c in (*op.inputs, *map(gradient, op.outputs))}
    products = products_in(op, made.equations)
    full = full_in(made.equations[: len(op.equations)], products)

    def shortened(exact: Tensor) -> Tensor:
        return exact + exact * unit * _scattered(exact, seed)

    known = frozenset(given)
    return replace(numbers, products=products, full=full, shortened=shortened, given=known)


def stochastic(unit: float, seed: int) -> Numbers:
    """Each result off by a random part of a unit (Parker, Monte Carlo Arithmetic, 1997).

    Equal numbers are rounded alike, as machines do it: what is computed twice is found to be equal.
    A sum rounds each of its partial sums, which may be larger than what they come to. Elimination
    gives the exact solution for a matrix off by roundings of its largest entry (Wilkinson 1961).
    """

    def off(exact: Tensor, size: Tensor) -> Tensor:
        return size * unit * _scattered(exact, seed)

    def rounded(exact: Tensor) -> Tensor:
        return exact + off(exact, exact)

    def added(terms: Tensor) -> Tensor:
        partial = terms.cumsum(-1)[..., 1:-1]  # the first is a term, the last the result
        return terms.sum(-1) + off(partial, partial).sum(-1)

    def eliminated(matrix: Tensor) -> Tensor:
        if not matrix.numel():
            return matrix
        return matrix + off(matrix, matrix.abs().amax((-2, -1), keepdim=True))

    return replace(REAL, rounded=rounded, added=added, eliminated=eliminated)


_MIX = 0x5851F42D4C957F2D  # odd, its bits in no order: the multiplier of Knuth's MMIX


def _scattered(numbers: Tensor, seed: int) -> Tensor:
    """From -1 to 1, in no order, but the same for the same number."""
    bits = numbers.to(torch.float64).contiguous().view(torch.int64)
    for _ in range(2):
        bits = (bits + seed + 1) * _MIX
        bits = bits ^ ((bits >> 29) & 0x7FFFFFFFF)
    return (bits * _MIX).to(torch.float64) / 2**63
