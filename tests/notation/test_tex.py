"""Reading LaTeX: displays, chains, spellings; every refusal with its place, never a guess."""

from __future__ import annotations

import contextlib
import time

import pytest

from derive.catalogue import load, parse
from derive.errors import SourceError
from derive.notation.op import Op
from derive.notation.tex import Claim, read_document
from derive.notation.text import to_text


@pytest.fixture(scope="module")
def op() -> Op:
    return load("layer_norm")


def right(op: Op, claim: Claim) -> str:
    assert claim.statement is not None
    return to_text(claim.statement.rhs, claim.free, op.letters)


def read(op: Op, formula: str) -> str:
    [claim] = read_document(op, f"$$ {formula} $$", "paper.md")
    assert claim.kind == "equality"
    return right(op, claim)


def places(op: Op, text: str, path: str = "paper.md") -> list[tuple[str, int, int]]:
    with pytest.raises(SourceError) as caught:
        read_document(op, text, path)
    return [(d.code, d.span.line, d.span.column) for d in caught.value.diagnostics]


# -- displays --------------------------------------------------------------------------------------

ONE = r"m_b = \frac{1}{H} \mathbf{1}_h x_{b h}"


@pytest.mark.parametrize(
    "text",
    [
        f"$${ONE}$$",
        f"\\[{ONE}\\]",
        f"\\\\[ {ONE} \\\\]",
        f"\\begin{{equation}}\\label{{a}}\n{ONE}\n\\end{{equation}}",
        f"\\begin{{equation*}}{ONE}\\tag{{1}}\\end{{equation*}}",
        f"\\begin{{align*}}{ONE.replace('=', '&=', 1)},\\end{{align*}}",
        f"$$\\begin{{gathered}}{ONE}.\\end{{gathered}}$$",
        f"\\begin{{gather}}\\boxed{{{ONE}}}\\end{{gather}}",
        f"it costs $5:\n$$ {ONE} $$",
        f"in $x$ and ${ONE}$:\n$$ {ONE} % = 2\n $$",
        f"```\n$$ x $$\n```\n`$$ y = \\foo $$` {{% link $$ %}} <!-- $$ -->\n$$ {ONE} $$",
        f"---\ntitle: $$\n---\n$$ {ONE} $$",
        f"$$ {ONE} \\quad \\text{{for all $b$}} $$",
        f"$$ {ONE} \\quad (b = 1, \\dots) $$".replace(r" \quad (b = 1, \dots)", r" \\[2pt]"),
        f"$$ m_b \\stackrel{{\\text{{def}}}}{{=}} {ONE[6:]} $$",
        f"$$ m_b := {ONE[6:]} $$",
    ],
)  # fmt: skip
def test_a_display_is_found(op: Op, text: str) -> None:
    [claim] = read_document(op, text, "paper.md")
    assert right(op, claim) == "1/H*1[h]*x[b,h]"
    assert claim.defines == "m"


def test_tex_comments_and_listings_are_skipped(op: Op) -> None:
    text = "% $$ x = \\foo $$\n\\begin{verbatim}$$ \\foo = 1 $$\\end{verbatim}\n\\[" + ONE + "\\]\n"
    assert len(read_document(op, text, "paper.tex")) == 1


def test_chains_columns_and_breaks(op: Op) -> None:
    text = r"""
\begin{align}
m_b &= \frac{1}{H} \mathbf{1}_h x_{bh} & v_b &= \frac{1}{H} \mathbf{1}_h \mu_{bh}^2, \\
    &= m_b + \left( 1 \right. \\
    &\qquad \left. - 1 \right) \\
    &\quad + 0 && \text{nothing}
\end{align}
$$ \text{with } v_b = \sigma_b^2 - \epsilon, \quad m_b = m_b \quad\text{and}\quad v_b = v_b $$
$$ v_b \approx \sigma_b^2 = v_b + \varepsilon \implies m_b = m_b $$
"""
    claims = read_document(op, text, "paper.md")
    assert [(c.line, right(op, c)) for c in claims] == [
        (3, "1/H*1[h]*x[b,h]"),
        (3, "1/H*1[h]*mu[b,h]^2"),
        (4, "m[b]"),
        (8, "sigma[b]^2 - eps"),
        (8, "m[b]"),
        (8, "v[b]"),
        (9, "v[b] + eps"),
        (9, "m[b]"),
    ]


# -- spellings -------------------------------------------------------------------------------------

