"""The derivation: step by step as recorded, right at every step, and blind to names."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import mpmath
import pytest
from sympy import Expr, S

import derive
from derive import prove
from derive.derivation import Derivation, Stage, differentiate, primes
from derive.emit.torch_module import torch_module
from derive.emit.triton_file import triton_module
from derive.notation.latex import name_latex
from derive.notation.nodes import Component, Differentiate, Partial, free_indices, rename
from derive.notation.op import Op
from derive.notation.text import to_text
from derive.rewrite import Chain, Step, everywhere, keeping_shape
from tests.samples import (
    DIGITS,
    TESTS,
    World,
    derived,
    different,
    differs,
    every_op,
    name_of,
    named,
    shipped,
)

every = pytest.mark.parametrize("op", every_op(), ids=name_of)
NUMERICAL = mpmath.mpf(10) ** -15


# -- the trace ------------------------------------------------------------------------------------


def trace(derivation: Derivation) -> list[str]:
    """One line a step: the law and what it gives, in the op language."""
    return [line for stage in derivation.stages for line in _stage(derivation.op, stage)]


def _stage(op: Op, stage: Stage) -> Iterator[str]:
    for kind, chain in chains(stage):
        shown = _shown(op, chain.subject, chain.subject)
        if kind != "closing" or chain.steps:
            yield f"{shown} | {_shown(op, chain.start, chain.subject)}"
        for step in chain.steps:
            for part in step.proof:
                yield f"    {part.law} | {_shown(op, part.after, part.before)}"
            yield f"  {step.law} | {_shown(op, step.after, chain.subject)}"


def chains(stage: Stage) -> Iterator[tuple[str, Chain]]:
    yield from (("jacobian", c) for c in stage.jacobians)
    yield "gradient", stage.gradient
    yield "closing", stage.closing


def _shown(op: Op, expr: Expr, subject: Expr) -> str:
    if isinstance(subject, Component):
        return to_text(expr, subject.indices, op.letters)
    if isinstance(subject, Partial):
        return to_text(expr, (*subject.of.indices, *subject.wrt.indices), op.letters)
    return to_text(expr, free_indices(subject), op.letters)


@pytest.mark.parametrize("op", shipped(), ids=name_of)
def test_the_trace_is_as_recorded(op: Op, request: pytest.FixtureRequest) -> None:
    path = TESTS / "traces" / f"{op.name}.txt"
    got = trace(derived(op.name))
    if request.config.getoption("--update-traces"):
        path.write_text("\n".join(got) + "\n", encoding="utf-8")
    want = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    changed = difflib.unified_diff(want, got, f"tests/traces/{path.name}", "derived", lineterm="")
    remedy = f"\n\nIs that better? pytest --update-traces tests/test_derivation.py -k {op.name}"
    assert got == want, "\n".join(changed) + remedy


def test_every_trace_has_its_op() -> None:
    names = {path.stem for path in (TESTS / "traces").iterdir()}
    assert names == {op.name for op in shipped()}


# -- the article ----------------------------------------------------------------------------------


def test_layer_norm_is_derived_in_the_order_of_the_article() -> None:
    names = [stage.name for stage in derived("layer_norm").stages]
    assert names == ["gamma", "beta", "sigma", "v", "mu", "m", "x"]


BRACKET = "1[h]*1[q]/sigma[p] + mu[p,h]*mu[p,q]/sigma[p]^3"
CONCLUSION = [
    "dgamma[q] = dy[b,q]*mu[b,q]/sigma[b]",
    "dbeta[q] = dy[b,q]*1[b]",
    f"dx[p,q] = dy[p,q]*gamma[q]/sigma[p] - 1/H*dy[p,h]*gamma[h]*({BRACKET})",
]
ON_THE_WAY = [
    "dsigma[p] = -dy[p,h]*mu[p,h]*gamma[h]/sigma[p]^2",
    "dv[p] = -dy[p,h]*mu[p,h]*gamma[h]/(2*sigma[p]^3)",
    "dmu[p,q] = dv[p]*2*mu[p,q]/H + dy[p,q]*gamma[q]/sigma[p]",
    "dm[p] = -dy[p,h]*gamma[h]/sigma[p]",
    "dx[p,q] = -1/H*1[q]*dy[p,h]*gamma[h]/sigma[p] + 2/H*dv[p]*mu[p,q] + dy[p,q]*gamma[q]/sigma[p]",
]


@pytest.mark.parametrize("equation", CONCLUSION + ON_THE_WAY)
def test_what_the_article_concludes_is_proved(equation: str) -> None:
    verdict = derive.prove(named("layer_norm"), equation)
    assert verdict, str(verdict)


@pytest.mark.parametrize("equation", CONCLUSION)
def test_what_the_article_concludes_is_what_is_shown(equation: str) -> None:
    """Not only equal: the same terms."""
    derivation = derived("layer_norm")
    tensor = equation.partition("[")[0].removeprefix("d")
    stage = derivation.stage[tensor]
    got = to_text(stage.closed, stage.component.indices, derivation.op.letters)
    assert got == equation.partition(" = ")[2]


def test_the_zero_sum_is_proved_on_the_way() -> None:
    (identity,) = derived("layer_norm").used
    assert identity.right == 0
    assert "use an identity" in {step.law for step in derived("layer_norm").steps}


# -- numbers --------------------------------------------------------------------------------------


def world(op: Op, seed: int = 0) -> World:
    return World(op, (2, 3, 2, 2, 3), seed, 0.3, 1.4)


def whole(stage: Stage) -> Callable[[Expr], Expr | None]:
    """Jacobians by what was derived for them."""
    known = {c.subject.of.tensor: c for c in stage.jacobians}

    def insert(expr: Expr) -> Expr | None:
        if not isinstance(expr, Partial):
            return None
        chain = known[expr.of.tensor]
        letters = zip(chain.subject.of.indices, expr.of.indices, strict=True)
        return rename(chain.expr, dict(letters))

    return insert


def steps_of(stage: Stage) -> Iterator[Step]:
    for _, chain in chains(stage):
        for step in chain.steps:
            yield from step.proof
            yield step


@every
def test_every_step_is_true(op: Op) -> None:
    numbers = world(op)
    for stage in derived(op.name).stages:
        for step in steps_of(stage):
            if step.before.atoms(Differentiate):
                continue  # what it gives is compared with numerical differentiation below
            before, after = (everywhere(whole(stage), e) for e in (step.before, step.after))
            free = sorted(set(free_indices(before)) | set(free_indices(after)), key=str)
            wrong = different(numbers.values(before, free), numbers.values(after, free))
            assert not wrong, (stage.name, step.law)


@every
def test_a_step_begins_where_the_last_one_ended(op: Op) -> None:
    for stage in derived(op.name).stages:
        for _, chain in chains(stage):
            befores = [chain.start, *(s.after for s in chain.steps)]
            assert [s.before for s in chain.steps] == befores[:-1]
        assert stage.closing.start == stage.gradient.expr
        assert stage.closed == stage.closing.expr


@every
def test_what_is_computed_is_what_is_derived(op: Op) -> None:
    numbers = world(op)
    for stage in derived(op.name).stages:
        indices = stage.component.indices
        closed, computed = (numbers.values(e, indices) for e in (stage.closed, stage.computed))
        assert not different(computed, closed), stage.name


@every
def test_gradients_agree_with_numerical_differentiation(op: Op) -> None:
    """Component by component, with 40 digits; of large tensors, some of the components."""
    numbers = world(op, seed=1)
    numbers.loss()
    for declared in op.differentiable:
        stage = derived(op.name).stage[declared.tensor.name]
        places = list(numbers.places(declared.indices))
        for place in places[:: 1 + len(places) // 6]:
            at = dict(zip(stage.component.indices, place, strict=True))
            got = numbers.value(stage.closed, at)
            numbers.component(declared, place)
            with mpmath.workdps(DIGITS):
                want = numbers.slope(numbers.loss, declared.tensor, place)
            assert not differs(got, want, NUMERICAL), (declared, place)


def test_a_wrong_gradient_would_be_caught() -> None:
    numbers = world(named("layer_norm"))
    stage = derived("layer_norm").stage["x"]
    closed = numbers.values(stage.closed, stage.component.indices)
    assert different(numbers.values(2 * stage.closed, stage.component.indices), closed)


@every
def test_every_input_has_a_gradient(op: Op) -> None:
    derivation = derived(op.name)
    assert list(derivation.gradients) == [c.tensor.name for c in op.differentiable]
    assert set(derivation.chain) == {s.name for s in derivation.stages}
    for stage in derivation.stages:
        assert set(free_indices(stage.closed)) <= set(stage.component.indices)
        assert stage.closed.is_commutative


def test_an_input_without_influence_has_gradient_zero() -> None:
    assert derived("no_gradient").gradients["w"] == S.Zero


RATIONAL = ["1/(1/(2+H^2)^2+2)", "sqrt((H^2+1)/(B^2+1))", "sqrt(1-1/(H^2+1))", "(H^3-H)^(-1/3)"]


@pytest.mark.parametrize("factor", RATIONAL)
def test_rational_functions_of_sizes(factor: str) -> None:
    """SymPy, asked for the sign of such a number, looks for the roots of polynomials."""
    (op,) = derive.parse(f"op f(x[b,h]) -> y[b,h]\ny[b,h] = x[b,h]*{factor}\n")
    derivation = differentiate(op)
    assert r"\frac" in derivation.latex()
    assert "def f(" in torch_module(op, derivation)
    assert prove(op, f"dx[b,h] = dy[b,h]*{factor}")


# -- names ----------------------------------------------------------------------------------------

LAYER_NORM = """op layer_norm(x[b,h], gamma[h], beta[h]; eps = 1e-5) -> y[b,h]

