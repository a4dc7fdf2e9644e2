"""From text to trees: precedence, flat lists, spans, logical lines, and what cannot be read."""

from __future__ import annotations

from fractions import Fraction

import pytest

from derive.errors import Report, SourceError
from derive.notation import tree as t
from derive.notation.lines import logical, physical
from derive.notation.parse import parse
from derive.notation.reader import read_ops


def grown(text: str) -> t.Node:
    """The tree of an expression."""
    rows = physical(f"y = {text}")
    report = Report(rows)
    [line] = logical(rows, report)
    equality = parse("equation", line, report)
    report.check()
    right = equality.right
    assert isinstance(right, t.Node)
    return right


def spelled(node: t.Node) -> str:
    """A tree with all its brackets."""
    inside = ",".join(spelled(p) for p in node.parts)
    letters = ",".join(letter.name for letter in getattr(node, "letters", ()))
    match node:
        case t.Number():
            return str(node.value)
        case t.Reference():
            return node.name + (f"[{letters}]" if letters else "")
        case t.Jacobian():
            return f"jacobian({spelled(node.of)},{spelled(node.wrt)})"
        case t.Call() | t.Reduction():
            return f"{node.name}{f'[{letters}]' if letters else ''}({inside})"
        case t.Ones() | t.Delta():
            return f"{type(node).__name__.lower()}[{letters}]"
    return f"{type(node).__name__.lower()}({inside})"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b*c", "sum(a,product(b,c))"),
        ("a*b + c", "sum(product(a,b),c)"),
        ("a - b - c", "sum(a,product(-1,b),product(-1,c))"),
        ("a - (b - c)", "sum(a,product(-1,sum(b,product(-1,c))))"),
        ("a + (b + c)", "sum(a,b,c)"),
        ("a*(b*c)*d", "product(a,b,c,d)"),
        ("a/b/c", "product(a,power(b,-1),power(c,-1))"),
        ("a/(b*c)", "product(a,power(product(b,c),-1))"),
        ("a/b*c", "product(a,power(b,-1),c)"),
        ("-a*b", "product(-1,a,b)"),
        ("a*-b", "product(a,-1,b)"),
        ("--a", "a"),
        ("+a", "a"),
        ("-a^2", "product(-1,power(a,2))"),
        ("(-a)^2", "power(product(-1,a),2)"),
        ("a^-2", "power(a,product(-1,2))"),
        ("a^b^c", "power(a,power(b,c))"),
        ("a**b", "power(a,b)"),
        ("2^-a^2", "power(2,product(-1,power(a,2)))"),
        ("exp(a+b)", "exp(sum(a,b))"),
        ("max(a, b)", "max(a,b)"),
        ("sum[h,k](x[h,k])", "sum[h,k](x[h,k])"),
        ("1[h]*x[h]", "product(ones[h],x[h])"),
        ("delta[i,j]", "delta[i,j]"),
        ("d(y[b])/d(x[c])", "product(jacobian(y[b],x[c]))"),
        ("2*d(y[b])/d(x[c])*z[c]", "product(2,jacobian(y[b],x[c]),z[c])"),
        ("d(y)/d(x)*d(x)/d(w)", "product(jacobian(y,x),jacobian(x,w))"),
        ("d(y)*d(x)^2", "product(d(y),power(d(x),2))"),
        ("x[i1]", "x[i1]"),
    ],
)
def test_precedence(text: str, tree: str) -> None:
    assert spelled(grown(text)) == tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", Fraction(1, 2)),
        ("1e-5", Fraction(1, 100000)),
        ("1.5E+2", Fraction(150)),
        (".25", Fraction(1, 4)),
        ("3.", Fraction(3)),
        ("007", Fraction(7)),
        ("1e400", Fraction(10) ** 400),
        ("1e-0400", Fraction(1, 10**400)),
        ("1" * 40, Fraction("1" * 40)),
    ],
)
def test_numbers_are_exact(text: str, value: Fraction) -> None:
    node = grown(text)
    assert isinstance(node, t.Number)
    assert node.value == value


