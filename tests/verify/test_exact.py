"""Exact numbers, dual numbers, and gradients held against them: right ones pass, no wrong one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import mpmath
import pytest
from sympy import Add, Expr, Pow, Rational, S, sqrt

import derive
from derive.derivation import Derivation, Stage
from derive.higher import backward
from derive.notation.evaluate import Evaluator
from derive.notation.functions import FUNCTIONS, ROWS, call
from derive.notation.nodes import Component, Scalar, Tensor
from derive.notation.op import Op, gradient
from derive.rewrite import Chain
from derive.verify import run
from derive.verify.algebraic import Algebraic, Exact, Intractable, Outside, power, real, sign
from derive.verify.exact import Mismatch, Report, exact
from derive.verify.numbers import Dual, DualNumbers, ExactNumbers
from tests.samples import derived, every_op, name_of, named, shipped

HALF, THIRD = Fraction(1, 2), Fraction(1, 3)
TINY = Rational(1, 10**30)


def root(number: Exact | int) -> Exact:
    return power(number, HALF)


# -- algebraic numbers ----------------------------------------------------------------------------

EQUAL: tuple[tuple[str, Exact, Exact | int], ...] = (
    ("a square", root(2) * root(2), 2),
    ("a product of conjugates", (1 + root(2)) * (1 - root(2)), -1),
    ("a factor comes out", root(8), 2 * root(2)),
    ("a perfect power", power(Fraction(4, 9), Fraction(-3, 2)), Fraction(27, 8)),
    ("a product of roots", root(6), root(2) * root(3)),
    ("roots of one number", power(5, HALF) * power(5, THIRD), power(5, Fraction(5, 6))),
    ("below the line", 1 / (1 + root(2)), root(2) - 1),
    ("a cube root below the line", (2 - power(3, THIRD)) / (2 - power(3, THIRD)), 1),
    ("several roots below the line", (1 + root(2) + root(3)) * (1 / (1 + root(2) + root(3))), 1),
    ("a nested root", root(1 + root(2)) * root(1 + root(2)), 1 + root(2)),
    ("its content comes out", root(4 + 4 * root(2)), 2 * root(1 + root(2))),
    (
        "a root comes out of it",
        root(root(2) + root(6)),
        power(2, Fraction(1, 4)) * root(1 + root(3)),
    ),
    ("its power", power(1 + root(2), Fraction(5, 2)), (3 + 2 * root(2)) * root(1 + root(2))),
    ("nested, below the line", (1 + root(1 + root(2))) / (1 + root(1 + root(2))), 1),
    ("a sum that vanishes", root(2) + root(3) - root(2) - root(3), 0),
    ("zero", power(0, HALF), 0),
    ("a power of nothing", power(0, 0), 1),
)


@pytest.mark.parametrize(("left", "right"), [c[1:] for c in EQUAL], ids=[c[0] for c in EQUAL])
def test_equal_numbers_are_equal(left: Exact, right: Exact | int) -> None:
    assert left == right
    assert hash(left) == hash(right)
    assert not isinstance(left - right, Algebraic)


def test_unequal_numbers_are_not() -> None:
    close = root(2) + Fraction(1, 10**400)
    assert close != root(2)
    assert sign(close - root(2)) == 1
    assert root(2) != Fraction(1414213562373095, 10**15)
    assert str(real(close - root(2))).startswith("1.0e-400")


def test_the_sign_of_a_sum_is_seen_behind_cancellation() -> None:
    """(√2 - 1)^n is tiny, and written with large numbers."""
    small = power(root(2) - 1, 200)
    assert sign(small) == 1
    assert sign(-small) == -1
    assert mpmath.almosteq(real(small), (mpmath.sqrt(2) - 1) ** 200, 1e-9)


@pytest.mark.parametrize("base", [Fraction(-2), 1 - root(2)])
def test_a_root_of_a_negative_number_is_none(base: Exact) -> None:
    with pytest.raises(Outside):
        power(base, HALF)
    assert power(base, 2) == base * base


def test_nothing_divides_by_zero() -> None:
    for exponent in (Fraction(-1), Fraction(-1, 2)):
        with pytest.raises(ZeroDivisionError):
            power(0, exponent)
    with pytest.raises(ZeroDivisionError):
        1 / (root(8) - 2 * root(2))


def test_a_sum_of_too_many_roots_is_refused() -> None:
    total = sum((root(p) for p in (2, 3, 5, 7, 11, 13)), start=Fraction(1))
    with pytest.raises(Intractable):
        power(total, -1)


# -- arithmetic -----------------------------------------------------------------------------------

U = Component(Tensor("u", 1))
W = Component(Tensor("w", 2))
P = Scalar("p")
ARGUMENTS: tuple[Exact, ...] = (Fraction(3, 2), Fraction(-3, 2), root(2), -root(2), Fraction(0))


def dual(expr: Expr, u: Exact, w: Exact = Fraction(0)) -> tuple[Any, Any, Any]:
    """The value of an expression of u and w, and its derivatives by them."""
    seeds = {U: (U.tensor, ()), W: (W.tensor, ())}
    known = {c: Dual(v, {seeds[c]: Fraction(1)}) for c, v in ((U, u), (W, w))}
    scalars = {P: Dual(Fraction(5, 2), {})}
    found = Evaluator({}, scalars, lambda c, _: known[c], DualNumbers(numbers())).value(expr, {})
    return (found.value, *(found.slopes.get(seeds[c], Fraction(0)) for c in (U, W)))


def numbers() -> ExactNumbers:
    return ExactNumbers(Random(0))


def plain(expr: Expr, u: Exact, w: Exact = Fraction(0)) -> Any:
    known = {U: u, W: w}
    scalars = {P: Fraction(5, 2)}
    return Evaluator({}, scalars, lambda c, _: known[c], numbers()).value(expr, {})


RULES: tuple[tuple[str, Expr, Expr], ...] = (
    ("a sum", 3 * U + W - 7, S(3)),
    ("a product", U * W * U, 2 * U * W),
    ("a whole power", U**-3, -3 * U**-4),
    ("a root", U ** Rational(1, 3), U ** Rational(-2, 3) / 3),
    ("a root of a sum", sqrt(U**2 + W**2), U / sqrt(U**2 + W**2)),
    ("a parameter as exponent", U**P, P * U ** (P - 1)),
    ("a parameter in an exponent", U ** (1 / P), U ** (1 / P - 1) / P),
    ("no power at all", U ** (P - P), S.Zero),
    ("a function", call("tanh", U * W), W * (1 - call("tanh", U * W) ** 2)),
    ("a chain", call("exp", call("sin", U)), call("cos", U) * call("exp", call("sin", U))),
    ("two arguments", call("max", U, W), S.One),
    ("π", sqrt(S.Pi) * U**2, 2 * sqrt(S.Pi) * U),
)


@pytest.mark.parametrize(("expr", "slope"), [r[1:] for r in RULES], ids=[r[0] for r in RULES])
def test_dual_numbers_follow_the_rules(expr: Expr, slope: Expr) -> None:
    u, w = Fraction(7, 2), Fraction(2, 3)
    found = dual(expr, u, w)
    assert found[0] == plain(expr, u, w)
    assert found[1] == plain(slope, u, w)


def test_a_power_of_zero_has_a_slope_where_there_is_one() -> None:
    assert dual(U**2, Fraction(0)) == (0, 0, 0)
    assert dual(U + W * U, Fraction(0), Fraction(3)) == (0, 4, 0)
    with pytest.raises(ZeroDivisionError):
        dual(sqrt(U), Fraction(0))


@pytest.mark.parametrize(
    ("name", "slopes"),
    [("min", (HALF, HALF)), ("max", (HALF, HALF)), ("abs", (0, 0)), ("relu", (0, 0))],
)
def test_a_kink_has_the_slopes_of_the_table(name: str, slopes: tuple[Any, Any]) -> None:
    both = FUNCTIONS[name].arity == 2
    expr = call(name, U, W) if both else call(name, U)
    assert dual(expr, Fraction(0), Fraction(0))[1:] == slopes


@pytest.mark.parametrize("u", ARGUMENTS, ids=str)
def test_what_stands_for_a_function_has_its_signs_and_symmetries(u: Exact) -> None:
    n = numbers()

    def at(name: str, *args: Exact) -> Any:
        return n.apply(FUNCTIONS[name], args)

    assert at("exp", u) * at("exp", -u) == 1
    assert at("sigmoid", u) + at("sigmoid", -u) == 1
    assert at("sin", u) ** 2 + at("cos", u) ** 2 == 1
    assert at("tan", u) * at("cos", u) == at("sin", u)
    assert at("tanh", u) * (at("exp", u) ** 2 + 1) == at("exp", u) ** 2 - 1
    assert at("abs", u) == u * at("sign", u) == at("relu", u) + at("relu", -u)
    assert at("min", u, -u) == -at("abs", u) == -at("max", u, -u)
    for name in ("sin", "tan", "tanh", "erf", "sign"):
        assert at(name, -u) == -at(name, u)
        assert sign(at(name, u)) == sign(u)
    for name in ("exp", "sigmoid", "softplus", "cos"):
        assert at(name, u) > 0
    assert abs(at("erf", u)) < 1


def test_a_logarithm_is_of_what_is_positive() -> None:
    n = numbers()
    assert n.apply(FUNCTIONS["log"], [Fraction(1)]) == 0
    assert sign(n.apply(FUNCTIONS["log"], [root(2)])) == 1
    assert sign(n.apply(FUNCTIONS["log"], [root(2) / 2])) == -1
    with pytest.raises(Outside):
        n.apply(FUNCTIONS["log"], [1 - root(2)])


def test_one_expression_in_both_arithmetics() -> None:
    expr = (U**2 + sqrt(W)) ** Rational(-3, 2) * abs(-3) + U / (1 + sqrt(W + 1))
    known = {U: Fraction(5, 3), W: Fraction(7, 2)}
    digits = {c: mpmath.mpf(v.numerator) / v.denominator for c, v in known.items()}
    want = Evaluator({}, {}, lambda c, _: digits[c]).value(expr, {})
    assert mpmath.almosteq(real(plain(expr, *known.values())), want, 1e-12)


# -- right derivations ----------------------------------------------------------------------------


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_every_gradient_is_exact(op: Op) -> None:
    report = exact(op, derived(op.name))
    assert report.mismatch is None, report
    assert report.components > 0


@pytest.mark.parametrize("op", shipped(), ids=name_of)
def test_so_is_every_second_gradient(op: Op) -> None:
    report = exact(backward(op, derived(op.name)))
    assert report.mismatch is None, report
    assert report.components > 0


@pytest.mark.parametrize("row", [r for r in ROWS if r.arity == 1], ids=lambda row: row.name)
def test_every_function(row: Any) -> None:
    (op,) = derive.parse(f"op f(x[h], w[h]) -> y[h]\ny[h] = {row.name}(x[h]*w[h])^2\n")
    report = exact(op)
    assert report == Report(2 * 3)
    assert exact(op, seed=1) == report


SPECIAL = {
    "nested roots": "y[b,h] = sqrt(1 + sqrt(1 + x[b,h]^2))/(1 + sqrt(x[b,h]^2 + 2))",
    "a sum of roots below the line": "y[b,h] = x[b,h]/(1[h]*(1[k]*sqrt(x[b,k])))",
    "positive alone": "y[b,h] = log(x[b,h])*sqrt(x[b,h])",
    "less than one": "y[b,h] = sqrt(1 - x[b,h])*log(x[b,h])",
    "more than one": "y[b,h] = sqrt(log(x[b,h]))",
    "π as exponent": "y[b,h] = (x[b,h]^2)^pi",
    "a number": "y[b,h] = 1[b,h]*sqrt(2) + 0*x[b,h]",
}


@pytest.mark.parametrize("text", SPECIAL.values(), ids=SPECIAL)
def test_where_numbers_are_special(text: str) -> None:
    (op,) = derive.parse(f"op f(x[b,h]) -> y[b,h]\n{text}\n")
    assert exact(op) == Report(12)


@pytest.mark.parametrize("text", ["x[b,h]^sqrt(2)", "sqrt(-1 - x[b,h]^2)", "1/(1 + x[b,h]^0.0123)"])
def test_what_is_not_decided_says_so(text: str) -> None:
    (op,) = derive.parse(f"op f(x[b,h]) -> y[b,h]\ny[b,h] = {text}\n")
    assert str(exact(op)) == "not decided"


# -- wrong derivations ----------------------------------------------------------------------------


def with_closed(derivation: Derivation, name: str, closed: Expr) -> Derivation:
    """The derivation with another closed form for one gradient."""
    return _with(derivation, name, lambda s: replace(s, closing=Chain(s.closing.subject, closed)))


def with_computed(derivation: Derivation, name: str, computed: Expr) -> Derivation:
    return _with(derivation, name, lambda s: replace(s, computed=computed))


def _with(derivation: Derivation, name: str, change: Callable[[Stage], Stage]) -> Derivation:
    stages = (change(s) if s.name == name else s for s in derivation.stages)
    return replace(derivation, stages=tuple(stages))


def parts(expr: Expr, kind: type[Expr]) -> list[Expr]:
    return sorted(expr.atoms(kind), key=str)


def sigma_cubed(expr: Expr) -> Expr:
    (cube,) = (p for p in parts(expr, Pow) if p.exp == -3)
    return expr.xreplace({cube: cube.base**-2})


def eps_doubled(expr: Expr) -> Expr:
    return expr.xreplace({s: 2 * s for s in expr.atoms(Scalar)})


def last_flipped(expr: Expr) -> Expr:
    """The sign of one term of the first sum."""
    total = parts(expr, Add)[0]
    return expr.xreplace({total: Add(*total.args[:-1], -total.args[-1])})


WRONG: tuple[tuple[str, str, Callable[[Expr], Expr]], ...] = (
    ("layer_norm", "x", lambda e: -e),
    ("layer_norm", "x", last_flipped),
    ("layer_norm", "x", lambda e: e * (1 + TINY)),
    ("layer_norm", "sigma", lambda e: e * Rational(2, 3)),
    ("rms_norm", "x", sigma_cubed),
    ("rms_norm", "v", lambda e: e / 2),
    ("softmax", "x", last_flipped),
    ("shifted_softmax", "m", lambda e: e + TINY),
    ("column_norm", "x", eps_doubled),
    ("channel_norm", "x", eps_doubled),
    ("attention", "q", lambda e: e.xreplace({p: p**-1 for p in parts(e, Pow)[:1]})),
    ("matmul", "a", lambda e: 2 * e),
    ("no_gradient", "w", lambda e: TINY),
)


@pytest.mark.parametrize(("op", "tensor", "change"), WRONG)
def test_a_wrong_gradient_is_found(op: str, tensor: str, change: Callable[[Expr], Expr]) -> None:
    derivation = derived(op)
    stage = derivation.stage[tensor]
    closed = exact(named(op), with_closed(derivation, tensor, change(stage.closed))).mismatch
    assert closed is not None
    assert closed.form == "closed form"
    assert closed.component.startswith(f"d{tensor}[")


def test_an_error_below_any_tolerance_is_found_and_named() -> None:
    derivation = derived("layer_norm")
    (cotangent,) = (gradient(c) for c in derivation.op.outputs)
    stage = derivation.stage["x"]
    drop = TINY * Component(cotangent.tensor, *stage.component.indices)
    report = exact(derivation.op, with_closed(derivation, "x", stage.closed + drop))
    assert "dx[0,0], closed form: off by " in str(report)
    assert "e-30 of " in str(report)


def test_a_wrong_chain_is_found() -> None:
    derivation = derived("layer_norm")
    wrong = with_computed(derivation, "v", derivation.stage["v"].computed * (1 + TINY))
    found = exact(derivation.op, wrong).mismatch
    assert found is not None
    assert (found.form, found.component) == ("chain", "dv[0]")


def dropped(expr: Expr) -> Iterator[Expr]:
    """The expression without one term of one of its sums, for each."""
    for total in parts(expr, Add):
        for term in total.args:
            yield expr.xreplace({total: Add(*(t for t in total.args if t != term))})


@pytest.mark.parametrize(
    "name", ["layer_norm", "softmax", "clamp", "power_norms", "graph", "cosine"]
)
def test_no_term_can_be_dropped(name: str) -> None:
    derivation = derived(name)
    for stage in derivation.stages:
        for closed in dropped(stage.closed):
            assert exact(derivation.op, with_closed(derivation, stage.name, closed)).mismatch, (
                closed
            )


def test_a_gradient_without_a_value_is_wrong() -> None:
    derivation = derived("linear")
    stage = derivation.stage["x"]
    undefined = stage.closed * sqrt(-1 - stage.component**2)
    report = exact(derivation.op, with_closed(derivation, "x", undefined))
    assert str(report).startswith("dx[0,0], closed form: no value, not ")


def test_no_gradient_divides_by_what_may_be_zero() -> None:
    """|x| sign(x) / x is 1, but not at 0."""
    derivation = derived("matmul")
    stage = derivation.stage["a"]
    one = call("abs", stage.component) * call("sign", stage.component) / stage.component
    wrong = with_closed(derivation, "a", stage.closed * one)
    assert "no value" in str(exact(derivation.op, wrong))


# -- the row of `derive verify` -------------------------------------------------------------------


def exact_row(op: Op) -> run.Row:
    (row,) = (r for r in run.verify(op, "torch") if r.check == "exact, by dual numbers")
    return row


def test_verify_has_a_row() -> None:
    row = exact_row(named("rms_norm"))
    assert (row.passed, row.worst, row.tolerance, row.note) == (True, 0.0, 0.0, "22 components")


def test_verify_names_the_component(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Report(3, Mismatch("dx[0,1]", "chain", HALF, THIRD))
    monkeypatch.setattr(run, "compare_exactly", lambda *_: wrong)
    row = exact_row(named("matmul"))
    assert (row.passed, row.worst, row.tolerance) == (False, float("inf"), 0.0)
    assert row.note == "dx[0,1], chain: off by 0.166667 of 0.333333"