SPELLINGS = {
    r"y_{bh} = \mu_{b,h} \cdot \gamma_h \, \sigma_b^{-1}": r"mu[b,h]*gamma[h]/sigma[b]",
    r"y_{b h} = \mu_{bh} \times \gamma_{h} / \sigma_{b}": r"mu[b,h]*gamma[h]/sigma[b]",
    r"y_{bh} = \dfrac{\mu_{bh}}{\sigma^{2}_{b}} \gamma_h^{0.5}":
        "mu[b,h]*sqrt(gamma[h])/sigma[b]^2",
    r"y_{bh} = \exp\left(x_{bh}\right) \mu_{bh}": "mu[b,h]*exp(x[b,h])",
    r"y_{bh} = e^{x_{bh}}": "exp(x[b,h])",
    r"y_{bh} = \ln x_{bh}": "log(x[b,h])",
    r"y_{bh} = \tanh^{2}(x_{bh})": "tanh(x[b,h])^2",
    r"y_{bh} = \operatorname{ReLU}[x_{bh}]": "relu(x[b,h])",
    r"y_{bh} = \max(x_{bh}, \mu_{bh})": "max(x[b,h], mu[b,h])",
    r"m_b = \max_h x_{bh}": "max[h](x[b,h])",
    r"m_b = \min_{h} \left(x_{bh} - \mu_{bh}\right)": "min[h](x[b,h] - mu[b,h])",
    r"y_{bh} = x_{bh} [x_{bh} > 0]": "x[b,h]*where(x[b,h] > 0, 1, 0)",
    r"y_{bh} = \left[m_b \leq x_{bh}\right] [h \ne 2]": (
        "where(m[b] <= x[b,h], 1, 0)*where(h == 2, 0, 1)"
    ),
    r"m_b = \mathbf{1}_h [x_{bh} = m_b]": "1[h]*where(m[b] == x[b,h], 1, 0)",
    r"y_{bh} = \sqrt[3]{x_{bh}}": "x[b,h]^(1/3)",
    r"y_{bh} = - 2 \{ x_{bh} + \varepsilon \}": "-2*(x[b,h] + eps)",
    r"y_{bh} = \boldsymbol{\mu}_{bh} \mathrm{gamma}_{h}": "mu[b,h]*gamma[h]",
    r"m_b = \frac1{H} \sum_{h=1}^{H} x_{bh}": "1/H*1[h]*x[b,h]",
    r"m_b = \tfrac1H \sum_h x_{bh}": "1/H*1[h]*x[b,h]",
    r"y_{bh} = \frac12x_{bh} + \frac{x_{bh}}\pi": "x[b,h]/pi + 1/2*x[b,h]",
    r"y_{bh} = x_{bh} / \sqrt2": "1/2*sqrt(2)*x[b,h]",
    r"m_b = H^{-1} \sum_{k=1}^{H} x_{bk}": "1/H*1[h]*x[b,h]",
    r"m_b = H^{-1} \sum^H_{k=1} x_{bk}": "1/H*1[h]*x[b,h]",
    r"m_b = \sum_{k=1}^{H} \mathbf{1}_k m_b": "1[h]*1[h]*m[b]",
    r"\partial l / \partial x_{pq} = \frac{\partial \ell}{\partial y_{pq}}": "dy[p,q]",
    r"\frac{\partial \mathcal{L}}{\partial x_{pq}} = \mathbf 1_{p} \gamma_q": "1[p]*gamma[q]",
    r"\frac{\partial m_b}{\partial x_{pq}} = \frac{\partial m_b}{\partial x_{pq}}":
        "d(m[b])/d(x[p,q])",
}  # fmt: skip


@pytest.mark.parametrize("formula", SPELLINGS)
def test_a_spelling_is_read(op: Op, formula: str) -> None:
    assert read(op, formula) == SPELLINGS[formula]


def test_names_with_words_below_and_parameters() -> None:
    [op] = parse("op f(w_in[b,h]; lam = 2, x1 = 1) -> y[b,h]\ny[b,h] = lam*x1*w_in[b,h]\n")
    formula = r"y_{bh} = \lambda x_1 {w_{\mathrm{in}}}_{b h} + w_{\text{in}, b h}"
    assert read(op, formula) == "lam*x1*w_in[b,h] + w_in[b,h]"


