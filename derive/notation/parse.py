"""Logical lines to syntax trees, by lark's LALR parser; its errors in the words of the language."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, cast

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from derive.errors import Report
from derive.notation.grow import Grower, TooDeep, clipped
from derive.notation.lines import Line
from derive.notation.mistakes import advice

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
    before = report.refused
    try:
        grown = Grower(line, report, bare).grow(_lark().parse(line.code, start=start))
    except UnexpectedInput as error:
        _explain(start, error, line, report)
    except TooDeep:
        pass
    return grown if report.refused == before else None


def _explain(start: str, error: UnexpectedInput, line: Line, report: Report) -> None:
    accepted = set(getattr(error, "accepts", None) or ())
    at, text, code, message, remedy = len(line.code.rstrip()), "", "", "", ""
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        at, text = error.token.start_pos or 0, str(error.token)
        code, message, remedy = _unexpected(error.token, accepted)
    elif isinstance(error, UnexpectedCharacters):
        at, text = cast(int, error.pos_in_stream), error.char
        code, message = "E101", f"`{text}` is not expected here"
    else:
        code, message, remedy = "E102", "the line ends too early", _expected(accepted)
    marked = at, at + max(1, len(text))
    if found := advice(start, line.code, at, text):
        code, message, remedy = found.code or code, found.message or message, found.remedy
        marked = found.marked or marked
    report.add(code, line.between(*marked), message, remedy)


def _unexpected(token: Token, accepted: set[str]) -> tuple[str, str, str]:
    text = clipped(token)
    if token.type in {"NAME", "NUMBER", "LPAR", "LSQB"} and "TIMES" in accepted:
        return "E104", f"an operator is missing before `{text}`", "write `*` between factors"
    return "E101", f"`{text}` is not expected here", _expected(accepted)


def _expected(accepted: set[str]) -> str:
    if {"NAME", "NUMBER", "LPAR"} <= accepted:
        return "a component, a number or a bracket is expected"
    words = [word for name, word in _TOKENS.items() if name in accepted]
    return f"expected: {', '.join(words)}" if words else ""
