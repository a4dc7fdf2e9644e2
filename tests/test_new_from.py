"""`derive new --from`: a paper's forward equations as an op file; each refusal with its place."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from derive import cli
from derive.article import prove_document
from derive.catalogue import load, parse
from derive.derivation import differentiate
from derive.errors import DeriveError, SourceError
from derive.notation.displays import Source
from derive.notation.tex import in_tex
from derive.paper.draft import Draft, draft
from derive.paper.title import title
from derive.paper.values import given
from tests.samples import FIRST

ARTICLE = Path(__file__).parent / "data" / "layer_norm_article.md"


def made(text: str, *asked: str, path: str = "paper.md") -> Draft:
    return draft(text, path, "f", asked)


def body(text: str, *asked: str) -> str:
    """What is written, without the line that names the paper."""
    return made(text, *asked).text.split("\n", 1)[1]


def refused(text: str, *asked: str) -> str:
    with pytest.raises(DeriveError) as caught:
        made(text, *asked)
    return str(caught.value)


def places(text: str, *asked: str) -> list[tuple[str, int, int]]:
    with pytest.raises(SourceError) as caught:
        made(text, *asked)
    return [(d.code, d.span.line, d.span.column) for d in caught.value.diagnostics]


# -- the article -----------------------------------------------------------------------------------


def test_the_article_gives_the_op_of_the_catalogue() -> None:
    found = draft(ARTICLE.read_text("utf-8"), str(ARTICLE), "layer_norm")
    [op], known = parse(found.text), load("layer_norm")
    assert op.header == known.header
    assert [e.text for e in op.equations] == [e.text for e in known.equations]
    own, its = differentiate(op), differentiate(known)
    assert own.gradients == its.gradients
    _, shown, its_own = own.show(trace=True).partition("op layer_norm")
    assert shown + its_own == "".join(its.show(trace=True).partition("op layer_norm")[1:])


def test_the_article_is_named_with_its_lines() -> None:
    found = draft(ARTICLE.read_text("utf-8"), str(ARTICLE), "layer_norm")
    assert found.text.startswith(
        "# Layer Normalization, Deriving the Gradient for the Backward Pass.\n"
        "# layer_norm_article.md, lines 46-50\n"
        "op layer_norm("
    )
    assert found.notes == [
        "taken: m, mu, v, sigma, y (lines 46-50)",
        "not taken: m, v, y (lines 36-38)",
        "eps = 1e-5 is given on line 31",
    ]


# -- other papers ----------------------------------------------------------------------------------

PAPERS = {
    "softmax": (
        r"""
\begin{align}
e_{bi} &= \exp\left(x_{bi} - \mathbf{1}_i m_b\right), & z_b &= \sum_{j=1}^{N} e_{bj}, \\
p_{bi} &= \frac{e_{bi}}{z_b}
\end{align}
$$ \frac{\partial p_{bi}}{\partial x_{bq}} = p_{bi} (\delta_{iq} - p_{bq}) $$
""",
        """\
op f(x[b,i], m[b]) -> p[b,i]

e[b,i] = exp(x[b,i] - 1[i] * m[b])
z[b]   = sum[j](e[b,j])
p[b,i] = e[b,i] / z[b]
""",
    ),
    "softmax with ones": (
        r"$$ p_{bi} = \frac{e^{x_{bi}}}{\mathbf{1}_j e^{x_{bj}}} $$",
        "op f(x[b,i]) -> p[b,i]\n\np[b,i] = exp(x[b,i]) / (1[j] * exp(x[b,j]))\n",
    ),
    "rms norm": (
        r"""
$$ y_{bh} = \frac{x_{bh}}{\sigma_b} \gamma_h \quad\text{where}\quad
   \sigma_b = \sqrt{\frac{1}{H} \sum_h x_{bh}^2 + \varepsilon} $$
""",
        """\
op f(x[b,h], gamma[h]; eps = 1e-5) -> y[b,h]
# check: no value is given for eps; 1e-5 is usual

sigma[b] = sqrt(1/H * sum[h](x[b,h]^2) + eps)
y[b,h]   = x[b,h] / sigma[b] * gamma[h]
""",
    ),
    "linear": (
        r"$$ y_{bo} = x_{bi} w_{oi} + 1_b c_o $$",
        "op f(x[b,i], w[o,i], c[o]) -> y[b,o]\n\ny[b,o] = x[b,i] * w[o,i] + 1[b] * c[o]\n",
    ),
    "linear without the one-tensor": (
        r"$$ y_{bo} = \sum_i x_{bi} w_{oi} - \frac{1}{2} c_o $$",
        """\
