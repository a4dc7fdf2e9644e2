"""Physical lines to logical ones: comments dropped, a line continued inside its brackets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from derive.errors import Report, Span
from derive.notation import characters

MOST_NESTED = 100
_NEXT_OP = re.compile(r"op\s+\w+\s*\(")
_NEXT_EQUATION = re.compile(r"[A-Za-z]\w*\s*\[[^\]]*\]\s*=(?!=)")
_BRACKET = re.compile(r"[()\[\]]")
_CLOSES = {")": "(", "]": "["}
_CLOSED_BY = {opened: closed for closed, opened in _CLOSES.items()}


class Positioned(Protocol):
    """A piece of a parsed text, as lark marks it."""

    line: Any  # each an int, or None where the end of the text is meant
    column: Any
    end_line: Any
    end_column: Any


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
    def span(self) -> Span:
        """Its first physical line."""
        row = self.code.lstrip("\n").split("\n")[0]
        column = len(row) - len(row.lstrip()) + 1
        return Span(self.first, column, self.first, len(row.rstrip()) + 1)

    @property
    def end(self) -> Span:
        """The place behind its last character."""
        rows = self.code.rstrip().split("\n")
        last = self.first + len(rows) - 1
        return Span(last, len(rows[-1]) + 1, last, len(rows[-1]) + 2)

    def place(self, part: Positioned) -> Span:
        """The span of a token or a subtree, whose lines count from the first of this one."""
        first, column = part.line or 1, part.column or 1
        end_line, end_column = part.end_line or first, part.end_column or column + 1
        return Span(first + self.first - 1, column, end_line + self.first - 1, end_column)

    def between(self, start: int, stop: int) -> Span:
        """The span of characters of the code."""
        rows, ends = self.code[:start].split("\n"), self.code[:stop].split("\n")
        first, last = self.first + len(rows) - 1, self.first + len(ends) - 1
        return Span(first, len(rows[-1]) + 1, last, len(ends[-1]) + 1)

    @property
    def defines(self) -> list[str]:
        """The names it may have been meant to define: all that stand left of the first `=`."""
        left = self.code.partition("=")[0]
        return re.findall(r"\w+", re.sub(r"\[[^\]]*\]?", " ", left))


class _Row(NamedTuple):
    """What the search for the end of a logical line asks of a physical one."""

    brackets: list[tuple[str, int]]  # each with its column
    starts: bool  # does it begin an op or an equation, so that a bracket above was forgotten?


def _row(code: str) -> _Row:
    starts = bool(_NEXT_OP.match(code) or _NEXT_EQUATION.match(code))
    return _Row([(m[0], m.start() + 1) for m in _BRACKET.finditer(code)], starts)


def physical(text: str) -> list[str]:
    """The lines of a text; CR LF is a line end, and nothing else but LF is."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")


def logical(lines: list[str], report: Report) -> Iterator[Line]:
    """The logical lines that are not blank."""
    odd = {number for number, line in enumerate(lines, 1) if _refuse_odd(line, number, report)}
    codes = [line.partition("#")[0] for line in lines]
    rows = [_row(code) for code in codes]
    at = 0
    while at < len(codes):
        last, good = _extent(rows, at, report)
        code = "\n".join(codes[at : last + 1])
        if code.strip():
            good = good and odd.isdisjoint(range(at + 1, last + 2))
            yield Line(at + 1, last + 1, code, good)
        at = last + 1


def _extent(rows: list[_Row], first: int, report: Report) -> tuple[int, bool]:
    """The last physical line of the logical line from `first` on; were its brackets right?"""
    opened: list[tuple[str, Span]] = []
    for at in range(first, len(rows)):
        if at > first and rows[at].starts:
            break
        for bracket, column in rows[at].brackets:
            place = Span(at + 1, column, at + 1, column + 1)
            if not _balance(bracket, place, opened, report):
                return at, False
        if not opened:
            return at, True
    bracket, place = opened[-1]
    message = f"the bracket `{bracket}` is never closed"
    report.add("E103", place, message, f"close it by `{_CLOSED_BY[bracket]}`")
    return first, False


def _balance(bracket: str, place: Span, opened: list[tuple[str, Span]], report: Report) -> bool:
    if bracket not in _CLOSES:
        opened.append((bracket, place))
        deep = len(opened) > MOST_NESTED + (bracket == "[")  # indices at the bottom are no level
        if deep:
            report.nested(place)
        return not deep
    if not opened or opened[-1][0] != _CLOSES[bracket]:
        wanted = f"close `{opened[-1][0]}` by `{_CLOSED_BY[opened[-1][0]]}` first" if opened else ""
        message = f"the bracket `{bracket}` closes nothing"
        report.add("E103", place, message, wanted or "open it or remove it")
        return False
    opened.pop()
    return True


def _refuse_odd(line: str, number: int, report: Report) -> bool:
    """Refuse what is no part of the language; in comments only control and format characters."""
    comment = line.find("#") if "#" in line else len(line)
    told: set[str] = set()
    for match in characters.ODD.finditer(line):
        character, at = match[0], match.start()
        span = Span(number, at + 1, number, at + 2)
        if characters.is_refused_everywhere(character):
            message = f"the character {characters.called(character)} is refused"
            report.add("E105", span, message, "remove it")
            told.add(character)
        elif at < comment and (cause := characters.cause(character)) not in told:
            report.add("E106", span, *characters.fault(character, line, at))
            told.add(cause)
    return bool(told)
