"""Ops and statements as read: names, sizes, ranks, source text; hostile texts end soon."""

from __future__ import annotations

import itertools
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sympy import I, Integer, Pow, Rational, nan, oo, sqrt, zoo
from sympy.core.parameters import distribute

from derive.errors import SourceError
from derive.notation.functions import call
from derive.notation.nodes import (
    Component,
    Contraction,
    Index,
    Partial,
    Scalar,
    Size,
    Tensor,
    delta,
)
from derive.notation.op import Op, gradient
from derive.notation.reader import Statement, read_equation, read_ops

OPS = Path(__file__).parents[2] / "derive" / "ops"
LAYER_NORM = (OPS / "layer_norm.op").read_text("utf-8")


def read(text: str) -> Op:
    [op] = read_ops(text)
    return op


def codes(text: str) -> list[str]:
    with pytest.raises(SourceError) as caught:
        read_ops(text)
    return [d.code for d in caught.value.diagnostics]


# -- what is read ----------------------------------------------------------------------------------


def test_layer_norm_piece_by_piece() -> None:
    op = read(LAYER_NORM)
    b, h = Index("b", Size("B", 0), 0), Index("h", Size("H", 1), 1)
    x, gamma, beta = Tensor("x", 0), Tensor("gamma", 1), Tensor("beta", 2)
    m, mu, v = Tensor("m", 3), Tensor("mu", 4), Tensor("v", 5)
    sigma, y, eps = Tensor("sigma", 6), Tensor("y", 7), Scalar("eps", 0)
    assert op.letters == (b, h)
    assert op.inputs == (Component(x, b, h), Component(gamma, h), Component(beta, h))
    assert [(p.symbol, p.default, p.text) for p in op.parameters] == [
        (eps, Fraction(1, 100_000), "1e-5")
    ]
    assert op.outputs == (Component(y, b, h),)
    with distribute(False):
        expected = [
            (Component(m, b), Contraction(Component(x, b, h), h) / h.size),
            (Component(mu, b, h), Component(x, b, h) - Component(m, b)),
            (Component(v, b), Contraction(Component(mu, b, h) ** 2, h) / h.size),
            (Component(sigma, b), sqrt(Component(v, b) + eps)),
            (
                Component(y, b, h),
                Component(mu, b, h) / Component(sigma, b) * Component(gamma, h)
                + Component(beta, h),
            ),
        ]
    assert [(e.target, e.expr) for e in op.equations] == expected


def test_the_source_is_kept() -> None:
    op = read(LAYER_NORM)
    assert op.text == LAYER_NORM
    assert op.title[0].startswith("Layer normalization of each row x[b,:].  Ba,")
    assert op.header == "op layer_norm(x[b,h], gamma[h], beta[h]; eps = 1e-5) -> y[b,h]"
    assert op.equations[0].text == "m[b]     = 1/H * 1[h] * x[b,h]"


def test_titles_comments_continued_lines_and_line_ends() -> None:
    text = (
        '# not the title\r\n\r\n#  One """ title\r\n#\r\n#\tits µ source\r\nop f(x[b,\r\n  h]'
        "; eps = 1) -> y[b]  # the header\r\n\r\ny[b] = (1[h] *  # a comment\r\n"
        "   # another\r\n   x[b,h]) + eps\r\n# behind\r\n"
    )
    op = read(text)
    assert op.title == ('One """ title', "", "its µ source")
    assert op.header == "op f(x[b, h]; eps = 1) -> y[b]"
    assert op.equations[0].text == "y[b] = (1[h] * x[b,h]) + eps"
    assert op.text.startswith('#  One """ title\n#\n#\tits µ source\nop f(x[b,\n')
    assert op.text.endswith("   x[b,h]) + eps\n")
    assert "\r" not in op.text


def test_several_ops_each_with_its_own_lines() -> None:
    first, second = read_ops(
        "# a\nop f(x[b]) -> y[b]\ny[b] = 2*x[b]\n\n# b\nop g(x[b]) -> y[b]\ny[b] = x[b]", "two.op"
    )
    assert (first.name, second.name, second.title) == ("f", "g", ("b",))
    assert first.text == "# a\nop f(x[b]) -> y[b]\ny[b] = 2*x[b]\n"
    assert second.text == "# b\nop g(x[b]) -> y[b]\ny[b] = x[b]\n"
    assert second.path == "two.op"