@pytest.mark.parametrize("text", ["1" * 41, "0." + "1" * 40, "1e401", "1e-401", "1e" + "9" * 5000])
def test_numbers_have_limits(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        grown(text)
    assert [d.code for d in caught.value.diagnostics] == ["E405"]


def test_spans_are_those_of_the_source() -> None:
    text = "aa*(bb + cc[h,k]) - dd"
    first, second = grown(text).parts

    def cut(node: t.Node) -> str:
        return text[node.span.column - 5 : node.span.end_column - 5]

    assert cut(first) == "aa*(bb + cc[h,k])"
    assert cut(first.parts[1]) == "bb + cc[h,k]"
    assert cut(second) == "dd"
    component = first.parts[1].parts[1]
    assert isinstance(component, t.Reference)
    assert [letter.span.column - 5 for letter in component.letters] == [12, 14]


def test_a_sum_of_ten_thousand_terms_is_flat() -> None:
    node = grown(" + ".join(["x"] * 10_000))
    assert len(node.parts) == 10_000
    assert node.height == 1


OP = "op f(x[b]) -> y[b]\n"


@pytest.mark.parametrize(
    ("text", "code", "place", "said"),
    [
        ("y[b] = 2 x[b]", "E104", (2, 10), "write `*` between factors"),
        ("y[b] = x[b] (x[b])", "E202", (2, 8), "write `*` between factors"),
        ("y[b] = x[b] + ", "E102", (2, 14), "put brackets around what goes on"),
        ("y[b] =", "E102", (2, 7), "finish it"),
        ("y[b] = * x[b]", "E101", (2, 8), "`*` is not expected"),
        ("y[b] = x[b] = 2", "E101", (2, 13), "one `=`"),
        ("y[b] == x[b]", "E101", (2, 6), "`==` is not expected"),
        ("2*y[b] = x[b]", "E101", (2, 1), "`2` is not expected"),
        ("y[b] + 1 = x[b]", "E101", (2, 6), "`+` is not expected"),
        ("y[b] = (x[b]", "E103", (2, 8), "never closed"),
        ("y[b] = x[b))", "E103", (2, 11), "closes nothing"),
        ("y[b] = x[b])", "E103", (2, 12), "closes nothing"),
        ("y[b] = ()", "E101", (2, 9), "`)` is not expected"),
        ("y[b] = x[b,]", "E101", (2, 12), "`]` is not expected"),
        ("y[b] = x[b]..2", "E101", (2, 12), "`.` is not expected"),
        ("y[b] = x[B]", "E111", (2, 10), "`B` is no index"),
        ("y[b] = x[0.5]", "E111", (2, 10), "`0.5` is no whole number"),
        ("y[b] = x[b^2]", "E111", (2, 10), "`b^2` is no index"),
        ("y[b+1] = x[b]", "E111", (2, 3), "`b+1` is no index"),
        ("y[b] = (x[b]) (x[b])", "E104", (2, 15), "write `*` between factors"),
        ("y[b] = x[b] $ 2", "E106", (2, 13), "DOLLAR SIGN"),
        ("y[b] = x[b] − 2", "E106", (2, 13), "write `-`"),
        ("y[b] = μ[b]", "E106", (2, 8), "write `mu`"),
        ("y[b] = \u0430[b]", "E106", (2, 8), "U+0430 CYRILLIC SMALL LETTER A"),
        ("y[b] = x[b]\0", "E105", (2, 12), "U+0000"),
        ("y[b] = x[b]\u200b", "E105", (2, 12), "ZERO WIDTH SPACE"),
        ("y[b] = x[b]  # \u202e", "E105", (2, 16), "RIGHT-TO-LEFT OVERRIDE"),
        ("y[b] = x[b]\rz[b] = x[b]", "E105", (2, 12), "U+000D"),
        ("y[b] = x[b] <= 2", "E502", (2, 13), "condition of a `where`"),
        ("solve y: x[b]*y[b]^2 = 1", "E504", (2, 15), "not linear in `y`"),
        ("solve y: x[b]*1[b] = 1", "E507", (2, 7), "does not occur in the relation"),
        ("solve y: x[b]*y[b]", "E102", (2, 19), "both sides"),
        ("solve y x[b]*y[b] = 1", "E101", (2, 9), "`x` is not expected"),
        ("y[b] = where(x[b], x[b], 0)", "E502", (2, 8), "a comparison and two values"),
        ("y[b] = where(x[b] > 0, x[b])", "E502", (2, 8), "a comparison and two values"),
        ("y[b] = exp(x[b] > 0)", "E502", (2, 12), "condition of a `where`"),
        ("y[b] = (x[b] > 0)*x[b]", "E502", (2, 14), "condition of a `where`"),
        ("y[b] = x[b] * __import__('os')", "E106", (2, 26), "APOSTROPHE"),
        ("y[b] = __import__(os)", "E202", (2, 8), "no function `__import__`"),
        ("hello", "E113", (2, 1), "no equation"),
    ],
)
def test_what_cannot_be_read(text: str, code: str, place: tuple[int, int], said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_ops(f"{OP}{text}\n")
    found = [d for d in caught.value.diagnostics if d.code == code]
    assert [(d.code, d.span[:2]) for d in found[:1]] == [(code, place)], caught.value
    assert said in f"{found[0].message} {found[0].help}"
    assert "Token" not in str(caught.value)


def test_no_error_follows_from_another() -> None:
    with pytest.raises(SourceError) as caught:
        read_ops("op f(x[b], w[b]) -> y[b]\nu[b] = x[b] +\ny[b] = u[b] * $\n")
    assert [d.code for d in caught.value.diagnostics] == ["E102", "E106"]


def test_all_errors_of_a_file_are_reported_in_order() -> None:
    text = (
        "op f(x[b,h]) -> y[b]\nu[b] = x[b,h]\ny[b] = u[b] * zz[b]\n\n"
        "op g(x[b]) -> y[b]\ny[b] = x[b] +\n\nop h(x[b], q[b]) -> y[b]\ny[b] = x[b]\n"
    )
    with pytest.raises(SourceError) as caught:
        read_ops(text, "many.op")
    found = [(d.code, d.span.line) for d in caught.value.diagnostics]
    assert found == [("E301", 2), ("E201", 3), ("E102", 6), ("E208", 8)]
    assert {d.path for d in caught.value.diagnostics} == {"many.op"}


def test_an_open_bracket_does_not_swallow_the_rest() -> None:
    text = "op f(x[b]) -> y[b]\nu[b] = (x[b]\ny[b] = u[b] + zz[b]\n"
    with pytest.raises(SourceError) as caught:
        read_ops(text)
    assert [(d.code, d.span.line) for d in caught.value.diagnostics] == [("E103", 2), ("E201", 3)]
