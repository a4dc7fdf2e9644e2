"""A display to its chains of equalities: rows, columns, words and relations told apart.

What is no mathematics (alignment, words, tags, sizes of brackets) is blanked, so that columns stay
as they were. `A = B \\\\ &= C` is one chain of three members; a row that begins with `=` continues
the chain above it in its column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from derive.errors import Report, Span
from derive.notation.displays import Display, Source
from derive.notation.lines import MOST_NESTED

_INNER = frozenset({
    *("aligned", "alignedat", "gathered", "split"),
    *("equation", "align", "alignat", "gather", "multline", "eqnarray"),
})  # fmt: skip
_RELATIONS = (  # they end a chain and make no claim
    "approx ne neq le leq ge geq ll gg in notin to rightarrow leftarrow Rightarrow Leftarrow "
    "Longrightarrow Leftrightarrow implies impliedby iff propto sim simeq cong mapsto subset "
    "subseteq forall exists mid therefore because"
)
_TOKENS = {
    "comment": r"%[^\n]*+",
    "row": r"\\\\(?:\s*\[\s*-?[\d.]+\s*[a-z]{2}\s*\])?|\\(?:newline|cr)(?![A-Za-z])",
    "environment": r"\\(?:begin|end)\s*\{(?P<name>[^{}\n]{0,40})\}(?:\[[tbc]\])?",
    "words": r"\\(?:text(?:rm|bf|it|sf|normal)?|mbox|intertext|shortintertext)\s*(?=\{)",
    "dropped": r"\\(?:tag\*?|label|[hv]space\*?|color)\s*(?=\{)",
    "boxed": r"\\boxed\s*\{",
    "sizing": r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])\s*\.?",
    "equal": r":?=|\\(?:equiv|triangleq|coloneqq?|eqqcolon)(?![A-Za-z])"
    r"|\\(?:stackrel|overset|underset)\s*\{(?:[^{}]|\{[^{}]*+\})*+\}\s*\{\s*:?=\s*\}",
    "other": rf"\\(?:{_RELATIONS.replace(' ', '|')})(?![A-Za-z])|[<>]",
    "gap": r"\\q?quad(?![A-Za-z])",
    "opens": r"\\\{|[{(\[]",
    "closes": r"\\\}|[})\]]",
    "column": r"(?:\{\s*\}\s*)?&(?:\s*\{\s*\})?",
    "macro": r"\\[A-Za-z]+|\\.",
    "comma": r"[,;]|\.(?!\d)",
}
_TOKEN = re.compile("|".join(f"(?P<{k}>{v})" for k, v in _TOKENS.items()), re.DOTALL)
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_CASES = "\\begin{cases}"
_IF = re.compile(r"\{\s*,?\s*(?:if|for|when|where|wherever)\s*:?\s*\}")
_ELSE = re.compile(r"\{\s*,?\s*(?:otherwise|else(?:where)?)\s*[.,;]?\s*\}")
_PARTNER = {")": "(", "]": "[", "}": "{", "\\}": "\\{"}
_CONTINUES = re.compile(r"\s*(?:[-+*/]|\\(?:cdot|times|odot)(?![A-Za-z]))")
_AWAITS = re.compile(r"(?:[-+*/]|\\(?:cdot|times|odot))\s*\Z")


@dataclass
class Member:
    """A side of an equality: offsets in the source, and its text with all else blanked."""

    start: int
    end: int
    code: str


@dataclass
class Chain:
    """`A = B = …`; its first member is what the others are said to equal."""

    members: list[Member]


@dataclass
class _Piece:
    """What stands between two relations, breaks or ends of rows; offsets count in the display."""

    before: str
    column: int
    start: int
    end: int = 0
    sign: str = ""


class _Stop(Exception):
    """Ends the reading of a display; the report tells why."""


def chains(source: Source, display: Display, report: Report) -> list[Chain]:
    """The chains of a display, none if it is refused."""
    try:
        scanner = _Scanner(source, display, report)
        scanner.scan()
        return _Assembler(source, display, "".join(scanner.code), report).run(scanner.pieces)
    except _Stop:
        return []


@dataclass
class _Scanner:
    """One pass over a display: `code` is its text with the frame blanked, cut into `pieces`."""

    source: Source
    display: Display
    report: Report
    code: list[str] = field(init=False)
    pieces: list[_Piece] = field(init=False)
    stack: list[tuple[str, int]] = field(default_factory=list)
    boxes: int = 0
    lefts: int = 0
    columns: int = 0

    def __post_init__(self) -> None:
        self.text = self.source.text[self.display.start : self.display.end]
        self.code = list(self.text)
        self.pieces = [_Piece("row", 0, 0)]

    def scan(self) -> None:
        at = self._argument_of_alignat()
        while match := _TOKEN.search(self.text, at):
            at = match.end()
            if match.lastgroup and match.lastgroup != "macro":
                at = getattr(self, f"_{match.lastgroup}")(match, at) or at
        if self.stack:
            self._refuse_bracket(*self.stack[-1], "is never closed")
        if self.lefts:
            self._refuse("E103", 0, 1, "this display has a `\\left` without its `\\right`")
        self.pieces[-1].end = len(self.text)

    def _argument_of_alignat(self) -> int:
        found = re.match(r"\s*\{\s*\d+\s*\}", self.text)
        if found is None or not self.display.environment.startswith("alignat"):
            return 0
        return self._blank(0, found.end())

    def _blank(self, start: int, end: int) -> int:
        for k in range(start, end):
            if self.code[k] != "\n":
                self.code[k] = " "
        return end

    def _cut(self, match: re.Match[str], kind: str) -> None:
        self.pieces[-1].end = match.start()
        column = 0 if kind == "row" else self.columns // 2
        self.pieces.append(_Piece(kind, column, match.end(), sign=match[0].strip()))

    # -- a method for each kind of token; it returns where to go on, if not behind the token -------

    def _comment(self, match: re.Match[str], at: int) -> None:
        self._blank(*match.span())

    def _write(self, start: int, end: int, sign: str) -> None:
        """Put a sign where something stood, and blanks behind it."""
        self._blank(start, end)
        self.code[start : start + len(sign)] = sign

    @property
    def _in_cases(self) -> bool:
        """Do rows and columns here part cases?"""
        return bool(self.stack) and self.stack[-1][0] == _CASES

    def _row(self, match: re.Match[str], at: int) -> None:
        self._blank(*match.span())
        if self._in_cases:
            self._write(*match.span(), "\\\\")
        elif not self.stack:
            self.columns = 0
            self._cut(match, "row")

    def _environment(self, match: re.Match[str], at: int) -> int:
        name = match["name"].strip().rstrip("*")
        if name in ("cases", "dcases"):
            return self._case_rows(match, at)
        if name not in _INNER:
            message = f"the environment `{match['name']}` is not read"
            self._refuse("E701", *match.span(), message, self._remedy(name))
        self._blank(*match.span())
        found = re.compile(r"\s*\{\s*\d+\s*\}").match(self.text, at)
        return self._blank(*found.span()) if found and name == "alignedat" else at

    def _remedy(self, name: str) -> str:
        cases = name == "array" and "\\right." in self.text
        return r"write `\begin{cases}`" if cases else "write equations, row by row"

    def _case_rows(self, match: re.Match[str], at: int) -> int:
        """Cases are one factor: what they hold is left to the grammar."""
        if match[0].startswith("\\end"):
            if not self._in_cases:
                self._refuse_bracket("\\end{cases}", match.start(), "closes nothing")
            self.stack.pop()
        else:
            self._push(_CASES, match)
        return at

    def _words(self, match: re.Match[str], at: int) -> int:
        end = self._group_end(at)
        if self._in_cases:
            sign = "&" if _IF.match(self.text, at) else "\\else"
            if sign == "&" or _ELSE.match(self.text, at):
                self._write(match.start(), end, sign)
        elif not self.stack:
            self._blank(match.start(), end)
            self._cut(match, "words")
            self.pieces[-1].start = end
        return end

    def _dropped(self, match: re.Match[str], at: int) -> int:
        return self._blank(match.start(), self._group_end(at))

    def _boxed(self, match: re.Match[str], at: int) -> None:
        if self.stack:
            self._refuse("E701", *match.span(), "a box stands around an equation, not inside")
        self._blank(*match.span())
        self.boxes += 1

    def _sizing(self, match: re.Match[str], at: int) -> None:
        self.lefts += match[0].startswith("\\left") - match[0].startswith("\\right")
        if self.lefts < 0:
            self._refuse("E103", *match.span(), "this `\\right` has no `\\left`")
        self._blank(*match.span())

    def _equal(self, match: re.Match[str], at: int) -> None:
        if not self.stack:
            self._cut(match, "equal")

    def _other(self, match: re.Match[str], at: int) -> None:
        if not self.stack:
            self._cut(match, "other")

    def _gap(self, match: re.Match[str], at: int) -> None:
        self._blank(*match.span())
        if not self.stack:
            self._cut(match, "gap")

    def _comma(self, match: re.Match[str], at: int) -> None:
        if not self.stack or self._in_cases:
            self._blank(*match.span())
        if not self.stack:
            self._cut(match, "comma")

    def _column(self, match: re.Match[str], at: int) -> None:
        self._blank(*match.span())
        if self._in_cases:
            self._write(*match.span(), "&")
        elif not self.stack and not self.display.environment.startswith("eqnarray"):
            self.columns += 1
            if self.columns % 2 == 0:
                self._cut(match, "column")

    def _opens(self, match: re.Match[str], at: int) -> None:
        self._push(match[0], match)

    def _push(self, bracket: str, match: re.Match[str]) -> None:
        self.stack.append((bracket, match.start()))
        if len(self.stack) > MOST_NESTED:
            self.report.nested(self._span(*match.span()))
            raise _Stop

    def _closes(self, match: re.Match[str], at: int) -> None:
        if match[0] == "}" and not self.stack and self.boxes:
            self.boxes -= 1
            self._blank(*match.span())
        elif not self.stack or self.stack.pop()[0] != _PARTNER[match[0]]:
            self._refuse_bracket(match[0], match.start(), "closes nothing")

    # -- helpers -----------------------------------------------------------------------------------

    def _group_end(self, at: int) -> int:
        """Behind the brace that closes the one at `at`."""
        depth = 0
        for match in _BRACE.finditer(self.text, at):
            depth += {"{": 1, "}": -1}.get(match[0], 0)
            if depth == 0:
                return match.end()
        self._refuse_bracket("{", at, "is never closed")
        raise AssertionError

    def _span(self, start: int, end: int) -> Span:
        return self.source.span(self.display.start + start, self.display.start + end)

    def _refuse(self, code: str, start: int, end: int, message: str, remedy: str = "") -> None:
        self.report.add(code, self._span(start, end), message, remedy)
        raise _Stop

    def _refuse_bracket(self, bracket: str, at: int, what: str) -> None:
        self._refuse("E103", at, at + 1, f"the bracket `{bracket}` {what}", "mend the brackets")


@dataclass
class _Assembler:
    """Pieces to chains: what continues which."""

    source: Source
    display: Display
    code: str
    report: Report
    chains: list[Chain] = field(default_factory=list)
    open: dict[int, Chain] = field(default_factory=dict)  # by column
    waiting: int = 0  # the row above ended with `=`: the place behind it

    def run(self, pieces: list[_Piece]) -> list[Chain]:
        for k, piece in enumerate(pieces):
            after = pieces[k + 1].before if k + 1 < len(pieces) else ""
            self._take(piece, after)
        if self.waiting:
            place = self.source.span(self.waiting, self.waiting + 1)
            self.report.add("E102", place, "the equation ends too early", "write its right side")
        return self.chains

    def _take(self, piece: _Piece, after: str) -> None:
        blank = not self.code[piece.start : piece.end].strip()
        if piece.before == "equal":
            self._equal(piece, blank)
        elif blank:
            return
        elif self.waiting:
            self.waiting = 0
            self._append(piece)
        elif self._continues(piece, after):
            self._extend(piece)
        else:
            self.open[piece.column] = Chain([self._member(piece)])
            self.chains.append(self.open[piece.column])

    def _equal(self, piece: _Piece, blank: bool) -> None:
        if piece.column not in self.open or self.waiting:
            start = self.display.start + piece.start - len(piece.sign)
            place = self.source.span(start, start + len(piece.sign))
            message = "this equality has no left side, and continues none above it"
            self.report.add("E704", place, message, "write its left side")
            raise _Stop
        self.waiting = self.display.start + piece.start if blank else 0
        if not blank:
            self._append(piece)

    def _append(self, piece: _Piece) -> None:
        if piece.column in self.open:
            self.open[piece.column].members.append(self._member(piece))

    def _continues(self, piece: _Piece, after: str) -> bool:
        """Is this the rest of the member above: a broken line, or what stands behind a gap?"""
        if piece.column not in self.open:
            return False
        if piece.before == "gap":
            return after != "equal"
        above = self.open[piece.column].members
        broken = _CONTINUES.match(self.code, piece.start) or _AWAITS.search(above[-1].code)
        return piece.before == "row" and len(above) > 1 and bool(broken)

    def _extend(self, piece: _Piece) -> None:
        members, more = self.open[piece.column].members, self._member(piece)
        between = re.sub(r"[^\n]", " ", self.source.text[members[-1].end : more.start])
        code = members[-1].code + between + more.code
        members[-1] = Member(members[-1].start, more.end, code)

    def _member(self, piece: _Piece) -> Member:
        text = self.code[piece.start : piece.end]
        start = piece.start + len(text) - len(text.lstrip())
        end = piece.start + len(text.rstrip())
        base = self.display.start
        return Member(base + start, base + end, self.code[start:end])
