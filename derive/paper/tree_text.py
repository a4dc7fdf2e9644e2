"""Syntax trees as text of the op language, in the order and the shape in which they were written.

What is printed and read again is the same tree, but for signs, which are gathered in front of their
terms, and brackets that are not needed.
"""

from __future__ import annotations

from fractions import Fraction

from derive.notation import tree as t

_SUM, _PRODUCT, _POWER, _ATOM = range(4)  # how strongly what a text consists of holds together


def expression_text(node: t.Node) -> str:
    """The right side of an equation."""
    return _sum(node)


def component_text(name: str, letters: tuple[t.Letter, ...]) -> str:
    """`x[b,h]`, or `x` where there is no index."""
    return f"{name}[{','.join(k.name for k in letters)}]" if letters else name


def number_text(value: Fraction) -> str:
    """An exact number: whole, decimal, with a power of ten if it is small, or a quotient."""
    if value.denominator == 1:
        return str(value)
    places = next((n for n in range(41) if (value * 10**n).denominator == 1), None)
    if places is None:
        return str(value)
    digits = str(abs(value.numerator * 10**places // value.denominator))
    sign = "-" if value < 0 else ""
    if places - len(digits) >= 3:
        rest = "." + digits[1:] if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e-{places - len(digits) + 1}"
    digits = digits.rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


def _sum(node: t.Node) -> str:
    text = ""
    for term in node.parts if isinstance(node, t.Sum) else (node,):
        minus, written = _term(term)
        if text:
            text += f" {'-' if minus else '+'} {written}"
        else:
            text = f"-{written}" if minus else written
    return text


def _term(node: t.Node) -> tuple[bool, str]:
    """The sign of a term, and the rest."""
    parts = node.parts if isinstance(node, t.Product) else (node,)
    factors = [p for p in parts if not _is_minus_one(p)]
    return (len(parts) - len(factors)) % 2 == 1, _factors(factors)


def _factors(factors: list[t.Node]) -> str:
    """Spaces around the signs, but none in a number and what divides it: `1/H * 1[h]`."""
    text = ""
    for k, factor in enumerate(factors):
        under = _divisor(factor)
        if under is None:
            text += (" * " if text else "") + _held(factor, _POWER)
        else:
            tight = k > 0 and isinstance(factors[k - 1], t.Number) and _is_scalar(under)
            text = (text or "1") + ("/" if tight else " / ") + _held(under, _POWER)
    return text or "1"


def _held(node: t.Node, level: int) -> str:
    """In brackets if it would fall apart beside an operator of this level."""
    own, text = _text(node)
    return text if own >= level else f"({text})"


def _text(node: t.Node) -> tuple[int, str]:
    if isinstance(node, t.Sum):
        return _SUM, _sum(node)
    if isinstance(node, t.Number):
        return (_ATOM if node.value >= 0 else _SUM), number_text(node.value)
    if isinstance(node, t.Product) or _divisor(node):
        minus, text = _term(node)
        return (_SUM, f"-{text}") if minus else (_PRODUCT, text)
    if isinstance(node, t.Power):
        return _power(node)
    return _ATOM, _atom(node)


def _power(node: t.Power) -> tuple[int, str]:
    exponent = _exponent(node.exponent)
    if isinstance(node.base, t.Number) and node.base.value == 10 and exponent.startswith("-"):
        return _ATOM, f"1e{exponent}"
    return _POWER, f"{_held(node.base, _ATOM)}^{exponent}"


def _exponent(node: t.Node) -> str:
    value = constant(node)
    if value is None:
        return _held(node, _ATOM)
    return str(value) if value.denominator == 1 else f"({value})"


def _atom(node: t.Node) -> str:
    if isinstance(node, t.Reference):
        return component_text(node.name, node.letters)
    if isinstance(node, t.Ones):
        return component_text("1", node.letters)
    if isinstance(node, t.Delta):
        return component_text("delta", node.letters)
    if isinstance(node, t.Position):
        return node.letters[0].name
    if isinstance(node, t.Comparison):
        left, right = map(_sum, node.parts)
        return f"{left} {node.relation} {right}"
    inside = ", ".join(map(_sum, node.parts))
    if isinstance(node, t.Where):
        return f"where({inside})"
    if isinstance(node, t.Reduction):
        return f"{component_text(node.name, node.letters)}({inside})"
    assert isinstance(node, t.Call)
    return f"{node.name}({inside})"


def constant(node: t.Node) -> Fraction | None:
    """The value of what consists of numbers; None for all else, and for a division by zero."""
    if isinstance(node, t.Number):
        return node.value
    values = [constant(part) for part in node.parts]
    if not values or any(value is None for value in values):
        return None
    return _folded(node, [value for value in values if value is not None])


def _folded(node: t.Node, values: list[Fraction]) -> Fraction | None:
    if isinstance(node, t.Product):
        product = Fraction(1)
        for value in values:
            product *= value
        return product
    if isinstance(node, t.Power) and values[1] == -1 and values[0]:
        return 1 / values[0]
    return None


def _divisor(node: t.Node) -> t.Node | None:
    """What a factor divides by, if a line or a stroke stands above it: no power was written."""
    if isinstance(node, t.Power) and isinstance(node.exponent, t.Number):
        return node.base if node.exponent.value == -1 else None
    return None


def _is_minus_one(node: t.Node) -> bool:
    return isinstance(node, t.Number) and node.value == -1


def _is_scalar(node: t.Node) -> bool:
    return not any(
        getattr(part, "letters", ()) or isinstance(part, t.Call) for part in t.walk(node)
    )
