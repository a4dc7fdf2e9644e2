"""Equations that hold are proved; a small change to one is refuted, with numbers that show it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import mpmath
import pytest

import derive
from derive.derivation import differentiate
from derive.errors import SourceError
from derive.notation.evaluate import Evaluator
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.notation.statement import read_equation
from derive.prove import Proof, Refutation, Undecided, _Prover, prove
from derive.rewrite import keeping_shape
from tests.samples import derived, named

DX = "dx[p,q] = dy[p,q]*gamma[q]/sigma[p] - dy[p,h]*gamma[h]/H*"
DY = "d(y[b,h])/d(x[p,q]) = delta[b,p]*gamma[h]/sigma[b]*"
ALL = "1[b]*delta[h,q] - 1[b]*1[h]*1[q]/H - mu[b,h]*mu[b,q]/(H*sigma[b]^2)"


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each op is differentiated once for all equations."""
    monkeypatch.setattr(sys.modules["derive.prove"], "differentiate", _derived_once)


_derived_once = cache(differentiate)

TRUE = [
    ("layer_norm", "dgamma[q] = dy[b,q]*mu[b,q]/sigma[b]"),
    ("layer_norm", "dbeta[q] = dy[b,q]*1[b]"),
    ("layer_norm", f"{DX}(1[h]*1[q]/sigma[p] + mu[p,h]*mu[p,q]/sigma[p]^3)"),
    ("layer_norm", "1[h]*mu[b,h] = 0"),
    ("layer_norm", "1[h]*mu[b,h]^2 = H*(sigma[b]^2 - eps)"),
    ("layer_norm", "d(y[b,h])/d(sigma[p]) = -mu[b,h]*gamma[h]*delta[b,p]/sigma[b]^2"),
    ("layer_norm", "d(mu[b,h])/d(x[p,q]) = delta[b,p]*delta[h,q]"),
    ("layer_norm", "d(v[b])/d(mu[p,q]) = 2/H*mu[b,q]*delta[b,p]"),
    ("layer_norm", "d(sigma[b])/d(v[p]) = delta[b,p]/(2*sigma[b])"),
    ("layer_norm", "d(sigma[b])/d(x[p,q]) = delta[b,p]*mu[b,q]/(H*sigma[b])"),
    ("layer_norm", f"{DY}({ALL})"),
    ("layer_norm", "dm[p] = -dy[p,h]*gamma[h]/sigma[p]"),
    ("layer_norm", "dv[p] = -dy[p,h]*mu[p,h]*gamma[h]/(2*sigma[p]^3)"),
    ("layer_norm", "1[q]*dx[p,q] = 0"),
    ("layer_norm", "dgamma[h]*gamma[h] + dbeta[h]*beta[h] = dy[b,h]*y[b,h]"),
    ("shifted_softmax", "dm[b] = 0"),
    ("softmax", "1[i]*p[b,i] = 1"),
    ("softmax", "1[i]*dx[b,i] = 0"),
    ("softmax", "dx[b,j] = p[b,j]*(dp[b,j] - 1[j]*dp[b,i]*p[b,i])"),
    ("softmax", "d(p[b,i])/d(x[q,r]) = delta[b,q]*p[b,i]*(1[b]*delta[i,r] - 1[i]*p[b,r])"),
    ("rms_norm", "1[h]*x[b,h]^2 = H*(sigma[b]^2 - eps)"),
    ("rms_norm", "dgamma[q] = dy[b,q]*x[b,q]/sigma[b]"),
    ("matmul", "da[p,q] = dc[p,j]*b[q,j]"),
    ("matmul", "d(c[i,j])/d(a[p,q]) = delta[i,p]*b[q,j]"),
    ("linear", "dw[o,i] = dy[b,o]*x[b,i]"),
    ("linear", "dx[b,i] = dy[b,o]*w[o,i]"),
    ("linear", "dbias[o] = dy[b,o]*1[b]"),
    ("quadratic", "dx[j] = dq*(A[j,i]*x[i] + A[i,j]*x[i])"),
    ("traces", "d(u)/d(A[k,l]) = 2*A[l,k]"),
    ("traces", "d(t)/d(A[k,l]) = delta[k,l]"),
    ("squared_error", "dx[b,i] = 2/B/I*dloss*(x[b,i] - t[b,i])"),
    ("squared_error", "dx[b,i] + dt[b,i] = 0*x[b,i]"),
    ("multi_head_attention", "1[j]*p[b,n,i,j] = 1"),
    ("layer_norm", "v[b] = sigma[b]^2 - eps"),
    ("layer_norm", "1[b]*v[b]/sigma[b] = 1[b]*sigma[b] - eps*1[b]/sigma[b]"),
    ("layer_norm", "1[h]*mu[b,h]^2/sigma[b]^2 = H*(1 - eps/sigma[b]^2)"),
    ("layer_norm", "1[b]*1[h]*mu[b,h]^2/sigma[b]^2 = H*(B - eps*1[b]/sigma[b]^2)"),
    ("layer_norm", "dx[p,q]*mu[p,q] = eps/sigma[p]^3*(dy[p,h]*gamma[h]*mu[p,h])"),
    ("layer_norm", "dx[p,q]*x[p,q] = eps/sigma[p]^3*(dy[p,h]*gamma[h]*mu[p,h])"),
    ("rms_norm", "dx[p,q]*x[p,q] = eps/sigma[p]^3*(dy[p,h]*gamma[h]*x[p,h])"),
    ("unit_rows", "1[b]*(y[b,d]*y[b,d]) = B - eps*1[b]/n[b]^2"),
    ("softmax", "1[b]*1[i]*p[b,i] = B"),
    ("softmax", "1[b]*1[i]*dx[b,i] = 0"),
    ("softmax", "de[b,i]*e[b,i] = 0"),
    ("log_softmax", "1[b]*1[i]*exp(y[b,i]) = B"),
    ("log_softmax", "dx[b,i]*x[b,i] = du[b,i]*u[b,i]"),
    ("temperature_softmax", "1[b]*1[i]*dx[b,i] = 0"),
    ("temperature_softmax", "dtau[b]*tau[b] = -du[b,i]*u[b,i]"),
    ("doubly_normalized", "1[i]*1[j]*dx[i,j] = 0"),
    ("weight_norm", "dv[o,i]*v[o,i] = 0"),
    ("weight_norm", "dg[o]*g[o] = dw[o,i]*w[o,i]"),
    ("cosine", "dx[b,d]*x[b,d] = 0"),
    ("perceptron", "dx[b,i]*x[b,i] = dy[b,o]*y[b,o]"),
    ("clamp", "dlo[i]*lo[i] + dhi[i]*hi[i] + dx[b,i]*x[b,i] = dy[b,i]*y[b,i]"),
]


