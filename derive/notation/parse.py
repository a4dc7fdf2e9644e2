"""Logical lines to syntax trees, by lark's LALR parser; every refusal gets a place and a remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache
from importlib import resources
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from derive.errors import Report, Span
from derive.notation import tree as t
from derive.notation.lines import MOST_NESTED, Line

MOST_DIGITS, MOST_DECIMAL_EXPONENT = 40, 400
_INDEX = re.compile(r"[a-z][a-z0-9]*")
_ZERO = Fraction(0)


@cache
def _lark() -> Lark:
    grammar = resources.files("derive.notation").joinpath("grammar.lark").read_text("utf-8")
    starts = ["head", "equation", "statement"]
    return Lark(grammar, parser="lalr", lexer="basic", start=starts, propagate_positions=True,
                maybe_placeholders=False)  # fmt: skip


def parse(start: str, line: Line, report: Report) -> Any:
    """The tree of a logical line (a Head, an Equality, a pair of sides), or None if refused."""
    try:
        parsed = _lark().parse(line.code, start=start)
    except UnexpectedInput as error:
        _explain(error, line, report)
        return None
    before = len(report.found)
    try:
        read = _Builder(line, report).build(parsed)
    except _TooDeep:
        return None
    return read if len(report.found) == before else None


def _explain(error: UnexpectedInput, line: Line, report: Report) -> None:
    """lark's error in the words of the language."""
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        report.add(*_unexpected(error.token, _token_span(error.token, line), set(error.accepts or ())))
    elif isinstance(error, UnexpectedCharacters):
        place = Span(line.first + error.line - 1, error.column, line.first + error.line - 1, error.column + 1)
        report.add("E101", place, f"`{error.char}` is not expected here")
    else:
        report.add("E102", _end(line), "the line ends too early", _expected(set(getattr(error, "accepts", None) or ())))


def _unexpected(token: Token, span: Span, accepts: set[str]) -> tuple[str, Span, str, str]:
    if token.type in {"NAME", "NUMBER", "LPAR", "LSQB"} and "TIMES" in accepts:
        return "E104", span, f"an operator is missing before `{_clip(token)}`", "write `*` between factors"
    if token.type == "EQUAL":
        return "E101", span, "`=` is not expected here", "an equation has one `=`; compare with `==`"
    return "E101", span, f"`{_clip(token)}` is not expected here", _expected(accepts)


