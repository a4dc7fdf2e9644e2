"""What `derive verify` holds against the generated code of an op, and what it found, if asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from derive.derivation import Derivation


@dataclass(frozen=True)
class Check:
    """A row that the command prints, and what is compared with what."""

    name: str
    against: str
    cells: tuple[str, ...] = ()  # what was found, for each backend that was verified


@dataclass(frozen=True)
class Outcome:
    """What one check found of the code for one backend."""

    backend: str
    check: str
    passed: bool
    worst: float
    allowed: float

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "FAILED"
        return f"{verdict}: {self.worst:.1e} of {self.allowed:.1e}"


RELATIONS = "its own relations"
CHECKS = (
    Check("fp64 against autograd", "outputs and gradients; autograd of the equations, composed"),
    Check("exact, by dual numbers", "the formulas at rational inputs; equal or not"),
    Check(RELATIONS, "nothing: no reference is needed"),
    Check("fp64 by complex step", "gradients; a step that cancels nothing"),
    Check("float32 against fp64", "the same rounded inputs in fp64, as exactly as they allow"),
    Check("float16 against fp64", "the same"),
    Check("bfloat16 against fp64", "the same"),
    Check("rows in tiles", "long rows, which kernels walk in tiles"),
    Check("where it switches", "inputs on both sides of each kink and condition, and just there"),
    Check("far from zero", "inputs with a large mean"),
    Check("memory of its own", "results are written in full, and nothing is touched beside them"),
    Check("passes by themselves", "forward and backward called as functions"),
    Check("one gradient at a time", "only some of the gradients are wanted"),
    Check("one at a time, in tiles", "long rows, some of the gradients"),
    Check("leading axes", "any number of axes for one"),
    Check("no rows", "an empty batch"),
    Check("other sizes", "axes of one place; sizes with a default, one more"),
    Check("not a number", "what is not a number stays so, where it should"),
    Check(
        "functions by themselves",
        "functions that kernels define, at kinks, ties and beyond numbers",
    ),
    Check("gradcheck", "differences, with tolerances that see a dropped term"),
    Check("gradgradcheck", "the same, of the double backward"),
)


def checks(derivation: Derivation, found: Sequence[Outcome] = ()) -> list[Check]:
    """Those of every op, the relations that this one's symmetries imply, and what was found."""
    told = {(o.backend, o.check): str(o) for o in found}
    names = backends(found)
    return [
        replace(check, cells=tuple(told.get((name, check.name), "") for name in names))
        for check in _with_relations(sum(bool(i.reason) for i in derivation.identities))
    ]


def backends(found: Sequence[Outcome]) -> list[str]:
    """Those that were verified."""
    return list(dict.fromkeys(o.backend for o in found))


def _with_relations(count: int) -> Iterator[Check]:
    several = "1 relation" if count == 1 else f"{count} relations"
    for check in CHECKS:
        if check.name != RELATIONS:
            yield check
        elif count:
            yield Check(RELATIONS, f"{several} among the gradients (theorems); no reference")
