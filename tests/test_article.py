"""Papers as input: the article itself, its sisters, our own LaTeX; each wrong version refuted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from derive import cli
from derive.article import Finding, prove_document
from derive.catalogue import load, parse
from derive.derivation import Derivation, differentiate
from derive.notation.tex import read_document, survey
from derive.prove import Proof, Refutation, Undecided, _Prover, prove_statement
from derive.rewrite import keeping_shape
from tests.samples import FIRST
from tests.tex_mutants import ARTICLE_PAIRS, mutants

ARTICLE = Path(__file__).parent / "data" / "layer_norm_article.md"
NAMES = list(FIRST)


def words(found: list[Finding]) -> Counter[str]:
    return Counter(f.word for f in found)


# -- the article -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def article() -> list[Finding]:
    return prove_document(load("layer_norm"), ARTICLE.read_text("utf-8"), "article.md")


def test_every_equality_of_the_article_holds(article: list[Finding]) -> None:
    assert words(article) == {"proved": 52, "definition": 8, "outside": 1}


def test_what_speaks_of_expectations_is_outside(article: list[Finding]) -> None:
    [outside] = [f for f in article if f.word == "outside"]
    assert "Var" in outside.source
    assert outside.notes == ("`E` is none of layer_norm", "`Var` is none of layer_norm")


def test_the_definitions_are_the_eight_of_the_forward_blocks(article: list[Finding]) -> None:
    lefts = [f.source.partition(" = ")[0] for f in article if f.word == "definition"]
    first, second = ["m_{b}", "v_{b}", "y_{b h}"], ["m_{b}", r"\mu_{b h}", "v_{b}", r"\sigma_{b}"]
    assert lefts == [*first, *second, "y_{b h}"]


def test_the_conclusion_is_read_as_broadcast_with_a_note(article: list[Finding]) -> None:
    noted = [f for f in article if f.notes and f.word == "proved"]
    assert [f.line for f in noted] == [250, 262]
    for finding in noted:
        [note] = finding.notes
        assert note.endswith(
            r"read as broadcast over `h`; a strict writer would put `\mathbf{1}_{h}`"
        )


def test_a_finding_tells_its_line(article: list[Finding]) -> None:
    lines = ARTICLE.read_text("utf-8").split("\n")
    for finding in article:
        right = finding.source.rpartition(" = ")[2].split(" (")[0]
        assert right[:12] in lines[finding.line - 1]


# -- wrong versions --------------------------------------------------------------------------------


def tally(derivation: Derivation, text: str, pairs: dict[str, str]) -> Counter[str]:
    """What becomes of every mutant of every equality; one that is proved differs in no number."""
    count: Counter[str] = Counter()
    for claim in read_document(derivation.op, text, "paper.md"):
        if claim.statement is None:
            continue
        left, _, right = claim.source.partition(" = ")
        for _kind, mutant in mutants(right, pairs):
            count[verdict(derivation, f"$$ {left} = {mutant} $$")] += 1
    return count


def verdict(derivation: Derivation, text: str) -> str:
    claims, report = survey(derivation.op, text, "mutant.md")
    if report.found:
        return "ill-formed"
    [claim] = claims
    assert claim.statement is not None
    found = prove_statement(derivation, claim.statement)
    if isinstance(found, Refutation):
        return "refuted"
    assert isinstance(found, Proof), text
    with keeping_shape():
        numbers = _Prover(derivation.op, derivation, claim.statement)._refute()
    assert isinstance(numbers, Undecided), text
    return "equivalent"


def test_every_wrong_version_of_the_article_is_refuted() -> None:
    """Equivalent are δ², what a δ renames, factors of Σμ = 0, terms that are held fixed."""
    derivation = differentiate(load("layer_norm"))
    count = tally(derivation, ARTICLE.read_text("utf-8"), ARTICLE_PAIRS)
    assert count == {"refuted": 339, "equivalent": 82, "ill-formed": 259}


# -- the sister articles ---------------------------------------------------------------------------

SISTERS = {
    "element-wise": (
        "op f(x[i]) -> y[i]\ny[i] = tanh(x[i])\n",
        r"""
