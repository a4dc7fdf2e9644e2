"""Characters that are no part of the language: how they are called, and what to write for them."""

from __future__ import annotations

import re
import unicodedata

REFUSED_CATEGORIES = {"Cc", "Cf", "Zl", "Zp", "Cs"}
ODD = re.compile(r"[^\t -~]|[\"$%&'?@\\`{|}~]|!(?!=)")

_WRITTEN = {  # characters people paste, and what to write for them
    "−": "-", "–": "-", "—": "-", "·": "*", "×": "*", "∗": "*", "⋅": "*", "⊙": "*", "∘": "*",
    "÷": "/", "∕": "/", "→": "->", "←": "=", "≔": "=", "≤": "<=", "≥": ">=", "⩽": "<=", "⩾": ">=",
    "≠": "!=", "½": "1/2", "¼": "1/4", "Σ": "sum[i](…)", "∑": "sum[i](…)", "√": "sqrt(…)",
    "ϵ": "epsilon", "ℓ": "l", "⟨": "(", "⟩": ")", "∥": "sqrt(u[i]*u[i])",
    "‖": "sqrt(u[i]*u[i])",
}  # fmt: skip
_ADVICE = {
    "@": "write `*`: an index that both factors carry, and the left side does not, is summed",
    "|": "write `abs(u)` for |u|; for `or` nest one `where` in another",
    "&": "nest one `where` in another: `where(a > 0, where(b > 0, u, v), v)`",
    "~": "turn the comparison round: `a <= b` for not `a > b`",
    "!": "turn the comparison round: `a <= b` for not `a > b`; unequal is `!=`",
    "?": "write `where(a > 0, u, v)`",
    "%": "there is no remainder; an axis of several indices is written `x[n,g*S+s]`",
    "{": "write `(` and `)`",
    "}": "write `(` and `)`",
    "$": "leave it out: an op file holds no LaTeX",
    "`": "leave it out",
    '"': "leave it out: there are no strings, and a comment begins with `#`",
    "'": "a name has no prime: write `y2`; for a transpose exchange the indices",
    "\\": "an op file holds no LaTeX: write `a/b`, `sqrt(a)`; `derive new NAME --from paper.tex` "
    "reads it",
    "\u00a0": "write a plain space",
    "∏": "there is no product over an index: write `exp(sum[i](log(u)))` where u is positive",
    "∇": "gradients are derived: write the forward equations alone",
    "∂": "leave gradients out: they are derived; in what is proved write `d(y[b])/d(x[c])`",
    "∞": "write a large number, or choose by `where`",
    "∈": "write `t[b]: int[c]` for integers that index `c`",
}  # fmt: skip
for _quotes, _meant in (("“”„«»", '"'), ("‘’′ʹ", "'"), ("∣│¦", "|"), ("ᵀ⊤", "'")):
    _ADVICE |= dict.fromkeys(_quotes, _ADVICE[_meant])
_NAMELESS = {"Cc": "control character", "Cs": "surrogate", "Co": "private use"}
_LETTERS = "write it in ASCII: names are letters a to z, digits and `_`"


def is_refused_everywhere(character: str) -> bool:
    """Control and format characters can make a text look like another, even in a comment."""
    return unicodedata.category(character) in REFUSED_CATEGORIES and character != "\t"


def called(character: str) -> str:
    nameless = _NAMELESS.get(unicodedata.category(character), "unassigned")
    return f"U+{ord(character):04X} {unicodedata.name(character, nameless)}"


def cause(character: str) -> str:
    """What is told once a line: the braces of LaTeX and its backslash are one mistake."""
    return "\\" if character in "\\{}$" else _ADVICE.get(character, character)


def fault(character: str, line: str, at: int) -> tuple[str, str]:
    """Message and remedy for a character in a line."""
    shown = f"`{character}` ({called(character)})" if character.isprintable() else called(character)
    return f"the character {shown} is no part of the language", _remedy(character, line, at)


def _remedy(character: str, line: str, at: int) -> str:
    if character == "\\" and not line[at + 1 :].strip():
        return "put brackets around what goes on in the next line"
    if character in "|&" and line[at : at + 2] == 2 * character:
        return _ADVICE["&"]
    before = line[:at].rstrip()[-1:]
    if character == "'" and not (before.isalnum() or before in "_])'"):
        return _ADVICE['"']
    if character == "{" and (line[at - 1 : at].isalnum() or line[at - 1 : at] == "_"):
        return "indices stand in square brackets: `x[b,h]`, `sum[h](…)`"
    if character in "{}" and not line[at + 1 :].strip() and line.lstrip().startswith(("op ", "}")):
        return "leave it out: the equations are the lines below the header"
    if character == "σ" and line[at + 1 :].lstrip().startswith("("):
        return "write `sigmoid(…)`"
    if character in _ADVICE:
        return _ADVICE[character]
    written = _WRITTEN.get(character) or _plain(character)
    return f"write `{written}`" if written else _LETTERS


def _plain(character: str) -> str:
    """The same in ASCII: a Greek letter by its name, a raised digit as an exponent."""
    name = unicodedata.name(character, "")
    if "GREEK" in name and " LETTER " in name and name.count(" ") == 3:
        return name.split()[-1].lower().replace("lamda", "lam")
    same = unicodedata.normalize("NFKC", character)
    if not same.isascii() or not same.strip():
        return ""
    return f"^{same}" if name.startswith("SUPERSCRIPT") else same
