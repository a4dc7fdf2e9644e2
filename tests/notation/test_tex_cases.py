"""Cases and conditions in LaTeX: each is a `where`, and the last row is what is left."""

from __future__ import annotations

import pytest

from derive import differentiate
from derive.article import Finding, prove_document
from derive.catalogue import load
from tests.notation.reading import read

HEAD = "op f(x[b,h], u[b], w[h], z[b,h]; a = 0.1, bound = 2) -> y[b,h], q[b,h]\n"
USES = "q[b,h] = x[b,h]*u[b]*w[h]*z[b,h]*a*bound\n"


def found(right: str, tex: str) -> Finding:
    """What is said of y in LaTeX, of the op in which it is `right`."""
    op = read(f"{HEAD}y[b,h] = {right}\n{USES}")
    [finding] = prove_document(op, f"$$\ny_{{bh}} = {tex}\n$$", "paper.md")
    return finding


WRITTEN = {  # LaTeX, the same in the op language
    r"\begin{cases} x_{bh} & x_{bh} > 0 \\ a x_{bh} & \text{otherwise} \end{cases}":
        "where(x[b,h] > 0, x[b,h], a*x[b,h])",
    r"\begin{dcases} x_{bh}, & \text{if } x_{bh} > 0, \\[2pt] u_b, & \text{else.} \end{dcases}":
        "where(x[b,h] > 0, x[b,h], 1[h]*u[b])",
    r"\begin{cases} x_{bh} \text{ if } x_{bh} > 0 \\ a \text{ otherwise} \end{cases}":
        "where(x[b,h] > 0, x[b,h], a)",
    r"\begin{cases} 1 & x_{bh} > 0 \\ a & x_{bh} \le 0 \\ \end{cases}":
        "where(x[b,h] > 0, 1, a)",
    r"\begin{cases} 1 & 0 < x_{bh} \\ a & \text{for } x_{bh} \leq 0 \end{cases}":
        "where(x[b,h] > 0, 1, a)",
    r"\begin{cases} 1 & x_{bh} = \mathrm{bound} \\ a & x_{bh} \ne \mathrm{bound} \end{cases}":
        "where(x[b,h] == bound, 1, a)",
    r"\begin{cases} 1 & x_{bh} \not< a \\ 2 & x_{bh} < a \end{cases}":
        "where(x[b,h] < a, 2, 1)",
    r"\begin{cases} 1 & x_{bh} < 0 \\ 2 & x_{bh} > 0 \end{cases}":
        "where(x[b,h] < 0, 1, where(x[b,h] > 0, 2, 0))",
    r"\begin{cases} 1 & x_{bh} < 0 \\ 2 & x_{bh} \le 0 \end{cases}":
        "where(x[b,h] < 0, 1, where(x[b,h] <= 0, 2, 0))",
    r"\begin{cases} 1 & x_{bh} < 0 \\ 2 & u_b < 0 \\ 3 & \text{otherwise} \end{cases}":
        "where(x[b,h] < 0, 1, 1[h]*where(u[b] < 0, 2, 3))",
    r"\begin{cases} 1 & -a < x_{bh} \le a \\ x_{bh} & \text{otherwise} \end{cases}":
        "where(-a < x[b,h], where(x[b,h] <= a, 1, x[b,h]), x[b,h])",
    r"\begin{cases} w_h & x_{bh} > u_b \\ x_{bh} & \text{otherwise} \end{cases}":
        "where(x[b,h] > u[b], 1[b]*w[h], x[b,h])",
    r"\begin{cases} x_{bh} & h \le b \\ 0 & h > b \end{cases}":
        "where(h <= b, x[b,h], 0)",
    r"2 \left(\begin{cases} 1 & 0 < x_{bh} \\ a & \text{else} \end{cases}\right) z_{bh}":
        "2*where(x[b,h] > 0, 1, a)*z[b,h]",
    r"z_{bh} [0 < x_{bh} < a]":
        "z[b,h]*where(0 < x[b,h], 1, 0)*where(x[b,h] < a, 1, 0)",
    r"\begin{cases} 1 & u_b > 0 \\ \begin{cases} 2 & x_{bh} > 0 \\ 3 & \text{else} \end{cases}"
    r" & \text{else} \end{cases}":
        "where(u[b] > 0, 1, where(x[b,h] > 0, 2, 3))",
}  # fmt: skip


@pytest.mark.parametrize("tex", WRITTEN)
def test_cases_are_read(tex: str) -> None:
    assert found(WRITTEN[tex], tex).word == "definition"


WRONG = {  # LaTeX that a reader could take for something else than it is
    r"\begin{cases} 1 & x_{bh} < 0 \\ 2 & x_{bh} < 1 \end{cases}": "where(x[b,h] < 0, 1, 2)",
    r"\begin{cases} 1 & x_{bh} < 0 \\ 2 & z_{bh} \ge 0 \end{cases}": "where(x[b,h] < 0, 1, 2)",
    r"\begin{cases} 1 & x_{bh} > 0 \\ a & \text{otherwise} \end{cases}": "where(x[b,h] > 0, a, 1)",
}


@pytest.mark.parametrize("tex", WRONG)
def test_wrong_cases_are_refuted(tex: str) -> None:
    assert found(WRONG[tex], tex).word == "refuted"


def test_cases_that_leave_out_a_point_are_not_taken_for_all() -> None:
    tex = r"\begin{cases} 1 & x_{bh} < 0 \\ 2 & x_{bh} > 0 \end{cases}"
    assert found("where(x[b,h] < 0, 1, 2)", tex).word == "undecided"


def test_a_case_is_shown_as_it_was_written() -> None:
    tex = r"\begin{cases} 1 & \text{if } x_{bh} > 0 \\ a & \text{else} \end{cases}"
    want = r"\begin{cases} 1 & x_{bh} > 0 \\ a & \text{otherwise} \end{cases}"
    assert " ".join(found("where(x[b,h] > 0, 1, a)", tex).source.split()) == f"y_{{bh}} = {want}"


@pytest.mark.parametrize("name", ["relu", "huber", "elu"])
def test_our_own_cases_are_proved(name: str) -> None:
    op = load(name)
    lines = prove_document(op, differentiate(op).latex(standalone=True), f"{name}.tex")
    assert {f.word for f in lines} == {"definition", "proved"}
