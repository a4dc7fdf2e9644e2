"""Whatever a file, a paper or an equation holds: an answer soon, or a refusal with its place.

`DERIVE_FUZZ=50 pytest tests/fuzz` tries fifty times as many examples, drawn at random.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.running import command, folder, fuzzed, judged
from tests.fuzz.texts import DISPLAYS, OPS, TEX, WORDS, mutated, strung

OP = """\
op f(x[b,h], gamma[h]; eps = 1e-5) -> y[b,h]
m[b] = 1/H*1[h]*x[b,h]
mu[b,h] = x[b,h] - 1[h]*m[b]
y[b,h] = mu[b,h]*gamma[h]/sqrt(m[b]^2 + eps)
"""
STATEMENTS = [
    "1[h]*mu[b,h] = 0",
    "dx[p,h]*x[p,h] = 0 for p",
    "dgamma[q]*gamma[q] = dy[b,q]*y[b,q] for q",
    "d(y[b,h])/d(x[p,q]) = delta[b,p]*delta[h,q]*y[b,h]",
    "mu[b,h] = x[b,h] - 1[h]*m[b] for b, h",
    "sum[h](mu[b,h]^2) = H*m[b]^2 for b",
]
PAPERS = [
    "\n".join(DISPLAYS[:3]),
    r"""# A norm

$$ m_b = \frac{1}{H} \sum_h x_{b h} $$
$$
\begin{aligned}
y_{b h} &= x_{b h} - \mathbf{1}_h m_b \\
&= \mu_{b h}
\end{aligned}
$$
""",
    r"\[ \frac{\partial l}{\partial x_{p q}} = \frac{1}{H} \mathbf{1}_q m_p^2, \quad H > 1 \]",
]


@fuzzed(60)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode(errors="replace")))
def test_any_bytes_in_an_op_file(data: bytes) -> None:
    with folder(a__op=data):
        assert judged(command("list", "a.op")).code == 2


@fuzzed(60)
@given(mutated(OPS, WORDS) | strung(WORDS, 40))
def test_an_op_file_that_is_almost_right(text: str) -> None:
    """Read, derived, written for every backend: no input makes what is not code."""
    with folder(a__op=text) as here:
        done = judged(command("-q", "generate", "a.op", "--out", "out", seconds=6))
        assert {p.name for p in here.iterdir()} == ({"a.op"} if done.code else {"a.op", "out"})


@fuzzed(40)
@given(mutated(OPS, WORDS, most=2))
def test_what_is_shown_of_an_op_file_that_is_almost_right(text: str) -> None:
    with folder(a__op=text):
        judged(command("list", "a.op"))


@fuzzed(60)
@given(mutated(STATEMENTS, WORDS) | strung(WORDS, 20) | st.text(max_size=60))
def test_an_equation_to_prove(text: str) -> None:
    with folder(a__op=OP) as here:
        judged(command("prove", "a.op", "--", text, seconds=6))
        assert [p.name for p in here.iterdir()] == ["a.op"]


@fuzzed(40)
@given(st.lists(mutated(STATEMENTS, WORDS, most=2), max_size=3).map("\n".join))
def test_equations_in_a_file(text: str) -> None:
    with folder(a__op=OP, lines__txt=text.encode("utf-8", "replace")):
        judged(command("prove", "a.op", "--from", "lines.txt", seconds=6))


@fuzzed(50)
@given(mutated(PAPERS, [*TEX, *WORDS]) | strung(TEX, 30), st.sampled_from(["md", "tex"]))
def test_a_paper_to_prove(text: str, suffix: str) -> None:
    with folder(a__op=OP, **{f"paper__{suffix}": text.encode("utf-8", "replace")}):
        judged(command("prove", "a.op", "--from", f"paper.{suffix}", seconds=6))


@fuzzed(50)
@given(mutated(PAPERS, [*TEX, *WORDS]) | strung(TEX, 30), st.sampled_from(["md", "tex"]))
def test_a_paper_to_start_from(text: str, suffix: str) -> None:
    with folder(**{f"paper__{suffix}": text}) as here:
        done = judged(command("new", "mine", "--from", f"paper.{suffix}"))
        assert (here / "mine.op").exists() == (done.code == 0)


@pytest.mark.parametrize("name", ["lines.txt", "paper.md", "paper.tex"])
def test_a_file_of_equations_that_is_no_text(name: str) -> None:
    with folder(a__op=OP, **{name.replace(".", "__"): b"$$ y_{b h} = \xff $$"}):
        assert judged(command("prove", "a.op", "--from", name)).code == 2


@fuzzed(40)
@given(strung(WORDS, 3) | st.text(max_size=30))
def test_any_name_and_any_code(text: str) -> None:
    with folder(a__op=OP) as here:
        for name in ("show", "new", "list", "latex"):
            assert judged(command(name, "--", text, seconds=6)).code in {0, 2}
        assert command("explain", "--", text).code == 2
        assert {p.suffix for p in here.iterdir()} == {".op"}