$$
y_i = \tanh\left(x_i\right)
$$
The Jacobian and the gradient:
\begin{align*}
\frac{\partial y_i}{\partial x_p} &= \left(1 - y_i^2\right) \delta_{i p} \\
\frac{\partial l}{\partial x_p}
  &= \frac{\partial l}{\partial y_i} \frac{\partial y_i}{\partial x_p} \\
  &= \frac{\partial l}{\partial y_p} \left(1 - \tanh^{2}\left(x_p\right)\right)
\end{align*}
""",
        {"i": "p", "p": "i"},
        4,
        15,
    ),
    "matmul": (
        "op f(A[i,k], B[k,j]) -> C[i,j]\nC[i,j] = A[i,k] * B[k,j]\n",
        r"""
\[ C_{ij} = A_{ik} B_{kj} \]
$$
\begin{aligned}
\frac{\partial C_{ij}}{\partial A_{pq}} &= \delta_{ip} B_{qj} \\
\frac{\partial C_{ij}}{\partial B_{pq}} &= A_{ip} \delta_{jq} \\
\partial l / \partial A_{pq} &= \frac{\partial l}{\partial C_{ij}} \, \delta_{ip} \, B_{qj}
  = \frac{\partial l}{\partial C_{pj}} \cdot B_{qj}, \\
\frac{\partial l}{\partial B_{pq}} &= A_{ip} \times \frac{\partial l}{\partial C_{iq}}.
\end{aligned}
$$
""",
        {"i": "p", "j": "q"},
        6,
        19,
    ),
    "linear": (
        "op f(x[b,i], W[o,i], c[o]) -> y[b,o]\ny[b,o] = W[o,i] * x[b,i] + 1[b]*c[o]\n",
        r"""
\begin{equation}
y_{b o} = W_{o i} x_{b i} + \mathbf{1}_{b} c_{o}
\end{equation}
\begin{gather}
\frac{\partial l}{\partial x_{p q}} = \frac{\partial l}{\partial y_{p o}} W_{o q} \\
\frac{\partial l}{\partial W_{p q}} = \frac{\partial l}{\partial y_{b p}} x_{b q} \\
\frac{\partial l}{\partial c_{p}} = \frac{\partial l}{\partial y_{b p}} \mathbf{1}_{b}
  = \sum_{b=1}^{B} \frac{\partial l}{\partial y_{b p}}
\end{gather}
""",
        {"o": "p", "i": "q"},
        5,
        16,
    ),
    "einsum": (
        "op f(A[i,k], B[k,j,l], v[l]) -> C[i,j]\nC[i,j] = A[i,k] * B[k,j,l] * v[l]\n",
        r"""
$$
\begin{aligned}
C_{i j} &= A_{i k} B_{k j l} v_{l} \\
\frac{\partial l}{\partial A_{p q}} &= \frac{\partial l}{\partial C_{p j}} B_{q j l} v_{l} \\
\frac{\partial l}{\partial B_{p q r}} &= \frac{\partial l}{\partial C_{i q}} A_{i p} v_{r} \\
\frac{\partial l}{\partial v_{p}}
   &= \frac{\partial l}{\partial C_{i j}} \frac{\partial}{\partial v_{p}} (A_{i k} B_{k j l} v_{l})
    = \frac{\partial l}{\partial C_{i j}} A_{i k} B_{k j p}
