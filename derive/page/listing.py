"""Generated code to be read: coloured, cut where its comments state equations, each linked."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

_COMMENT = re.compile(r"\s*# (?P<text>.*)")
_GOES_ON = "    "  # before what continues a comment


@dataclass(frozen=True)
class Segment:
    """Lines of code under the statement that they carry out, if they carry out one."""

    note: str  # the comment; empty where there is none
    lines: tuple[Markup, ...]


@dataclass(frozen=True)
class Chunk:
    """A function or a class of a module, or what stands before the first."""

    name: str
    segments: tuple[Segment, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(s.note for s in self.segments if s.note)


def listing(source: str, notes: Mapping[str, object]) -> tuple[Chunk, ...]:
    """The module in chunks; a comment that is one of `notes` begins a segment, another ends it."""
    plain, shown = source.splitlines(), _coloured(source)
    chunks = []
    for name, first, last in _parts(source, len(plain)):
        end = next((k for k in range(last, first, -1) if plain[k - 1].strip()), first)
        segments = _segments(plain[first:end], shown[first:end], notes)
        chunks.append(Chunk(name, tuple(segments)))
    return tuple(chunks)


def _coloured(source: str) -> list[Markup]:
    """Each line by itself, as HTML with the classes of its tokens."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    lexer = PythonLexer(stripnl=False, ensurenl=True)
    made = highlight(source, lexer, HtmlFormatter(nowrap=True))
    return [Markup(line) for line in made.split("\n")]  # noqa: S704  # Pygments escapes the text


def _parts(source: str, length: int) -> Iterator[tuple[str, int, int]]:
    """Name, first line and end of each definition, with what stands before it."""
    begun, name = 0, ""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
            yield name, begun, first
            begun, name = first, node.name
    yield name, begun, length


def _segments(
    plain: Sequence[str], shown: Sequence[Markup], notes: Mapping[str, object]
) -> Iterator[Segment]:
    note, lines, margin = "", list[Markup](), 0
    k = 0
    while k < len(plain):
        text, end = _comment(plain, k)
        begins = text in notes
        ends = note and (text or _margin(plain[k]) < margin)  # at any comment, or less indented
        if begins or ends:
            if lines:
                yield Segment(note, tuple(lines))
            note, lines, margin = text if begins else "", [], _margin(plain[k])
        lines += shown[k:end]
        k = end
    if any(line.strip() for line in lines):
        yield Segment(note, tuple(lines))


def _margin(line: str) -> int:
    """How far a line is indented; an empty one, not at all."""
    return len(line) - len(line.lstrip())


def _comment(plain: Sequence[str], start: int) -> tuple[str, int]:
    """The comment that begins on a line, put together again, and the line behind it."""
    found = _COMMENT.fullmatch(plain[start])
    if not found:
        return "", start + 1
    texts, end = [found["text"]], start + 1
    while end < len(plain):
        more = _COMMENT.fullmatch(plain[end])
        if not more or not more["text"].startswith(_GOES_ON):
            break
        texts.append(more["text"].strip())
        end += 1
    return " ".join(texts), end
