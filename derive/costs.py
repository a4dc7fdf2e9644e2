"""What an op costs: what is saved for the way back, the least that must move, and operations."""

from __future__ import annotations

from collections.abc import Iterable

from sympy import Add, Expr, Mul

from derive.derivation import differentiate
from derive.forms import polynomial_text
from derive.forms.cost import operations
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.plan.program import Program, plan

HEADS = ("op", "saved", "numbers saved", "least moved", "operations, forward", "backward")


def costs(op: Op) -> tuple[str, ...]:
    """A row of the table, in the sizes of the op.

    The least that moves, in numbers: forward, the inputs come, the outputs and what is kept go;
    backward, what was saved and the cotangents come, the gradients go.
    """
    program = plan(op, differentiate(op))
    return (
        op.name,
        " ".join(c.tensor.name for c in program.saved),
        _text(_numbers(program.saved)),
        _text(sum(map(_numbers, least_moved(program)))),
        *(_text(_operations(s.expr for s in p)) for p in (program.forward, program.backward)),
    )


def least_moved(program: Program) -> tuple[tuple[Component, ...], tuple[Component, ...]]:
    """What comes or goes at least, forward and backward."""
    op = program.op
    forward = (*op.inputs, *op.outputs, *program.kept)
    return forward, (*program.saved, *program.cotangents, *program.gradients)


def _numbers(components: Iterable[Component]) -> Expr:
    return Add(*(Mul(*(i.size for i in c.indices)) for c in components))


def _operations(expressions: Iterable[Expr]) -> Expr:
    return Add(*(operations(expr) for expr in expressions))


def _text(count: Expr) -> str:
    return polynomial_text(count.expand())