op f(x[b,i], w[o,i], c[o]) -> y[b,o]
# check: 1/2 * c[o] on line 1 is read as the same for every b

y[b,o] = sum[i](x[b,i] * w[o,i]) - 1/2 * 1[b] * c[o]
""",
    ),
    "matmul": (
        r"\[ C_{ij} = A_{ik} B_{kj} \]",
        "op f(A[i,k], B[k,j]) -> C[i,j]\n\nC[i,j] = A[i,k] * B[k,j]\n",
    ),
    "cross entropy": (
        r"""
$$ \ell_b = -t_{bc} \log p_{bc} \qquad p_{bc} = \frac{e^{x_{bc}}}{\sum_{k=1}^C e^{x_{bk}}} $$
$$ L = \frac{1}{B} \sum_b \ell_b $$
""",
        """\
op f(x[b,c], t[b,c]) -> L

p[b,c] = exp(x[b,c]) / sum[k](exp(x[b,k]))
l[b]   = -t[b,c] * log(p[b,c])
L      = 1/B * sum[b](l[b])
""",
    ),
    "gelu": (
        r"""
$$ c = \sqrt{\frac{2}{\pi}} $$
$$ y_{bh} = \frac{1}{2} x_{bh}
   \left(1 + \tanh\left(c \left(x_{bh} + 0.044715 x_{bh}^3\right)\right)\right) $$
""",
        """\
op f(x[b,h]) -> y[b,h]

c      = sqrt(2/pi)
y[b,h] = 1/2 * x[b,h] * (1 + tanh(c * (x[b,h] + 0.044715 * x[b,h]^3)))
""",
    ),
    "a gate with erf": (
        r"""
$$ y_{bh} = u_{bh} \cdot \frac{x_{bh}}{2}
   \left[1 + \operatorname{erf}\left(\frac{x_{bh}}{\sqrt{2}}\right)\right]
   \operatorname{sigmoid}(g_{bh}) $$
""",
        """\
op f(u[b,h], x[b,h], g[b,h]) -> y[b,h]

y[b,h] = u[b,h] * x[b,h] / 2 * (1 + erf(x[b,h] / sqrt(2))) * sigmoid(g[b,h])
""",
    ),
    "two outputs": (
        r"""
$$ m_b = \frac{1}{H} \sum_{h} x_{bh}, \quad
   s_b = \sqrt{\frac{1}{H} \sum_h (x_{bh} - m_b)^2 + 10^{-8}} $$
$$ y_{bh} = \frac{x_{bh} - m_b}{s_b}, \quad n_b = -\alpha \log s_b $$
with $\alpha = 0.5$.
""",
        """\
op f(x[b,h]; alpha = 0.5) -> y[b,h], n[b]
# check: m[b] on lines 3-4 is read as the same for every h

m[b]   = 1/H * sum[h](x[b,h])
s[b]   = sqrt(1/H * sum[h]((x[b,h] - 1[h] * m[b])^2) + 1e-8)
y[b,h] = (x[b,h] - 1[h] * m[b]) / s[b]
n[b]   = -alpha * log(s[b])
""",
    ),
    "attention": (
        r"""
$$ \mathrm{Attention}(Q, K, V) = \mathrm{softmax}\left(\frac{QK^T}{\sqrt{d_k}}\right) V $$
$$ s_{ij} = \frac{Q_{ik} K_{jk}}{\sqrt{K}} $$
$$ a_{ij} = \frac{\exp(s_{ij})}{\sum_{l} \exp(s_{il})} $$
$$ O_{id} = a_{ij} V_{jd} $$
""",
        """\
op f(Q[i,k], k[j,k], V[j,d]) -> O[i,d]
# check: the paper's K is called k here, for K is the size of the index k

s[i,j] = Q[i,k] * k[j,k] / sqrt(K)
a[i,j] = exp(s[i,j]) / sum[l](exp(s[i,l]))
O[i,d] = a[i,j] * V[j,d]
""",
    ),
    "batch norm, from the end": (
        r"""