def test_indices_without_spaces_are_read_where_there_is_one_way() -> None:
    [op] = parse("op f(x[a,bc], u[ab,c]) -> y[a,bc]\ny[a,bc] = x[a,bc] * u[ab,c]*1[ab]*1[c]\n")
    assert read(op, r"y_{a bc} = x_{a bc}") == "x[a,bc]"
    assert places(op, r"$$ x_{abc} = x_{abc} $$")[0] == ("E703", 1, 5)


def test_other_names_are_outside(op: Op) -> None:
    text = r"""
$$ y = \mathrm{E}[x] $$
$$ \frac{\partial l}{\partial z_{p}} = \frac{\partial z_{p}}{\partial x_{p q}} $$
$$ \frac{\partial}{\partial W_{ij}} \left( x_{b h} \right) = 0 $$
$$ y = x * \gamma + \beta $$
$$ \epsilon = 10^{-5}, \quad H = 128 $$
"""
    claims = read_document(op, text, "paper.md")
    assert [c.line for c in claims] == [2, 3, 4, 5, 6, 6]
    assert {c.kind for c in claims} == {"outside"}
    assert claims[3].notes[0] == "`y` stands without its indices"


# -- refusals --------------------------------------------------------------------------------------

REFUSED = {
    r"m_{b} = \frac{m_{b}": ("E103", 14),
    r"m_{b} = m_{b})": ("E103", 14),
    r"m_{b} = \left( m_{b} )": ("E103", 1),
    r"m_{b} = \foo m_{b}": ("E701", 9),
    r"m_{b} = \begin{array}{l} m_{b} \end{array}": ("E701", 9),
    r"m_{b} = \begin{cases} m_{b} \end{cases}": ("E102", 29),
    r"m_{b} = \begin{cases} m_{b} \\ 1 & \text{else} \end{cases}": ("E102", 29),
    r"m_{b} = \begin{cases} 1 & \text{else} \\ m_{b} & m_{b} > 0 \end{cases}": ("E502", 23),
    r"m_{b} = \begin{cases} (m_{b} & 1 > 0 \end{cases}": ("E103", 38),
    r"m_{b} = \begin{cases} m_{b} & m_{b} > 0": ("E103", 9),
    r"m_{b} = m_{b} \end{cases}": ("E103", 15),
    r"m_{b} = \frac{m_{b}}": ("E702", 21),
    r"m_{b} = \frac m_{b} 2": ("E702", 15),
    r"m_{b} = \sqrt m_{b}": ("E702", 15),
    r"y_bh = x_{b h}": ("E703", 2),
    r"y_{b h} = x_{b h} + (": ("E103", 21),
    r"= m_{b}": ("E704", 1),
    r"m_{b} = 1 / 2 m_{b}": ("E705", 15),
    r"m_{b} = \tanh m_{b} m_{b}": ("E705", 15),
    r"m_{b} = \tanh(m_{b})^{2}": ("E705", 14),
    r"m_{b} = \tanh^{-1}(m_{b})": ("E705", 14),
    r"m_{b} = \exp": ("E705", 9),
    r"m_{b} = 2 3 m_{b}": ("E705", 11),
    r"m_{b} = m_{b}^23": ("E705", 14),
    r"m_{b} = m_{b}^{2}^{3}": ("E705", 18),
    r"m_{b} = m_{b} {v_{b} + m_{b}}": ("E705", 15),
    r"m_{b} = \frac{m_{b}}{v_{b}}^{2}": ("E705", 28),
    r"m_{b} = \sum_{h=1}^{4} x_{b h}": ("E705", 19),
    r"m_{b} = \sum_{h=1}^{N} x_{b h}": ("E705", 19),
    r"m_{b} = \sum_{k=1}^{H-1} x_{b k}": ("E705", 19),
    r"m_{b} = \sum_{k=1}^{B} x_{b k}": ("E305", 19),
    r"m_{b} = \sum_{h=1}^{B} x_{b h}": ("E305", 19),
    r"m_{b} = \partial m_{b}": ("E707", 9),
    r"m_{b} = \frac{\partial l}{m_{b}}": ("E707", 15),
    r"m_{b} = x_{b h}": ("E301", 14),
    r"m_{b} = x_{b}": ("E304", 9),
    r"m_{b} = x_{b 2}": ("E111", 10),
    r"m_{b} = \mu_{b \alpha}": ("E111", 16),
    r"y_{b h} = \gamma_{h}": ("E313", 11),
    r"m_{b} = |m_{b}|": ("E106", 9),
    r"m_{b} = m_{b}'": ("E106", 14),
    r"m_{b} = m_{b} +": ("E102", 16),
    r"m_{b} = m_{b} + \cdot v_{b}": ("E101", 17),
    r"m_{b} =": ("E102", 8),
    r"m_{b} = (m_{b}, v_{b})": ("E114", 9),
}


