"""Where the display equations of a Markdown or TeX text stand; code, comments and prose apart.

Everything is a scan from left to right: what opens first decides how the text is read up to where
it closes. Offsets count in the text as given, so that every message can tell line and column.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from derive.errors import Report, Span

MARKDOWN, TEX = (".md", ".markdown"), (".tex", ".ltx", ".latex")
SUFFIXES = MARKDOWN + TEX

_NAMES = "equation|align|alignat|flalign|gather|multline|eqnarray|displaymath|math"
_VERBATIM = "verbatim|lstlisting|minted|comment|Verbatim"

# What opens, and what then closes it. A display's content is what stands between.
_SKIPPED = {
    "front": r"\A---[ \t]*\n.*?\n---[ \t]*$",
    "fence": r"^[ \t]*(?P<mark>`{3,}+|~{3,}+)[^\n]*+\n(?:.*?^[ \t]*(?P=mark)|.*\Z)",
    "html": r"<!--.*?(?:-->|\Z)",
    "jekyll": r"\{%[^%\n]*+%\}|\{\{[^{}\n]*+\}\}",
    "code": r"`[^`\n]*+`",
}
_TEX_SKIPPED = {
    "remark": r"(?<!\\)%[^\n]*",
    "verbatim": rf"\\begin\{{(?P<kind>{_VERBATIM})\}}.*?(?:\\end\{{(?P=kind)\}}|\Z)",
    "verb": r"\\verb\*?(?P<quote>[^A-Za-z\s*])[^\n]{0,200}?(?P=quote)",
}
_OPENS = {
    "escape": r"\\\\\[|\\[\\$%]",
    "display": rf"\$\$|\\\[|\\begin\{{(?:{_NAMES})\*?\}}",
    "inline": r"\$(?=[^\s$])(?:[^$\\\n]|\\.|\n(?![ \t]*\n))*+(?<!\s)\$",
}
_CLOSES = {"$$": r"(?<!\\)\$\$", "\\[": r"\\\]", "\\\\[": r"\\\\\]"}


def _pattern(*tables: dict[str, str]) -> re.Pattern[str]:
    rows = [row for table in tables for row in table.items()]
    return re.compile("|".join(f"(?P<{k}>{v})" for k, v in rows), re.DOTALL | re.MULTILINE)


_IN_MARKDOWN, _IN_TEX = _pattern(_SKIPPED, _OPENS), _pattern(_TEX_SKIPPED, _OPENS)


@dataclass(frozen=True)
class Source:
    """A text and its lines; LF ends a line."""

    text: str
    path: str

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(m.end() for m in re.finditer("\n", self.text))]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, counted from 1."""
        row = bisect_right(self._starts, offset) - 1
        return row + 1, offset - self._starts[row] + 1

    def span(self, start: int, end: int) -> Span:
        return Span(*self.place(start), *self.place(max(end, start + 1)))

    @property
    def is_tex(self) -> bool:
        return self.path.lower().endswith(TEX)


MOST_CHARACTERS = 131_072  # of all displays of a text


@dataclass(frozen=True)
class Display:
    """The content of a display equation; `environment` is empty for `$$` and `\\[`."""

    start: int
    end: int
    environment: str


def displays(source: Source, report: Report) -> Iterator[Display]:
    """The displays of a text in order; one that never ends is refused, and is the last."""
    text, at, left = source.text, 0, MOST_CHARACTERS
    pattern = _IN_TEX if source.is_tex else _IN_MARKDOWN
    while match := pattern.search(text, at):
        at, opened = match.end(), match[0]
        if match["display"] or (opened == "\\\\[" and not source.is_tex):
            closed = _closes(opened).search(text, at)
            if closed is None:
                _refuse_open(opened, source.span(match.start(), at), report)
                return
            left -= closed.start() - at
            if left < 0:
                place = source.span(match.start(), at)
                report.add("E401", place, "displays of more than 128 KiB in all", "split the text")
                return
            yield Display(at, closed.start(), opened.removeprefix("\\begin{").strip("}*$\\["))
            at = closed.end()


def _closes(opened: str) -> re.Pattern[str]:
    if opened.startswith("\\begin"):
        return re.compile(re.escape(opened.replace("begin", "end", 1)))
    return re.compile(_CLOSES[opened])


def _refuse_open(opened: str, span: Span, report: Report) -> None:
    end = opened.replace("begin", "end", 1).replace("[", "]")
    report.add("E706", span, f"the display `{opened}` never ends", f"close it by `{end}`")
