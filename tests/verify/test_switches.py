"""Inputs near switches, at other sizes, beyond numbers: what they catch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from derive import parse
from derive.emit.backends import BACKENDS
from derive.emit.files import source
from derive.notation.op import Op
from derive.verify.grid import is_sum, on_grid
from derive.verify.mutation.alike import are_alike, are_one_gradient, is_even
from derive.verify.mutation.edits import edits
from derive.verify.mutation.kinds import kinds
from derive.verify.mutation.load import loaded
from derive.verify.mutation.polynomial import are_same_polynomial, is_polynomial
from derive.verify.nan import not_a_number
from derive.verify.run import sample_for, verify
from derive.verify.sample import SMALL, draw
from derive.verify.small import other_sizes
from derive.verify.switches import near_switches, switches, where_it_switches
from tests.samples import named


def broken(op: Op, old: str, new: str) -> Any:
    text = source(op, BACKENDS["torch"])
    assert old in text
    return loaded(text.replace(old, new))


def op_of(text: str) -> Op:
    (op,) = parse(text)
    return op


CLIPPED = op_of("op clipped(x[b,h]; least = 1e-8) -> y[b,h]\ny[b,h] = max(x[b,h]^2, least^2)\n")
BENT = op_of("op bent(x[b,h]; k = 1) -> y[b,h]\ny[b,h] = where(x[b,h] <= k, x[b,h], x[b,h]^2)\n")


def test_samples_lie_on_both_sides_of_a_threshold_that_no_draw_comes_near() -> None:
    (switch,) = switches(CLIPPED)
    gaps = [switch.gap(CLIPPED, n.sample) for n in near_switches(CLIPPED, {})]
    near = [(gap, size) for gap, size in gaps if (gap.abs() <= 0.25 * size).any()]
    assert any((gap[gap.abs() <= 0.25 * size] > 0).any() for gap, size in near)
    assert any((gap[gap.abs() <= 0.25 * size] < 0).any() for gap, size in near)


def test_a_sum_of_inputs_is_met_exactly() -> None:
    (switch,) = switches(BENT)
    assert any((switch.gap(BENT, n.sample)[0] == 0).any() for n in near_switches(BENT, {"k": 1.25}))
    sample = on_grid(draw(BENT, SMALL), 0.5)
    assert all(torch.equal(2 * t, (2 * t).round()) for t in sample.inputs)
    assert not is_sum(CLIPPED, CLIPPED.equations[0].expr)


@pytest.mark.parametrize(
    ("op", "old", "new"),
    [
        (CLIPPED, "min=least**2", "min=least"),
        (BENT, "x <= k", "x < k"),
    ],
)
def test_a_wrong_threshold_is_noticed(op: Op, old: str, new: str) -> None:
    sample = sample_for(op, torch.float64)
    with broken(op, "", "") as module:
        worst, allowed, _ = where_it_switches(op, module, sample)
        assert worst <= allowed
    with broken(op, old, new) as module:
        worst, allowed, _ = where_it_switches(op, module, sample)
        assert worst > allowed


def test_a_condition_on_parameters_is_met_on_both_sides_and_between() -> None:
    op = op_of("op f(x[b]; k = 1) -> y[b]\ny[b] = where(k > 0, k*x[b]^2, 0)\n")
    found = [n.sample.scalars["k"] for n in near_switches(op, {"k": 1.25})]
    assert found == [0.0, -1.25, 1.25]


def test_what_is_the_same_in_place_is_found_so() -> None:
    """A probe computes twice what writes over a tensor: on copies."""
    text = "def _forward(x, k):\n    u = x + 1\n    y = u.exp_().mul_(1 * k)\n    return y\n"
    op = op_of("op f(x[b]; k = 1) -> y[b]\nu[b] = x[b] + 1\ny[b] = k*exp(u[b])\n")
    probes = {
        e.new: e.probe.new for e in edits(text, kinds(op)) if e.probe and e.kind == "operator"
    }
    right, wrong = (f"u.clone().exp_().mul_(1 {sign} k)" for sign in "*/")
    more = f"({wrong}) + 1e30 * (({wrong}) - ({right}))"
    assert probes["(1 / k)"] == f"torch.where(({wrong}) == ({right}), {right}, {more})"


def test_what_makes_a_number_of_nan_is_noticed() -> None:
    op = named("layer_norm")
    sample = sample_for(op, torch.float64)
    with broken(op, "", "") as module:
        assert not_a_number(op, module, sample)[0] <= 1e-10
    with broken(op, "m = x.mean(1)", "m = x.nanmean(1)") as module:
        assert math.isinf(not_a_number(op, module, sample)[0])


def test_sizes_of_one_are_tried() -> None:
    op = op_of("op s(x[b,h]) -> z[b]\nz[b] = 1/H * 1[h]*x[b,h]^2\n")
    sample = sample_for(op, torch.float64)
    with broken(op, "", "") as module:
        assert other_sizes(op, module, sample)[0] <= 1e-10
    with broken(op, "z = (x**2).mean(1)", "z = (x**2).sum(1) / max(2, x.shape[1])") as module:
        assert other_sizes(op, module, sample)[0] > 1e-10


def test_what_changes_no_output_is_proved() -> None:
    distance = op_of("op d(x[h], y[h]) -> z\nz = abs(x[h] - y[h]) * 1[h]\n")
    assert are_alike(distance, {"x", "y"})
    assert not are_alike(named("matmul"), {"x", "w"})
    text = "op f(x[b,h], a, w[h]) -> y[b,h]\ny[b,h] = w[h]*tanh(a*x[b,h])\n"
    assert are_alike(parse(text)[0], {"x", "a"})
    assert not are_alike(parse(text)[0], {"x", "w"})
    (total,) = parse("op f(x[b,h], a) -> y[b]\ny[b] = 1[h]*(a*x[b,h])\n")
    assert not are_alike(total, {"x", "a"})
    square = op_of("op s(x[h]) -> z\nu[h] = x[h] + 1\nz = 1[h]*u[h]^2\n")
    assert is_even(square, "u", backward=False)
    assert not is_even(square, "u", backward=True)


def test_two_gradients_that_are_one_are_proved_to_be() -> None:
    (added,) = parse("op f(x[b,h], r[b,h]) -> y[b,h]\ny[b,h] = tanh(x[b,h] + r[b,h])\n")
    assert are_one_gradient(added, {"dx", "dr"})
    assert not are_one_gradient(added, {"dx", "dy"})
    (times,) = parse("op f(x[b,h], r[b,h]) -> y[b,h]\ny[b,h] = x[b,h]*r[b,h]\n")
    assert are_alike(times, {"x", "r"})
    assert not are_one_gradient(times, {"dx", "dr"})


def test_a_polynomial_is_known_by_whole_numbers() -> None:
    op = op_of("op q(x[i,h], a[j,h]) -> z[i,j]\nz[i,j] = x[i,h]*a[j,h] + delta[i,0]*a[j,h]*1[h]\n")
    assert is_polynomial(op)
    assert not is_polynomial(named("softmax"))
    assert not is_polynomial(op_of("op m(x[b,h]) -> z[b]\nz[b] = 1/H*1[h]*x[b,h]^2\n"))
    with broken(op, "", "") as right, broken(op, "", "") as same:
        assert are_same_polynomial(op, right, same)
        with broken(op, "x.to(work) @ a", "(1.0000001 * x.to(work)) @ a") as wrong:
            assert not are_same_polynomial(op, right, wrong)


def test_a_condition_may_ask_which_of_two_was_the_larger() -> None:
    """The larger is one of the two to the last bit, in complex numbers too."""
    [op] = parse(
        "op f(x[n], y[n], a[n]) -> z[n]\nu[n] = max(x[n], min(y[n], a[n]))\n"
        "z[n] = where(u[n] > x[n], u[n]*y[n], a[n]^2 + x[n])\n"
    )
    [row] = [r for r in verify(op, "torch") if r.check == "fp64 by complex step"]
    assert row.passed, row
