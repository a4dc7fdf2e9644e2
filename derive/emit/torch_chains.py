"""Chains of passes in torch code: the first as `a * b`, those behind it as methods, `.div_(c)`.

A method that ends in `_` writes into the memory of what stands before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sympy import Expr

from derive.emit.scalar import ATOM, POWER, PRODUCT, SUM, UNARY, Code, bracket
from derive.notation.nodes import Index, Size, Tensor, free_indices
from derive.plan.chains import Chain, Chains, Part, Step

if TYPE_CHECKING:
    from derive.emit.torch_printer import TorchPrinter

Space = tuple[Index, ...]
_SIGNS = {"mul": " * ", "div": " / ", "add": " + ", "sub": " - "}
_NO_OUT = {"relu", "neg"}  # what has no form that writes into a tensor that is given


@dataclass(frozen=True)
class Spare:
    """A tensor in which large intermediate results lie, one after another."""

    name: str
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Memory:
    """Where tensors are large, which of them a statement may write over, and what is to spare."""

    width: int  # the axes of the large ones
    spent: frozenset[Tensor] = frozenset()
    spare: Spare | None = None


@dataclass
class Chained:
    """Prints the chains of one statement, with a printer for what stands in them."""

    printer: TorchPrinter
    memory: Memory
    result: Expr | None = None  # the whole right side, which is to stay
    taken: tuple[Size, ...] | None = None  # the shape of what was put into the spare tensor

    def code(self, expr: Expr, space: Space) -> Code | None:
        """None for what has no passes behind its first one."""
        if len(space) < self.memory.width:
            return None
        part = Chains(self.memory.spent).chain(expr, space)
        if not isinstance(part, Chain):
            return None
        passes = expr is not self.result and not part.in_place and self._has_spare(part, space)
        if not (part.in_place or passes or len(part.steps) > 1):
            return None
        return self._chain(part, space, passes=expr is not self.result)

    def _has_spare(self, chain: Chain, space: Space) -> bool:
        spare, sizes = self.memory.spare, tuple(i.size for i in space)
        fits = spare is not None and spare.sizes in ((), sizes) and self.taken is None
        return fits and chain.steps[0].word not in _NO_OUT

    def _chain(self, chain: Chain, space: Space, *, passes: bool = True) -> Code:
        """`passes`: it is needed in this statement only."""
        out, steps = "", list(chain.steps)
        if passes and not chain.in_place and self._has_spare(chain, space):
            assert self.memory.spare is not None
            out, self.taken = self.memory.spare.name, tuple(i.size for i in space)
        start = self._part(chain.start, space, plain=True)
        text = bracket(start, ATOM)
        if not chain.in_place:
            first = self._first(start, steps.pop(0), space, out)
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

    def _first(self, start: Code, step: Step, space: Space, out: str) -> Code:
        """The pass that takes new memory, or that to spare."""
        codes = [self._part(p, space) for p in step.operands]
        if out or step.word not in _SIGNS:
            if step.word == "square" and not out:
                return f"{bracket(start, ATOM)}**2", POWER
            texts = [start[0], *(c[0] for c in codes), *self._number(step)]
            texts += [f"out={out}"] if out else []
            return f"torch.{step.word}({', '.join(texts)})", ATOM
        (code,) = codes
        level = {"mul": (PRODUCT, PRODUCT), "div": (PRODUCT, UNARY)}.get(step.word, (SUM, PRODUCT))
        left, right = bracket(start, level[0]), bracket(code, level[1])
        return left + _SIGNS[step.word] + right, level[0]

    def _method(self, step: Step, space: Space) -> str:
        texts = [self._part(p, space)[0] for p in step.operands]
        return f".{step.word}_({', '.join([*texts, *self._number(step)])})"

    def _number(self, step: Step) -> list[str]:
        return [] if step.number == 1 else [f"value={self.printer.code(step.number, ())[0]}"]