@pytest.mark.parametrize("path", sorted(OPS.glob("*.op")), ids=lambda p: p.stem)
def test_the_catalogue_reads(path: Path) -> None:
    ops = read_ops(path.read_text("utf-8"), path.name)
    assert path.stem in {op.name for op in ops}
    assert all(op.title for op in ops)


def test_no_name_is_special_to_sympy() -> None:
    text = "op S(E[k], N[k], Q[k], beta[k]; O = 2) -> I[k]\nI[k] = E[k]*N[k]^O + Q[k]*beta[k]\n"
    op = read(text)
    e, n, q, beta = op.inputs
    assert op.equations[0].expr == e * n ** op.parameters[0].symbol + q * beta


@pytest.mark.parametrize("outputs", ["y[b,h], s[b]", "(y[b,h], s[b])"])
def test_several_outputs(outputs: str) -> None:
    op = read(f"op f(x[b,h]) -> {outputs}\ns[b] = 1[h]*x[b,h]\ny[b,h] = x[b,h]/s[b]\n")
    assert [str(c) for c in op.outputs] == ["y[b,h]", "s[b]"]


@pytest.mark.parametrize(
    ("default", "value", "text"),
    [
        ("-1", Fraction(-1), "-1"),
        ("- 2.50", Fraction(-5, 2), "-2.50"),
        ("1/3", Fraction(1, 3), "1/3"),
        ("-(2/4)", Fraction(-1, 2), "-1/2"),
        ("007", Fraction(7), "7"),
        ("+0", Fraction(0), "0"),
        ("1/2/2", Fraction(1, 4), "1/4"),
    ],
)
def test_defaults_are_exact_and_python_reads_their_text(
    default: str, value: Fraction, text: str
) -> None:
    op = read(f"op f(x[b]; eps = {default}) -> y[b]\ny[b] = x[b] + eps\n")
    assert (op.parameters[0].default, op.parameters[0].text) == (value, text)
    assert eval(op.parameters[0].text) == float(value)


@pytest.mark.parametrize("default", ["a", "1 + 1", "2^2", "1/0", "x", "1[b]", "1/x"])
def test_other_defaults_are_refused(default: str) -> None:
    assert "E603" in codes(f"op f(x[b]; eps = {default}) -> y[b]\ny[b] = x[b] + eps\n")


def test_functions_and_powers() -> None:
    op = read(
        "op f(x[b]) -> y[b]\n"
        "y[b] = sqrt(x[b]) + rsqrt(x[b]) + x[b]^(1/3) + erf(x[b]) + min(x[b], 2) + 2*(x[b] + 1)\n"
    )
    x = op.inputs[0]
    with distribute(False):
        terms = Pow(x, Rational(1, 2)) + Pow(x, Rational(-1, 2)) + Pow(x, Rational(1, 3))
        terms += call("erf", x) + call("min", x, Integer(2)) + 2 * (x + 1)
    assert op.equations[0].expr == terms


# -- sizes -----------------------------------------------------------------------------------------


def test_a_letter_off_the_header_has_the_size_of_its_axis() -> None:
    op = read("op f(x[b,h]) -> y[p,q]\ny[p,q] = x[p,q]/(J*1[j]*exp(x[p,j]))\n")
    assert [(i.name, i.size.name, i.rank, i.size.rank) for i in op.letters] == [
        ("b", "B", 0, 0), ("h", "H", 1, 1), ("p", "B", 2, 0), ("q", "H", 3, 1), ("j", "H", 4, 1),
    ]  # fmt: skip
    assert op.letters[1].size in op.equations[0].expr.free_symbols  # J is H


def test_delta_and_use_make_sizes_equal() -> None:
    op = read("op f(x[i], a[i,j]) -> y\ny = I/J*delta[i,j]*a[i,j]*x[i]\n")
    assert {i.size for i in op.letters} == {Size("I", 0)}
    assert not op.equations[0].expr.atoms(Size)  # I/J is 1
    op = read("op f(x[i], a[i,i]) -> y\ny = x[i]*a[i,j]*x[j]\n")
    assert {i.size for i in op.letters} == {Size("I", 0)}


def test_outputs_may_use_other_letters() -> None:
    op = read("op f(x[b,h]) -> y[p,q]\ny[b,h] = 2*x[b,h]\n")
    assert [i.size.name for i in op.outputs[0].indices] == ["B", "H"]
    assert codes("op f(x[b,h]) -> y[h,b]\ny[b,h] = 2*x[b,h]\n") == ["E305"]
    assert codes("op f(x[b,h]) -> y[b]\ny[b,h] = 2*x[b,h]\n") == ["E304"]


