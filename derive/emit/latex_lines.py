"""LaTeX broken over lines: how wide a formula is set, about, and where it may go on below.

A line is broken before a sign of a sum, else inside its widest bracket, else before a factor. What
goes on begins with its sign, so a reader, and `derive prove --from`, join it to the line above.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LINE = 44.0  # em, the width of the text in `--standalone`, less a reserve
_INDENT = 2.0  # em, of what goes on below
_BESIDE = 1.5  # em between a formula and its law
_LETTER = 0.5  # em, of upright text
_LEAST = 8  # characters of a line; less is a sign alone
_LEFT, _RIGHT = r"\left(", r"\right)"

_TOKEN = re.compile(
    r"\\begin\{cases\}|\\end\{cases\}|\\(?:left|right)(?:\\[{}|]|.)|\\[A-Za-z]+|\\.|[{}]|\s+|.",
    re.DOTALL,
)
_OPENS = re.compile(r"\{|\\left.*|\\begin.*", re.DOTALL)
_CLOSES = re.compile(r"\}|\\right.*|\\end.*", re.DOTALL)
_WIDTHS = {"+": 1.22, "-": 1.22, "=": 1.33, ",": 0.44, "&": 1.0, "\\mathbf": 0.1, "\\mathrm": 0.0}
_WIDTHS |= {"\\operatorname": 0.35, "\\text": 0.0, "\\sqrt": 0.85, "\\le": 1.33, "\\cdot": 0.72}


@dataclass(frozen=True)
class Row:
    """One line of an aligned block: `left` is empty after the first, `joint` stands between."""

    left: str
    right: str
    law: str
    joint: str = "="


_BELOW = rf"\hspace{{{_INDENT:.0f}em}}"  # joins what goes on to the line above


def laid(rows: Sequence[Row]) -> list[Row]:
    """Rows that fit the page: laws stand beside them, or below where there is no room."""
    room = LINE - max((width(r.left) for r in rows), default=0.0)
    law = max((text_width(r.law) + _BESIDE for r in rows if r.law), default=0.0)
    beside = [broken(r.right, room - law) for r in rows]
    if all(width(line) <= room - law for lines in beside for line in lines[:1]) and all(
        width(line) <= room - law - _INDENT for lines in beside for line in lines[1:]
    ):
        return [row for r, lines in zip(rows, beside, strict=True) for row in _beside(r, lines)]
    return [row for r in rows for row in _below(r, broken(r.right, room))]


def _beside(row: Row, lines: Sequence[str]) -> Iterator[Row]:
    for k, line in enumerate(lines):
        law = row.law if k == len(lines) - 1 else ""
        yield Row(row.left, line, law) if k == 0 else Row("", line, law, _BELOW)


def _below(row: Row, lines: Sequence[str]) -> Iterator[Row]:
    yield from _beside(Row(row.left, row.right, ""), lines)
    if row.law:
        yield Row("", rf"\text{{{row.law}}}", "", _BELOW)


@dataclass(frozen=True)
class _Token:
    text: str
    depth: int  # of the brackets around it; those that open and close stand outside themselves


def _tokens(latex: str) -> list[_Token]:
    depth, found = 0, []
    for match in _TOKEN.finditer(latex):
        depth -= bool(_CLOSES.fullmatch(match[0]))
        found.append(_Token(match[0], depth))
        depth += bool(_OPENS.fullmatch(match[0]))
    return found


def width(latex: str) -> float:
    """About the width of a formula in display style, in em."""
    return _Measure([t.text for t in _tokens(latex)]).sequence("")


class _Measure:
    """Reads tokens from left to right; a fraction is as wide as the wider of its halves."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tokens
        self.at = 0

    def sequence(self, end: str) -> float:
        """The width of all up to `end`, and behind it; of cases, that of the widest row."""
        wide, widest = 0.0, 0.0
        while self.at < len(self.tokens) and self.tokens[self.at] != end:
            if self.tokens[self.at] == "\\\\":
                wide, widest = 0.0, max(wide, widest)
                self.at += 1
            else:
                wide += self.atom()
        self.at += 1
        return max(wide, widest)

    def atom(self) -> float:
        sign = self.tokens[self.at]
        self.at += 1
        if sign == "{":
            return self.sequence("}")
        if sign == "\\frac":
            return max(self.atom(), self.atom()) + 0.24
        if sign in ("_", "^"):
            return 0.7 * self.atom() + 0.05
        if sign == "\\begin{cases}":
            return self.sequence("\\end{cases}") + 1.0
        if sign.startswith(("\\left", "\\right")):
            return 0.6
        return 0.0 if sign.isspace() else _WIDTHS.get(sign, 0.55)


def text_width(words: str) -> float:
    """About the width of upright text."""
    return _LETTER * len(re.sub(r"\\[A-Za-z]+|[${}_]", "", words))


def broken(latex: str, room: float) -> list[str]:
    """The lines of a formula, each in the room; all but the first stand behind an indent."""
    lines: list[str] = []
    rest = latex
    while rest:
        head, rest = _first(rest, room - _INDENT if lines else room)
        lines.append(head)
    return lines


def _first(latex: str, room: float) -> tuple[str, str]:
    """As much as fits, and the rest; a formula that nothing can break stays whole."""
    if width(latex) > room:
        for cut in (_before_sign, _inside_bracket, _before_factor):
            head, rest = cut(latex, room)
            if rest and len(head) > _LEAST:
                return head, rest
    return latex, ""


def _splits(latex: str, wanted: str) -> Iterator[int]:
    """Where a token outside all brackets matches, from left to right."""
    at = 0
    for token in _tokens(latex):
        if token.depth == 0 and re.fullmatch(wanted, token.text):
            yield at
        at += len(token.text)


def _last_that_fits(latex: str, places: Iterator[int], room: float) -> int:
    return max((at for at in places if width(latex[:at]) <= room), default=0)


def _before_sign(latex: str, room: float) -> tuple[str, str]:
    at = _last_that_fits(latex, _splits(latex, "[-+]"), room)
    return latex[:at], latex[at:] if at else ""


def _inside_bracket(latex: str, room: float) -> tuple[str, str]:
    """Before a sign in the first bracket that is long; its halves get one size."""
    for start in _splits(latex, r"\\left\("):
        inside = start + len(_LEFT)
        closing = start + next(_splits(latex[start:], r"\\right\)"))
        if width(latex[inside:closing]) > room / 2:
            signs = (inside + k for k in _splits(latex[inside:closing], "[-+]"))
            at = _last_that_fits(latex, signs, room)
            return _halves(latex, (start, inside, at, closing)) if at > inside else ("", "")
    return "", ""


def _halves(latex: str, places: tuple[int, int, int, int]) -> tuple[str, str]:
    start, inside, at, closing = places
    size = "Big" if re.search(r"\\frac|cases", latex[inside:closing]) else "big"
    head = f"{latex[:start]}\\{size}l({latex[inside:at]}"
    return head, f"{latex[at:closing]}\\{size}r){latex[closing + len(_RIGHT) :]}"


def _before_factor(latex: str, room: float) -> tuple[str, str]:
    at = _last_that_fits(latex, _splits(latex, r"\s+"), room)
    return latex[:at], rf"\cdot {latex[at:].lstrip()}" if at else ""
