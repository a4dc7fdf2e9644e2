"""Printing what the host computes around kernels: torch code, with sums that kernels left."""

from __future__ import annotations

from sympy import Expr

from derive.emit.scalar import Code
from derive.emit.torch_printer import Space, TorchPrinter
from derive.notation.nodes import Component, Size


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
