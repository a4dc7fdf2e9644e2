"""lark's trees of LaTeX to those of the op language; what could be read in two ways is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

from lark import Token

from derive.errors import Report, Span
from derive.notation import tree as t
from derive.notation.grow import Child, clipped
from derive.notation.latex import LOSSES
from derive.notation.lines import Line
from derive.notation.names import REDUCTIONS
from derive.notation.spelling import MACROS, Names, function, plain
from derive.notation.tex_cases import Cases
from derive.notation.tex_parts import (
    Above,
    Below,
    Bounded,
    Bracket,
    Differential,
    Head,
    Name,
    Ones,
    span_of,
)
from derive.notation.tex_subscripts import from_one

T = TypeVar("T")


class TexGrower(Cases):
    """One method a rule of `tex.lark`."""

    def __init__(self, line: Line, report: Report, names: Names) -> None:
        super().__init__(line, report, names)
        self._fractions: set[t.Node] = set()
        self._powers: set[t.Node] = set()

    # -- sums and products -------------------------------------------------------------------------

    def _expression(self, span: Span, children: list[Child]) -> t.Node:
        return self._node(children[0])

    def _node(self, child: Child) -> t.Node:
        """A finished expression: no half of a derivative, no function without its argument."""
        if isinstance(child, t.Node):
            return child
        if isinstance(child, Bracket):
            if len(child.arguments) == 1:
                return child.arguments[0]
            return self._add("E114", child.span, "only a function takes several arguments")
        if isinstance(child, Head):
            return self._unclear(child.span, "nothing follows that this applies to")
        message = "a differential stands alone"
        remedy = r"write a derivative as `\frac{\partial y}{\partial x}`"
        return self._add("E707", child.span, message, remedy)

    def _sum(self, span: Span, children: list[Child]) -> t.Node:
        terms = [c if isinstance(c, Token) else self._node(c) for c in children]
        return super()._sum(span, terms)

    def _term(self, span: Span, children: list[Child]) -> Child:
        minus = sum(c == "-" for c in children if isinstance(c, Token) and c.type == "SIGN") % 2
        items: list[tuple[str, Child]] = []
        join = ""
        for child in children:
            if isinstance(child, Token):
                join = child.type if child.type != "SIGN" else join
            else:
                items.append((join, child))
                join = ""
        if len(items) == 1 and not minus and not isinstance(items[0][1], Head | Bracket):
            return items[0][1]
        factors = self._divided(self._applied(items))
        node = factors[0] if len(factors) == 1 else self._multiplied(span, factors)
        return self._negative(span, node) if minus else node

    def _applied(self, items: list[tuple[str, Child]]) -> list[tuple[str, Child]]:
        """Functions and operators given their arguments, from the right to the left."""
        done: list[tuple[str, Child]] = []  # in reverse
        for join, item in reversed(items):
            if not isinstance(item, Head):
                done.append((join, item))
            elif item.letters and item.name == "sum":
                done = [(join, self._summed(item, done[::-1]))]
            else:
                argument = self._argument(item, done)
                done.append((join, self._apply(item, argument)))
        return done[::-1]

    def _argument(self, head: Head, done: list[tuple[str, Child]]) -> tuple[t.Node, ...]:
        if not done or done[-1][0]:
            return (self._unclear(head.span, "nothing follows that this applies to"),)
        item = done.pop()[1]
        if isinstance(item, Bracket):
            return item.arguments
        node = self._node(item)
        if done or node in self._powers:
            shown = clipped(self.report.quote(head.span))
            self._unclear(node.span, f"it is not clear how far `{shown}` reaches")
        return (node,)

    def _apply(self, head: Head, arguments: tuple[t.Node, ...]) -> t.Node:
        height = self._height(head.span, arguments)
        span = Span(*head.span[:2], *arguments[-1].span[2:])
        if head.wrt is not None:
            if len(arguments) != 1:
                self._add("E114", span, "a derivative is taken of one expression")
            return t.Derivative(span, head.wrt, parts=arguments[:1], height=height)
        node: t.Node
        if head.letters:
            if len(arguments) != 1:
                self._add("E114", span, f"`\\{head.name}` over an index has one argument")
            node = t.Reduction(span, head.name, head.letters, parts=arguments[:1], height=height)
        else:
            node = t.Call(span, head.name, parts=arguments, height=height)
        return node if head.exponent is None else self._powered(span, node, head.exponent)

    def _summed(self, head: Head, rest: list[tuple[str, Child]]) -> t.Node:
        """`\\sum_h` reaches to the end of its term."""
        if not rest:
            return self._unclear(head.span, "nothing follows that is summed")
        factors = self._divided(rest)
        span = Span(*head.span[:2], *factors[-1].span[2:])
        body = factors[0] if len(factors) == 1 else self._multiplied(span, factors)
        height = self._height(span, [body])
        if head.end is not None:
            return Bounded(span, "sum", head.letters, head.end, parts=(body,), height=height)
        return t.Reduction(span, "sum", head.letters, parts=(body,), height=height)

    def _divided(self, items: list[tuple[str, Child]]) -> list[t.Node]:
        """The factors; a divisor behind `/` is the last of them, for what follows is unclear."""
        factors: list[Child] = []
        for k, (join, item) in enumerate(items):
            if join == "SLASH" and isinstance(item, Differential):
                factors[-1] = self._derivative(factors[-1], item)
                continue
            if join == "SLASH" and k + 1 < len(items):
                message = "it is not clear whether this stands above or below the line"
                self._unclear(
                    span_of(items[k + 1][1]), message, r"write `\frac{…}{…}`, or brackets"
                )
            if not join and k and _are_numbers(items[k - 1][1], item):
                self._unclear(span_of(item), "two numbers stand side by side", r"write `\cdot`")
            factors.append(self._inverse(self._node(item)) if join == "SLASH" else item)
        return [self._node(f) for f in factors]

    # -- factors -----------------------------------------------------------------------------------

    def _factor(self, span: Span, children: list[Child]) -> Child:
        atom, scripts = children[0], children[1:]
        below, above = self._only(scripts, Below), self._only(scripts, Above)
        base = self._based(span, atom, below)
        return base if above is None else self._raised(span, base, above)

    def _only(self, scripts: Sequence[Child], kind: type[T]) -> T | None:
        found = [s for s in scripts if isinstance(s, kind)]
        if len(found) > 1:
            self._unclear(span_of(found[1]), "a second script of the same kind")
        return found[0] if found else None

    def _based(self, span: Span, atom: Child, below: Below | None) -> Child:
        """An atom with its subscript."""
        if isinstance(atom, Name):
            return self._named(span, atom, below)
        if isinstance(atom, Ones) or (below and _is_one(atom)):
            letters = self._indices(below, None)
            if not letters:
                self._add("E306", span, "a one-tensor has at least one index", "write `1`")
            return t.Ones(span, letters)
        if isinstance(atom, Head) and below is not None:
            return replace(atom, letters=self._indices(from_one(below), None))
        if isinstance(atom, t.Reference) and below is not None and not atom.letters:
            return t.Reference(span, atom.name, self._indices(below, self._arity(atom.name)))
        if below is not None:
            self._add("E703", below.span, "a subscript stands here at no name")
        return atom

    def _named(self, span: Span, name: Name, below: Below | None) -> Child:
        words = [k for k in below.tokens if k.type == "WORD"] if below else []
        if below and all(k.type == "NUMBER" for k in below.tokens):
            words = list(below.tokens)
        rest = replace(below, tokens=_without(below.tokens, words)) if below else None
        spellings = _suffixed(name.spellings, words)
        meant = self.names.meant(spellings)
        if len(meant) > 1:
            self._add("E703", span, f"this can be {' or '.join(f'`{k}`' for k in meant)}")
        if meant:
            return t.Reference(span, meant[0], self._indices(rest, self._arity(meant[0])))
        if spellings == ("delta",):
            return self._delta(span, rest)
        called = function(spellings[0])
        if called and below is None:
            return Head(span, called)
        if below is not None and spellings[0] in REDUCTIONS:
            return Head(span, spellings[0], self._indices(from_one(below), None))
        return t.Reference(span, spellings[0], ())

    def _delta(self, span: Span, below: Below | None) -> t.Node:
        letters = self._indices(below, 2)
        if len(letters) != 2:
            return self._add("E304", span, r"`\delta` has two indices", r"write `\delta_{i j}`")
        return t.Delta(span, letters)

    def _arity(self, name: str) -> int | None:
        return self.names.tensors.get(name)

    def _raised(self, span: Span, base: Child, above: Above) -> Child:
        if isinstance(base, Head) and base.letters and base.name == "sum":
            return self._bounded(base, above)
        if isinstance(base, Head):
            known = isinstance(above.node, t.Number) and not base.wrt
            if not known:
                self._unclear(above.span, "an inverse, or a power of the value?")
            return replace(base, exponent=above.node)
        node = self._node(base)
        if isinstance(node, t.Product) and not isinstance(base, Bracket):
            self._unclear(above.span, "it is not clear what is raised to this power")
        if node in self._fractions:
            self._unclear(above.span, "it is not clear what is raised to this power")
        if self._is_euler(node) and not isinstance(above.node, t.Number):
            return t.Call(span, "exp", parts=(above.node,), height=self._height(span, [above.node]))
        return self._powered(span, node, above.node)

    def _bounded(self, head: Head, above: Above) -> Head:
        """`\\sum_{h=1}^{H}` runs over all of `h`; another size of the op may be that of `h`."""
        size = above.node.name if isinstance(above.node, t.Reference) else ""
        if [size] == [k.name.upper() for k in head.letters]:
            return head
        if len(head.letters) == 1 and size.isupper() and size.lower() in self.names.letters:
            return replace(head, end=t.Letter(above.span, size.lower()))
        shown = clipped(self.report.quote(above.span).strip("^{} "))
        message = f"a sum runs over all values of its index, and `{shown}` is no size of the op"
        self._unclear(above.span, message, "leave it out")
        return head

    def _is_euler(self, node: t.Node) -> bool:
        """`e` that is no tensor here, for such a one would carry its indices."""
        return isinstance(node, t.Reference) and node.name == "e" and not node.letters

    def _powered(self, span: Span, base: t.Node, exponent: t.Node) -> t.Node:
        parts = (base, exponent)
        power = t.Power(span, parts=parts, height=self._height(span, parts))
        self._powers.add(power)
        return power

    def _above(self, span: Span, children: list[Child]) -> Above:
        child = children[0]
        if not isinstance(child, Token):
            return Above(span, self._node(child))
        if child.type != "NUMBER":
            name = self._word(span, [child])
            return Above(span, self._node(self._named(span, name, None)))
        if len(child) > 1:
            message = f"TeX raises only the first digit of `{clipped(child)}`"
            self._unclear(span, message, f"write `^{{{clipped(child)}}}`, with braces")
        return Above(span, t.Number(span, self._value(child)))

    # -- atoms -------------------------------------------------------------------------------------

    def _word(self, span: Span, children: list[Child]) -> Name:
        token = children[0]
        name = plain(token)
        is_macro = token.startswith("\\") and "{" not in token
        if is_macro and token[1:] not in MACROS and not function(name) and name != "l":
            message = f"the macro `{clipped(token)}` is not known"
            self._add("E701", span, message, r"write a name as `\mathrm{name}`")
        return Name(span, (name,))

    def _accent(self, span: Span, children: list[Child]) -> Name:
        accent, name = children[0][1:].removeprefix("wide"), plain(children[1])
        return Name(span, (f"{name}_{accent}", f"{name}{accent}"))

    def _ones(self, span: Span, children: list[Child]) -> Ones:
        return Ones(span)

    def _big_sum(self, span: Span, children: list[Child]) -> Head:
        return Head(span, "sum")

    def _group(self, span: Span, children: list[Child]) -> t.Node:
        """Braces print nothing, so what they hold must bind as it does without them."""
        node = self._node(children[0])
        if isinstance(node, t.Sum) or _is_negative(node):
            self._unclear(span, "these braces do not show in print", "write `(…)`")
        return node

    def _bracket(self, span: Span, children: list[Child]) -> Bracket:
        nodes = [self._node(c) for c in children if not isinstance(c, Token)]
        return Bracket(span, tuple(nodes))

    def _root(self, span: Span, children: list[Child]) -> t.Node:
        nodes = [*self._digits(span, children[0]), *map(self._node, children[1:])]
        if len(nodes) == 1:
            return t.Call(span, "sqrt", parts=(nodes[0],), height=self._height(span, nodes))
        degree = nodes[0].value if isinstance(nodes[0], t.Number) else Fraction(0)
        if degree < 2 or degree.denominator != 1:
            return self._unclear(nodes[0].span, "the degree of a root is a whole number")
        return self._powered(span, nodes[1], t.Number(nodes[0].span, 1 / degree))

    def _digits(self, span: Span, macro: Token) -> list[Child]:
        """The arguments that need no braces: of `\\frac12` TeX takes one digit each."""
        return [t.Number(span, Fraction(c)) for c in macro if c.isdigit()]

    def _fraction(self, span: Span, children: list[Child]) -> t.Node:
        above, below = self._digits(span, children[0]) + children[1:]
        if isinstance(below, Differential):
            node = self._derivative(above, below)
        else:
            if isinstance(below, Token):
                below = self._named(span, self._word(span, [below]), None)
            node = self._multiplied(span, [self._node(above), self._inverse(self._node(below))])
        self._fractions.add(node)
        return node

    # -- derivatives -------------------------------------------------------------------------------

    def _differential(self, span: Span, children: list[Child]) -> Differential:
        node = self._node(self._factor(span, children[1:]))
        return Differential(span, node, not children[0].startswith("\\partial"))

    def _operator(self, span: Span, children: list[Child]) -> Head:
        return Head(span, "", wrt=self._variable(children[2]))

    def _variable(self, below: Differential) -> t.Reference:
        if isinstance(below.of, t.Reference):
            known = below.of.name in self.names.tensors
            name = below.of.name if known else self.report.quote(below.span)
            return t.Reference(below.of.span, name, below.of.letters)
        self._add("E707", below.of.span, "a derivative is taken by one component")
        return t.Reference(below.span, "", ())

    def _derivative(self, above: Child, below: Differential) -> t.Node:
        """∂l/∂t is the gradient of t, ∂u/∂t a Jacobian."""
        span = Span(*span_of(above)[:2], *below.span[2:])
        wrt = self._variable(below)
        if not isinstance(above, Differential) or not isinstance(above.of, t.Reference):
            remedy = r"write `\frac{\partial y_{b}}{\partial x_{c}}`"
            return self._add("E707", span_of(above), "above stands no differential", remedy)
        of = above.of
        if of.name in self.names.tensors:
            return t.Jacobian(span, of, wrt)
        if of.name not in LOSSES or of.letters or wrt.name not in self.names.tensors:
            return t.Reference(span, self.report.quote(span), ())
        total = self.names.totals.get(wrt.name) if above.total else None
        return t.Reference(span, total.tensor.name if total else f"d{wrt.name}", wrt.letters)


def _is_one(atom: Child) -> bool:
    return isinstance(atom, t.Number) and atom.value == 1


def _are_numbers(one: Child, other: Child) -> bool:
    return isinstance(one, t.Number) and isinstance(other, t.Number)


def _is_negative(node: t.Node) -> bool:
    """Does it begin with a sign?"""
    first = node.parts[0] if isinstance(node, t.Product) else node
    return isinstance(first, t.Number) and first.value < 0


def _without(tokens: tuple[Token, ...], words: list[Token]) -> tuple[Token, ...]:
    return tuple(k for k in tokens if not any(k is word for word in words))


def _suffixed(names: tuple[str, ...], words: list[Token]) -> tuple[str, ...]:
    if not words:
        return names
    suffix = "_".join(plain(word) for word in words)
    return tuple(f"{name}{joint}{suffix}" for name in names for joint in ("_", ""))
