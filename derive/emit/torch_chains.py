"""Chains of passes in torch code: the first as `a * b`, those behind it as methods, `.div_(c)`.

A method that ends in `_` writes into the memory of what stands before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sympy import Expr

from derive.emit.scalar import ATOM, POWER, PRODUCT, SUM, UNARY, Code, bracket
from derive.notation.nodes import Index, Tensor, free_indices
from derive.plan.chains import Chain, Chains, Part, Step

if TYPE_CHECKING:
    from derive.emit.torch_printer import TorchPrinter

Space = tuple[Index, ...]
_SIGNS = {"mul": " * ", "div": " / ", "add": " + ", "sub": " - "}


@dataclass(frozen=True)
class Memory:
    """Where tensors are large, and which of them a statement may write over."""

    width: int  # the axes of the large ones
    spent: frozenset[Tensor] = frozenset()


@dataclass(frozen=True)
class Chained:
    """Prints the chains of one statement, with a printer for what stands in them."""

    printer: TorchPrinter
    memory: Memory

    def code(self, expr: Expr, space: Space) -> Code | None:
        """None for what has no passes behind its first one."""
        if len(space) < self.memory.width:
            return None
        part = Chains(self.memory.spent).chain(expr, space)
        if not isinstance(part, Chain) or not (part.in_place or len(part.steps) > 1):
            return None
        return self._chain(part, space)

    def _chain(self, chain: Chain, space: Space) -> Code:
        start, steps = self._part(chain.start, space, plain=True), list(chain.steps)
        text = bracket(start, ATOM)
        if not chain.in_place:
            first = self._first(start, steps.pop(0), space)
            if not steps:
                return first
            text = bracket(first, ATOM)
        return text + "".join(self._method(step, space) for step in steps), ATOM

    def _part(self, part: Part, space: Space, *, plain: bool = False) -> Code:
        """`plain`: a start, which must not be printed as a chain once more."""
        if isinstance(part, Chain):
            return self._chain(part, space)
        own = tuple(i for i in space if i in free_indices(part))
        if len(own) in (0, len(space)):
            return self.printer.start(part, space) if plain else self.printer.code(part, space)
        code = self.printer.code(part, own)
        aligned = self.printer.aligned(bracket(code, ATOM), own, space)
        return code if aligned[0] == bracket(code, ATOM) else aligned

    def _first(self, start: Code, step: Step, space: Space) -> Code:
        """The pass that takes new memory."""
        codes = [self._part(p, space) for p in step.operands]
        if step.word not in _SIGNS:
            if step.word == "square":
                return f"{bracket(start, ATOM)}**2", POWER
            texts = [start[0], *(c[0] for c in codes), *self._number(step)]
            return f"torch.{step.word}({', '.join(texts)})", ATOM
        (code,) = codes
        level = {"mul": (PRODUCT, PRODUCT), "div": (PRODUCT, UNARY)}.get(step.word, (SUM, PRODUCT))
        left, right = bracket(start, level[0]), bracket(code, level[1])
        return left + _SIGNS[step.word] + right, level[0]

    def _method(self, step: Step, space: Space) -> str:
        if step.word == "square":  # of the two, functionalize knows pow_
            return ".pow_(2)"
        texts = [self._part(p, space)[0] for p in step.operands]
        return f".{step.word}_({', '.join([*texts, *self._number(step)])})"

    def _number(self, step: Step) -> list[str]:
        return [] if step.number == 1 else [f"value={self.printer.code(step.number, ())[0]}"]