def test_an_index_with_two_sizes_is_marked_once_in_a_component() -> None:
    assert codes("op f(x[b,h]) -> y[h,b]\ny[h,b] = x[h,b]\n") == ["E305"]
    assert codes("op f(x[i], a[i,j]) -> y\ny = x[i]*a[i,j]*x[j]\n") == ["E305"]
    assert codes("op f(x[i], z[j]) -> y\ny = x[k]*x[k] + z[k]*z[k]\n") == ["E305", "E305"]


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("exp", "E203"), ("where", "E203"), ("pi", "E203"), ("delta", "E203"), ("op", "E203"),
        ("sum", "E203"), ("lambda", "E204"), ("None", "E204"), ("torch", "E204"), ("tl", "E204"),
        ("ctx", "E204"), ("float", "E204"), ("len", "E204"), ("Tensor", "E204"), ("_x", "E204"),
        ("__import__", "E204"), ("el", "E205"), ("elta", "E205"), ("B", "E210"), ("n" * 41, "E407"),
    ],
)  # fmt: skip
def test_names_that_are_refused(name: str, code: str) -> None:
    found = codes(f"op f({name}[b]) -> y[b]\ny[b] = 2 * {name}[b]\n")
    assert code in found
    with pytest.raises(SourceError) as caught:
        read_ops(f"op f({name}[b]) -> y[b]\ny[b] = 2 * {name}[b]\n")
    assert all(d.help for d in caught.value.diagnostics if d.code == code)


@pytest.mark.parametrize("index", ["block", "acc"])
def test_indices_whose_sizes_hide_a_constant_are_refused(index: str) -> None:
    assert codes(f"op f(x[b,{index}]) -> y[b]\ny[b] = 1[{index}]*x[b,{index}]\n") == ["E204"]


@pytest.mark.parametrize("name", ["S", "E", "I", "d", "input", "x_1", "gamma", "e", "Q", "b"])
def test_names_that_are_good(name: str) -> None:
    assert read(f"op f({name}[h]) -> y[h]\ny[h] = 2*{name}[h]\n").inputs[0].tensor.name == name


@pytest.mark.parametrize("name", ["lambda", "torch", "con", "_f", "abs", "init", "delta"])
def test_op_names_that_are_refused(name: str) -> None:
    assert codes(f"op {name}(x[b]) -> y[b]\ny[b] = x[b]\n")[0] in {"E203", "E204"}


@pytest.mark.parametrize("name", ["relu", "tanh", "softmax", "layer_norm", "F2"])
def test_op_names_that_are_good(name: str) -> None:
    assert read(f"op {name}(x[b]) -> y[b]\ny[b] = x[b]\n").name == name


def test_gradients_take_their_names() -> None:
    assert codes("op f(x[b]; dx = 1) -> y[b]\ny[b] = x[b]*dx\n") == ["E205"]
    assert codes("op f(x[b]) -> dx[b]\ndx[b] = 2*x[b]\n") == ["E205"]


def test_ops_differ_in_more_than_capitals() -> None:
    assert codes("op f(x[b]) -> y[b]\ny[b]=x[b]\nop F(x[b]) -> y[b]\ny[b]=x[b]\n") == ["E211"]


def test_dead_ends_are_refused_where_they_begin() -> None:
    text = "op f(x[b], z[b]; a = 1) -> y[b]\nu[b] = z[b]\nw[b] = u[b]\ny[b] = x[b]\n"
    assert codes(text) == ["E208", "E208"]  # a and w; z and u are used


# -- statements ------------------------------------------------------------------------------------


def state(text: str) -> Statement:
    return read_equation(read(LAYER_NORM), text)


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("1[h]*mu[b,h] = 0", "b"),
        ("mu[b,h]/sigma[b] = x[b,h]", "bh"),
        ("x[b,h] = mu[b,h]/sigma[b]", "bh"),
        ("-2*m[b] = 1/H*x[b,h]*1[h]", "b"),
        ("d(y[b,h])/d(sigma[p]) = -mu[b,h]*sigma[b]^-2*gamma[h]*delta[b,p]", "bhp"),
        ("dsigma[p] = dy[b,h]*d(y[b,h])/d(sigma[p])", "p"),
        ("mu[b,h]*mu[b,h] = 3", ""),
        ("1[h]*mu[b,h]^2 = H*v[b]", "b"),
        ("dbeta[q] = dy[b,q]*1[b]", "q"),
        ("sum[h](mu[b,h]) = 0", "b"),
    ],
)
def test_the_free_indices_of_a_statement(text: str, free: str) -> None:
    statement = state(text)
    assert "".join(i.name for i in statement.free) == free
    assert statement.text == text


