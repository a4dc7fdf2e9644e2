"""Names as Unicode text, where neither LaTeX nor MathML can stand: in graphs, in terminals."""

from __future__ import annotations

import re
import unicodedata

from derive.notation.latex import ALIASES, GREEK

_MARKS = {"hat": "\N{COMBINING CIRCUMFLEX ACCENT}", "dot": "\N{COMBINING DOT ABOVE}"}
_ACCENTED = re.compile(r"(.+)_(hat|dot)(\d*)")


def name_unicode(name: str) -> tuple[str, str]:
    """A name and what stands below it: `w_in` is (w, in), `mu` is (μ, ) and `x_hat` is (x̂, )."""
    if accented := _ACCENTED.fullmatch(name):
        inner, accent, number = accented.groups()
        stem, below = name_unicode(inner)
        return stem[:1] + _MARKS[accent] + stem[1:], below + number
    stem, _, below = name.partition("_")
    return letter(stem), below


def letter(name: str) -> str:
    """A Greek letter as such; any other name is itself."""
    name = ALIASES.get(name, name)
    if name not in GREEK:
        return name
    case = "CAPITAL" if name[0].isupper() else "SMALL"
    spoken = {"lambda": "LAMDA"}.get(name.lower(), name.upper())
    return unicodedata.lookup(f"GREEK {case} LETTER {spoken}")
