"""What each layer of `derive verify` can see, and that it does see it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from sympy import Integer
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from derive import differentiate, parse
from derive.emit.module import build
from derive.notation.op import Op
from derive.verify import run
from derive.verify.complex_step import by_complex_step
from derive.verify.program import program, stochastic
from derive.verify.reference import composed
from derive.verify.relations import worst_violation
from derive.verify.sample import SIZES, SMALL, Sample, draw, errors, gradients, results
from derive.verify.visible import answers, caught, visible
from tests.samples import derived, every_op, name_of, named

# -- the program as derived -----------------------------------------------------------------------


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_the_program_computes_what_autograd_does(op: Op) -> None:
    sample = draw(op, SIZES)
    assert errors(program(derived(op.name)).run(sample), results(composed(op), sample)) < 1e-12


def test_a_scaled_term_is_one_term_wrong() -> None:
    made, sample = program(derived("layer_norm")), draw(named("layer_norm"), SIZES)
    places = [p for p in made.places if p.scalar is None]
    assert len({p.name for p in places}) == len(places) == 16
    exact = made.run(sample)
    for place in places:
        assert errors(made.scaled(place, 1.5).run(sample), exact) > 1e-2, place


def test_random_rounding_is_of_the_size_of_the_unit() -> None:
    made, sample = program(derived("layer_norm")), draw(named("layer_norm"), SIZES)
    exact = made.run(sample)
    for unit in (2.0**-24, 2.0**-12):
        off = errors(made.run(sample, stochastic(unit, 0)), exact)
        assert unit / 4 < off < 40 * unit


@pytest.mark.parametrize(
    "equation", ["solve y: y[t] = w*y[t-1] + x[t]", "y[t] = where(t > 0, w*x[t-1], x[t])"]
)
def test_positions_are_whole_and_not_rounded(equation: str) -> None:
    (op,) = parse(f"op f(x[t], w) -> y[t]\n{equation}\n")
    made, sample = program(differentiate(op)), draw(op, SIZES)
    off = errors(made.run(sample, stochastic(2.0**-24, 0)), made.run(sample))
    assert 2.0**-27 < off < 2.0**-16


def test_a_complex_step_loses_no_digit_of_the_larger_of_two() -> None:
    (op,) = parse("op f(v[n]; eps = 1e-9) -> y[n]\nw[n] = max(v[n], eps)\ny[n] = v[n]/w[n]\n")
    sample = draw(op, SIZES)
    want = gradients(composed(op), sample)[0].reshape(-1)
    for _, n, found in by_complex_step(op, sample):
        assert found == pytest.approx(want[n].item(), rel=1e-14, abs=1e-14)


def test_ill_conditioned_programs_are_allowed_more() -> None:
    """A difference of large numbers loses digits whatever computes it."""
    (op,) = parse("op gap(x[b,h]) -> y[b,h]\na[b,h] = x[b,h] + 1000\ny[b,h] = a[b,h] - 1000\n")
    made, sample = program(differentiate(op)), draw(op, SIZES)
    exact = made.run(sample)
    assert errors(made.run(sample, stochastic(2.0**-24, 0)), exact) > 50 * 2.0**-24


def test_a_sum_is_off_by_what_its_partial_sums_are() -> None:
    (op,) = parse("op total(x[b]) -> y\ny = sum[b](x[b])\n")
    x = torch.tensor([1e6, 1.0, -1e6], dtype=torch.float64)
    made, sample = program(differentiate(op)), Sample((x,), (torch.tensor(1.0).double(),))
    off = [abs(made.run(sample, stochastic(2.0**-24, k))[0].item() - 1) for k in range(8)]
    assert 1e5 * 2.0**-24 < max(off) <= 1.1e6 * 2.0**-24


def test_what_is_computed_twice_is_found_to_be_equal() -> None:
    """The gradient goes to where |2 x| is the largest one: no rounding may lose that place."""
    (op,) = parse("op f(x[b,h]) -> y[b,h]\nm[b] = max[h](abs(2*x[b,h]))\ny[b,h] = x[b,h]/m[b]\n")
    made, sample = program(differentiate(op)), draw(op, SIZES)
    exact = made.run(sample)
    for k in range(4):
        assert errors(made.run(sample, stochastic(2.0**-24, k)), exact) < 2.0**-20


def test_a_solution_is_off_by_the_condition_of_its_system() -> None:
    (op,) = parse("op f(a[i,i], r[i]) -> y[i]\nsolve y: a[i,j]*y[j] = r[i]\n")
    a = torch.tensor([[1.0, 1.0], [1.0, 1.001]], dtype=torch.float64)
    r = torch.tensor([1.0, 2.0], dtype=torch.float64)
    made, sample = program(differentiate(op)), Sample((a, r), (r,))
    exact = made.run(sample)
    off = max(errors(made.run(sample, stochastic(2.0**-24, k)), exact) for k in range(8))
    assert 200 * 2.0**-24 < off < 20_000 * 2.0**-24


def test_differences_are_taken_away_from_poles() -> None:
    """A pole at the first point: neither the module nor the equations agree with differences."""
    (op,) = parse("op pole(x[b]) -> y[b]\ny[b] = 1/x[b]\n")
    seen: list[float] = []

    def check(function: Callable[..., object], inputs: tuple[Tensor, ...], rtol: float) -> None:
        seen.append(rtol)
        if len(seen) <= 2:  # the module, then the equations
            raise GradcheckError("near a pole")

    module = build(op, "torch")
    verdict = run._by_differences(check, 1e-7, op, module, draw(op, SMALL))
    assert verdict == (0.0, 1e-7, "")
    assert seen == pytest.approx([1e-7, 1e-8, 1e-7])


def test_a_wrong_gradient_gets_no_second_point() -> None:
    """Where the equations agree with differences, the module has to."""
    (op,) = parse("op pole(x[b]) -> y[b]\ny[b] = 1/x[b]\n")
    seen: list[float] = []

    def check(function: Callable[..., object], inputs: tuple[Tensor, ...], rtol: float) -> None:
        seen.append(rtol)
        if len(seen) == 1:
            raise GradcheckError("a term is missing")

    worst, _, note = run._by_differences(check, 1e-7, op, build(op, "torch"), draw(op, SMALL))
    assert (worst, note) == (math.inf, "a term is missing")
    assert seen == pytest.approx([1e-7, 1e-8]), "the equations have to be closer"


# -- what a check can see -------------------------------------------------------------------------


def test_a_parameter_too_small_to_count_is_made_larger() -> None:
    derivation = derived("layer_norm")
    made = program(derivation)
    coarse = 4 * 2.0**-8
    plain = caught(answers(made, draw(named("layer_norm"), SIZES)), coarse)
    chosen = visible(derivation, SIZES, coarse)
    assert plain == (pytest.approx(plain[0]), "eps")
    assert plain[0] > 100
    assert chosen.scalars["eps"] > 1e-3
    assert caught(answers(made, chosen), coarse)[0] < 0.5


def test_an_exponent_is_no_scale() -> None:
    (op,) = parse("op power(x[b]; p = 3) -> y[b]\ny[b] = x[b]^p\n")
    assert visible(differentiate(op), SIZES, 1e-2).scalars == {}


def test_what_cancels_whatever_it_is_need_not_be_seen() -> None:
    """The shift of a softmax: an error in it changes no result."""
    found = answers(program(derived("shifted_softmax")), draw(named("shifted_softmax"), SIZES))
    unseen = [p.name for p, answer in found.items() if answer < 1e-10]
    assert unseen == ["term 1 of e"]
    assert caught(found, 1e-10)[0] < 1e-9


def test_the_blind_check_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a tolerance of 1 no check in fp64 passes, however small the error is."""
    monkeypatch.setattr(run, "EXACT", 1e6)
    rows = {row.check: row for row in run.verify(named("rms_norm"), "torch")}
    row = rows["fp64 against autograd"]
    assert not row.passed
    assert "cannot see" in row.note


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "softmax", "linear", "matmul"])
def test_every_check_says_from_where_on_it_sees(name: str) -> None:
    rows = {row.check: row for row in run.verify(named(name), "torch")}
    assert all(row.passed for row in rows.values()), rows
    seen = {row.check: row.catches for row in rows.values() if row.catches is not None}
    assert set(seen) == run.COMPARING & set(rows)
    assert seen["fp64 against autograd"] < 1e-3
    assert seen["float32 against fp64"] < 0.5
    assert seen["bfloat16 against fp64"] < 0.5