def test_gradients_and_jacobians_in_statements() -> None:
    op = read(LAYER_NORM)
    statement = read_equation(op, "dsigma[p] = dy[b,h]*d(y[b,h])/d(sigma[p])")
    b, h = op.letters
    p = Index("p", b.size, 2)
    dy, dsigma = gradient(op.tensors["y"]), gradient(op.tensors["sigma"])
    assert statement.lhs == Component(dsigma.tensor, p)
    partial = Partial(op.tensors["y"], Component(op.tensors["sigma"].tensor, p))
    assert statement.rhs == Contraction(dy * partial, b, h)
    assert statement.free == (p,)


def test_statements_know_the_sizes_of_the_op() -> None:
    op = read(LAYER_NORM)
    statement = read_equation(op, "1[q]*mu[p,q]^2 = Q*v[p]")
    assert statement.rhs.atoms(Size) == {op.letters[1].size}
    assert read_equation(op, "delta[b,p]*m[p] = m[b]").lhs.atoms(Contraction)
    b = op.letters[0]
    p = Index("p", b.size, 2)
    m = op.tensors["m"].tensor
    assert read_equation(op, "m[b] = delta[b,p]*m[p]").rhs == Contraction(
        delta(b, p) * Component(m, p), p
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("mu[b,h] = m[b]", "E313"),
        ("mu[b,h] = x[b,h] - m[b]", "E302"),
        ("m[b] = mu[b,h]", "E301"),
        ("m[b] = x[h,b]", "E305"),
        ("m[b] = zz[b]", "E201"),
        ("m[b] = ddy[b]", "E201"),
        ("m[b]", "E102"),
        ("", "E102"),
        ("m[b] = 1\nm[b] = 2", "E102"),
        ("m[b] = 1 = 2", "E101"),
        ("m[b] = d(y[b,h])", "E202"),
        ("m[b] = d(2)/d(3)", "E114"),
        ("m[b] = 1/0", "E601"),
        ("m[b] = sqrt(-1)", "E602"),
        ("m[b] = delta[b,h]*x[b,h]", "E305"),
        ("1[k]*1[k] = 1", "E311"),
        ("m[b] = " + "(" * 101 + "m[b]" + ")" * 101, "E402"),
        ("m[b] = " + "1+" * 40_000 + "1", "E401"),
    ],
)
def test_statements_that_are_refused(text: str, code: str) -> None:
    with pytest.raises(SourceError) as caught:
        state(text)
    assert code in {d.code for d in caught.value.diagnostics}, caught.value


# -- hostile texts ---------------------------------------------------------------------------------

