"""Ops read from text and written down again, as text, as LaTeX, and as what a refusal marks."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from derive.errors import SourceError
from derive.notation.latex import to_latex
from derive.notation.op import Op
from derive.notation.reader import read_ops
from derive.notation.solution import sides
from derive.notation.text import equation_text
from tests.samples import World, different

LENGTHS = (3, 4, 3, 2)


class Refusal(NamedTuple):
    """The code of an error, its place, and what the carets mark."""

    code: str
    place: tuple[int, int]
    marked: str


def read(text: str) -> Op:
    [op] = read_ops(text)
    return op


def refusals(text: str) -> list[Refusal]:
    with pytest.raises(SourceError) as caught:
        read_ops(text)
    return [
        Refusal(d.code, d.span[:2], d.source[d.span.column - 1 : d.span.end_column - 1])
        for d in caught.value.diagnostics
    ]


def marking(text: str, code: str) -> tuple[str, Refusal]:
    """A text without the braces around what an error is to mark, and that error."""
    before, _, rest = text.partition("{")
    marked, _, after = rest.partition("}")
    *lines, last = before.split("\n")
    return before + marked + after, Refusal(code, (len(lines) + 1, len(last) + 1), marked)


def helped(text: str) -> str:
    """The message and the help of the one error."""
    with pytest.raises(SourceError) as caught:
        read_ops(text)
    [found] = caught.value.diagnostics
    return f"{found.message}; {found.help}"


def shown(op: Op) -> list[str]:
    """The equations as they are printed."""
    return [equation_text(e.target, e.expr, op.letters) for e in op.equations]


def latex(op: Op) -> str:
    """Both sides of the last equation."""
    last = op.equations[-1]
    *both, free = sides(last.target, last.expr)
    return " = ".join(to_latex(side, free, op.letters) for side in both)


def again(op: Op) -> Op:
    """The op whose equations are those that are printed."""
    return read("\n".join([op.header, *shown(op), ""]))


def check_means_the_same(op: Op, other: Op) -> None:
    """Of every tensor that is defined, every number is the same."""
    first, second = (World(o, LENGTHS, 1) for o in (op, other))
    for one, two in zip(op.equations, other.equations, strict=True):
        values = first.values(one.target, one.target.indices)
        assert not different(second.values(two.target, two.target.indices), values), two