@pytest.mark.parametrize(("name", "equation"), TRUE)
def test_what_holds_is_proved(name: str, equation: str) -> None:
    verdict = prove(named(name), equation)
    assert isinstance(verdict, Proof), str(verdict)
    assert verdict
    assert verdict.steps[-1][1] == 0
    assert str(verdict).startswith(f"proved: {equation}\n")
    assert verdict.latex().startswith(r"\begin{align*}")


# -- mutations ------------------------------------------------------------------------------------


def mutations(equation: str) -> Iterator[str]:
    """The equation with one sign, one exponent, one number, one factor or one index changed."""
    left, right = equation.split(" = ")
    kinds = (_signs, _exponents, _numbers, _factors, _indices)
    for changed in (text for kind in kinds for text in kind(right)):
        yield f"{left} = {changed}"


def _spliced(text: str, match: re.Match[str], new: str) -> str:
    return text[: match.start()] + new + text[match.end() :]


def _signs(text: str) -> Iterator[str]:
    yield f"-({text})"
    for match in re.finditer(r" [+-] ", text):
        yield _spliced(text, match, " - " if match[0] == " + " else " + ")


def _exponents(text: str) -> Iterator[str]:
    for match in re.finditer(r"\^(\d)", text):
        yield _spliced(text, match, f"^{int(match[1]) + 1}")
    for match in re.finditer(r"\bsigma\[\w\](?!\^)", text):
        yield _spliced(text, match, f"{match[0]}^2")


def _numbers(text: str) -> Iterator[str]:
    for match in re.finditer(r"(?<![\w^\[])[1-9]\b(?!\[)", text):
        yield _spliced(text, match, str(int(match[0]) + 1))
    yield f"2*({text})"


def _factors(text: str) -> Iterator[str]:
    """One factor of a product left out, where others of its letters are left."""
    for match in re.finditer(r"(mu|gamma|x|p|w|b)\[[\w,]+\](?:\^\d)?\*", text):
        yield _spliced(text, match, "")
    for match in re.finditer(r"/H\b|\bH\*", text):
        yield _spliced(text, match, "")


