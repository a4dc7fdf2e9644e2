"""Texts that are almost valid: tokens of valid ones left out, doubled, swapped, replaced."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
OPS = [p.read_text("utf-8") for p in sorted((ROOT / "derive/ops").glob("*.op"))]
OPS += [
    op
    for path in sorted((ROOT / "tests/ops").glob("*.op"))
    for op in re.split(r"\n(?=# .*\nop )|\n\n(?=op )", path.read_text("utf-8"))
    if "\nop " in f"\n{op}"
]
PAPER = (ROOT / "tests/data/layer_norm_article.md").read_text("utf-8")
DISPLAYS = re.findall(r"\$\$.*?\$\$", PAPER, re.DOTALL)
_TOKEN = re.compile(
    r"\\[A-Za-z]+|[A-Za-z_]\w*|[0-9.]+(?:[eE][+-]?[0-9]+)?|\*\*|->|\s+|.", re.DOTALL
)

WORDS = [
    *("x", "y", "b", "h", "H", "B", "mu", "gamma", "eps", "dx", "dy", "op", "for", "d", "pi"),
    *("sum", "mean", "max", "exp", "sqrt", "log", "delta", "where", "solve", "lambda", "torch"),
    *("0", "1", "2", "-1", "64", "65", "1/2", "1e400", "9**9**9", "1e-5", "0.5", "1[h]", "1[b,h]"),
    *("x[b,h]", "x[h,b]", "y[b,h] = ", "m[b]", "[", "]", "(", ")", ",", ";", "=", "->", "#", ":"),
    *("+", "-", "*", "/", "^", "**", "<", "==", "\n", "\n\n", "\r\n", "\t", " ", "\\", '"""', "'"),
    *("\0", "\x1b[31m", "\u202e", "\u0430", "\u03bc", "\ufeff", "\ud800", "\u2028", "\U0001f600"),
    *("__import__", "__import__('os').system('touch SENTINEL')", "{{7*7}}", "%s", "../", "$"),
]  # fmt: skip
TEX = [
    *(r"\frac{1}{2}", r"\frac", r"\sqrt{x_{b h}}", r"\sum_h", r"\sum_{h=1}^{H}", r"\partial"),
    *("&", "&=", "=", "_", "^", "{", "}", "_{b h}", "^{2}", "^{-1}", r"\mathbf{1}_{h}", r"\delta"),
    *(r"\left(", r"\right)", r"\text{if}", r"\begin{aligned}", r"\end{aligned}", r"\exp"),
    *("$$", "$", r"\[", r"\]", "%", "`", "```", "<!--", "---", r"\mu", r"\mathrm{in}", r"\verb|"),
    *(r"\tag{1}", r"\label{a}", r"\input{/etc/passwd}", r"\def\x{\x}", r"\left.", r"\quad", "1."),
    *(r"\\", "|", "~", "e^{x}"),
]  # fmt: skip


def tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


_EDITS = ("drop", "double", "swap", "replace", "insert", "wrap", "cut")


@st.composite
def mutated(draw: st.DrawFn, texts: Sequence[str], words: Sequence[str], most: int = 4) -> str:
    """A valid text with a few tokens changed."""
    found = tokens(draw(st.sampled_from(list(texts))))
    for _ in range(draw(st.integers(1, most))):
        edit, word = draw(st.sampled_from(_EDITS)), draw(st.sampled_from(list(words)))
        found = _edited(found, edit, draw(st.integers(0, 10**6)), word)
    return "".join(found)


def _edited(found: list[str], edit: str, place: int, word: str) -> list[str]:
    if not found:
        return [word]
    at, other = place % len(found), (place // 7) % len(found)
    if edit == "swap":
        found[at], found[other] = found[other], found[at]
        return found
    left, token, right = found[:at], found[at], found[at + 1 :]
    made = {
        "drop": [],
        "double": [token, token],
        "replace": [word],
        "insert": [word, token],
        "wrap": ["(", token, ")"],
        "cut": [],
    }[edit]
    return [*left, *made, *(right if edit != "cut" else right[other:])]


def strung(words: Sequence[str], most: int) -> st.SearchStrategy[str]:
    """Words in a row, most of them with a space between."""
    return st.lists(st.sampled_from(list(words)), max_size=most).map(" ".join)
