"""A function or a sum that occurs again is computed once, wherever its indices stand."""

from __future__ import annotations

from collections.abc import Iterable

from sympy import Expr, preorder_traversal

import derive
from derive.higher import backward
from derive.notation.functions import Elementwise
from derive.notation.nodes import Bound, Component, Tensor
from derive.plan.calls import form_of
from derive.plan.program import plan
from derive.plan.statement import Statement

GATE = """op gate(x[b,h], v[b,h], t) -> y[b,h]
y[b,h] = x[b,h] * sigmoid(v[b,h]*t)
"""
SUMS = """op sums(x[b,h], w[h]) -> y[b]
y[b] = 1[h]*(sin(w[h])*x[b,h]) + 1[h]*(sin(w[h])*x[b,h]^2)
"""


def occurrences(text: str, name: str, *, shared: bool = True) -> int:
    (op,) = derive.parse(text)
    found = plan(op, derive.differentiate(op), shared=shared)
    calls = [c for s in found.backward for c in s.expr.atoms(Elementwise)]
    return sum(c.row.name == name for c in calls)


def test_a_repeated_call_is_named() -> None:
    assert occurrences(GATE, "sigmoid", shared=False) > 1
    assert occurrences(GATE, "sigmoid") == 1


def test_the_name_says_which_tensor() -> None:
    (op,) = derive.parse(GATE)
    names = [s.target.tensor.name for s in plan(op, derive.differentiate(op)).backward]
    assert "sigmoid_v" in names


def test_indices_inside_sums_count_as_the_same() -> None:
    assert occurrences(SUMS, "sin") == 1
    assert occurrences(SUMS, "cos") == 1


def test_what_occurs_once_keeps_its_place() -> None:
    text = "op f(x[b]) -> y[b]\ny[b] = exp(x[b])\n"
    (op,) = derive.parse(text)
    targets = [s.target.tensor.name for s in plan(op, derive.differentiate(op)).backward]
    assert not any(name.startswith("exp_") for name in targets)


LENGTHS = """op lengths(v[o,i], g[o]) -> w[o,i]
r[o] = sqrt(1[i]*v[o,i]^2)
w[o,i] = g[o]*v[o,i]/r[o]
"""
CROSSED = """op crossed(x[b,i], z[b,j], w[o,i,j]) -> y[b,o]
y[b,o] = x[b,i]*z[b,j]*w[o,i,j]
"""


def backward_of(text: str, *, again: bool = False) -> tuple[Statement, ...]:
    """The statements of the backward pass, or of that of the backward pass."""
    (op,) = derive.parse(text)
    op = backward(op) if again else op
    return plan(op, derive.differentiate(op), recomputed=again).backward


def sums_in(statements: Iterable[Statement]) -> list[Expr]:
    parts = (part for s in statements for part in preorder_traversal(s.expr))
    return [form_of(part).part for part in parts if isinstance(part, Bound)]


def test_a_repeated_sum_is_named_after_the_first_that_needs_it() -> None:
    statements = backward_of(LENGTHS)
    assert len(sums_in(statements)) == 1
    assert [s.target.tensor.name for s in statements] == ["dg_sum", "dg", "dr", "dv"]


def test_a_sum_is_the_same_with_its_indices_in_another_order() -> None:
    sums = sums_in(backward_of(CROSSED, again=True))
    assert len(sums) == len(set(sums)) > 10


def test_no_statement_is_only_another_name_for_a_sum() -> None:
    for text in (LENGTHS, CROSSED):
        statements = backward_of(text, again=True)
        made = {s.target.tensor for s in statements}
        assert not [s for s in statements if isinstance(s.expr, Component) and made & tensors(s)]


def tensors(statement: Statement) -> set[Tensor]:
    return {c.tensor for c in statement.uses}


def test_what_a_condition_picks_keeps_its_place() -> None:
    """It is a view of what is there."""
    picked = sums_in(backward_of(derive.load("swiglu_joined").text))
    assert len(picked) > len(set(picked))
