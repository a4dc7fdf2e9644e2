"""What a reader meets on a page: signs explained, derivatives of functions, numbers to follow."""

from __future__ import annotations

import unicodedata
import xml.etree.ElementTree as ET
from functools import cache

import html5lib
import pytest
from sympy import Rational

import derive
from derive.catalogue import load
from derive.derivation import differentiate
from derive.emit.document import chapters, equation_row
from derive.notation.latex import loss_beside, short_decimal
from derive.page.build import page
from derive.page.example import Example, example
from derive.page.listing import listing

HTML = "{http://www.w3.org/1999/xhtml}"


@cache
def root_of(name: str) -> ET.Element:
    (op,) = derive.parse(OWN[name]) if name in OWN else (load(name),)
    return html5lib.HTMLParser(strict=True).parse(page(op))


OWN = {
    "rounded": "op rounded(x[n]) -> y[n]\n\ny[n] = 0.044715*x[n]^3 + x[n]/3\n",
    "twice": "op twice(x[b,h]) -> (s[b,h], y[b])\n\ns[b,h] = tanh(x[b,h])\ny[b] = 1[h]*s[b,h]\n",
    "joined": "op joined(x[b,k*H+h]; K = 2) -> y[b,h]\n\ny[b,h] = x[b,0*H+h]*x[b,1*H+h]\n",
}


def example_of(name: str) -> Example:
    (op,) = derive.parse(OWN[name]) if name in OWN else (load(name),)
    found = example(differentiate(op))
    assert found is not None
    return found


def text(element: ET.Element) -> str:
    """With mathematical italics as plain letters."""
    return " ".join(unicodedata.normalize("NFKC", "".join(element.itertext())).split())


def legend(name: str) -> str:
    (section,) = (e for e in root_of(name).iter(f"{HTML}section") if e.get("id") == "equations")
    (told,) = (e for e in section.iter(f"{HTML}p"))
    return text(told)


@pytest.mark.parametrize(
    ("name", "told", "not_told"),
    [
        ("matmul", ("J is how many values j takes", "δip is one where i = p"), ("a one for each",)),
        ("relu", ("and not on the left, is summed", "l is a loss"), ("that holds", "as an output")),
        ("kl_div", ("[tbc > 0] is one where that holds",), ("as an output",)),
        ("twice", ("1h is a one for each h, and H how many", "as an output alone"), ("holds",)),
    ],
)
def test_the_signs_that_stand_on_a_page_are_explained_and_no_others(
    name: str, told: tuple[str, ...], not_told: tuple[str, ...]
) -> None:
    shown = legend(name).replace(" ", "")
    assert [t for t in told if t.replace(" ", "") not in shown] == []
    assert [t for t in not_told if t.replace(" ", "") in shown] == []


def test_the_derivatives_of_functions_stand_among_the_laws() -> None:
    """Those that the chain rule needs; of a function of two arguments, by each."""
    rows = {r.get("id"): text(r) for r in root_of("l2_normalize").iter(f"{HTML}tr") if r.get("id")}
    of_max = [shown for id_, shown in rows.items() if id_.startswith("function-")]
    assert len(of_max) == 2
    assert all(shown.startswith("derivative of max") for shown in of_max)
    assert not [r for r in root_of("matmul").iter() if r.get("id") == "function-0"]


def test_a_definition_that_several_steps_use_is_numbered_and_linked() -> None:
    cells = [c for c in root_of("covariance").iter(f"{HTML}td") if c.get("class") == "law"]
    links = {text(c): [a.get("href") for a in c.iter(f"{HTML}a")] for c in cells}
    assert links["definition of μ (2), m (1)"] == ["#eq-mu"]


def test_a_fraction_is_written_as_the_decimal_number_that_it_is_where_that_is_shorter() -> None:
    shown = {n: short_decimal(Rational(n)) for n in ("8943/200000", "-99/100", "1/2", "1/3", "2")}
    assert shown == {"8943/200000": "0.044715", "-99/100": "-0.99", "1/2": "", "1/3": "", "2": ""}
    assert short_decimal(Rational(1, 10**6)) == ""  # a power of ten below the line
    (op,) = derive.parse(OWN["rounded"])
    assert r"0.044715 x_{n}^{3}" in equation_row(op, op.equations[0]).right
    (line,) = example_of("rounded").forward
    assert r"0.044715 \cdot 0.8^{3}" in line.worked


@pytest.mark.parametrize("name", ["ada_layer_norm", "logsumexp", "l2_normalize"])
def test_what_is_differentiated_stands_last_and_no_derivative_above_a_line(name: str) -> None:
    derivation = differentiate(load(name))
    with loss_beside(derivation.op):
        told = chapters(derivation)
    rows = [r.right for c in told for d in c.displays for r in d.rows]
    assert any(r"\frac{\partial}{\partial" in row for row in rows)
    assert not [row for row in rows if r"\frac{\frac" in row]
    operator = r"\frac{\partial}{\partial \sigma_{p q}}\left(\frac{1}{\sigma_{b s}}\right)"
    behind = [row.partition(operator)[2] for row in rows if operator in row]
    assert not any(behind)
    assert behind or name != "ada_layer_norm"


def test_numbers_of_a_formula_have_their_sign_in_front() -> None:
    lines = example_of("squared_distances").forward
    worked = next(line.worked for line in lines if line.component.tensor.name == "r")
    assert r"-2 \cdot \left(" in worked
    assert r"\left(-2\right)" not in worked


def test_an_example_takes_the_sizes_that_the_op_says_itself() -> None:
    assert "K = 2" in example_of("joined").setting


def test_code_under_another_comment_is_not_shown_beside_the_equation_before() -> None:
    source = (
        "def f(x):\n    # y = x\n    y = x\n    # z = 2*y, of\n    #     no page\n    z = 2 * y\n"
    )
    (_, chunk) = listing(source, {"y = x": None})
    assert [(s.note, len(s.lines)) for s in chunk.segments] == [("", 1), ("y = x", 2), ("", 3)]


def test_what_is_differentiated_beside_other_factors_stands_in_the_order_of_a_bracket() -> None:
    derivation = differentiate(load("gelu"))
    rows = [r.right for c in chapters(derivation) for d in c.displays for r in d.rows]
    (product,) = (r for d in chapters(derivation)[0].displays for r in d.rows if "product" in r.law)
    assert product.right.count(r"\left(1+\operatorname{erf}") == 2
    assert not [row for row in rows if r"+1\right)" in row]


@pytest.mark.parametrize("name", ["instance_norm", "ada_layer_norm"])
def test_what_is_followed_is_not_what_two_equal_numbers_leave(name: str) -> None:
    """A normalized row of two has a gradient of the size of ε, which no reader can check."""
    found = example_of(name)
    assert abs(found.value) > 1e-3
    assert found.derived == found.differences
    assert not [line for line in found.back if "10^{-3" in line.values]  # a zero, rounded


def test_a_word_stands_apart_from_what_it_multiplies() -> None:
    (op,) = derive.parse("op leaky(x[n]; slope = 0.3) -> y[n]\ny[n] = slope*x[n]\n")
    assert r"\mathrm{slope} \, x_{n}" in derive.differentiate(op).latex("forward")
