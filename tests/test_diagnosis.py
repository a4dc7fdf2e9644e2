"""Why an equation is wrong: what was left out of a gradient, doubled or turned, is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sympy import Add, Expr

import derive
from derive.catalogue import load
from derive.derivation import Derivation, differentiate, total_gradient
from derive.diagnosis import diagnose
from derive.notation.solution import Solution
from derive.notation.statement import Statement, read_equation
from derive.notation.text import to_text
from derive.report import proofs
from derive.rewrite import keeping_shape
from derive.simplify.normal import normal

OPS = ("layer_norm", "rms_norm", "softmax", "cosine_similarity", "group_norm", "swiglu", "dyt")


def told(op: str, text: str) -> tuple[str, ...]:
    derivation = differentiate(load(op))
    return diagnose(derivation, read_equation(derivation.op, text))


MISTAKES = [
    ("dx[p,q] = dmu[p,q]", "missing: 1/H*1[q]*dm[p], which comes back through m"),
    (
        "dmu[p,q] = 2/H*dv[p]*mu[p,q]",
        "missing: dy[p,q]*gamma[q]/sigma[p], which comes back through y",
    ),
    ("dv[p] = -dsigma[p]/sigma[p]/2", "wrong sign: -1/2*dsigma[p]/sigma[p]"),
    ("dv[p] = dsigma[p]/sigma[p]", "wrong factor: dsigma[p]/sigma[p] is to be multiplied by 1/2"),
    (
        "dsigma[p] = -dy[p,h]*mu[p,h]*gamma[h]/sigma[p]^3",
        "wrong factor: -dy[p,h]*mu[p,h]*gamma[h]/sigma[p]^3 is to be multiplied by sigma[p]",
    ),
    (
        "dgamma[q] = dy[b,q]*mu[b,q]",
        "wrong factor: dy[b,q]*mu[b,q] is to be dy[b,q]*mu[b,q]/sigma[b]",
    ),
    ("dm[p] = -dy[p,h]*gamma[h]/sigma[p] + dv[p]", "too much: dv[p]"),
    ("v[b] = 1[h]*mu[b,h]^2", "wrong factor: 1[h]*mu[b,h]^2 is to be multiplied by 1/H"),
    (
        "dx[p,q] = dy[p,q]*gamma[q]/sigma[p] - 1/H*dy[p,h]*gamma[h]*mu[p,h]*mu[p,q]/sigma[p]^3",
        "missing: -1/H*1[q]*dy[p,h]*gamma[h]/sigma[p], which comes back through m",
    ),
]


@pytest.mark.parametrize(("text", "line"), MISTAKES)
def test_a_slip_is_named(text: str, line: str) -> None:
    assert told("layer_norm", text)[1:] == (line,)


OTHERS = [
    (
        "softmax",
        "dx[p,q] = dp[p,q]*p[p,q]",
        "missing: -dp[p,i]*e[p,i]*e[p,q]/z[p]^2, which comes back through e",
    ),
    (
        "layer_norm",
        "d(sigma[b])/d(v[p]) = delta[b,p]/sigma[b]",
        "wrong factor: delta[b,p]/sigma[b] is to be multiplied by 1/2",
    ),
    (
        "layer_norm",
        "d(mu[b,h])/d(x[p,q]) = 1[h,q]*delta[b,p]",
        "derived: d(mu[b,h])/d(x[p,q]) = delta[b,p]*delta[h,q]",
    ),
]


@pytest.mark.parametrize(("op", "text", "line"), OTHERS)
def test_results_by_name_and_jacobians_are_compared_too(op: str, text: str, line: str) -> None:
    assert line in told(op, text)


def test_a_forgotten_epsilon_is_recalled_by_the_theorem() -> None:
    found = derive.prove(load("layer_norm"), "1[i]*mu[p,i]^2/sigma[p]^2 = 1[p]*H")
    assert found.why == ("theorem: 1[h]*mu[p,h]^2/sigma[p]^2 = H*(1 - eps/sigma[p]^2)",)


def test_what_is_far_off_is_told_what_was_derived() -> None:
    (line,) = told("layer_norm", "dx[p,q] = x[p,q]")
    assert line.startswith("derived: dx[p,q] = dy[p,q]*gamma[q]/sigma[p] - ")


def test_of_a_sum_there_is_no_recorded_line() -> None:
    assert told("layer_norm", "1[h]*x[b,h] = 0") == ()


def wrong(derivation: Derivation) -> Iterator[tuple[Statement, str, Expr]]:
    """Each closed gradient without one of its terms, and with one turned or doubled."""
    for declared in derivation.op.differentiable:
        stage = derivation.stage[declared.tensor.name]
        if isinstance(stage.closed, Solution):
            continue
        target = total_gradient(derivation.op, stage.component)
        terms = Add.make_args(normal(stage.closed))
        for term in terms if len(terms) > 1 else ():
            for word, change in (
                ("missing", -term),
                ("wrong sign", -2 * term),
                ("wrong factor", term),
            ):
                given = Add(*terms, change)
                yield Statement(target, given, target.indices, word), word, term


@pytest.mark.parametrize("name", OPS)
def test_every_term_is_missed(name: str) -> None:
    derivation = differentiate(load(name))
    count = 0
    with keeping_shape():
        for statement, word, term in wrong(derivation):
            lines = diagnose(derivation, statement)
            assert len(lines) == 2, (word, lines)
            assert lines[1].startswith(word)
            shown = to_text(normal(term), statement.free, derivation.op.letters)
            assert word != "missing" or lines[1].startswith(f"missing: {shown}")
            count += 1
    assert count


def test_a_refutation_says_why_and_a_list_which_is_first() -> None:
    op = load("layer_norm")
    right = derive.prove(op, "dv[p] = 1/2*dsigma[p]/sigma[p]")
    false = derive.prove(op, "dx[p,q] = dmu[p,q]")
    assert not false
    assert "  missing: 1/H*1[q]*dm[p], which comes back through m" in str(false).split("\n")
    shown = proofs([right, false, right], as_latex=False)
    assert shown.endswith("2 of 3 proved; the first that fails is number 2: dx[p,q] = dmu[p,q]")
    assert "fails" not in proofs([right, right], as_latex=False)
