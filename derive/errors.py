"""What is said to a user whose input is refused: a code, a place, the source line, a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


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


class DeriveError(Exception):
    """Input that is refused: an op file, an equation, an option. Ends a command with exit code 2."""


class SourceError(DeriveError):
    """Every refusal found in one text, in the order of their places."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = diagnostics
        super().__init__("\n\n".join(render(d) for d in diagnostics))


def render(diagnostic: Diagnostic) -> str:
    """The refusal as a person reads it: place, message, source line, carets, help."""
    d = diagnostic
    where = f"{d.path or '<text>'}:{d.span.line}:{d.span.column}"
    last = d.span.end_column if d.span.end_line == d.span.line else len(d.source) + 1
    margin = str(d.span.line)
    lines = [
        f"{where}: {d.code} {d.message}",
        f"{margin} | {d.source}",
        f"{' ' * len(margin)} | {' ' * (d.span.column - 1)}{'^' * max(1, last - d.span.column)}",
    ]
    return "\n".join(lines + ([f"help: {d.help}"] if d.help else []))