def _indices(text: str) -> Iterator[str]:
    """One index of one tensor is another; beside a delta that may well be true, so not there."""
    letters = sorted(set(re.findall(r"(?<=[\[,])\w", text))) if "delta" not in text else []
    for match in re.finditer(r"(?<=[\[,])\w(?=[,\]])", text):
        yield from (_spliced(text, match, letter) for letter in letters if letter != match[0])


MUTANTS = [
    (name, mutant)
    for name, equation in TRUE
    if " = 0" not in equation
    for mutant in dict.fromkeys(mutations(equation))
]


def _readable(op: Op, equation: str) -> bool:
    try:
        read_equation(op, equation)
    except SourceError:
        return False
    return True


@pytest.mark.parametrize(("name", "equation"), MUTANTS)
def test_what_is_changed_is_refuted(name: str, equation: str) -> None:
    """Or refused, where the change leaves an index without a partner; never proved."""
    if not _readable(named(name), equation):
        with pytest.raises(SourceError):
            prove(named(name), equation)
        return
    _refuted(prove(named(name), equation))


def _refuted(verdict: object) -> None:
    assert isinstance(verdict, Refutation), str(verdict)
    assert not verdict
    assert verdict.left != verdict.right
    assert str(verdict).startswith("refuted: ")


def test_many_mutants_can_be_read() -> None:
    readable = [_readable(named(name), equation) for name, equation in MUTANTS]
    assert sum(readable) > 100


FALSE = [
    ("layer_norm", "dgamma[q] = dy[b,q]*x[b,q]/sigma[b]"),
    ("layer_norm", "dgamma[q] = dy[b,q]*mu[b,q]/v[b]"),
    ("layer_norm", "dgamma[q] = dy[b,q]*mu[b,q]*sigma[b]"),
    ("layer_norm", "dbeta[q] = dy[b,q]*1[b]/B"),
    ("layer_norm", "dbeta[q] = dy[b,q]*gamma[q]*1[b]"),
    ("layer_norm", f"{DX}(1[h]*1[q]/sigma[p] + mu[p,h]*mu[p,q]/sigma[p]^2)"),
    ("layer_norm", f"{DX}(2*1[h]*1[q]/sigma[p] + mu[p,h]*mu[p,q]/sigma[p]^3)"),
    ("layer_norm", "dx[p,q] = dy[p,q]*gamma[q]/sigma[p]"),
    ("layer_norm", f"{DX}(1[h]*1[q]/sigma[p] + mu[p,h]^2*1[q]/sigma[p]^3)"),
    ("layer_norm", f"{DX}(1[h]*1[q]/sigma[p] + mu[p,q]^2*1[h]/sigma[p]^3)"),
    ("layer_norm", f"{DX}(mu[p,h]*mu[p,q]/sigma[p]^3)"),
    ("layer_norm", "1[h]*mu[b,h] = 1"),
    ("layer_norm", "1[h]*x[b,h] = 0"),
    ("layer_norm", "1[b]*mu[b,h] = 0"),
    ("layer_norm", "mu[b,h] = 0"),
    ("layer_norm", "gamma[h]*mu[b,h] = 0"),
    ("layer_norm", "1[h]*mu[b,h]^2 = 0"),
    ("layer_norm", "1[h]*mu[b,h]^3 = 0"),
    ("layer_norm", "1[h]*mu[b,h]^2 = H*sigma[b]^2"),
    ("layer_norm", "1[h]*mu[b,h]^2 = sigma[b]^2 - eps"),
    ("layer_norm", "1[h]*mu[b,h]^2 = B*(sigma[b]^2 - eps)"),
    ("layer_norm", "d(y[b,h])/d(sigma[p]) = -mu[b,h]*gamma[h]/sigma[b]^2*1[p]"),
    ("layer_norm", "d(y[b,h])/d(sigma[p]) = -x[b,h]*gamma[h]*delta[b,p]/sigma[b]^2"),
    ("layer_norm", "d(y[b,h])/d(x[p,q]) = delta[b,p]*gamma[h]/sigma[b]*delta[h,q]"),
    ("layer_norm", "1[q]*dx[p,q] = 1[q]*dy[p,q]"),
    ("layer_norm", "sigma[b] = sqrt(v[b])"),
    ("shifted_softmax", "dm[b] = 1"),
    ("shifted_softmax", "dm[b] = 1[i]*dp[b,i]"),
    ("softmax", "dx[b,i] = 0"),
    ("softmax", "1[i]*p[b,i] = I"),
    ("softmax", "1[b]*p[b,i] = 1[i]"),
    ("softmax", "dx[b,j] = p[b,j]*dp[b,j]"),
    ("softmax", "dx[b,j] = p[b,j]*(1 - p[b,j])*dp[b,j]"),
    ("matmul", "da[p,q] = dc[p,j]*b[q,j]*2"),
    ("traces", "d(u)/d(A[k,l]) = 2*A[k,l]"),
    ("quadratic", "dx[j] = 2*dq*A[j,i]*x[i]"),
]