@pytest.mark.parametrize("formula", REFUSED)
def test_a_refusal_has_its_code_and_place(op: Op, formula: str) -> None:
    code, column = REFUSED[formula]
    found = places(op, f"prose\n\n$$\n{formula}\n$$\n")
    assert found[0][0] == code
    if code not in ("E102", "E103", "E313") or column > 1:
        assert found[0] == (code, 4, column), found


def test_a_display_that_never_ends_is_refused(op: Op) -> None:
    assert places(op, "a\n $$ m_b = m_b") == [("E706", 2, 2)]


def test_all_refusals_of_a_paper_come_at_once(op: Op) -> None:
    text = "$$ m_b = \\foo $$\n$$ m_b = m_b $$\n$$ m_b = x_{b h} $$\n"
    assert [code for code, _, _ in places(op, text)] == ["E701", "E301"]


def test_a_message_names_the_one_tensor_as_tex_does(op: Op) -> None:
    with pytest.raises(SourceError, match=r"multiply by `\\mathbf\{1\}_\{h\}` to sum"):
        read_document(op, "$$ m_b = x_{b h} $$", "paper.md")


def test_a_sum_that_ends_elsewhere_names_both_sizes(op: Op) -> None:
    text = r"$$ m_b = \sum_{k=1}^{B} x_{bk} $$"
    with pytest.raises(SourceError, match="`k` has size H, but its sum ends at `B`"):
        read_document(op, text, "paper.md")


# -- hostile input ---------------------------------------------------------------------------------

SIZE = 65_536
HOSTILE = [
    "{" * SIZE,
    "}" * SIZE,
    "m_b = " + "\\frac" * (SIZE // 5),
    "m_b = " + "\\frac{1}{" * 200 + "m_b" + "}" * 200,
    "m_b = " + "(" * 99 + "m_b" + ")" * 99 + "^{" * 99 + "2" + "}" * 99,
    "m_b = " + "\\exp" * (SIZE // 4),
    "m_b = " + "\\sum_h" * (SIZE // 6) + " x_{b h}",
    "m_b = " + "-" * SIZE,
    "m_{" + "b" * SIZE + "} = 1",
    "m_b = " + "9" * SIZE,
    "m_b = m_b^{99999999999}",
    "m_b = " + "\\left" * (SIZE // 5),
    "m_b = " + "m_b^" * (SIZE // 4),
    "m_b = \\" + "a" * SIZE,
    "m_b = \\__import__{os}",
    "m_b = \x00 \u202e",
    "\\text{" * (SIZE // 6),
    "\\begin{" * (SIZE // 7),
    "\\stackrel{{" * (SIZE // 11),
    "= " * (SIZE // 2),
]


@pytest.mark.parametrize("formula", HOSTILE, ids=lambda text: text[:16])
def test_a_hostile_formula_is_refused_soon(op: Op, formula: str) -> None:
    start = time.perf_counter()
    with pytest.raises(SourceError):
        read_document(op, f"$$ {formula} $$", "paper.md")
    assert time.perf_counter() - start < 60  # it ends: a limit for hangs, not a measurement


TEXTS = ["`" * SIZE, "~" * SIZE, "{{" * SIZE, "{%" * SIZE, "$" * (SIZE + 1), "\\verb|" * 10_000]
TEXTS += ["$a\n" * SIZE, "<!--" * SIZE, "\\[" * 3, "$$ a $$ " * 8000, "\n" * SIZE, "$\\" * SIZE]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:8]))
@pytest.mark.parametrize("path", ["a.md", "a.tex"])
def test_a_hostile_text_ends_soon(op: Op, text: str, path: str) -> None:
    start = time.perf_counter()
    with contextlib.suppress(SourceError):
        assert not read_document(op, text, path)
    assert time.perf_counter() - start < 60  # it ends: a limit for hangs, not a measurement


def test_a_text_beyond_the_limits_is_refused(op: Op) -> None:
    assert places(op, " " * 1_048_577)[0][0] == "E401"
    assert places(op, "$$ a = b $$\n" * 2001)[-1][0] == "E403"
