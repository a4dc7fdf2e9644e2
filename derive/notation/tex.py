"""Papers in LaTeX, as text files in Markdown or TeX: what each display equation claims of an op."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sympy import Expr

from derive.errors import Report, SourceError, Span
from derive.notation import tree as t
from derive.notation.chains import Chain, Member, chains
from derive.notation.displays import Source, displays
from derive.notation.lines import Line
from derive.notation.nodes import Index
from derive.notation.op import Op
from derive.notation.spelling import Names
from derive.notation.statement import Statement
from derive.notation.tex_parse import parse_tex
from derive.notation.tex_statement import TexReader, foreign, is_component, mentions_tensors

MOST_CHARACTERS = 1_048_576
MOST_EQUALITIES = 2000
_ONES = re.compile(r"(?<!\w)1\[([a-z0-9,]+)\](\*?)")


@dataclass(frozen=True)
class Claim:
    """One equality of a paper. One that is `outside` speaks of what the op does not have."""

    line: int
    column: int
    source: str  # as written, on one line
    kind: str  # "equality" or "outside"
    statement: Statement | None = None
    defines: str = ""  # the tensor that stands alone on the left, if an equation defines it
    notes: tuple[str, ...] = ()

    @property
    def lhs(self) -> Expr | None:
        return self.statement and self.statement.lhs

    @property
    def rhs(self) -> Expr | None:
        return self.statement and self.statement.rhs

    @property
    def free(self) -> tuple[Index, ...]:
        return self.statement.free if self.statement else ()


def read_document(op: Op, text: str, path: str) -> list[Claim]:
    """The claims of a paper in order; `SourceError` with everything that cannot be read."""
    claims, report = survey(op, text, path)
    report.check()
    return claims


def survey(op: Op, text: str, path: str) -> tuple[list[Claim], Report]:
    """The claims that can be read, and what is refused."""
    source = Source(text.removeprefix("\ufeff").replace("\r\n", "\n"), path)
    report = Report(source.lines, path)
    if len(text) > MOST_CHARACTERS:
        report.add("E401", Span(1, 1, 1, 2), "a document of more than 1 MiB", "split it")
        raise report.error()
    claims = list(_Document(op, source, report).read())
    return sorted(claims, key=lambda claim: (claim.line, claim.column)), report


class _Document:
    def __init__(self, op: Op, source: Source, report: Report) -> None:
        self.op, self.source, self.report = op, source, report
        self.names = Names(op)
        self.count = 0

    def read(self) -> Iterator[Claim]:
        for display in displays(self.source, self.report):
            for chain in chains(self.source, display, self.report):
                yield from self._chain(chain)

    def _chain(self, chain: Chain) -> Iterator[Claim]:
        """Each member but the first is said to equal the first."""
        if len(chain.members) < 2:
            return
        self.count += len(chain.members) - 1
        if self.count > MOST_EQUALITIES:
            place = self.source.span(chain.members[0].start, chain.members[0].end)
            self.report.add("E403", place, "more than 2000 equalities", "split the document")
            raise self.report.error()
        subject, *others = ((m, self._tree(m)) for m in chain.members)
        for member, tree in others:
            if subject[1] and tree and (claim := self._claim(subject, (member, tree))):
                yield claim

    def _tree(self, member: Member) -> t.Node | None:
        first, column = self.source.place(member.start)
        code = " " * (column - 1) + member.code
        return parse_tex(Line(first, first + code.count("\n"), code), self.names, self.report)

    def _claim(
        self, left: tuple[Member, t.Node | None], right: tuple[Member, t.Node]
    ) -> Claim | None:
        assert left[1] is not None
        sides = (left[1], right[1])
        line, column = self.source.place(right[0].start)
        source = f"{_joined(left[0].code)} = {_joined(right[0].code)}"
        outside = foreign(sides, self.names, self.op)
        if not outside and not any(mentions_tensors(side, self.names) for side in sides):
            outside = ["it sets a number, and says nothing of a tensor"]
        if outside:
            return Claim(line, column, source, "outside", notes=tuple(outside))
        return self._equality(sides, Claim(line, column, source, "equality"))

    def _equality(self, sides: tuple[t.Node, t.Node], claim: Claim) -> Claim | None:
        """The claim with its statement, or None if it breaks the rules of index notation."""
        own = Report(self.source.lines, self.source.path)
        reader = TexReader(self.op, sides, self.names, own)
        try:
            statement = reader.read(claim.source)
        except SourceError:
            for d in own.found:
                self.report.add(d.code, d.span, in_tex(d.message), in_tex(d.help))
            return None
        left = sides[0]
        name = left.name if isinstance(left, t.Reference) and is_component(left) else ""
        defines = name if name in {e.name for e in self.op.equations} else ""
        return replace(claim, statement=statement, defines=defines, notes=tuple(reader.notes))


def _joined(code: str) -> str:
    """On one line, as it is written in print."""
    text = " ".join(code.split()).replace(r"\else", r"\text{otherwise}")
    return re.sub(r"&(?: &)+", "&", text)


def in_tex(text: str) -> str:
    """A message of the op language with its one-tensors as TeX writes them."""
    return _ONES.sub(_one_tensor, text)


def _one_tensor(found: re.Match[str]) -> str:
    return rf"\mathbf{{1}}_{{{found[1].replace(',', ' ')}}}" + " " * bool(found[2])
