"""Subscripts in LaTeX to indices: one way to read them, or a refusal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from lark import Token

from derive.errors import Report, Span
from derive.notation import tree as t
from derive.notation.grow import Child, Grower, clipped
from derive.notation.lines import Line
from derive.notation.spelling import Names
from derive.notation.tex_parts import Below


class Subscripts(Grower):
    """Reads the indices of components."""

    def __init__(self, line: Line, report: Report, names: Names) -> None:
        super().__init__(line, report, names.bare)
        self.names = names

    def _add(self, code: str, span: Span, message: str, remedy: str = "") -> t.Node:
        self.report.add(code, span, message, remedy)
        return t.Number(span, Fraction(0))

    def _unclear(self, span: Span, message: str, remedy: str = "write brackets") -> t.Node:
        return self._add("E705", span, message, remedy)

    def _below(self, span: Span, children: list[Child]) -> Below:
        end = self._behind(span)
        if len(children) == 1 and children[0].type == "LETTER" and end.isalnum():
            message = f"TeX sets only `{children[0]}` below the line"
            if self.report.quote(span).lstrip("_ ")[:1] != "{":
                self._add("E703", span, message, f"write `_{{{children[0]} {end}}}`, with braces")
        return Below(span, tuple(children))

    def _behind(self, span: Span) -> str:
        """The character right behind a span."""
        line = self.report.lines[span.end_line - 1]
        return line[span.end_column - 1 : span.end_column]

    def _indices(self, below: Below | None, count: int | None) -> tuple[t.Letter, ...]:
        """The letters of a subscript; one way to read them, or a refusal."""
        tokens = list(below.tokens) if below else []
        for token in tokens:
            if token.type in ("MACRO", "WORD", "EQUAL") or token.isupper():
                remedy = "an index is a small letter, with digits if need be: `h`, `i1`"
                self._add("E111", self.line.place(token), f"`{clipped(token)}` is no index", remedy)
                return ()
        runs = _runs(tokens)
        texts = tuple("".join(run) for run in runs)
        ways = self.names.readings(texts, count) or self.names.readings(texts, None)
        if below and len(ways) > 1:
            one, other = (" ".join(way) for way in ways)
            message = f"these indices can be `{one}` or `{other}`"
            self._add("E703", below.span, message, "write spaces between them")
        elif below and not ways:
            self._add("E111", below.span, "this is no list of indices", "write `x_{b h}`")
        return self._lettered(runs, ways[0] if ways else ())

    def _lettered(self, runs: list[list[Token]], names: Iterable[str]) -> tuple[t.Letter, ...]:
        """Indices with their places, found again by length."""
        columns = [
            (self.line.place(token), at)
            for run in runs
            for token in run
            for at in range(len(token))
        ]
        letters, k = [], 0
        for name in names:
            place, at = columns[k]
            column = place.column + at
            letters.append(t.Letter(Span(place.line, column, place.line, column + len(name)), name))
            k += len(name)
        return tuple(letters)


def from_one(below: Below) -> Below:
    """`h=1` names the index `h`."""
    letters, _, start = " ".join(below.tokens).partition("=")
    if start.strip() != "1" or len(letters.split()) != 1:
        return below
    return replace(below, tokens=below.tokens[:1])


def _runs(tokens: list[Token]) -> list[list[Token]]:
    """Letters and digits that stand together; spaces and commas part them."""
    runs: list[list[Token]] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "COMMA":
            continue
        apart = before is None or before.type == "COMMA" or before.end_pos != token.start_pos
        if apart:
            runs.append([token])
        else:
            runs[-1].append(token)
    return runs
