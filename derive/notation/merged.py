"""Axes that a tensor shows as one: `x[n,g*S+s]` has an axis of G*S values, read as [n,g,s] within.

The header says so; a component is then written the same way, with any indices in the places:
`x[n,g*S+s]`, `x[n,0*H+h]`, `x[n,t[n]*S+s]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from derive.errors import Report, Span
from derive.notation import tree as t

_ZERO, _ONE = Fraction(0), Fraction(1)


def declared(place: t.Place) -> tuple[t.Letter, ...] | None:
    """The letters of `g*S+s` in a header, slowest first; None if it is not of this form."""
    terms = [_factors(term) for term in _terms(place.value)]
    letters: list[t.Letter] = []
    for term in reversed(terms):
        own = [f for f in term if isinstance(f, t.Position)]
        sizes = sorted(f.name for f in term if isinstance(f, t.Reference) and not f.axes)
        wanted = sorted(k.name.upper() for k in letters)
        if len(own) != 1 or sizes != wanted or len(term) != 1 + len(sizes):
            return None
        letters.insert(0, own[0].letters[0])
    return tuple(letters) if len(letters) > 1 else None


def unmerged(node: t.Node, shapes: Mapping[str, t.Declaration], report: Report) -> t.Node:
    """The expression with a place for each letter of an axis that shows several."""
    if isinstance(node, t.Reference) and node.name in shapes and node.axes:
        return _reference(node, shapes[node.name], report)
    if not node.parts:
        return node
    return replace(node, parts=tuple(unmerged(p, shapes, report) for p in node.parts))


def _reference(node: t.Reference, shape: t.Declaration, report: Report) -> t.Node:
    groups = shape.groups
    if len(node.axes) != len(groups):
        return node  # a wrong number of indices is refused where all are
    axes: list[t.Axis] = []
    letters = iter(shape.letters)
    for axis, count in zip(node.axes, groups, strict=True):
        own = [next(letters) for _ in range(count)]
        axes += _places(axis, own, node, report) if count > 1 else [axis]
    return replace(node, axes=tuple(axes))


def _places(
    axis: t.Axis, letters: list[t.Letter], node: t.Reference, report: Report
) -> list[t.Axis]:
    """`g*S+s` taken apart: what stands before S, and the rest."""
    if not isinstance(axis, t.Place):
        form = spelled([k.name for k in letters])
        message = f"this axis of `{node.name}` was declared as `{form}`"
        report.add("E304", axis.span, message, f"write `{form}`, or numbers in place of letters")
        return [axis] * len(letters)
    rest = axis.value
    places: list[t.Axis] = []
    for letter in reversed(letters[1:]):
        before, after = _split(rest, letter.name.upper(), axis.span)
        places.insert(0, _axis(after))
        rest = before
    return [_axis(rest), *places]


def _split(node: t.Node, size: str, span: Span) -> tuple[t.Node, t.Node]:
    """What is multiplied by a size, and the terms that are not."""
    before, after = [], []
    for term in _terms(node):
        factors = _factors(term)
        found = next((f for f in factors if isinstance(f, t.Reference) and f.name == size), None)
        if found is None:
            after.append(term)
        else:
            before.append(_product([f for f in factors if f is not found], span))
    return _sum(before, span), _sum(after, span)


def _terms(node: t.Node) -> tuple[t.Node, ...]:
    return node.parts if isinstance(node, t.Sum) else (node,)


def _factors(node: t.Node) -> list[t.Node]:
    return list(node.parts) if isinstance(node, t.Product) else [node]


def _sum(terms: list[t.Node], span: Span) -> t.Node:
    if not terms:
        return t.Number(span, _ZERO)
    return terms[0] if len(terms) == 1 else t.Sum(span, parts=tuple(terms), height=2)


def _product(factors: list[t.Node], span: Span) -> t.Node:
    if not factors:
        return t.Number(span, _ONE)
    return factors[0] if len(factors) == 1 else t.Product(span, parts=tuple(factors), height=1)


def _axis(node: t.Node) -> t.Axis:
    """A letter, a label, or arithmetic."""
    if isinstance(node, t.Position):
        return node.letters[0]
    if isinstance(node, t.Reference) and node.axes and node.plain:
        return t.Label(node.span, node.name, node.letters)
    return t.Place(node.span, node)


def spelled(places: list[str], sizes: list[str] | None = None) -> str:
    """`g*S+s`."""
    sizes = sizes or [p.upper() for p in places]
    last = len(places) - 1
    shown = [f"({p})" if k < last and ("+" in p or "-" in p) else p for k, p in enumerate(places)]
    return "+".join("*".join([p, *sizes[k + 1 :]]) for k, p in enumerate(shown))