m[b]     = 1/H * 1[h] * x[b,h]
mu[b,h]  = x[b,h] - 1[h] * m[b]
v[b]     = 1/H * 1[h] * mu[b,h]^2
sigma[b] = sqrt(v[b] + eps)
y[b,h]   = mu[b,h] / sigma[b] * gamma[h] + 1[b] * beta[h]
"""
NAMES = ("x", "gamma", "beta", "eps", "m", "mu", "v", "sigma", "y", "b", "h", "B", "H")
RENAMINGS = {  # of one length, so that no line breaks elsewhere
    "reversed": ("z", "omega", "psis", "eta", "w", "nu", "k", "alpha", "a", "t", "i", "T", "I"),
    "Greek": ("s", "kappa", "zeta", "tau", "c", "xi", "k", "theta", "u", "g", "a", "G", "A"),
    "Latin": ("u", "scale", "bias", "tol", "c", "xc", "s", "width", "o", "r", "f", "R", "F"),
    "primes": ("x", "gamma", "beta", "eps", "m", "mu", "v", "sigma", "y", "q", "p", "Q", "P"),
    "swapped": ("y", "sigma", "zeta", "eps", "v", "mu", "m", "gamma", "x", "h", "b", "H", "B"),
}
WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*")
LATEX = re.compile(r"\\mathrm\{[^}]*\}|\\[A-Za-z]+|[A-Za-z]+")


def renaming(which: str) -> tuple[Op, dict[str, str]]:
    """Layer norm under other names, and every name as it is called then, gradients too."""
    names = dict(zip(NAMES, RENAMINGS[which], strict=True))
    names |= {f"d{old}": f"d{new}" for old, new in names.items()}
    (op,) = derive.parse(_renamed(LAYER_NORM, names))
    (plain,) = derive.parse(LAYER_NORM)
    letters = zip(primes(plain).values(), primes(op).values(), strict=True)
    return op, names | {old.name: new.name for old, new in letters}


def _renamed(text: str, names: Mapping[str, str], words: re.Pattern[str] = WORD) -> str:
    return words.sub(lambda m: names.get(m[0], m[0]), text)


def _plain() -> Derivation:
    return differentiate(derive.parse(LAYER_NORM)[0])


renamed = pytest.mark.parametrize("which", RENAMINGS)


@renamed
def test_the_trace_depends_on_no_name(which: str) -> None:
    op, names = renaming(which)
    want = [_renamed(line, names) for line in trace(_plain())]
    assert trace(differentiate(op)) == [line.replace("eps", names["eps"]) for line in want]


@renamed
@pytest.mark.parametrize("write", [torch_module, triton_module])
def test_the_code_depends_on_no_name(which: str, write: Callable[[Op, Derivation], str]) -> None:
    op, names = renaming(which)
    plain = _plain()
    want = _renamed(write(plain.op, plain), names)
    assert write(op, differentiate(op)).splitlines() == want.splitlines()


@renamed
def test_the_latex_depends_on_no_name(which: str) -> None:
    op, names = renaming(which)
    shown = {name_latex(old): name_latex(new) for old, new in names.items()}
    for part in ("forward", "steps", "result"):
        want = _renamed(_plain().latex(part), shown, LATEX)
        assert differentiate(op).latex(part).splitlines() == want.splitlines()


# -- hash seeds -----------------------------------------------------------------------------------

EACH = "3"  # every third op of a file
_RUN = """
import hashlib, sys
from derive.catalogue import load_all
from derive.derivation import differentiate
from derive.emit.torch_module import torch_module
from derive.emit.triton_file import triton_module
for op in load_all(sys.argv[1])[:: int(sys.argv[2])]:
    d = differentiate(op)
    for text in (d.show(trace=True), d.latex(), torch_module(op, d), triton_module(op, d)):
        print(op.name, hashlib.sha256(text.encode()).hexdigest())
"""


@pytest.mark.parametrize("file", sorted(p.name for p in (TESTS / "ops").glob("*.op")))
def test_nothing_depends_on_the_hash_seed(file: str) -> None:
    running = [_started(file, seed) for seed in ("0", "1")]
    first, second = (process.communicate(timeout=300)[0].splitlines() for process in running)
    assert len(first) >= 4
    assert first == second


def _started(file: str, seed: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(TESTS.parent)}
    command = [sys.executable, "-c", _RUN, str(TESTS / "ops" / file), EACH]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_deriving_twice_gives_the_same() -> None:
    with keeping_shape():
        for op in shipped():
            assert trace(differentiate(op)) == trace(differentiate(op))


def test_letters_of_derivatives_are_none_that_the_op_has() -> None:
    """∂l/∂x_p beside a parameter p could be read as one component."""
    (op,) = derive.parse("op f(x[n], r; p = 1/2) -> y[n]\ny[n] = r*x[n]/(1 - p)\n")
    assert [i.name for i in primes(op).values()] == ["q"]
    assert differentiate(op).show().count("dx[q] = dy[q]*r/(1 - p)") == 2
