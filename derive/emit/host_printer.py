"""Printing what the host computes around kernels: torch code, with sums that kernels left."""

from __future__ import annotations

from sympy import Expr

from derive.emit.scalar import Code
from derive.emit.source import comma
from derive.emit.torch_printer import Space, TorchPrinter
from derive.notation.nodes import Component, Size
from derive.plan.work import Work


class HostPrinter(TorchPrinter):
    """The torch printer, with partial sums where a kernel left them and inputs cast."""

    def __init__(
        self, like: str, spelled: dict[str, str], places: dict[Size, str], dtype: str
    ) -> None:
        super().__init__(like, places, dtype)
        self.spelled = spelled

    def shaped(self, target: Component, expr: Expr) -> str:
        """A kernel reads what the host made, so an expanded tensor is written out."""
        code = super().shaped(target, expr)
        return f"{code}.contiguous()" if ".expand(" in code else code

    def component(self, component: Component, space: Space) -> Code:
        spelled = self.spelled.get(component.tensor.name)
        if spelled is None:
            return super().component(component, space)
        return self.aligned(spelled, component.indices, space)


def with_axes(work: Work) -> Expr:
    """The expression of an epilogue; a marker that keeps the column has the target's indices."""
    kept = (s.marker for s in work.sums if s.over_rows and s.keeps_column)
    axes = {m: Component(m.tensor, *work.target.indices) for m in kept}
    return work.after_rows.xreplace(axes)


def empty(shape: list[str], dtype: str, like: str) -> str:
    sizes = f"({comma(shape)})" if shape else "()"
    return f"torch.empty({sizes}, dtype={dtype}, device={like}.device)"
