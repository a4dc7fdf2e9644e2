"""Ops and statements that grow without end are derived soon, or refused at a place with a code.

What comes of each is the same on every machine: work is counted, not timed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from derive.article import prove_document
from derive.catalogue import load
from derive.derivation import Derivation, differentiate
from derive.emit.backends import BACKENDS
from derive.emit.files import generate
from derive.errors import SourceError
from derive.notation.op import Op
from derive.notation.reader import read_ops
from derive.prove import Undecided, prove
from tests.fuzz.running import limited

SECONDS = 30.0  # of the processor: a limit for hangs; a fast one takes at most 4


def op_of(text: str) -> Op:
    return read_ops(text, "f.op")[0]


def chain_of_one(count: int) -> str:
    factors = "*".join(f"x[i{k},i{k + 1}]" for k in range(count))
    return f"op f(x[i,i]) -> y[i0,i{count}]\ny[i0,i{count}] = {factors}\n"


def chain_of_many(count: int) -> str:
    names = [f"a{k}[i{k},i{k + 1}]" for k in range(count)]
    return f"op f({', '.join(names)}) -> y[i0,i{count}]\ny[i0,i{count}] = {'*'.join(names)}\n"


def nested(count: int, inside: str, around: Callable[[int, str], str]) -> str:
    for k in reversed(range(count)):
        inside = around(k, inside)
    return inside


def means(count: int, power: str) -> str:
    mean = f"1/H*1[h{count}]*x[b,h{count}]"
    text = nested(count, mean, lambda k, t: f"1/H*1[h{k}]*(x[b,h{k}] - 1[h{k}]*{t}){power}")
    return f"op f(x[b,h]) -> y[b,h]\ny[b,h] = x[b,h] - 1[h]*{text}\n"


def functions(count: int, *names: str) -> str:
    text = nested(count, "x[b,h]", lambda k, t: f"{names[k % len(names)]}({t})")
    return f"op f(x[b,h]) -> y[b,h]\ny[b,h] = {text}\n"


def maxima(count: int) -> str:
    inputs = ", ".join(f"a{k}[b]" for k in range(count + 1))
    text = nested(count, f"a{count}[b]", lambda k, t: f"max(a{k}[b], {t})")
    return f"op f({inputs}) -> y[b]\ny[b] = {text}\n"


def sums_of_two(count: int) -> str:
    factors = "*".join(f"(x[b] + {k}*z[b])" for k in range(2, count + 2))
    return f"op f(x[b], z[b]) -> y[b]\ny[b] = {factors}\n"


def sums_of_others(count: int) -> str:
    inputs = ", ".join(f"a{k}[b], c{k}[b]" for k in range(count))
    factors = "*".join(f"(a{k}[b] + c{k}[b])" for k in range(count))
    return f"op f({inputs}) -> y[b]\ny[b] = {factors}\n"


def deltas(count: int) -> str:
    factors = "*".join(f"(1[j]*x[i] + {k}*z[i]*delta[i,j])" for k in range(2, count + 2))
    return f"op f(x[i], z[i]) -> y[i,j]\ny[i,j] = {factors}\n"


def all_earlier(count: int, joint: str, around: str = "{}") -> str:
    lines, known = [f"op f(x[b]) -> t{count}[b]"], ["x[b]"]
    for k in range(1, count + 1):
        lines.append(f"t{k}[b] = {around.format(joint.join(known))}")
        known.append(f"t{k}[b]")
    return "\n".join([*lines, ""])


def parameters(count: int) -> str:
    declared = ", ".join(f"p{k} = {k + 1}" for k in range(count))
    factors = "*".join(f"(x[b] + p{k})" for k in range(count))
    return f"op f(x[b]; {declared}) -> y[b]\ny[b] = {factors}\n"


def inputs(count: int, joint: str) -> str:
    names = [f"a{k}[b]" for k in range(count)]
    return f"op f({', '.join(names)}) -> y[b]\ny[b] = {joint.join(names)}\n"


def norms(count: int) -> str:
    """A layer norm applied to a layer norm, and so on."""
    lines, x = ["op f(x[b,h]; eps = 1e-5) -> y[b,h]"], "x"
    for k in range(count):
        y = "y" if k == count - 1 else f"y{k}"
        lines += [
            f"m{k}[b] = 1/H*1[h]*{x}[b,h]",
            f"mu{k}[b,h] = {x}[b,h] - 1[h]*m{k}[b]",
            f"v{k}[b] = 1/H*1[h]*mu{k}[b,h]^2",
            f"s{k}[b] = sqrt(v{k}[b] + eps)",
            f"{y}[b,h] = mu{k}[b,h]/s{k}[b]",
        ]
        x = y
    return "\n".join([*lines, ""])


SHOWN = {
    "a chain of 8 equal factors": chain_of_one(8),
    "a chain of 12 equal factors": chain_of_one(12),
    "a chain of 24 matrices": chain_of_many(24),
    "16 nested means": means(16, ""),
    "4 nested squares": means(4, "^2"),
    "32 functions": functions(32, "exp", "sin"),
    "32 other functions": functions(32, "tanh", "sigmoid"),
    "16 maxima": maxima(16),
    "24 sums of two": sums_of_two(24),
    "24 other sums of two": sums_of_others(24),
    "16 equations": all_earlier(16, " + "),
    "16 products": all_earlier(16, "*"),
    "16 functions of sums": all_earlier(16, " + ", "sin({})"),
    "64 parameters": parameters(64),
    "64 inputs": inputs(64, " + "),
    "64 factors": inputs(64, "*"),
    "3 norms": norms(3),
}
REFUSED = {
    "a chain of 64 matrices": chain_of_many(64),
    "64 sums of two": sums_of_two(64),
    "64 other sums of two": sums_of_others(64),
    "16 nested squares": means(16, "^2"),
    "64 products": all_earlier(64, "*"),
    "64 functions of sums": all_earlier(64, " + ", "sin({})"),
    "48 maxima": maxima(48),
    "64 deltas": deltas(64),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_long_is_shown_in_time(name: str) -> None:
    with limited(SECONDS):
        text = differentiate(op_of(SHOWN[name])).show(trace=True)
    assert "gradients" in text


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_too_long_is_refused_at_its_equation(name: str) -> None:
    with limited(SECONDS), pytest.raises(SourceError) as caught:
        differentiate(op_of(REFUSED[name]))
    [refusal] = caught.value.diagnostics
    line = REFUSED[name].split("\n")[refusal.span.line - 1]
    assert (refusal.code, refusal.path, refusal.source) == ("E410", "f.op", line)
    assert refusal.span.line > 1
    assert refusal.help


@pytest.mark.parametrize("name", ["16 equations", "64 inputs", "16 nested means"])
def test_code_is_written_in_time(name: str) -> None:
    with limited(SECONDS):
        made = generate([op_of(SHOWN[name])], list(BACKENDS.values()))
    assert len(made) == 1 + len(BACKENDS)


STATEMENTS = {
    "1[h]*dx[b,h] = 0": "proved",
    "1[h]*y[b,h] = 0": "proved",
    "dx[b,h] = dy[b,h]": "refuted",
    "y[b,h]*y[b,h] = H*1[b]": "refuted",
    "d(y[b,h])/d(x[c,k]) = 0": "refuted",
    "d(y[b,h])/d(x[c,k])*dy[b,h] = dx[c,k]": "proved",
}


@pytest.mark.parametrize(("statement", "word"), STATEMENTS.items())
def test_a_statement_about_two_norms_is_decided_in_time(statement: str, word: str) -> None:
    with limited(SECONDS):
        assert str(prove(op_of(norms(2)), statement)).startswith(word)


@pytest.mark.parametrize("count", [3, 6])
def test_a_statement_that_takes_too_long_is_undecided(count: int) -> None:
    statement = "d(y[b,h])/d(x[c,k])*dy[b,h] = dx[c,k]"
    with limited(SECONDS):
        verdict = prove(op_of(norms(count)), statement)
    assert isinstance(verdict, Undecided)
    assert str(verdict).startswith("not proved")


def test_a_tensor_of_many_axes_is_not_enumerated() -> None:
    axes = ",".join(f"i{k}" for k in range(40))
    op = op_of(f"op f(x[{axes}]) -> y[{axes}]\ny[{axes}] = exp(x[{axes}])\n")
    with limited(SECONDS):
        assert str(prove(op, f"y[{axes}] = x[{axes}]")).startswith("not proved")


@pytest.mark.parametrize("letters", ["x", "x ", "a b ", "x+", r"\mu "])
def test_a_formula_of_letters_is_refused_at_once(letters: str) -> None:
    side = (letters * 65_536)[:65_000].rstrip("+ \\")
    with limited(SECONDS / 10):
        [found] = prove_document(load("layer_norm"), f"$$ y_{{b h}} = {side} $$\n", "a.md")
    assert found.refusal is not None
    assert found.refusal.code == "E401"


def test_many_formulas_are_refused_together() -> None:
    text = f"$$ y_{{b h}} = x{' ' * 16_000}x $$\n" * 12
    with limited(SECONDS):
        *_, last = prove_document(load("layer_norm"), text, "a.md")
    assert last.refusal is not None
    assert last.refusal.code == "E401"


def test_the_same_work_is_counted_whatever_was_done_before() -> None:
    counts = [steps(differentiate(op_of(functions(8, "exp", "sin")))) for _ in range(2)]
    assert counts[0] == counts[1]


def steps(derivation: Derivation) -> int:
    return len(derivation.steps)
