"""What a generated file offers besides the two passes: double backward and forward mode."""

from __future__ import annotations

from typing import Any

from derive.derivation import Derivation
from derive.emit.interface import Extras, Plumbing
from derive.emit.second import Kernels, SecondModule
from derive.emit.tangent import TangentModule, joined
from derive.errors import DeriveError
from derive.notation.effort import Exhausted, bounded
from derive.plan.roles import roles

_MOST_WORK = 150_000  # nodes in the steps of a mode, its proofs of zero sums among them


class Modes:
    """The further modes of one program; one whose derivation would take too long is left out."""

    def __init__(
        self, first: Plumbing, derivation: Derivation, kernels: Kernels | None = None
    ) -> None:
        self.second, self.tangent = _second(first, kernels), _tangent(first, derivation)

    @property
    def backs(self) -> list[Any]:
        """What has kernels of its own."""
        return [self.second.back] if self.second is not None and self.second.back else []

    @property
    def extras(self) -> Extras:
        """What is saved for them besides what the backward pass needs."""
        return joined([m.extras for m in (self.second, self.tangent) if m is not None])

    @property
    def offered(self) -> dict[str, bool]:
        return {"second": self.second is not None, "tangent": self.tangent is not None}

    def build(self) -> dict[str, Any]:
        """Strings for the template."""
        extras = self.extras
        return {
            "second": self.second and self.second.build(extras),
            "tangent": self.tangent and self.tangent.build(extras),
        }


def _second(first: Plumbing, kernels: Kernels | None) -> SecondModule | None:
    try:
        with bounded(_MOST_WORK):
            return SecondModule(first, kernels)
    except (DeriveError, Exhausted):
        return None


def _tangent(first: Plumbing, derivation: Derivation) -> TangentModule | None:
    try:
        with bounded(_MOST_WORK):
            leading = roles(first.op).leading
            return TangentModule(first, derivation, leading.size if leading else None)
    except (DeriveError, Exhausted):
        return None
