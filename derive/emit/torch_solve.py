"""Linear systems in torch code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sympy import Expr

from derive.emit.scalar import ATOM, bracket
from derive.emit.source import comma
from derive.notation.nodes import Index, free_indices
from derive.notation.solution import Solution

if TYPE_CHECKING:
    from derive.emit.torch_printer import TorchPrinter

Space = tuple[Index, ...]


def solved(printer: TorchPrinter, relation: Solution, space: Space) -> tuple[str, Space]:
    """`torch.linalg.solve`: what numbers matrices leads, what numbers right sides is last."""
    rows, columns = relation.rows, relation.columns
    shared = [i for i in space if i not in columns]
    batch = tuple(i for i in shared if i in free_indices(relation.matrix))
    rest = tuple(i for i in shared if i not in batch)
    matrix = _spread(printer, relation.matrix, (*batch, *rows, *columns))
    right = _spread(printer, relation.right, (*batch, *rows, *rest))
    if len(rows) > 1:
        flat = len(batch)
        matrix = f"{matrix}.flatten({flat + len(rows)}).flatten({flat}, {flat + len(rows) - 1})"
        right = f"{right}.flatten({flat}, {flat + len(rows) - 1})"
    if len(rest) > 1:
        right += f".flatten({len(batch) + 1})"
    text = f"torch.linalg.solve({matrix}, {right if rest else f'{right}[..., None]'})"
    text += "" if rest else f".squeeze({len(batch) + 1})"
    if len(rest) > 1:
        text += f".unflatten({len(batch) + 1}, ({comma(i.size.name for i in rest)}))"
    if len(columns) > 1:
        text += f".unflatten({len(batch)}, ({comma(i.size.name for i in columns)}))"
    return text, (*batch, *columns, *rest)


def _spread(printer: TorchPrinter, expr: Expr, space: Space) -> str:
    """The expression with every axis of a space."""
    code = printer.code(expr, space)
    names = comma(i.size.name for i in space)
    if not printer.is_tensor(expr):
        return printer.new("full", f"({names}), {code[0]}")
    if set(space) <= set(free_indices(expr)):
        return bracket(code, ATOM)
    return f"{bracket(code, ATOM)}.expand({', '.join(i.size.name for i in space)})"
