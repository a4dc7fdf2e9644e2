"""Sides of equalities in LaTeX to syntax trees; errors in the words of TeX."""

from __future__ import annotations

from functools import cache
from importlib import resources

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from derive.errors import Report, Span
from derive.notation import tree as t
from derive.notation.grow import TooDeep, clipped
from derive.notation.lines import Line
from derive.notation.spelling import MACROS, Names, function
from derive.notation.tex_grow import TexGrower

MOST_CHARACTERS = 16_384  # of one side: each may be a name of its own
_ARGUMENT = {"LBRACE", "LSQB", "LETTER", "MACRO"}


@cache
def _lark() -> Lark:
    grammar = resources.files("derive.notation").joinpath("tex.lark").read_text("utf-8")
    return Lark(
        grammar,
        parser="lalr",
        lexer="basic",
        start="expression",
        propagate_positions=True,
        maybe_placeholders=False,
    )


def parse_tex(line: Line, names: Names, report: Report) -> t.Node | None:
    """The tree of one side, or None if it is refused."""
    before = len(report.found)
    if len(line.code) - line.span.column >= MOST_CHARACTERS:
        report.add("E401", line.span, "a side of more than 16 KiB", "name parts of it")
        return None
    node: t.Node | None = None
    try:
        node = TexGrower(line, report, names).grow(_lark().parse(line.code))
    except UnexpectedInput as error:
        _explain(error, line, report)
    except TooDeep:
        pass
    return node if len(report.found) == before else None


def _explain(error: UnexpectedInput, line: Line, report: Report) -> None:
    if isinstance(error, UnexpectedCharacters):
        at = line.first + error.line - 1
        place = Span(at, error.column, at, error.column + 1)
        report.add("E106", place, f"`{error.char}` is not read here", "write it as a LaTeX macro")
        return
    accepted = set(getattr(error, "accepts", None) or ())
    token = error.token if isinstance(error, UnexpectedToken) else Token("$END", "")
    place = line.end if token.type == "$END" else line.place(token)
    if accepted and accepted <= _ARGUMENT:
        message = "an argument in braces is missing"
        report.add("E702", place, message, r"write `\frac{…}{…}`, `\sqrt{…}`")
    elif token.type in ("NEXT", "END_CASES"):
        remedy = r"write `value & condition`, or `value & \text{otherwise}`"
        report.add("E102", place, "a case ends too early", remedy)
    elif token.type == "$END":
        report.add("E102", place, "the equation ends too early", "")
    elif token.type == "MACRO" and token[1:] not in MACROS and not function(token[1:]):
        report.add("E701", place, f"the macro `{clipped(token)}` is not known", "")
    else:
        report.add("E101", place, f"`{clipped(token)}` is not expected here", "")
