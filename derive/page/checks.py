"""What `derive verify` holds against the generated code of an op; the page runs none of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from derive.derivation import Derivation


@dataclass(frozen=True)
class Check:
    """What is compared, and with what."""

    name: str
    against: str


_ALWAYS = (
    Check("outputs and gradients in fp64", "autograd of the op's equations, composed in torch"),
    Check("the formulas, in exact arithmetic", "dual numbers at rational inputs: equal or not"),
    Check("outputs and gradients in fp32 and bf16", "fp64 on the same rounded inputs"),
    Check("one gradient at a time, several axes for one, an empty batch", "the same in fp64"),
    Check("gradcheck and gradgradcheck", "differences, with tolerances that see a dropped term"),
)


def checks(derivation: Derivation) -> list[Check]:
    """Those of every op, and the relations that this one's symmetries imply."""
    return [*_ALWAYS, *_relations(derivation)]


def _relations(derivation: Derivation) -> Iterator[Check]:
    count = sum(bool(i.reason) for i in derivation.identities)
    if count:
        several = "1 relation" if count == 1 else f"{count} relations"
        yield Check(f"{several} among the gradients (theorems above)", "nothing: no reference")
