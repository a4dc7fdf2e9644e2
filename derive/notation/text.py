"""Printing in the op language; what is printed can be read again and means the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

from sympy import Expr, KroneckerDelta, Rational, S

from derive.notation.conditions import Iverson, Position
from derive.notation.explicit import explicit
from derive.notation.merged import spelled
from derive.notation.nodes import Component, Index, Partial, Size
from derive.notation.solution import sides
from derive.notation.written import (
    Bracket,
    Call,
    Choice,
    Factor,
    Largest,
    Ones,
    Operator,
    Product,
    Sum,
)

_HALF = Rational(1, 2)


def to_text(expr: Expr, free: Sequence[Index], letters: Sequence[Index]) -> str:
    """The expression as the right side of an equation with the indices `free` on its left."""
    return sum_text(explicit(expr, free, letters))


def equation_text(target: Component, expr: Expr, letters: Sequence[Index]) -> str:
    """`target = expr`, or `solve target: …`."""
    return " = ".join(sides_text(target, expr, letters))


def sides_text(target: Component, expr: Expr, letters: Sequence[Index]) -> tuple[str, str]:
    """The two sides of an equation."""
    left, right, free = sides(target, expr)
    if left == target:
        return component_text(target), to_text(right, free, letters)
    shown = to_text(left, free, letters)
    return f"solve {target.tensor.name}: {shown}", to_text(right, free, letters)


def component_text(component: Component) -> str:
    """`x[b,h]`, or `x` where there is no index."""
    axes = component.tensor.axes(component.indices)
    inside = ",".join(spelled([i.name for i in a], [i.size.name for i in a]) for a in axes)
    return f"{component.tensor.name}[{inside}]" if inside else component.tensor.name


def sum_text(written: Sum) -> str:
    """Terms with their signs."""
    parts = [(" - " if t.negative else " + ") + _product(t) for t in written.terms]
    text = "".join(parts) or " + 0"  # no term at all is zero
    return text[3:] if text.startswith(" + ") else "-" + text[3:]


def _product(term: Product) -> str:
    """Number and sizes in front as one fraction, then factors, then divisors one by one."""
    number = Rational(term.number)
    sizes = [f for f in term.below if isinstance(f.base, Size)]
    front = str(number.p) + (f"/{number.q}" if number.q != 1 else "")
    front += "".join(f"/{_factor(f)}" for f in sizes)
    above = [_factor(f) for f in term.above]
    if front != "1" or not above:
        above.insert(0, front)
    below = [_factor(f) for f in term.below if f not in sizes]
    return "*".join(above) + "".join(f"/{b}" for b in below)


def _factor(factor: Factor) -> str:
    base, exponent = _text(factor.base), factor.exponent
    if exponent == S.One:
        return f"({base})" if isinstance(factor.base, Sum) else base
    if exponent == _HALF:
        return f"sqrt({base})"
    power = (
        str(exponent)
        if exponent.is_Integer or (exponent.is_Atom and not exponent.is_Rational)
        else f"({exponent})"
    )
    return (f"({base})" if isinstance(factor.base, Sum) else base) + f"^{power}"


def _condition(condition: Bracket | Iverson) -> str:
    if isinstance(condition, Iverson):
        return f"{condition.index.name} == {condition.picks}"
    return f"{sum_text(condition.left)} {condition.relation} {sum_text(condition.right)}"


@singledispatch
def _text(base: object) -> str:
    """A factor without its exponent."""
    return str(base)


_text.register(Sum, sum_text)
_text.register(Component, component_text)
_text.register(Position, lambda base: str(base.index.name))


@_text.register
def _ones(base: Ones) -> str:
    return f"1[{base.index.name}]"


@_text.register
def _call(base: Call) -> str:
    return f"{base.function.row.name}({', '.join(map(sum_text, base.args))})"


@_text.register
def _bracket(base: Bracket) -> str:
    return f"where({_condition(base)}, {'1, 0' if base.holds else '0, 1'})"


@_text.register
def _choice(base: Choice) -> str:
    return f"where({_condition(base.condition)}, {sum_text(base.taken)}, {sum_text(base.other)})"


@_text.register
def _largest(base: Largest) -> str:
    return f"{base.word}[{','.join(i.name for i in base.letters)}]({sum_text(base.body)})"


@_text.register
def _pick(base: Iverson) -> str:
    return f"delta[{base.index.name},{base.picks}]"


@_text.register
def _operator(base: Operator) -> str:
    return f"d/d({component_text(base.wrt)})({sum_text(base.body)})"


@_text.register
def _delta(base: KroneckerDelta) -> str:
    return f"delta[{','.join(i.name for i in base.args)}]"


@_text.register
def _partial(base: Partial) -> str:
    return f"d({component_text(base.of)})/d({component_text(base.wrt)})"