def _clip(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"


_TOKENS = {
    "NAME": "a name", "NUMBER": "a number", "EQUAL": "`=`", "LPAR": "`(`", "RPAR": "`)`", "LSQB": "`[`",
    "RSQB": "`]`", "COMMA": "`,`", "COLON": "", "SEMICOLON": "`;`", "TIMES": "`*`", "SIGN": "`+`",
    "POWER": "`^`", "COMPARE": "", "__ANON_0": "`->`", "$END": "the end of the line",
}  # fmt: skip


def _expected(accepts: set[str]) -> str:
    if {"NAME", "NUMBER", "LPAR"} <= accepts:
        return "a component, a number or a bracket is expected"
    words = [word for name, word in _TOKENS.items() if name in accepts and word]
    return f"expected: {', '.join(words)}" if words else ""


def _end(line: Line) -> Span:
    rows = line.code.rstrip().split("\n")
    last = line.first + len(rows) - 1
    return Span(last, len(rows[-1]) + 1, last, len(rows[-1]) + 2)


def _token_span(token: Token, line: Line) -> Span:
    first, column = token.line or 1, token.column or 1
    shift = line.first - 1
    return Span(first + shift, column, (token.end_line or first) + shift, token.end_column or column + 1)


Child = Any  # a lark Token, or what a rule below made of a subtree


class _Builder:
    """One method a rule of the grammar, called from the leaves up, so that no input is too deep."""

    def __init__(self, line: Line, report: Report) -> None:
        self.line, self.report = line, report

    def build(self, parsed: Tree[Token]) -> Any:
        made: dict[int, Any] = {}
        for sub in parsed.iter_subtrees():
            children = [made[id(c)] if isinstance(c, Tree) else c for c in sub.children]
            rule: Callable[[Span, list[Child]], Any] = getattr(self, f"_{sub.data}")
            made[id(sub)] = rule(self._place(sub.meta), children)
        return made[id(parsed)]

    def _place(self, meta: Any) -> Span:
        if meta.empty:
            return _end(self.line)
        shift = self.line.first - 1
        return Span(meta.line + shift, meta.column, meta.end_line + shift, meta.end_column)

    def _span(self, token: Token) -> Span:
        return _token_span(token, self.line)

    # -- expressions ---------------------------------------------------------------------------

    def _number(self, span: Span, children: list[Child]) -> t.Node:
        if len(children) == 1:
            return t.Number(span, self._value(children[0]))
        letters = self._letters(children[1])
        if children[0] != "1":
            self.report.add("E110", span, f"only the one-tensor `1[…]` carries indices, not `{_clip(children[0])}`",
                            f"write `{_clip(children[0])} * 1[…]`")
        if not letters:
            self.report.add("E306", span, "a one-tensor has at least one index", "write `1`")
        return t.Ones(span, letters)

    def _value(self, token: Token) -> Fraction:
        mantissa, _, exponent = token.lower().partition("e")
        digits = sum(c.isdigit() for c in mantissa)
        power = exponent.lstrip("+-").lstrip("0")
        if digits > MOST_DIGITS:
            self.report.add("E405", self._span(token), f"a number of {digits} digits", "40 digits at most")
            return _ZERO
        if len(power) > 3 or int(power or 0) > MOST_DECIMAL_EXPONENT:
            self.report.add("E405", self._span(token), "the decimal exponent of this number is too large",
                            "400 at most")
            return _ZERO
        return Fraction(str(token))

    def _reference(self, span: Span, children: list[Child]) -> t.Node:
        name = children[0]
        letters = self._letters(children[1]) if len(children) == 2 else ()
        if len(children) == 2 and not letters:
            self.report.add("E306", span, f"`{name}[]` carries no index",
                            f"a tensor with no index is written bare: `{name}`")
        if name != "delta":
            return t.Reference(span, str(name), letters)
        if len(letters) != 2:
            self.report.add("E304", span, "`delta` has two indices", "write `delta[i,j]`")
        return t.Delta(span, letters)

    def _axes(self, span: Span, children: list[Child]) -> list[Child]:
        return children

    def _letters(self, axes: Iterable[Child]) -> tuple[t.Letter, ...]:
        return tuple(self._letter(node) for node in axes)

    def _letter(self, node: t.Node) -> t.Letter:
        bare = isinstance(node, t.Reference) and not node.letters
        if isinstance(node, t.Reference) and node.letters:
            self.report.add("E505", node.span, f"an integer tensor as an index (`{self.report.quote(node.span)}`) "
                            "is not supported yet", "use `delta` with plain indices")
        elif not (bare and _INDEX.fullmatch(node.name)):  # type: ignore[attr-defined]  # bare: a Reference
            self.report.add("E111", node.span, f"`{self.report.quote(node.span)}` is no index",
                            "an index is a small letter, then small letters and digits: `h`, `i1`")
        return t.Letter(node.span, getattr(node, "name", "?"))

    def _bracket(self, span: Span, children: list[Child]) -> t.Node:
        return self._expression(children[0])

    def _expression(self, child: Child) -> t.Node:
        if isinstance(child, t.Node):
            return child
        return t.Number(_end(self.line), _ZERO)

    def _comparison(self, span: Span, children: list[Child]) -> t.Node:
        self.report.add("E502", span, "comparisons and `where` are not supported yet")
        return self._expression(children[0])

    def _signed(self, span: Span, children: list[Child]) -> t.Node:
        minus = sum(sign == "-" for sign in children[:-1]) % 2
        return self._negative(span, children[-1]) if minus else children[-1]  # type: ignore[no-any-return]

    def _negative(self, span: Span, node: t.Node) -> t.Node:
        return self._multiplied(span, [t.Number(Span(*span[:2], *span[:2]), Fraction(-1)), node])

    def _sum(self, span: Span, children: list[Child]) -> t.Node:
        terms = [children[0]]
        for sign, term in zip(children[1::2], children[2::2], strict=True):
            terms.append(self._negative(term.span, term) if sign == "-" else term)
        flat = [part for n in terms for part in (n.parts if isinstance(n, t.Sum) else (n,))]
        return t.Sum(span, parts=tuple(flat), height=self._height(span, flat))

    def _product(self, span: Span, children: list[Child]) -> t.Node:
        factors = [children[0]]
        for sign, factor in zip(children[1::2], children[2::2], strict=True):
            factors.append(self._inverse(factor) if sign == "/" else factor)
        return self._multiplied(span, self._fused(factors))

    def _multiplied(self, span: Span, factors: list[t.Node]) -> t.Node:
        flat = [part for n in factors for part in (n.parts if isinstance(n, t.Product) else (n,))]
        return t.Product(span, parts=tuple(flat), height=self._height(span, flat))

    def _inverse(self, node: t.Node) -> t.Node:
        parts = (node, t.Number(node.span, Fraction(-1)))
        return t.Power(node.span, parts=parts, height=self._height(node.span, parts))

    def _fused(self, factors: list[t.Node]) -> list[t.Node]:
        """`d(A)/d(B)`, read as a quotient of calls, is one factor."""
        fused: list[t.Node] = []
        for factor in factors:
            under = factor.parts[0] if isinstance(factor, t.Power) else None
            if fused and _is_differential(under) and _is_differential(fused[-1]):
                fused[-1] = self._jacobian(fused[-1], under)
            else:
                fused.append(factor)
        return fused

    def _jacobian(self, above: t.Node, below: t.Node | None) -> t.Node:
        assert below is not None
        (of, wrt), span = (above.parts[0], below.parts[0]), Span(*above.span[:2], *below.span[2:])
        if isinstance(of, t.Reference) and isinstance(wrt, t.Reference):
            return t.Jacobian(span, of, wrt)
        self.report.add("E114", span, "a Jacobian is of one component by another", "write `d(y[b])/d(x[c])`")
        return above

    def _power(self, span: Span, children: list[Child]) -> t.Node:
        parts = (children[0], children[2])
        return t.Power(span, parts=parts, height=self._height(span, parts))

    def _call(self, span: Span, children: list[Child]) -> t.Node:
        name, rest = children[0], children[1:]
        if rest and isinstance(rest[0], list):
            return self._reduction(span, name, self._letters(rest[0]), rest[1:])
        return t.Call(span, str(name), parts=tuple(rest), height=self._height(span, rest))

    def _reduction(self, span: Span, name: Token, letters: tuple[t.Letter, ...], body: list[Child]) -> t.Node:
        if name in {"max", "min"}:
            self.report.add("E503", span, f"the reduction `{name}[…](…)` is not supported yet",
                            f"pass the {name} as an input")
        elif name not in {"sum", "mean"}:
            self.report.add("E202", self._span(name), f"`{_clip(name)}` is no reduction", "`sum[h](…)` and `mean[h](…)` are")
        elif len(body) != 1 or not letters:
            self.report.add("E114", span, f"`{name}` has indices and one argument", f"write `{name}[h](…)`")
        parts = tuple(body)
        return t.Reduction(span, str(name), letters, parts=parts, height=self._height(span, parts))

    def _height(self, span: Span, parts: Iterable[t.Node]) -> int:
        height = 1 + max((p.height for p in parts), default=0)
        if height > MOST_NESTED:
            self.report.nested(span)
            raise _TooDeep
        return height

    # -- lines -----------------------------------------------------------------------------------

    def _statement(self, span: Span, children: list[Child]) -> tuple[t.Node, t.Node]:
        return children[0], children[1]

    def _equation(self, span: Span, children: list[Child]) -> t.Equality:
        return t.Equality(self._declaration(span, children[:-1]), children[-1])

    def _declaration(self, span: Span, children: list[Child]) -> t.Declaration:
        name, rest = children[0], children[1:]
        if rest and isinstance(rest[-1], Span):
            self.report.add("E501", span, "integer tensors (`t[b]: int[c]`) are not supported yet")
        axes = rest[0] if rest and isinstance(rest[0], list) else None
        if axes is not None and not axes:
            self.report.add("E306", span, f"`{name}[]` carries no index", f"write `{name}`")
        return t.Declaration(span, str(name), self._span(name), self._letters(axes or []))

    def _kind(self, span: Span, children: list[Child]) -> Span:
        return span

    def _inputs(self, span: Span, children: list[Child]) -> tuple[Child, ...]:
        return tuple(children)

    _outputs = _defaults = _inputs

    def _default(self, span: Span, children: list[Child]) -> t.Default:
        name, node = children[0], children[-1]
        if any(isinstance(c, Span) for c in children):
            self.report.add("E501", span, "kinds of parameters are not supported yet")
        value = _constant(node) if isinstance(node, t.Node) else None
        text = self.report.quote(node.span) if isinstance(node, t.Node) else ""
        if value is None:
            self.report.add("E603", span, f"the parameter `{name}` needs a number as its default",
                            f"write `{name} = 1e-5`")
        return t.Default(span, str(name), value or _ZERO, text)

    def _head(self, span: Span, children: list[Child]) -> t.Head:
        _, name, inputs = children[:3]
        parameters = children[3] if len(children) == 5 else ()
        return t.Head(span, str(name), self._span(name), inputs, parameters, children[-1])


class _TooDeep(Exception):
    """Ends the reading of a line whose tree is too deep; the report tells where."""


def _is_differential(node: t.Node | None) -> bool:
    return isinstance(node, t.Call) and node.name == "d" and len(node.parts) == 1


def _constant(node: t.Node) -> Fraction | None:
    """The value of a number with an optional sign, or of a quotient of two; None for all else."""
    if isinstance(node, t.Number):
        return node.value
    if isinstance(node, t.Power) and isinstance(node.base, t.Number) and node.base.value:
        return 1 / node.base.value if _constant(node.exponent) == -1 else None
    if isinstance(node, t.Product):
        values = [_constant(f) for f in node.parts]
        product = Fraction(1)
        for value in values:
            if value is None:
                return None
            product *= value
        return product
    return None
