"""The derivation for a terminal: Unicode, colours by role, lines that fit, the graph as a tree.

It is the text of `derive show`, line by line, with other signs: what is piped stays in the op
language, and can be read again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

from derive.notation.known import parts_of
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.notation.unicode import letter

Paint = Callable[[str, str], str]  # text and role to text with colour

_COMPONENT = r"\w+(?:\[(?:[^\[\]]|\[[^\[\]]*\])*\])?"
_TOKEN = re.compile(
    rf"(?P<operator>\bd/d\((?P<wrt>{_COMPONENT})\))|(?P<change>\bd\((?P<of>{_COMPONENT})\))"
    rf"|(?P<power>\^(?P<digits>\d+)\b)|(?P<name>[A-Za-z_]{_COMPONENT[2:]}|[A-Za-z_]\b|1\[[^\]]*\])"
    r"|(?P<sign><=|>=|==|\*| - |(?<![\w)\]-])-(?=\w))|(?P<other>.)",
    re.DOTALL,
)
_SIGNS = {"<=": "≤", ">=": "≥", "*": "·", " - ": " − ", "-": "−", "==": "="}
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_SHORT = re.compile(r"[a-z]\d?")
_REMARK = "  # "
_LEAST = 24  # columns that are always used


@dataclass(frozen=True)
class Span:
    """A piece of a line; `role` says what it is: input, output, gradient, number, plain, law."""

    text: str
    role: str = "plain"


@dataclass(frozen=True)
class Row:
    """An equation as read from a line of text; `aligned`: its left side was padded."""

    margin: int
    left: Sequence[Span]
    sign: str
    pieces: Sequence[Sequence[Span]]
    remark: Sequence[Span]
    aligned: bool

    @property
    def length(self) -> int:
        return len(self.sign) + sum(map(_length, self.pieces))


class Terminal:
    """Lines of an op's text, printed for a width."""

    def __init__(self, op: Op, width: int, paint: Paint) -> None:
        self.op, self.width, self.paint = op, max(width, _LEAST), paint
        inputs, outputs = ({c.tensor.name for c in cs} for cs in (op.inputs, op.outputs))
        self.roles: Mapping[str, str] = {
            **dict.fromkeys(op.tensors, "inner"),
            **dict.fromkeys(inputs, "input"),
            **dict.fromkeys(outputs, "output"),
            **dict.fromkeys(op.sizes, "number"),
            **{p.symbol.name: "number" for p in op.parameters},
        }

    def shown(self, text: str) -> str:
        """The text of `derive show`, the graph behind the equations."""
        lines = text.split("\n")
        head = len(list(takewhile(bool, lines)))
        equations = len(list(takewhile(bool, lines[head + 1 :])))
        cut = head + 1 + equations
        parts = [*self._head(lines[:head]), "", *self.lines(lines[head + 1 : cut])]
        parts += ["", self.paint("graph", "heading"), *self._graph(), *self.lines(lines[cut:])]
        return "\n".join(parts)

    def _head(self, lines: Sequence[str]) -> Iterator[str]:
        title = " ".join(lines[:-1]).split()
        yield from (self.paint(row, "heading") for row in _filled(title, self.width) if title)
        yield from _filled(lines[-1].split(" "), self.width)

    # -- equations --------------------------------------------------------------------------------

    def lines(self, lines: Iterable[str]) -> Iterator[str]:
        """Headings as they are, and under each its block of equations."""
        for is_block, group in groupby(lines, lambda line: line.startswith(" ")):
            if is_block:
                yield from self.block([self._row(line) for line in group])
            else:
                yield from (self._heading(line) for line in group)

    def _heading(self, line: str) -> str:
        words = "".join(s.text for s in self.spans(line))
        return self.paint(words, "heading") if line else line

    def _row(self, line: str) -> Row:
        stated, _, remark = line.partition(_REMARK)
        left, sign, right = stated.strip().partition("= ")
        margin = len(stated) - len(stated.lstrip())
        if not sign:
            left, right = "", stated.strip()
        pieces = tuple(map(tuple, map(self.spans, _terms(right))))
        aligned = left.endswith("  ")
        return Row(margin, self.spans(left.rstrip()), sign, pieces, self.spans(remark), aligned)

    def block(self, rows: Sequence[Row]) -> Iterator[str]:
        """`left = right  # remark` in columns, as far as the width allows; the rest goes below."""
        wide = max(_length(r.left) for r in rows) if any(r.aligned for r in rows) else 0
        whole = [r.margin + max(_length(r.left), wide) + 1 + r.length for r in rows]
        fits = [n + 3 + _length(r.remark) <= self.width for r, n in zip(rows, whole, strict=True)]
        told = (n for r, n, fit in zip(rows, whole, fits, strict=True) if fit and r.remark)
        column = max(told, default=0)
        for row, fit in zip(rows, fits, strict=True):
            yield from self.equation(row, wide, column, beside=fit)

    def equation(self, row: Row, wide: int, column: int, *, beside: bool) -> Iterator[str]:
        """One equation on as many rows as it needs, its remark beside it or below."""
        gap = " " * (max(wide - _length(row.left), 0) + bool(row.left and row.sign))
        first = [Span(" " * row.margin), *row.left, Span(gap + row.sign)]
        indent = min(_length(first), self.width // 3) if row.sign else row.margin + 2
        shown = _packed(first, row.pieces, self.width, indent)
        told = "".join(s.text for s in row.remark)
        if beside and told:
            column = min(column, self.width - 3 - len(told))
            gap = " " * (max(column - _length(shown[-1]), 0) + 3)
            yield self._painted(shown[0]) + gap + self.paint(told, "law")
            return
        yield from map(self._painted, shown)
        inside = _filled(told.split(" "), self.width - row.margin - 4) if told else ()
        yield from (" " * (row.margin + 4) + self.paint(line, "law") for line in inside)

    def _painted(self, row: Iterable[Span]) -> str:
        return "".join(self.paint(s.text, s.role) for s in row).rstrip()

    def spans(self, text: str) -> list[Span]:
        """The signs of mathematics for those of the op language."""
        return [span for found in _TOKEN.finditer(text) for span in self._token(found)]

    def _token(self, found: re.Match[str]) -> Iterator[Span]:
        if found["operator"]:
            yield Span("∂/∂", "gradient")
            yield self._component(found["wrt"])
        elif found["change"]:
            yield Span("∂", "gradient")
            yield self._component(found["of"])
        elif found["power"]:
            yield Span(found["digits"].translate(_RAISED))
        elif found["name"]:
            yield self._component(found["name"])
        else:
            yield Span(_SIGNS.get(found[0], found[0]))

    def _component(self, text: str) -> Span:
        """`mu[b,h]` as μ_bh, `w_in[b,h]` as it stands, `sqrt` as √."""
        name, bracket, inside = text.partition("[")
        indices = inside.removesuffix("]").split(",")
        is_gradient = name[:1] == "d" and name[1:] in self.op.tensors and name not in self.roles
        shown = f"d{letter(name[1:])}" if is_gradient else {"sqrt": "√"}.get(name, letter(name))
        role = "gradient" if is_gradient else self.roles.get(name, "plain")
        if not bracket:
            known = is_gradient or name in self.roles or name in ("sqrt", "pi")
            return Span(shown, role) if known else Span(name)
        if "_" in name or not all(map(_SHORT.fullmatch, indices)):
            return Span(f"{shown}[{inside}", role)
        return Span(f"{shown}_{''.join(indices)}", role)

    # -- graph ------------------------------------------------------------------------------------

    def _graph(self) -> Iterator[str]:
        """From each output down to the inputs; what was told once is not told again."""
        told: set[str] = set()
        for output in self.op.outputs:
            yield from self._branch(output.tensor.name, "  ", "  ", told)

    def _branch(self, name: str, first: str, later: str, told: set[str]) -> Iterator[str]:
        below = [] if name in told else self._uses(name)
        again = " …" if name in told and self._uses(name) else ""
        told.add(name)
        yield first + self.paint(letter(name), self.roles.get(name, "plain")) + again
        for k, used in enumerate(below):
            is_last = k == len(below) - 1
            signs = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
            yield from self._branch(used, later + signs[0], later + signs[1], told)

    def _uses(self, name: str) -> list[str]:
        equation = self.op.definitions.get(self.op.tensors[name].tensor)
        if equation is None:
            return []
        used = {c.tensor for c in parts_of(equation.expr, Component)}
        return [n for n, c in self.op.tensors.items() if c.tensor in used and n != name]


def _terms(text: str) -> list[str]:
    """A sum cut before each sign outside brackets, a long product before each of its factors."""
    return _cut(text, r" [-+] (?=\S)")


def _cut(text: str, pattern: str) -> list[str]:
    """The text cut before each match that stands outside all brackets."""
    pieces, depth, start = [], 0, 0
    for found in re.finditer(rf"[(\[]|[)\]]|{pattern}", text):
        depth += (found[0] in "([") - (found[0] in ")]")
        if depth == 0 and len(found[0]) == 3:
            pieces.append(text[start : found.start()])
            start = found.start()
    return [*pieces, text[start:]]


def _packed(
    first: Sequence[Span], pieces: Iterable[Sequence[Span]], width: int, indent: int
) -> list[list[Span]]:
    """Pieces in rows that fit; one that is too long by itself goes on where a factor ends."""
    rows = [list(first)]
    for piece in pieces:
        if _length(rows[-1]) + _length(piece) > width and len(rows[-1]) > len(first):
            rows.append([Span(" " * indent)])
        for cluster in _clusters(piece):
            if _length(rows[-1]) + _length(cluster) > width and _length(rows[-1]) > indent:
                rows.append([Span(" " * indent)])
            if len(rows) > 1 and len(rows[-1]) == 1:
                cluster[0] = Span(cluster[0].text.lstrip(), cluster[0].role)
            rows[-1] += cluster
    return rows


def _clusters(piece: Iterable[Span]) -> Iterator[list[Span]]:
    """What stays together: a factor with the sign behind it, a word with its space."""
    cluster: list[Span] = []
    for span in piece:
        if span.text == _SIGNS[" - "] and cluster:
            yield cluster
            cluster = []
        cluster.append(span)
        if span.text in ("·", " "):
            yield cluster
            cluster = []
    if cluster:
        yield cluster


def _length(spans: Iterable[Span]) -> int:
    return sum(len(s.text) for s in spans)


def _filled(words: Sequence[str], width: int) -> Iterator[str]:
    """Words in lines that are no longer than `width`, where words allow it."""
    line = ""
    for word in words:
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        yield line