@pytest.mark.parametrize(("name", "equation"), FALSE)
def test_what_is_false_is_refuted(name: str, equation: str) -> None:
    _refuted(prove(named(name), equation))


def test_pi_has_a_value() -> None:
    """The derivative of erf brings it."""
    _refuted(prove(named("gelu"), "dx[n] = dy[n]"))


# -- a refutation can be checked ------------------------------------------------------------------


def recomputed(found: Refutation) -> tuple[Any, Any]:
    """Both sides from nothing but the sizes, inputs and cotangents that are printed."""
    op = found.op
    derivation = derived(op.name)

    def lookup(component: Component, place: tuple[int, ...]) -> Any:
        if component.tensor.name in found.inputs:
            value = found.inputs[component.tensor.name]
            for k in place:
                value = value[k]
            return mpmath.mpf(str(value))
        definition = op.definitions.get(component.tensor)
        if definition is not None:
            letters, expr = definition.target.indices, definition.expr
        else:
            stage = derivation.stage[component.tensor.name.removeprefix("d")]
            letters, expr = stage.component.indices, stage.closed
        return evaluator.value(expr, dict(zip(letters, place, strict=True)))

    sizes = {op.sizes[name]: n for name, n in found.sizes.items()}
    scalars = {
        p.symbol: mpmath.mpf(p.default.numerator) / p.default.denominator for p in op.parameters
    }
    evaluator = Evaluator(sizes, scalars, lookup)
    at = {i: found.at[i.name] for i in found.statement.free}
    with mpmath.workdps(40):
        return (
            evaluator.value(found.statement.lhs, at),
            evaluator.value(found.statement.rhs, at),
        )


@pytest.mark.parametrize(
    ("name", "equation"), [case for case in FALSE if "d(" not in case[1].partition(" =")[0]]
)
def test_a_refutation_can_be_recomputed(name: str, equation: str) -> None:
    found = prove(named(name), equation)
    assert isinstance(found, Refutation)
    left, right = recomputed(found)
    assert float(left) == pytest.approx(found.left, rel=1e-12, abs=1e-30)
    assert float(right) == pytest.approx(found.right, rel=1e-12, abs=1e-30)
    assert abs(left - right) > 1e-25


def test_a_refutation_prints_what_it_holds() -> None:
    found = prove(named("softmax"), "dx[b,i] = 0")
    assert isinstance(found, Refutation)
    text = str(found)
    for name, value in found.inputs.items():
        assert f"{name} = {value}" in text
    for name, value in (*found.sizes.items(), *found.at.items()):
        assert f"{name} = {value}" in text
    assert f"{found.left:.10g}" in text
    assert r"\neq" in found.latex()


def test_a_refutation_is_the_same_every_time() -> None:
    first, second = (str(prove(named("layer_norm"), "mu[b,h] = 0")) for _ in range(2))
    assert first == second


def test_inputs_of_a_refutation_are_short() -> None:
    found = prove(named("matmul"), "c[i,j] = a[i,k]*1[k]*1[j]")
    assert isinstance(found, Refutation)
    for row in found.inputs["a"]:
        assert all(Fraction(str(x)).limit_denominator(10) == Fraction(str(x)) for x in row)


# -- neither ------------------------------------------------------------------------------------

UNDECIDED = [
    ("op f(x[i]) -> y[i]\ny[i] = sin(2*x[i])\n", "y[i] = 2*sin(x[i])*cos(x[i])"),
    ("op f(x[i], z[i]) -> y[i]\ny[i] = max(x[i], max(z[i], x[i]))\n", "y[i] = max(x[i], z[i])"),
    (
        "op f(x[i], z[i]) -> y\ny = 1[i]/(x[i] + z[i]) + 1[i]/(x[i] - z[i])\n",
        "y = 2*1[i]*x[i]/(x[i]^2 - z[i]^2)",
    ),
    ("op f(x[i], z[i]) -> y[i]\ny[i] = log(x[i]*z[i])\n", "y[i] = log(x[i]) + log(z[i])"),
]