# -- an independent derivative --------------------------------------------------------------------


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_the_complex_step_agrees_with_autograd(op: Op) -> None:
    sample = draw(op, SMALL)
    want = gradients(composed(op), sample)
    for which, place, got in by_complex_step(op, sample):
        scale = max(1e-3, want[which].abs().max().item())
        assert abs(got - want[which].reshape(-1)[place].item()) <= 1e-12 * scale


# -- relations with no reference ------------------------------------------------------------------


def wrong_by_a_term(name: str) -> float:
    """How many single wrong terms of the gradients the relations alone see."""
    derivation, sample = derived(name), draw(named(name), SIZES)
    made, first = program(derivation), len(named(name).outputs)
    places = [
        p for p in made.places if p.scalar is None and p.equation >= len(named(name).equations)
    ]
    seen = 0
    for place in places:
        found = made.scaled(place, 1.01).run(sample)[first:]
        seen += worst_violation(derivation, sample, found)[0] > 1e-6
    return seen / len(places)


def test_relations_alone_see_every_wrong_term_of_layer_norm() -> None:
    assert wrong_by_a_term("layer_norm") == 1.0


def test_relations_hold_for_what_is_right() -> None:
    derivation, sample = derived("layer_norm"), draw(named("layer_norm"), SIZES)
    got = program(derivation).run(sample)[1:]
    assert worst_violation(derivation, sample, got)[0] < 1e-14


# -- the whole ------------------------------------------------------------------------------------


def test_a_wrong_derivation_fails_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact check speaks of formulas, so a wrong one fails it whatever the module does."""
    right = derived("rms_norm")
    stages = tuple(
        replace(s, computed=s.computed + Integer(1) / 10**30) if s.name == "x" else s
        for s in right.stages
    )
    monkeypatch.setattr(run, "_derivation", lambda op: replace(right, stages=stages))
    rows = {row.check: row for row in run.verify(named("rms_norm"), "torch")}
    assert not rows["exact, by dual numbers"].passed
    assert rows["fp64 against autograd"].passed
