"""Which indices are summed, and where: each line of the tables against hand-built expressions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sympy import Expr, Integer, pi, sqrt
from sympy.core.parameters import distribute

from derive.errors import SourceError
from derive.notation import nodes
from derive.notation.functions import call
from derive.notation.nodes import Component, Contraction, Index, Scalar, Size, Tensor
from derive.notation.op import Op
from derive.notation.reader import read_ops

CASES = Path(__file__).parent / "cases"
INPUTS = "x[b,h], g[h], w[h], m[b], a[h,h], alpha"
# A line that uses everything, so that an equation under test need not.
USES = "u[b] = x[b,h]*g[h]*w[h]*m[b]*alpha*eps*a[h,j]*1[j]\n"


def source(equation: str) -> str:
    left = equation.partition("=")[0].strip()
    return f"op f({INPUTS}; eps = 1) -> {left}, u[b]\n{USES}{equation}\n"


def rows(name: str) -> list[list[str]]:
    lines = (CASES / name).read_text("utf-8").split("\n")
    return [
        [c.strip() for c in line.split(";")] for line in lines if line and not line.startswith("#")
    ]


class Names:
    """The pieces of an expected expression, built by hand from the op that was read."""

    def __init__(self, op: Op) -> None:
        self.letters = {i.name: i for i in op.letters}
        self.op = op

    def tensor(self, name: str) -> object:
        tensor = self.op.tensors[name].tensor

        class At:
            def __getitem__(self, indices: Index | tuple[Index, ...]) -> Expr:
                return Component(tensor, *(indices if isinstance(indices, tuple) else (indices,)))

        return At() if self.op.tensors[name].indices else Component(tensor)

    def scope(self) -> dict[str, object]:
        scope: dict[str, object] = {"eps": self.op.parameters[0].symbol, "pi": pi, "S": Total()}
        scope |= {"one": Integer(1), "zero": Integer(0), "sqrt": sqrt, "delta": nodes.delta}
        scope |= {"exp": lambda u: call("exp", u), "max": lambda u, v: call("max", u, v)}
        scope |= {k: i.size for k, i in ((k.upper(), i) for k, i in self.letters.items())}
        scope |= {name: self.tensor(name) for name in ("x", "g", "w", "m", "a", "alpha")}
        return scope | dict(self.letters)


class Total:
    """`S[i,j](body)`."""

    def __getitem__(self, dummies: Index | tuple[Index, ...]) -> object:
        found = dummies if isinstance(dummies, tuple) else (dummies,)
        return lambda body: Contraction(body, *found)


@pytest.mark.parametrize(("equation", "expected"), rows("sums.txt"))
def test_where_sums_stand(equation: str, expected: str) -> None:
    [op] = read_ops(source(equation))
    with distribute(False):
        wanted = eval(expected, {}, Names(op).scope())
    assert op.equations[-1].expr == wanted


@pytest.mark.parametrize(("equation", "code", "marked", "remedy"), rows("refused.txt"))
def test_what_is_refused(equation: str, code: str, marked: str, remedy: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_ops(source(equation))
    [found] = caught.value.diagnostics
    assert found.code == code
    assert found.span.line == 3
    assert found.source[found.span.column - 1 : found.span.end_column - 1] == marked
    assert found.help.startswith(remedy)


def test_the_order_of_terms_does_not_depend_on_names() -> None:
    text = (
        "op f(x[b,h], g[h], m[b]; e = 1) -> y[b,h]\n"
        "u[b] = x[b,h]*g[h]*x[b,h] + m[b]*e + 1[h]*exp(x[b,h]*g[h])\n"
        "y[b,h] = x[b,h]/u[b]*g[h] + 1[h]*m[b] + 1[b]*g[h] + 1[h]*1[k]*u[b]*x[b,k]*g[k]\n"
    )
    names = {"x": "q", "g": "a", "m": "z", "e": "k1", "u": "c", "y": "b", "b": "z", "h": "a"}
    swapped = re.sub(r"\b[a-z]\b", lambda m: names.get(m[0], m[0]), text)
    one, two = read_ops(text)[0], read_ops(swapped)[0]
    assert [shape(e.expr) for e in one.equations] == [shape(e.expr) for e in two.equations]


def shape(expr: Expr) -> object:
    """An expression by ranks alone."""
    if isinstance(expr, Index | Size | Scalar | Tensor):
        return (type(expr).__name__, expr.rank)
    return (type(expr).__name__, *map(shape, expr.args)) if expr.args else expr
