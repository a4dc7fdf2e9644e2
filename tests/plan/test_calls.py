"""A function that occurs again is computed once, wherever its indices stand."""

from __future__ import annotations

import derive
from derive.notation.functions import Elementwise
from derive.plan.program import plan

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
