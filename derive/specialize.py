"""An op with some inputs fixed at a number, or some outputs: an op of its own, without dead terms.

`specialized(layer_norm, {"gamma": 1, "beta": 0})` is layer norm without weight and bias.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sympy import Expr, Integer

from derive.errors import DeriveError
from derive.notation.names import MOST_LETTERS
from derive.notation.nodes import Component, Scalar, Tensor
from derive.notation.op import Equation, Op
from derive.notation.reader import read_ops
from derive.notation.text import equation_text
from derive.rewrite import everywhere, keeping_shape
from derive.simplify.laws import IMPLIED, PICK


def specialized(
    op: Op, fixed: Mapping[str, int], name: str = "", outputs: Sequence[str] = ()
) -> Op:
    """The op with the inputs and parameters that are named replaced by numbers, read anew.

    With `outputs`, only these of its outputs, in this order, and the equations that they need.
    """
    numbers = {_input(op, n): Integer(value) for n, value in fixed.items()}
    results = _outputs(op, outputs) if outputs else op.outputs
    if not numbers and results == op.outputs:
        return op
    with keeping_shape():
        changed = {e.target: _replaced(e.expr, numbers) for e in op.equations}
        for law in (PICK, IMPLIED):
            changed = {t: everywhere(law.apply, e) for t, e in changed.items()}
    lines = [_line(op, e, changed[e.target]) for e in _live(op, results, changed)]
    title = [f"# {line}" for line in op.title]
    header = _header(op, set(fixed), results, name or _name(op, fixed, outputs))
    (found,) = read_ops("\n".join([*title, header, "", *lines]) + "\n")
    return found


def _input(op: Op, name: str) -> Tensor | Scalar:
    tensors = {c.tensor.name: c.tensor for c in op.differentiable}
    found = tensors | {p.symbol.name: p.symbol for p in op.parameters}
    if name not in found:
        raise DeriveError(f'{op.name} has no input "{name}" that is no integer')
    return found[name]


def _outputs(op: Op, names: Sequence[str]) -> tuple[Component, ...]:
    found = {c.tensor.name: c for c in op.outputs}
    for name in names:
        if name not in found:
            raise DeriveError(f'{op.name} has no output "{name}"')
    return tuple(found[name] for name in names)


def _name(op: Op, fixed: Mapping[str, int], outputs: Sequence[str]) -> str:
    without = f"without_{'_'.join(fixed)}" if fixed else ""
    return "_".join(filter(None, (op.name, *outputs, without)))[:MOST_LETTERS].rstrip("_")


def _replaced(expr: Expr, numbers: Mapping[Tensor | Scalar, Integer]) -> Expr:
    """Parameters are symbols, tensors stand in components."""
    parts = {c: numbers[c.tensor] for c in expr.atoms(Component) if c.tensor in numbers}
    return expr.xreplace(parts | {s: n for s, n in numbers.items() if isinstance(s, Scalar)})


def _line(op: Op, equation: Equation, expr: Expr) -> str:
    """As it was written, where nothing has changed."""
    if expr == equation.expr:
        return equation.text
    return equation_text(equation.target, expr, op.letters)


def _live(
    op: Op, results: Iterable[Component], changed: Mapping[Component, Expr]
) -> Iterator[Equation]:
    """The equations that the outputs depend on, in their order."""
    uses = {t.tensor: {c.tensor for c in e.atoms(Component)} for t, e in changed.items()}
    todo, live = [c.tensor for c in results], set()
    while todo:
        tensor = todo.pop()
        if tensor not in live:
            live.add(tensor)
            todo += uses.get(tensor, ())
    return (e for e in op.equations if e.target.tensor in live)


def _header(op: Op, fixed: set[str], results: Sequence[Component], name: str) -> str:
    """The header as written, without the inputs and parameters that are fixed."""
    start, end = op.header.index("("), op.header.index(")")
    sides = [
        ", ".join(d for d, n in _declarations(side) if n not in fixed)
        for side in op.header[start + 1 : end].split(";")
    ]
    given = "; ".join(filter(None, sides))
    return f"op {name}({given}) -> {_result(op.header[end:], results)}"


def _result(written: str, results: Sequence[Component]) -> str:
    """Of the outputs as they were written, these."""
    declared = written.partition("->")[2].strip().removeprefix("(").removesuffix(")")
    found = {name: text for text, name in _declarations(declared)}
    texts = [found[c.tensor.name] for c in results]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _declarations(inside: str) -> Iterator[tuple[str, str]]:
    """Each declaration of a header and its name: `x[b,h]` and `x`, `eps = 1e-5` and `eps`."""
    depth, start = 0, 0
    for k, character in enumerate(inside + ","):
        depth += (character == "[") - (character == "]")
        if character == "," and not depth:
            text = inside[start:k].strip()
            yield text, re.split(r"[\[:=\s]", text, maxsplit=1)[0]
            start = k + 1
