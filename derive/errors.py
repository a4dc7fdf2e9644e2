"""What is said to a user whose input is refused: a code, a place, the source line, a remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from derive.codes import CODES

__all__ = [
    "CODES",
    "DeriveError",
    "Diagnostic",
    "Report",
    "SourceError",
    "Span",
    "all_of",
    "printable",
    "reason",
    "render",
]


class Span(NamedTuple):
    """Where a piece of source text stands: line and columns count from 1, the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True)
class Diagnostic:
    """One refusal, with its place (`path:line:column`) and its remedy."""

    code: str
    message: str
    span: Span
    help: str = ""
    path: str = ""
    source: str = ""  # the source line the span starts on

    def __post_init__(self) -> None:
        """Nobody is left without a way out: a code has one where its place has none."""
        if not self.help:
            object.__setattr__(self, "help", CODES[self.code].short_remedy)


def printable(text: str) -> str:
    """Text with every character that is not printed spelt out, so that no message can mislead."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class DeriveError(Exception):
    """Input that is refused: an op file, an equation, an option. Commands end with exit code 2.

    A message may quote a name or a path that somebody else chose; only its line breaks are kept.
    `path` and `line`: the file that is at fault, and where, as far as that is known.
    """

    def __init__(self, message: str, path: str = "", line: int = 0) -> None:
        super().__init__("\n".join(map(printable, message.split("\n"))))
        self.path, self.line = path, line


def reason(error: OSError) -> str:
    """What the system says, without its number; the path is named besides."""
    return (error.strerror or str(error) or type(error).__name__).lower()


class SourceError(DeriveError):
    """Every refusal found in one text, in the order of their places."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = diagnostics
        super().__init__("\n\n".join(render(d) for d in diagnostics))


T = TypeVar("T")


def all_of(calls: Iterable[Callable[[], Sequence[T]]]) -> list[T]:
    """What every call gives; of texts that are refused, every refusal in one error."""
    found: list[T] = []
    refused: dict[Diagnostic, None] = {}
    for call in calls:
        try:
            found += call()
        except SourceError as error:
            refused |= dict.fromkeys(error.diagnostics)
    if refused:
        raise SourceError(tuple(refused))
    return found


_WIDTH, _BEFORE = 100, 60  # of a long source line, what is shown, and how much before the mark


def _printable(text: str) -> str:
    """Control and format characters shown as such, so that no message can mislead."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def render(diagnostic: Diagnostic) -> str:
    """The refusal as a person reads it: place, message, source line, carets, help."""
    d = diagnostic
    where = f"{printable(d.path) or '<text>'}:{d.span.line}:{d.span.column}"
    last = d.span.end_column if d.span.end_line == d.span.line else len(d.source) + 1
    margin = str(d.span.line)
    cut = max(0, d.span.column - 1 - _BEFORE) if len(d.source) > _WIDTH else 0
    source = d.source[cut : cut + _WIDTH].replace("\t", " ")
    source = "…" * (cut > 0) + source[cut > 0 :]  # what is cut off is not mistaken for the line
    if cut + _WIDTH < len(d.source):
        source = source[:-1] + "…"
    mark = "^" * max(1, min(last - d.span.column, cut + _WIDTH - d.span.column + 1))
    lines = [
        f"{where}: {d.code} {d.message}",
        f"{margin} | {_printable(source)}",
        f"{' ' * len(margin)} | {' ' * (d.span.column - 1 - cut)}{mark}",
    ]
    return "\n".join([*lines, f"help: {d.help}"])


_MOST_SHOWN = 60  # characters of source quoted inside a message
MOST_DIAGNOSTICS = 200


class Report:
    """Collects the refusals of one text; `quote` gives the source that a message speaks of."""

    def __init__(self, lines: list[str], path: str = "") -> None:
        self.lines, self.path = lines, path
        self.found: list[Diagnostic] = []
        self.refused = 0  # how often something was refused, shown or not

    def add(self, code: str, span: Span, message: str, remedy: str = "") -> None:
        """Note a refusal; of two at one place the first is the cause."""
        self.refused += 1
        if any(d.span[:2] == span[:2] for d in self.found):
            return
        source = self.lines[span.line - 1] if span.line <= len(self.lines) else ""
        self.found.append(Diagnostic(code, message, span, remedy, self.path, source))
        if len(self.found) == MOST_DIAGNOSTICS:
            self.found.append(Diagnostic("E409", "more errors than are shown", span, "", self.path))
            raise self.error()

    def once(self, code: str, span: Span, message: str, remedy: str) -> None:
        """Note what is wrong in one way wherever it stands: told at the first place only."""
        if any((d.code, d.message) == (code, message) for d in self.found):
            self.refused += 1
        else:
            self.add(code, span, message, remedy)

    def withdraw(self, code: str, span: Span) -> None:
        """Take back a refusal at a place of which something better is known."""
        self.found = [d for d in self.found if (d.code, d.span[:2]) != (code, span[:2])]

    def within(self, span: Span) -> bool:
        """Is anything marked inside the place?"""
        begin, end = span[:2], span[2:]
        return any(begin <= d.span[:2] and d.span[2:] <= end for d in self.found)

    def marks(self, span: Span) -> bool:
        """Is the place, or what it stands in, marked already?"""
        begin, end = span[:2], span[2:]
        return any(d.span[:2] <= begin and end <= d.span[2:] for d in self.found)

    def nested(self, span: Span) -> None:
        """Note that an expression is too deep."""
        self.add("E402", span, "nested deeper than 100 levels", "name a part of it by an equation")

    def quote(self, span: Span) -> str:
        """The source of a span on one line, clipped."""
        rows = self.lines[span.line - 1 : span.end_line]
        if len(rows) == 1:
            text = rows[0][span.column - 1 : span.end_column - 1]
        else:
            rows = [rows[0][span.column - 1 :], *rows[1:-1], rows[-1][: span.end_column - 1]]
            text = " ".join(row.partition("#")[0].strip() for row in rows)
        return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"

    def error(self) -> SourceError:
        """All refusals, in the order of their places."""
        return SourceError(tuple(sorted(self.found, key=lambda d: (d.span, d.code))))

    def check(self) -> None:
        """Raise what was found, if anything was."""
        if self.found:
            raise self.error()
