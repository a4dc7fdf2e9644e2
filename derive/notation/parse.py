"""Logical lines to syntax trees, by lark's LALR parser; its errors in the words of the language."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from derive.errors import Report, Span
from derive.notation.grow import Grower, TooDeep, clipped
from derive.notation.lines import Line

_STARTS = ("head", "equation", "implicit", "statement")
_TOKENS = {  # how the tokens of the grammar are called in a message
    "NAME": "a name", "NUMBER": "a number", "EQUAL": "`=`", "LPAR": "`(`", "RPAR": "`)`",
    "LSQB": "`[`", "RSQB": "`]`", "COMMA": "`,`", "SEMICOLON": "`;`", "TIMES": "`*`",
    "SIGN": "`+`", "POWER": "`^`", "_ARROW": "`->`", "$END": "the end of the line",
}  # fmt: skip


@cache
def _lark() -> Lark:
    grammar = resources.files("derive.notation").joinpath("grammar.lark").read_text("utf-8")
    return Lark(
        grammar,
        parser="lalr",
        lexer="basic",
        start=list(_STARTS),
        propagate_positions=True,
        maybe_placeholders=False,
    )


def parse(start: str, line: Line, report: Report, bare: Mapping[str, bool] | None = None) -> Any:
    """The tree of a logical line (a Head, an Equality, a pair of sides), or None if refused.

    `bare` are the names that stand without indices, each with whether it holds integers.
    """
    if not line.good:
        return None
    before = len(report.found)
    try:
        grown = Grower(line, report, bare).grow(_lark().parse(line.code, start=start))
    except UnexpectedInput as error:
        _explain(error, line, report)
    except TooDeep:
        pass
    return grown if len(report.found) == before else None


def _explain(error: UnexpectedInput, line: Line, report: Report) -> None:
    accepted = set(getattr(error, "accepts", None) or ())
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        _unexpected(error.token, accepted, line.place(error.token), report)
    elif isinstance(error, UnexpectedCharacters):
        at = line.first + error.line - 1
        place = Span(at, error.column, at, error.column + 1)
        report.add("E101", place, f"`{error.char}` is not expected here")
    else:
        report.add("E102", line.end, "the line ends too early", _expected(accepted))


def _unexpected(token: Token, accepted: set[str], place: Span, report: Report) -> None:
    text = clipped(token)
    if token.type in {"NAME", "NUMBER", "LPAR", "LSQB"} and "TIMES" in accepted:
        message = f"an operator is missing before `{text}`"
        report.add("E104", place, message, "write `*` between factors")
    elif token.type == "EQUAL":
        report.add("E101", place, "`=` is not expected here", "an equation has one `=`")
    else:
        report.add("E101", place, f"`{text}` is not expected here", _expected(accepted))


def _expected(accepted: set[str]) -> str:
    if {"NAME", "NUMBER", "LPAR"} <= accepted:
        return "a component, a number or a bracket is expected"
    words = [word for name, word in _TOKENS.items() if name in accepted]
    return f"expected: {', '.join(words)}" if words else ""
