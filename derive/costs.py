"""What an op costs: what is saved for the way back, the least that must move, and operations."""

from __future__ import annotations

from collections.abc import Iterable

from sympy import Add, Expr, Mul

from derive.derivation import Derivation, differentiate
from derive.emit.fused_module import FusedModule, grouped_by
from derive.emit.triton_file import has_groups
from derive.emit.triton_module import TritonModule, has_kernels
from derive.forms import polynomial_text
from derive.forms.cost import operations
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.plan.program import Program, plan
from derive.rewrite import keeping_shape

HEADS = (
    "op", "saved", "numbers saved", "least moved", "by kernels", "operations, forward", "backward",
)  # fmt: skip


def costs(op: Op) -> tuple[str, ...]:
    """A row of the table, in the sizes of the op.

    The least that moves, in numbers: forward, the inputs come, the outputs and what is kept go;
    backward, what was saved and the cotangents come, the gradients go. By kernels: what those of
    Triton move, where an op has them, rows being short enough for one pass; what products between
    them move is not counted.
    """
    derivation = differentiate(op)
    program = plan(op, derivation)
    return (
        op.name,
        " ".join(c.tensor.name for c in program.saved),
        _text(_numbers(program.saved)),
        _text(sum(map(_numbers, least_moved(program)))),
        _text(sum(map(_numbers, moved_by_kernels(op, derivation)))) if _kernels(op) else "",
        *(_text(_operations(s.expr for s in p)) for p in (program.forward, program.backward)),
    )


def moved_by_kernels(
    op: Op, derivation: Derivation
) -> tuple[tuple[Component, ...], tuple[Component, ...]]:
    """What the generated kernels read and write, forward and backward."""
    made = None if has_kernels(op) else grouped_by(op, derivation)
    with keeping_shape():
        if made is not None:
            return FusedModule(made, derivation).moved()
        return TritonModule(plan(op, derivation, shared=False), derivation).moved()


def _kernels(op: Op) -> bool:
    return has_kernels(op) or has_groups(op)


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
