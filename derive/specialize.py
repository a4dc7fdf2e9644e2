"""An op with some inputs fixed at a number, as an op of its own: its gradients hold no dead terms.

`specialized(layer_norm, {"gamma": 1, "beta": 0})` is layer norm without weight and bias.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sympy import Expr, Integer

from derive.errors import DeriveError
from derive.notation.nodes import Component, Tensor
from derive.notation.op import Equation, Op
from derive.notation.reader import read_ops
from derive.notation.text import equation_text
from derive.rewrite import keeping_shape


def specialized(op: Op, fixed: Mapping[str, int], name: str = "") -> Op:
    """The op with the inputs that are named replaced by numbers, read anew from its equations."""
    tensors = {_input(op, n): Integer(value) for n, value in fixed.items()}
    if not tensors:
        return op
    with keeping_shape():
        changed = {e.target: _replaced(e.expr, tensors) for e in op.equations}
    lines = [_line(op, e, changed[e.target]) for e in _live(op, changed)]
    title = [f"# {line}" for line in op.title]
    header = _header(op, set(fixed), name or f"{op.name}_without_{'_'.join(fixed)}")
    (found,) = read_ops("\n".join([*title, header, "", *lines]) + "\n")
    return found


def _input(op: Op, name: str) -> Tensor:
    found = {c.tensor.name: c.tensor for c in op.differentiable}
    if name not in found:
        raise DeriveError(f'{op.name} has no input "{name}" that is no integer')
    return found[name]


def _replaced(expr: Expr, tensors: Mapping[Tensor, Integer]) -> Expr:
    parts = (c for c in expr.atoms(Component) if c.tensor in tensors)
    return expr.xreplace({c: tensors[c.tensor] for c in parts})


def _line(op: Op, equation: Equation, expr: Expr) -> str:
    """As it was written, where nothing has changed."""
    if expr == equation.expr:
        return equation.text
    return equation_text(equation.target, expr, op.letters)


def _live(op: Op, changed: Mapping[Component, Expr]) -> Iterator[Equation]:
    """The equations that the outputs depend on, in their order."""
    uses = {t.tensor: {c.tensor for c in e.atoms(Component)} for t, e in changed.items()}
    todo, live = [c.tensor for c in op.outputs], set()
    while todo:
        tensor = todo.pop()
        if tensor not in live:
            live.add(tensor)
            todo += uses.get(tensor, ())
    return (e for e in op.equations if e.target.tensor in live)


def _header(op: Op, fixed: set[str], name: str) -> str:
    """The header as written, without the inputs that are fixed."""
    start, end = op.header.index("("), op.header.index(")")
    inside, semicolon, parameters = op.header[start + 1 : end].partition(";")
    kept = [d for d, n in _declarations(inside) if n not in fixed]
    return f"op {name}({', '.join(kept)}{semicolon}{parameters}{op.header[end:]}"


def _declarations(inside: str) -> Iterator[tuple[str, str]]:
    """Each declaration of a header and the name that it declares: `x[b,h]` and `x`."""
    depth, start = 0, 0
    for k, character in enumerate(inside + ","):
        depth += (character == "[") - (character == "]")
        if character == "," and not depth:
            text = inside[start:k].strip()
            yield text, text.partition("[")[0].partition(":")[0].strip()
            start = k + 1