$$ y_{bh} = \lambda \hat{x}_{bh} $$
where
$$ \hat{x}_{bh} = \frac{x_{bh} - \mathbf{1}_b \mu_h}{\mathbf{1}_b \sigma_h}, $$
$$ \mu_h = \frac{1}{N} \sum_{i=1}^{N} x_{ih}, \quad
   \sigma_h^2 = \frac{1}{N} \sum_{i=1}^N \mu_h^2 x_{ih}^2 $$
""",
        """\
op f(x[b,h]; lam = 1) -> y[b,h]
# check: the paper's sigma^2 is called sigma2 here, and sigma is its positive root
# check: no value is given for lam; 1 leaves it out of a product

mu[h]      = 1/I * sum[i](x[i,h])
sigma2[h]  = 1/I * sum[i](mu[h]^2 * x[i,h]^2)
x_hat[b,h] = (x[b,h] - 1[b] * mu[h]) / (1[b] * sqrt(sigma2[h]))
y[b,h]     = lam * x_hat[b,h]
""",
    ),
    "cases": (
        r"""
$$ r_{bc} = x_{bc} - t_{bc}, \qquad l_{bc} = \begin{cases}
     \frac{1}{2} r_{bc}^2 & \text{if } \operatorname{abs}(r_{bc}) \le k \\
     k \left(\operatorname{abs}(r_{bc}) - \frac{k}{2}\right) & \text{otherwise} \end{cases} $$
$$ y_{bc} = \begin{cases} w_c & c \le b \\ l_{bc} & c > b \end{cases} $$
""",
        """\
op f(x[b,c], t[b,c], w[c]; k = 1) -> y[b,c]
# check: no value is given for k; 1 leaves it out of a product
# check: w[c] on line 5 is read as the same for every b

r[b,c] = x[b,c] - t[b,c]
l[b,c] = where(abs(r[b,c]) <= k, 1/2 * r[b,c]^2, k * (abs(r[b,c]) - k / 2))
y[b,c] = where(c <= b, 1[b] * w[c], l[b,c])
""",
    ),
    "a square matrix, and labels": (
        r"$$ q_b = x_{bi} A_{ij} x_{bj} + W_{\text{in} i} W_{\text{2} i} x_{bi} $$",
        """\
op f(x[b,i], A[i,i], W_in[i], W_2[i]) -> q[b]

q[b] = x[b,i] * A[i,j] * x[b,j] + W_in[i] * W_2[i] * x[b,i]
""",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAPERS)
def test_a_paper_gives_an_op(name: str) -> None:
    text, op = PAPERS[name]
    assert body(text) == op


@pytest.mark.parametrize("name", [*list(PAPERS)[:10], list(PAPERS)[-1]])
def test_the_op_that_a_paper_gives_has_the_paper_as_its_definitions(name: str) -> None:
    text, _ = PAPERS[name]
    found = prove_document(parse(made(text).text)[0], text, "paper.md")
    bounds = [f for f in found if f.refusal and "runs over all values" in f.refusal.message]
    others = [f.word for f in found if f not in bounds]
    assert set(others) <= {"definition", "proved"}
    assert "definition" in others or bounds


@pytest.mark.parametrize("name", FIRST)
def test_our_own_latex_gives_the_op_back(name: str) -> None:
    text = differentiate(load(name)).latex(standalone=True)
    [op] = parse(draft(text, f"{name}.tex", name).text)
    assert {c.tensor.name for c in op.inputs} == {c.tensor.name for c in load(name).inputs}
    found = prove_document(load(name), text, f"{name}.tex")
    again = prove_document(op, text, f"{name}.tex")
    assert [f.word for f in again] == [f.word for f in found]


def test_a_long_header_goes_on_inside_its_brackets() -> None:
    words = [f"{k}input" for k in "abcdefghijklmnop"]
    text = "$$ y_b = " + " ".join(rf"\mathrm{{{w}}}_b" for w in words) + " $$"
    lines = made(text).text.split("\n")
    assert max(map(len, lines[:4])) <= 100
    assert lines[2].startswith("    ")
    [op] = parse("\n".join(lines))
    assert [c.tensor.name for c in op.inputs] == words


# -- what is taken ---------------------------------------------------------------------------------

SETS = r"""
$$ m_b = \frac{1}{H} \mathbf{1}_h x_{bh} $$
$$ \mu_{bh} = x_{bh} - \mathbf{1}_h m_b, \quad v_b = \frac{1}{H} \mathbf{1}_h \mu_{bh}^2 $$
$$ \sigma_b = \sqrt{v_b + \epsilon}, \quad y_{bh} = \frac{\mu_{bh}}{\sigma_b} $$
"""


def test_what_only_restates_is_not_taken() -> None:
    more = r"""
