"""The header of an op made of equations: what they take, which numbers, what they give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from derive.notation import tree as t
from derive.notation.displays import Source
from derive.paper.axes import axis_letters
from derive.paper.forward import references
from derive.paper.spell import Spelling
from derive.paper.tree_text import component_text, number_text
from derive.paper.values import USUAL, given

_WIDTH = 100
_COUNTS = {"d", "n", "D", "N"}  # what papers call the number of values of an index


@dataclass(frozen=True)
class Header:
    """The header, what of it a person must check, and where its numbers were found."""

    head: t.Head
    checks: list[str]
    found: list[str]


def header(
    name: str,
    equations: Sequence[t.Equality],
    outputs: Sequence[str],
    meant: Spelling,
    source: Source,
) -> Header:
    """Inputs and parameters in the order in which the equations name them."""
    defined = {e.target.name: e.target for e in equations}
    named = [r for e in equations for r in references(e.right) if r.name not in defined]
    axes = axis_letters(equations, outputs, meant.letters)
    inputs = tuple(_input(r, axes) for r in _firsts(r for r in named if r.letters))
    checks, found, defaults = _counts(inputs), [], []
    for r in _firsts(r for r in named if not r.letters and meant.is_number(r.name)):
        value = given(r.name, source)
        number = value.number if value else USUAL.get(r.name, Fraction(1))
        defaults.append(t.Default(r.span, r.name, number, number_text(number)))
        if value:
            found.append(f"{r.name} = {number_text(number)} is given on line {value.line}")
        else:
            checks.append(_guess(r.name, number))
    span = equations[0].target.span
    gives = tuple(defined[k] for k in outputs)
    return Header(t.Head(span, name, span, inputs, tuple(defaults), gives), checks, found)


def _input(first: t.Reference, axes: Mapping[str, str]) -> t.Declaration:
    letters = tuple(t.Letter(k.span, axes[k.name]) for k in first.letters)
    return t.Declaration(first.span, first.name, first.span, letters)


def _guess(name: str, number: Fraction) -> str:
    why = "is usual" if name in USUAL else "leaves it out of a product"
    size = f"; if {name} is the size of an index, write that index in capitals"
    hint = size if name.isupper() or name in _COUNTS else ""
    return f"no value is given for {name}; {number_text(number)} {why}{hint}"


def _counts(inputs: Iterable[t.Declaration]) -> list[str]:
    return [
        f"{component_text(d.name, d.letters)} is read as a tensor; "
        f"the number of values of {d.letters[0].name} is {d.letters[0].name.upper()}"
        for d in inputs
        if d.name in _COUNTS and len(d.letters) == 1
    ]


def _firsts(named: Iterable[t.Reference]) -> list[t.Reference]:
    """Each name where it stands first."""
    found: dict[str, t.Reference] = {}
    for r in named:
        found.setdefault(r.name, r)
    return list(found.values())


def header_text(head: t.Head) -> str:
    """`op name(inputs; parameters) -> outputs`, on several lines if it is long."""
    inputs = [component_text(d.name, d.letters) for d in head.inputs]
    defaults = [f"{p.name} = {p.text}" for p in head.parameters]
    outputs = ", ".join(component_text(d.name, d.letters) for d in head.outputs)
    takes = "; ".join(filter(None, (", ".join(inputs), ", ".join(defaults))))
    text = f"op {head.name}({takes}) -> {outputs}"
    if len(text) <= _WIDTH:
        return text
    words = takes.split(" ")
    lines = [f"op {head.name}("]
    for word in words:
        if len(lines[-1]) + len(word) + 1 > _WIDTH:
            lines.append("   ")
        lines[-1] += f" {word}" if not lines[-1].endswith("(") else word
    return "\n".join(lines) + f") -> {outputs}"
