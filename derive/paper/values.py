"""Defaults of parameters: the number a paper gives, in a formula or in words, else a usual one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from derive.notation.displays import Source
from derive.notation.spelling import MACROS

USUAL = {"eps": Fraction(1, 100_000)}  # of layer norm and batch norm, everywhere
_GREEK = {"eps": "epsilon", "lam": "lambda"}
_E = r"(?:\\mathrm\s*\{\s*e\s*\}|[eE])"
_POWER = r"10\s*\^\s*(?:\{\s*(?P<ten>[-+]?\d{1,3})\s*\}|(?P<digit>\d))"
_NUMBER = (
    rf"(?:(?P<times>\d{{1,20}}(?:\.\d{{1,20}})?)\s*\\(?:times|cdot)\s*)?{_POWER}"
    rf"|(?P<plain>-?\d{{1,20}}(?:\.\d{{1,20}})?)(?:\s*{_E}\s*(?P<e>[-+]?\s*\d{{1,3}}))?"
)
_ENDS = r"(?![\w^_*/+{(\\-]|\.\d|\s*[\w^_*/+({\\-])"
_WORDS = "equals?|equal to|set to|default|value|usually|typically|is|of"
_SAYS = rf"[^.$\n]{{0,60}}\b(?:{_WORDS})\b[^.$\n]{{0,30}}"
_REMARK = re.compile(r"(?<!\\)%[^\n]*")


@dataclass(frozen=True)
class Value:
    """A number, and the line that gives it."""

    number: Fraction
    line: int


def given(name: str, source: Source) -> Value | None:
    """What the paper says a scalar is: `\\epsilon = 10^{-5}`, "$\\epsilon$ is usually $1e-5$"."""
    symbol, text = _symbol(name), source.text
    if source.is_tex:
        text = _REMARK.sub(lambda found: " " * len(found[0]), text)
    for pattern in (
        rf"{symbol}\s*=\s*(?:{_NUMBER}){_ENDS}",
        rf"\$\s*{symbol}\s*\${_SAYS}\$\s*(?:{_NUMBER})\s*\$",
    ):
        if match := re.search(pattern, text):
            return Value(_number(match), source.place(match.start())[0])
    return None


def _symbol(name: str) -> str:
    greek = _GREEK.get(name, name)
    if greek in MACROS:
        return rf"\\(?:var)?{greek}(?![A-Za-z])"
    if len(name) == 1:
        return rf"(?<![\\A-Za-z_^]){name}(?![A-Za-z_])"
    return rf"\\[a-z]+\s*\{{\s*{re.escape(name)}\s*\}}"


def _number(match: re.Match[str]) -> Fraction:
    if match["plain"] is None:
        exponent = int(match["ten"] or match["digit"])
        return Fraction(match["times"] or 1) * Fraction(10) ** exponent
    exponent = int((match["e"] or "0").replace(" ", ""))
    return Fraction(match["plain"]) * Fraction(10) ** exponent