$$ v_b = \sigma_b^2 - \epsilon $$
$$ y_{bh} = \frac{x_{bh} - \mathbf{1}_h m_b}{\sqrt{v_b + \epsilon}} $$
$$ x_{bh} = \mu_{bh} + \mathbf{1}_h m_b $$
$$ \sigma_b^2 = v_b + \epsilon $$
"""
    assert body(SETS + more) == body(SETS)
    assert "not taken: v, y, x (lines 6-8)" in made(SETS + more).notes


def test_a_later_set_is_taken_whole() -> None:
    more = r"""
$$ r_b = \sqrt{\frac{1}{H} \mathbf{1}_h x_{bh}^2} $$
$$ y_{bh} = \frac{x_{bh}}{r_b} $$
"""
    assert [e.name for e in parse(made(SETS + more).text)[0].equations] == ["r", "y"]


def test_a_refinement_borrows_what_it_does_not_repeat() -> None:
    more = r"$$ c_{bh} = \frac{\mu_{bh}}{\sigma_b}, \quad y_{bh} = 2 c_{bh} $$"
    names = [e.name for e in parse(made(SETS + more).text)[0].equations]
    assert names == ["m", "mu", "v", "sigma", "c", "y"]


def test_what_is_about_gradients_or_whole_tensors_is_no_forward_equation() -> None:
    text = r"""
