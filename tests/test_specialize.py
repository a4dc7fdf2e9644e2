"""Inputs fixed at a number: the same values and gradients as with the number given."""

from __future__ import annotations

import pytest
import torch

import derive
from derive.errors import DeriveError
from derive.notation.op import Op
from derive.specialize import specialized
from derive.verify.reference import composed
from derive.verify.sample import SIZES, Sample, draw, errors, outputs, results

CASES = [
    ("layer_norm", {"gamma": 1, "beta": 0}),
    ("layer_norm", {"gamma": 1}),
    ("layer_norm", {"beta": 0}),
    ("batch_norm", {"gamma": 1}),
    ("linear", {"bias": 0}),
    ("dyt", {"alpha": 2}),
    ("poly_norm", {"a2": 0, "a3": 0}),
]


@pytest.mark.parametrize(("name", "fixed"), CASES)
def test_as_if_the_number_were_given(name: str, fixed: dict[str, int]) -> None:
    op = derive.load(name)
    less = specialized(op, fixed)
    assert [c.tensor.name for c in less.inputs] == [
        c.tensor.name for c in op.inputs if c.tensor.name not in fixed
    ]
    sample = draw(op, SIZES)
    given = dict(zip((c.tensor.name for c in op.inputs), sample.inputs, strict=True))
    full = {n: torch.full_like(t, fixed[n]) if n in fixed else t for n, t in given.items()}
    rest = Sample(tuple(full[c.tensor.name] for c in less.inputs), sample.cotangents)
    function = getattr(derive.build(less, backend="torch"), less.name)
    assert errors(outputs(function, rest), outputs(composed(op), _all(op, full))) < 1e-12
    assert errors(results(function, rest), results(composed(less), rest)) < 1e-10


def _all(op: Op, values: dict[str, torch.Tensor]) -> Sample:
    return Sample(tuple(values[c.tensor.name] for c in op.inputs), ())


def test_equations_that_lead_nowhere_are_left_out() -> None:
    less = specialized(derive.load("poly_norm"), {"a2": 0, "a3": 0})
    assert len(less.equations) < len(derive.load("poly_norm").equations)


LOSS = """op loss(x[b,c], t[b]: int[c], w[c]; none = -1, k = 3) -> (each[b], total)

each[b] = where(t[b] == none, 0, w[t[b]] * x[b,t[b]]^2) + k * x[b,t[b]]
total   = 1[b] * each[b]
"""


def test_outputs_and_parameters_are_chosen() -> None:
    """A label is one of its values: a sum of ones that it picks is one."""
    (op,) = derive.parse(LOSS)
    less = specialized(op, {"w": 1, "k": 0}, outputs=("total",))
    assert less.header == "op loss_total_without_w_k(x[b,c], t[b]: int[c]; none = -1) -> total"
    assert less.equations[0].text == "each[b] = x[b,t[b]]^2*where(t[b] == none, 0, 1)"
    assert specialized(op, {}, outputs=("each",)).outputs == op.outputs[:1]
    with pytest.raises(DeriveError, match='no output "mean"'):
        specialized(op, {}, outputs=("mean",))


def test_nothing_fixed_is_the_op_itself() -> None:
    op = derive.load("linear")
    assert specialized(op, {}) is op


@pytest.mark.parametrize(("name", "wrong"), [("linear", "beta"), ("embedding", "t")])
def test_what_is_no_input_of_numbers_is_refused(name: str, wrong: str) -> None:
    with pytest.raises(DeriveError, match=f'no input "{wrong}" that is no integer'):
        specialized(derive.load(name), {wrong: 1})
