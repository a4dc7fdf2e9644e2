"""Physical lines to logical ones: comments blanked, lines continued inside brackets, titles kept."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from derive.errors import Report, Span

MOST_NESTED = 100
REFUSED_CATEGORIES = {"Cc", "Cf", "Zl", "Zp", "Cs"}
SPELLINGS = {  # characters people paste, and what to write for them
    "−": "-", "–": "-", "—": "-", "·": "*", "×": "*", "∗": "*", "÷": "/", "′": "", "→": "->",
    "≤": "<=", "≥": ">=", "²": "^2", "³": "^3", "½": "1/2", "Σ": "sum[i](…)", "∑": "sum[i](…)",
    "√": "sqrt(…)", "∂": "d", "\u00a0": "a space",
}  # fmt: skip
_ODD = re.compile(r"[^\t -~]|[!\"$%&'?@\\`{|}~]")
_NEXT_OP = re.compile(r"op\s+\w+\s*\(")
_NEXT_EQUATION = re.compile(r"[A-Za-z]\w*\s*\[[^\]]*\]\s*=(?!=)")
_BRACKET = re.compile(r"[()\[\]]")
_CLOSES = {")": "(", "]": "["}


@dataclass(frozen=True)
class Line:
    """A logical line: `code` keeps the columns of the source, comments are blank."""

    first: int  # its first physical line, counted from 1
    last: int
    code: str
    good: bool = True  # False: refused already, not to be parsed

    @property
    def text(self) -> str:
        """As written, without comments, on one line."""
        return " ".join(part.strip() for part in self.code.split("\n") if part.strip())

    @property
    def words(self) -> list[str]:
        return re.findall(r"[A-Za-z]\w*", self.code)


def physical(text: str) -> list[str]:
    """The lines of a text; CR LF is a line end, and nothing else but LF is."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")


def logical(lines: list[str], report: Report) -> Iterator[Line]:
    """The logical lines that are not blank."""
    odd = {number for number, line in enumerate(lines, 1) if _refuse_odd(line, number, report)}
    codes = [line.partition("#")[0] for line in lines]
    at = 0
    while at < len(codes):
        last, good = _extent(codes, at, report)
        code = "\n".join(codes[at : last + 1])
        if code.strip():
            good = good and odd.isdisjoint(range(at + 1, last + 2))
            yield Line(at + 1, last + 1, code, good)
        at = last + 1


def _extent(codes: list[str], first: int, report: Report) -> tuple[int, bool]:
    """The last physical line of the logical line that starts on `first`; were its brackets right?"""
    opened: list[tuple[str, Span]] = []
    for at in range(first, len(codes)):
        if at > first and _starts_anew(codes[at]):
            break
        for match in _BRACKET.finditer(codes[at]):
            place = Span(at + 1, match.start() + 1, at + 1, match.end() + 1)
            if not _balance(match[0], place, opened, report):
                return at, False
        if not opened:
            return at, True
    bracket, place = opened[-1]
    report.add("E103", place, f"the bracket `{bracket}` is never closed", "close it")
    return first, False


def _starts_anew(code: str) -> bool:
    """Does this line begin an op or an equation, so that an open bracket above was forgotten?"""
    return bool(_NEXT_OP.match(code) or _NEXT_EQUATION.match(code))


def _balance(bracket: str, place: Span, opened: list[tuple[str, Span]], report: Report) -> bool:
    if bracket not in _CLOSES:
        opened.append((bracket, place))
        if len(opened) > MOST_NESTED:
            report.nested(place)
        return len(opened) <= MOST_NESTED
    if not opened or opened[-1][0] != _CLOSES[bracket]:
        report.add("E103", place, f"the bracket `{bracket}` closes nothing", "open it or remove it")
        return False
    opened.pop()
    return True


def _refuse_odd(line: str, number: int, report: Report) -> bool:
    """Refuse what is no part of the language; in comments only control and format characters."""
    comment = line.find("#") if "#" in line else len(line)
    found = False
    for match in _ODD.finditer(line):
        span = Span(number, match.start() + 1, number, match.end() + 1)
        if unicodedata.category(match[0]) in REFUSED_CATEGORIES and match[0] != "\t":
            report.add("E105", span, f"the character {_called(match[0])} is refused", "remove it")
        elif match.start() < comment:
            report.add("E106", span, *_not_of_the_language(match[0]))
        else:
            continue
        found = True
    return found


def _called(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'control character')}"


def _not_of_the_language(character: str) -> tuple[str, str]:
    message = f"the character `{character}` ({_called(character)}) is no part of the language"
    if character in SPELLINGS:
        return message, f"write `{SPELLINGS[character]}`"
    name = unicodedata.name(character, "")
    if name.startswith("GREEK SMALL LETTER ") and name.count(" ") == 3:
        return message, f"write `{name.split()[-1].lower().replace('lamda', 'lam')}`"
    return message, "names are ASCII: letters, digits and `_`" if not character.isascii() else ""
