"""Op files to ops: what is defined, in which order, with which sizes; all errors in one run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from sympy.core.parameters import distribute

from derive.errors import Report, Span
from derive.notation import tree as t
from derive.notation.build import Builder, Labour, Refused
from derive.notation.grow import clipped
from derive.notation.lines import Line, logical, physical
from derive.notation.merged import unmerged
from derive.notation.op import Equation, Extent, Op, Parameter
from derive.notation.parse import parse
from derive.notation.relation import Unsolvable, solved
from derive.notation.resolve import Resolver
from derive.notation.scope import Scope
from derive.notation.statement import Statement, read_equation

__all__ = ["Statement", "read_equation", "read_ops"]

MOST_BYTES = 65_536
MOST_EQUATIONS = 200
_LIKE_A_HEAD = re.compile(r"\s*(\w+)\s+\w+\s*\(.*->")
_HEAD = re.compile(r"\s*op\b(?!\s*[\[=])")
_SOLVE = re.compile(r"\s*solve\b(?!\s*[\[=])")
_BEGIN = "begin with `op name(x[b,h]) -> y[b,h]`"


def read_ops(text: str, path: str = "") -> tuple[Op, ...]:
    """The ops of a file in its order; `SourceError` with every refusal found."""
    lines = physical(text)
    report = Report(lines, path)
    start = Span(1, 1, 1, 2)
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        report.add("E401", start, "a file of more than 64 KiB", "split it into several files")
        raise report.error()
    blocks = _blocks(logical(lines, report), report)
    if not blocks and not report.found:
        report.add("E109", start, "there is no op in this file", _BEGIN)
    labour = Labour()
    readers = [_Reader(block, lines, report).read(labour) for block in blocks]
    _refuse_same(readers, report)
    report.check()
    return tuple(reader.op for reader in readers if reader.op)


@dataclass
class _Block:
    """The logical lines of one op."""

    head: Line
    equations: list[Line] = field(default_factory=list)


def _blocks(lines: Iterable[Line], report: Report) -> list[_Block]:
    blocks: list[_Block] = []
    for line in lines:
        if _HEAD.match(line.code):
            blocks.append(_Block(line))
        elif match := _LIKE_A_HEAD.match(line.code):
            remedy = f"write `op` for `{match[1]}`"
            message = f"`{clipped(match[1])}` begins no op"
            report.add("E101", line.between(*match.span(1)), message, remedy)
            blocks.append(_Block(replace(line, good=False)))
        elif blocks:
            blocks[-1].equations.append(line)
        else:
            report.once("E108", line.span, "this line stands above the first `op`", _BEGIN)
    return blocks


def _no_equation(line: Line) -> str:
    """What to do with a line that has no `=`."""
    text = line.text
    if text.startswith(("return", "import", "from", "end", "pass", "print", '"', "//", "%")):
        return "remove it: the header names the outputs, and equations are all else there is"
    if re.match(r"[-+*/^)\]]|\d", text) or line.code.lstrip("\n")[:1].isspace():
        return "put brackets around an expression that goes on in the next line"
    if re.match(r"(for|if|while|else|with)\b", text):
        return "write `where(a > 0, u, v)` for a choice; an index stands for all its values"
    return "write `name[i] = …`"


def _bare(head: t.Head) -> dict[str, bool]:
    """The names without indices; integers index, unless the header has an index of this name."""
    letters = {
        k.name for d in (*head.inputs, *head.outputs) for k in (*d.letters, *(d.values or ()))
    }
    tensors = [d for d in head.inputs if not d.letters]
    found = {d.name: d.values is not None and d.name not in letters for d in tensors}
    return {p.name: False for p in head.parameters} | found


def _taken_apart(e: t.Equality, shapes: dict[str, t.Declaration], report: Report) -> t.Equality:
    left = None if e.left is None else unmerged(e.left, shapes, report)
    return replace(e, right=unmerged(e.right, shapes, report), left=left)


def _refuse_same(readers: Iterable[_Reader], report: Report) -> None:
    """Op names are file names too, so they differ in more than capitals."""
    seen: set[str] = set()
    for head in (reader.head for reader in readers if reader.head):
        if head.name.lower() in seen:
            message = f"a second op is called `{head.name}`"
            report.add("E211", head.name_span, message, f"call it `{head.name}2`")
        seen.add(head.name.lower())


class _Reader:
    """Reads one op, noting what it refuses; `op` is None if there was anything."""

    def __init__(self, block: _Block, lines: list[str], report: Report) -> None:
        self.block, self.lines, self.report = block, lines, report
        self.op: Op | None = None
        self.head: t.Head | None = None
        self.bare: dict[str, bool] = {}  # names without indices; do they hold integers?

    def read(self, labour: Labour) -> _Reader:
        found = self.report.refused
        self.head = parse("head", self.block.head, self.report)
        if self.head:
            self.bare = _bare(self.head)
        parsed: list[tuple[Line, t.Equality | None]] = []
        for line in self._within_limit():
            follows = bool(parsed) and parsed[-1][1] is None
            parsed.append((line, equation := self._parse(line, follows)))
            self._count(equation)
        if self.head:
            kept = [(line, e) for line, e in self._unmerged(self.head, parsed) if e]
            lost = [name for line, e in parsed if not e for name in line.defines]
            resolver = Resolver(self.head, [e for _, e in kept], self.report).resolve(lost)
            if self.report.refused == found and len(kept) == len(parsed):
                self._build(self.head, resolver, [line.text for line, _ in kept], labour)
        return self

    def _unmerged(
        self, head: t.Head, parsed: list[tuple[Line, t.Equality | None]]
    ) -> list[tuple[Line, t.Equality | None]]:
        """The equations with a place for each index of an axis that shows several."""
        defined = [e.target for _, e in parsed if e]
        shapes = {d.name: d for d in (*head.inputs, *defined) if d.groups}
        if not shapes:
            return parsed
        return [(line, e and _taken_apart(e, shapes, self.report)) for line, e in parsed]

    def _within_limit(self) -> list[Line]:
        lines = self.block.equations
        if len(lines) > MOST_EQUATIONS:
            message = "an op of more than 200 equations"
            self.report.add("E403", lines[MOST_EQUATIONS].span, message, "split it into several")
        return lines[:MOST_EQUATIONS]

    def _parse(self, line: Line, follows: bool) -> t.Equality | None:
        """The equation of a line; one that `follows` a line that is refused may belong to it."""
        if line.good and _SOLVE.match(line.code):
            solved: t.Equality | None = parse("implicit", line, self.report, self.bare)
            return solved
        if line.good and "=" not in line.code:
            if not follows:
                self.report.add("E113", line.span, "this is no equation", _no_equation(line))
            return None
        found: t.Equality | None = parse("equation", line, self.report, self.bare)
        return found

    def _count(self, equation: t.Equality | None) -> None:
        """A tensor without indices is a number in the conditions of later equations."""
        if equation and not equation.target.letters:
            self.bare.setdefault(equation.target.name, False)

    def _build(self, head: t.Head, resolver: Resolver, texts: list[str], labour: Labour) -> None:
        with distribute(False):
            made = list(self._equations(resolver, texts, labour))
        if len(made) == len(texts):
            self.op = self._op(head, resolver.scope, made)

    def _equations(
        self, resolver: Resolver, texts: list[str], labour: Labour
    ) -> Iterator[Equation]:
        """Those that are not refused."""
        scope, letters = resolver.scope, resolver.scope.sizes.indices()
        found = zip(texts, resolver.equations, resolver.placed, self.block.equations, strict=False)
        for text, e, placed, line in found:
            target = scope.component(e.target)
            try:
                builder = Builder(scope, letters, placed, self.report)
                sides = [builder.whole(side, labour) for side in e.sides]
                free = tuple(letters[k] for k in placed.free)
                expr = sides[0] if e.left is None else solved(target, sides[0], sides[1], free)
            except Refused:
                continue
            except Unsolvable as fault:
                self.report.add("E504", e.target.span, str(fault), fault.remedy)
                continue
            yield Equation(target, expr, text, line.span, self.lines[line.span.line - 1])

    def _op(self, head: t.Head, scope: Scope, equations: Iterable[Equation]) -> Op:
        letters = scope.sizes.indices()
        numbers = [p for p in head.parameters if p.name in scope.scalars]
        sizes = [p for p in head.parameters if p.name not in scope.scalars]
        return Op(
            name=head.name,
            inputs=tuple(map(scope.component, head.inputs)),
            parameters=tuple(Parameter(scope.scalars[p.name], p.value, p.text) for p in numbers),
            extents=tuple(Extent(letters[p.name.lower()].size, int(p.value)) for p in sizes),
            outputs=tuple(map(scope.component, head.outputs)),
            equations=tuple(equations),
            letters=tuple(letters.values()),
            title=self._title(),
            header=self.block.head.text,
            text=self._text(),
            path=self.report.path,
        )

    # -- the source, for what is printed -----------------------------------------------------------

    def _first_line(self) -> int:
        """The first line of the comment block right above the head, or the head's own."""
        first = self.block.head.first
        while first > 1 and self.lines[first - 2].lstrip().startswith("#"):
            first -= 1
        return first

    def _title(self) -> tuple[str, ...]:
        above = self.lines[self._first_line() - 1 : self.block.head.first - 1]
        return tuple(line.strip().removeprefix("#").strip().replace("\t", " ") for line in above)

    def _text(self) -> str:
        last = (self.block.equations or [self.block.head])[-1].last
        return "\n".join([*self.lines[self._first_line() - 1 : last], ""])