@pytest.mark.parametrize(("text", "equation"), UNDECIDED)
def test_what_is_true_beyond_the_laws_is_undecided(text: str, equation: str) -> None:
    (op,) = derive.parse(text)
    verdict = prove(op, equation)
    assert isinstance(verdict, Undecided), str(verdict)
    assert not verdict
    assert verdict.samples >= 4
    assert "no proof was found" in str(verdict)


# -- the laws alone -------------------------------------------------------------------------------


def _by_laws(name: str, equation: str) -> Proof | None:
    """What all laws prove where no numbers have been asked before."""
    op = named(name)
    with keeping_shape():
        prover = _Prover(op, derived(name), read_equation(op, equation))
        return prover._attempt(thorough=True)


@pytest.mark.parametrize(("name", "equation"), TRUE)
def test_all_laws_prove_what_holds(name: str, equation: str) -> None:
    assert _by_laws(name, equation) is not None


@pytest.mark.parametrize(("name", "equation"), MUTANTS + FALSE)
def test_no_law_proves_what_is_false(name: str, equation: str) -> None:
    assert not _readable(named(name), equation) or _by_laws(name, equation) is None


# -- refused --------------------------------------------------------------------------------------

ILL_FORMED = [
    "mu[b,h]",
    "mu[b,h] = ",
    "= 0",
    "mu[b,h] = 0 = 0",
    "mu[b] = 0",
    "mu[b,h,q] = 0",
    "nu[b,h] = 0",
    "mu[b,h] = x[b,h] - m[b]",
    "1[z]*mu[b,h] = 0",
    "mu[h,b] = 0",
    "sigma[b] = sqrt(v[b] + tiny)",
    "d(y[b,h])/d(z[p]) = 0",
    "dnu[b] = 0",
    "mu[b,h] == 0",
    "1[h]*mu[b,h] = (0",
    "mu[b,h] = __import__(b)",
    "mu[b,h] = foo(x[b,h])",
    "1[h]*1[h]*mu[b,h] = 1[b]*1[h]/0",
    "",
    "\n",
    "mu[b,h] = 0\nmu[b,h] = 0",
    "mu[b,h] = 0; m[b] = 0",
    "mu[b,h] = " + "(" * 200 + "0" + ")" * 200,
    "mu[b,h] = 9^9^9*1[b,h]",
]


@pytest.mark.parametrize("equation", ILL_FORMED, ids=lambda e: repr(e[:40]))
def test_what_cannot_be_read_is_refused(equation: str) -> None:
    with pytest.raises(SourceError) as caught:
        prove(named("layer_norm"), equation)
    assert all(d.code.startswith("E") for d in caught.value.diagnostics)


# -- which indices are free ------------------------------------------------------------------------


def test_a_proof_shows_what_it_puts_in() -> None:
    proof = prove(named("layer_norm"), "dx[b,h]*1[h] = 0")
    assert isinstance(proof, Proof)
    laws = [law for law, _ in proof.steps]
    assert laws == ["", "insert the gradient", "multiply out", "definition of mu, definition of m"]
    shown = str(prove(named("layer_norm"), "dgamma[h]*gamma[h] - dgamma[h]*gamma[h] = 0 for h"))
    assert shown.splitlines()[-1].startswith("    = 0")


def test_for_names_the_free_indices() -> None:
    op = named("layer_norm")
    assert prove(op, "mu[b,h]*sigma[b] = mu[b,h]*sqrt(v[b] + eps) for b, h")
    assert not prove(op, "mu[b,h]*sigma[b] = x[b,h]*sigma[b] for b, h")
    assert prove(op, "mu[b,h]*sigma[b]*1[h] = 0 for b")
    assert prove(op, "mu[b,h]*sigma[b]*1[h] = 0")


@pytest.mark.parametrize("end", ["for q", "for", "for B", "for b h", "for b,", "for 1"])
def test_for_names_indices_of_the_equation(end: str) -> None:
    with pytest.raises(SourceError):
        prove(named("layer_norm"), f"1[h]*mu[b,h] = 0 {end}")