$$ y = f(x), \quad H = 128 $$
$$ y_i = \tanh(x_i) $$
$$ g_i = \frac{\partial l}{\partial y_i}, \quad s_i = g_i (1 - y_i^2) $$
$$ J_{ij} = \frac{d y_i}{d x_j} $$
$$ \mathrm{dx}_{i} = \mathrm{dy}_{i} (1 - y_i^2) $$
$$ \begin{pmatrix} \partial \end{pmatrix} $$
"""
    assert body(text) == "op f(x[i]) -> y[i]\n\ny[i] = tanh(x[i])\n"


def test_an_output_can_be_picked() -> None:
    names = [e.name for e in parse(made(SETS, "v", "m").text)[0].equations]
    assert names == ["m", "mu", "v"]
    assert "-> v[b], m[b]" in made(SETS, "v", "m").text
    assert "no forward equation defines `sigm`; did you mean `sigma`?" in refused(SETS, "sigm")


def test_of_a_chain_the_first_side_that_can_be_read_is_taken() -> None:
    text = (
        r"$$ m_b = \operatorname{mean}_h(x_{bh}) = \frac{1}{H} \sum_h x_{bh} = \frac{x_{bh}}{H} $$"
    )
    assert body(text) == "op f(x[b,h]) -> m[b]\n\nm[b] = 1/H * sum[h](x[b,h])\n"


def test_what_is_said_of_an_input_is_to_be_checked() -> None:
    text = "$$ \\log p_{bi} = x_{bi} $$\n$$ y_b = p_{bi} t_{bi} $$"
    assert "# check: p is an input; what line 1 says of it is not used" in made(text).text


def test_a_count_that_looks_like_a_component_is_to_be_checked() -> None:
    text = made(r"$$ s_{ij} = \frac{Q_{ik} R_{jk}}{\sqrt{d_k}} $$").text
    assert "# check: d[k] is read as a tensor; the number of values of k is K" in text


# -- titles and values -----------------------------------------------------------------------------

TITLES = {
    "---\ntitle: 'It: a title'\n---\n# No": "It: a title",
    "---\ndate: 1\ntitle: >-\n  Two\n  lines\nlayout: x\n---\n": "Two lines",
    "prose\n\n# A *heading* of `code` #\n": "A *heading* of code",
    "# a\u202eb\u0007": "ab",
    "prose": "",
}


@pytest.mark.parametrize("text", TITLES)
def test_a_title_in_markdown(text: str) -> None:
    assert title(Source(text, "a.md")) == TITLES[text]


def test_a_title_in_tex() -> None:
    text = "\\title[short]{Two \\\\ {\\bf lines} of $x$\\thanks{A. Body}}\n# no"
    assert title(Source(text, "a.tex")) == "Two lines of x"
    assert made("$$ y_b = 2 x_b $$", path="a/b\n.tex").text.startswith("# From b.tex, line 1\n")


VALUES = {
    r"$\epsilon = 10^{-5}$": ("eps", "1/100000"),
    r"$\varepsilon=1 \times 10^{-6}$": ("eps", "1/1000000"),
    r"$$ \epsilon = 1e-5, $$": ("eps", "1/100000"),
    r"$\epsilon$ is a constant usually equal to $1 \mathrm{e}-05$.": ("eps", "1/100000"),
    r"$\alpha = 1.702$": ("alpha", "851/500"),
    r"set $p = 2$": ("p", "2"),
    r"$\epsilon$ is added. It costs $5$": ("eps", None),
    r"$\epsilon = 10^{-5} x$ and $\epsilon = 2 h$": ("eps", None),
    r"$x_p = 2$": ("p", None),
}


@pytest.mark.parametrize("text", VALUES)
def test_a_value_in_the_paper(text: str) -> None:
    name, number = VALUES[text]
    value = given(name, Source(text, "a.md"))
    assert (str(value.number) if value else None) == number


def test_a_remark_in_tex_gives_no_value() -> None:
    assert given("eps", Source("% $\\epsilon = 2$", "a.tex")) is None


# -- refusals --------------------------------------------------------------------------------------

REFUSED = {
    r"$$ y_{bh} = \foo x_{bh} $$": [("E701", 1, 13)],
    r"$$ y_bh = x_{bh} $$": [("E703", 1, 5)],
    r"$$ y_{bh} = (x_{bh} $$": [("E103", 1, 13)],
    r"$$ y_{bh} = x_{bh}": [("E706", 1, 1)],
    r"$$ v_b = x_{bh}^2 $$": [("E301", 1, 14)],
    r"$$ y_{bh} = x_{b} $$": [("E303", 1, 13), ("E311", 1, 8)],
    "$$ m_b = x_{bh} 1_h $$\n$$ y_{bh} = m_b x_b 1_h $$": [("E304", 2, 17)],
    r"$$ y_b = y_b + x_b $$": [("E207", 1, 10)],
    r"$$ y_b = x_b \sigma(x_b) $$": [("E705", 1, 14)],
    r"$$ y_b = \mathrm{gelu}(x_b) $$": [("E705", 1, 10)],
    r"$$ y_b = \operatorname{gelu}(x_b) $$": [("E202", 1, 10)],
    r"$$ y_b = x_{bh} - \max_h x_{bh} $$": [("E301", 1, 14)],
    r"$$ y_b = \max_h x_{bh} x_{bh} $$": [("E705", 1, 17)],
    r"$$ y_b = W^{(2)}_{bi} x_i $$": [("E705", 1, 11)],
    r"$$ y_b = W^T_{bi} x_i $$": [("E705", 1, 11)],
    r"$$ y^{(1)}_b = x_b $$": [("E705", 1, 5)],
    r"$$ y_b = \mathrm{self}_b $$": [("E204", 1, 10)],
    r"$$ y_i = \mathbf{1}_i $$": [("E112", 1, 4)],
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_has_its_code_and_its_place_in_the_paper(text: str) -> None:
    assert sorted(places(text)) == sorted(REFUSED[text])


def test_a_tensor_has_the_same_number_of_indices_everywhere() -> None:
    text = "$$ m_b = x_{bh} 1_h $$\n\n$$ y_b = m_b x_b $$"
    assert "paper.md:3:14: E304 `x` has 1 index here, and 2 on line 1" in refused(text)


def test_what_breaks_the_rules_is_told_in_tex() -> None:
    assert r"help: multiply by `\mathbf{1}_{h}` to sum" in refused("$$ v_b = x_{bh}^2 $$")
    assert in_tex("write `1[b,h]*v1[h]*x`") == r"write `\mathbf{1}_{b h} v1[h]*x`"


def test_a_text_without_forward_equations_is_refused_with_a_remedy() -> None:
    for text in ("", "# Prose, $y_b = x_b$", r"$$ \frac{\partial y_b}{\partial x_b} = 1 $$"):
        assert refused(text).startswith("paper.md: there is no forward equation in it; write ")


MIXED = r"""
$$ C_{ij} = A_{ik} B_{kj} $$
$$ e_{bq} = \exp(x_{bq}), $$
$$ p_{bq} = \frac{e_{bq}}{\mathbf{1}_r e_{br}}, \quad n_b = \mathbf{1}_q x_{bq} $$
"""


def test_of_several_ops_none_is_chosen() -> None:
    assert refused(MIXED) == (
        "paper.md: the forward equations are of 2 ops, which have no tensor in common:\n"
        "  C: line 2\n"
        "  p, n: lines 3-4\n"
        "help: take one of them with `--output C` or `--output p --output n`"
    )
    assert body(MIXED, "C") == "op f(A[i,k], B[k,j]) -> C[i,j]\n\nC[i,j] = A[i,k] * B[k,j]\n"


def test_what_is_not_needed_may_be_unreadable() -> None:
    text = "$$ z_b = \\foo $$\n$$ y_b = 2 x_b $$\n$$ \\begin{array} 1 \\end{array} $$\n"
    assert [code for code, _, _ in places(text)] == ["E701", "E701"]
    assert refused(text).endswith("help: `--output y` takes only what `y` needs")
    found = made(text, "y")
    assert "not read: the macro `\\foo` is not known (line 1)" in found.notes
    assert places(text, "z") == [("E701", 1, 10)]
    assert places(text.replace("x_b", "z_b"), "y") == [("E701", 1, 10)]


def test_another_equation_that_can_be_read_is_taken_with_a_note() -> None:
    found = made("$$ y_b = \\operatorname{gelu}(x_b) $$\n$$ y_b = 2 x_b $$")
    assert "not read: there is no function `gelu` (line 1)" in found.notes


HOSTILE = [
    "$$ y_b = " + "(" * 65_536,
    "$$ y_{" + "b" * 65_536 + "} = x_b $$",
    "$$ y_b = __import__('os') $$",
    "$$ y_b = " + " + ".join([r"q (x_b)"] * 1000) + " $$",
    "".join(f"$$ \\mathrm{{a{k}}}_b = \\mathrm{{a{k + 1}}}_b $$\n" for k in range(999)),
    "$$ y_b = x_b $$" + "\\frac{d" * 65_536,
    "---\ntitle: >" + "\n a" * 65_536,
    "$$ a_b = b_b $$\n" * 2001,
    " " * 1_048_577,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:16].strip())
@pytest.mark.parametrize("path", ["a.md", "a.tex"])
def test_a_hostile_text_ends_soon(text: str, path: str) -> None:
    start = time.perf_counter()
    with contextlib.suppress(DeriveError):
        made(text, path=path)
    assert time.perf_counter() - start < 60  # it ends: a limit for hangs, not a measurement


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "paper.md"
    path.write_text("# A product\n$$ C_{ij} = A_{ik} B_{kj} $$\n", "utf-8")
    return path


def test_the_command_writes_what_derive_reads(
    paper: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["new", "mine", "--from", "paper.md"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("mine.op\n", "paper.md: taken: C (line 2)\n")
    text = Path("mine.op").read_text("utf-8")
    assert text == (
        "# A product.  paper.md, line 2\n"
        "op mine(A[i,k], B[k,j]) -> C[i,j]\n\nC[i,j] = A[i,k] * B[k,j]\n"
    )
    assert cli.main(["show", "mine.op"]) == 0


def test_the_command_never_writes_over_a_file(
    paper: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.op").write_text("mine")
    assert cli.main(["new", "mine", "--from", "paper.md"]) == 2
    assert "mine.op: is there already; nothing was written" in capsys.readouterr().err
    assert Path("mine.op").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mine", "--from", "no.md"], "no.md: no such file"),
        (["mine", "--from", "paper.txt"], "paper.txt: a paper is Markdown or TeX: .md, "),
        (["no good", "--from", "paper.md"], "'no good' cannot name an op"),
        (["C_forward", "--from", "paper.md", "--output", "D"], "no forward equation defines `D`"),
        (["mine", "--output", "C"], "--output is about a paper: --from FILE"),
        (["mine", "--from", "bytes.md"], "bytes.md: not UTF-8 at byte 0"),
        (["mine", "--from", "bad.md"], "bad.md:1:10: E701 the macro `\\foo` is not known"),
    ],
)
def test_what_goes_wrong_writes_nothing(
    paper: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    Path("bytes.md").write_bytes(b"\xff")
    Path("bad.md").write_text("$$ y_b = \\foo $$")
    assert cli.main(["new", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not list(paper.parent.glob("*.op"))