HEAD = "op f(x[b,h]) -> y[b,h]\ny[b,h] = "
ROW = "op f(x[b,h]) -> y[b]\ny[b] = "
LETTERS = list("abceghijklmnopqrstvwxyz")
PRODUCTS = ["*".join(p) for p in itertools.islice(itertools.product(LETTERS, repeat=3), 6000)]
FRACTIONS = [f"{j}/{k}" for j in range(1, 40) for k in range(1, 45)]
HOSTILE = {
    "ten thousand brackets": (HEAD + "(" * 10_000 + "x[b,h]" + ")" * 10_000, "E402"),
    "open brackets": (HEAD + "(" * 60_000, "E402"),
    "functions": (HEAD + "exp(" * 100 + "x[b,h]" + ")" * 100, ""),
    "functions too deep": (HEAD + "exp(" * 101 + "x[b,h]" + ")" * 101, "E402"),
    "sums in products": (HEAD + "2*(x[b,h]+" * 100 + "x[b,h]" + ")" * 100, "E402"),
    "nested sums": (HEAD + "(x[b,h]+" * 100 + "x[b,h]" + ")" * 100, ""),
    "tower of nines": (HEAD + "x[b,h]*9**9**9", "E404"),
    "tower by brackets": (HEAD + "x[b,h]*((((9^64)^64)^64)^64)^64", "E406"),
    "tower by a tensor": (HEAD + "((((9*x[b,h])^64)^64)^64)^64", "E406"),
    "chain of powers": ("op f(x) -> y\ny=" + "^".join(["x"] * 20_000), "E402"),
    "minus signs": (HEAD + "-" * 60_000, "E102"),
    "minus signs and x": (HEAD + "-" * 60_001 + "x[b,h]", ""),
    "64 KiB of minus": ("-" * 65_535, "E108"),
    "more than 64 KiB": ("#" * 65_537, "E401"),
    "30,000 terms": ("op f(x) -> y\ny=" + "+".join(["x"] * 30_000), ""),
    "30,000 factors": ("op f(x) -> y\ny=" + "*".join(["x"] * 30_000), ""),
    "6,000 products": (f"op f({','.join(LETTERS)}) -> u\nu={'+'.join(PRODUCTS)}", ""),
    "many sums": (ROW + "+".join(f"{q}*1[h]*exp({q}*x[b,h])" for q in FRACTIONS), ""),
    "many dummies": (
        "op f(x[i]) -> y\ny=1[i]*"
        + "*".join(f"exp(x[i{k}]*x[i])*1[i{k}]" for k in range(1500)),
        "E408",
    ),
    "many deltas": (
        "op f(x[i0]) -> y\ny=" + "*".join(f"delta[i{k},i{k + 1}]" for k in range(2000))
        + "*x[i0]*1[i2000]",
        "E408",
    ),
    "long numbers": ("op f(x) -> y\ny=x*" + "*".join(["1e400"] * 9000), "E406"),
    "fractions": (
        "op f(x) -> y\ny=x+" + "+".join(f"1/{k}" for k in range(10_007, 19_000, 2)), "E406",
    ),
    "fractions of x": (
        "op f(x) -> y\ny=1+" + "+".join(f"x/{k}" for k in range(10_007, 18_000, 2)), "E406",
    ),
    "unknown names": (HEAD + "+".join(["z"] * 20_000), "E201"),
    "bad lines": (HEAD + "\ny = " * 10_000, "E403"),
    "closing lines": (HEAD + "x[b,h]" + "\n)(" * 18_000, "E409"),
    "opening lines": (HEAD + "x[b,h]" + "\n(" * 90 + "\nx" * 30_000, "E403"),
    "a long name": (HEAD + "z" * 60_000, "E201"),
    "NUL": (HEAD + "x[b,h]\0", "E105"),
    "surrogate": (HEAD + "x[b,h] # \ud800", "E105"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_end_soon(name: str) -> None:
    text, code = HOSTILE[name]
    started = time.process_time()
    if code:
        assert code in codes(text + "\n")
    else:
        read(text + "\n")
    assert time.process_time() - started < 60  # it ends: a limit for hangs, not a measurement


ALPHABET = [
    "x[b,h]", "g[h]", "u[b]", "alpha", "eps", "1[h]", "1[b,h]", "delta[b,h]", "a[h,h]", "+", "-",
    "*", "/", "^", "(", ")", "2", "1/2", "sqrt(", "exp(", "max(", ",", "sum[h](", "mean[k](",
    "x[b,k]", "H", "\n", "=", "y[b,h]", "u[b] = ", "y[b,h] = ", "op ", "->", ";", "#", "[", "]",
    "where(", "d(", "0", "pi", " ", "é", "9**9",
]  # fmt: skip
PROGRAM = "op f(x[b,h], g[h], a[h,h], alpha; eps = 1) -> y[b,h]\n"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(ALPHABET), max_size=25).map("".join))
@example("y[b,h] = x[b,h]*g[h]*alpha*eps*a[h,h]")
def test_any_text_reads_or_is_refused_with_a_place(text: str) -> None:
    try:
        ops = read_ops(f"{PROGRAM}{text}\n")
    except SourceError as error:
        found = error.diagnostics
    else:
        found = ()
        values = [equation.expr for op in ops for equation in op.equations]
        assert values
        assert not any(value.has(I, zoo, nan, oo) for value in values)
    assert all(d.span.line >= 1 and d.span.column >= 1 and d.message for d in found)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_characters_read_or_are_refused(text: str) -> None:
    with pytest.raises(SourceError):
        read_ops(f"{PROGRAM}{text}\n")