\end{aligned}
$$
""",
        {"l": "r", "j": "q"},
        5,
        22,
    ),
}


@pytest.mark.parametrize("name", SISTERS)
def test_a_sister_article_is_proved_and_its_wrong_versions_are_refuted(name: str) -> None:
    text, paper, pairs, equalities, refuted = SISTERS[name]
    [op] = parse(text)
    found = prove_document(op, paper, "sister.md")
    assert len(found) == equalities
    assert set(words(found)) == {"proved", "definition"}
    count = tally(differentiate(op), paper, pairs)
    assert count["refuted"] == refuted


# -- our own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_our_own_latex_is_read_back_and_proved(name: str) -> None:
    op = load(name)
    found = prove_document(op, differentiate(op).latex(standalone=True), f"{name}.tex")
    assert set(words(found)) == {"proved", "definition"}
    assert words(found)["definition"] >= len(op.equations)
    assert not [f for f in found if f.notes]


WITH_KINKS = """
op f(x[b,h], w[h]; lam = 1/2) -> y[b,h], z[b,h]
y[b,h] = relu(x[b,h]) * w[h] + sigmoid(lam * x[b,h])
z[b,h] = max(y[b,h], x[b,h]) + abs(x[b,h])
"""


def test_functions_with_kinks_and_outputs_used_again_are_read_back() -> None:
    [op] = parse(WITH_KINKS)
    text = differentiate(op).latex()
    assert r"\mathrm{d} l" in text
    found = prove_document(op, text, "f.tex")
    assert set(words(found)) == {"proved", "definition"}


BOUNDED = r"""
$$ p_{bc} = \frac{e^{x_{bc}}}{\sum_{k=1}^{C} e^{x_{bk}}}, \qquad 1 = \sum_{k=1}^{C} p_{bk} $$
$$ \frac{\partial l}{\partial x_{bc}}
   = p_{bc} \left( \frac{\partial l}{\partial p_{bc}}
   - \sum_{k=1}^{C} \frac{\partial l}{\partial p_{bk}} p_{bk} \right) $$
"""


def test_a_sum_may_end_at_the_size_of_another_index() -> None:
    [op] = parse("op f(x[b,c]) -> p[b,c]\np[b,c] = exp(x[b,c]) / sum[k](exp(x[b,k]))\n")
    assert [f.word for f in prove_document(op, BOUNDED, "paper.md")] == [
        "definition", "proved", "proved",
    ]  # fmt: skip
    wrong = BOUNDED.replace(r"\sum_{k=1}^{C} p_{bk}", r"\sum_{k=1}^{C} \mathbf{1}_k p_{bc}")
    assert words(prove_document(op, wrong, "paper.md"))["refuted"] == 1


# -- the command -----------------------------------------------------------------------------------

TEX = r"$$ y_{b h} = \frac{\mu_{b h}}{\sigma_{b}} \gamma_{h} + \mathbf{1}_{b} \beta_{h} $$"


def run(tmp_path: Path, text: str, *more: str) -> int:
    path = tmp_path / "paper.md"
    path.write_text(text, "utf-8")
    return cli.main(["prove", "layer_norm", "--from", str(path), *more])


def test_the_command_ends_with_0_if_all_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, TEX) == 0
    assert "paper.md:1: definition: y_{b h} = " in capsys.readouterr().out


def test_the_command_ends_with_1_and_numbers_if_one_is_refuted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, f"prose\n\n{TEX.replace('+', '-')}\n\n{TEX}\n") == 1
    out = capsys.readouterr().out
    assert "paper.md:3: refuted: " in out
    assert "left  = " in out
    assert out.endswith("1 definitions, 1 refuted\n")


def test_the_command_ends_with_2_and_a_place_if_one_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, TEX + "\n\n" + r"$$ y_{b h} = \foo{x} $$") == 2
    out, err = capsys.readouterr()
    assert "definition" in out
    assert "paper.md:3:14: E701 the macro `\\foo` is not known" in err


def test_a_file_without_equations_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "nothing but $x$ prose") == 2
    assert "no display equation" in capsys.readouterr().err


def test_a_plain_file_still_holds_equations_of_the_op_language(tmp_path: Path) -> None:
    path = tmp_path / "equations.txt"
    path.write_text("1[h]*mu[b,h] = 0\n")
    assert cli.main(["prove", "layer_norm", "--from", str(path)]) == 0
