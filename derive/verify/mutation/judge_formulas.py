"""Which checks fail on a mutated formula: in fp64, exactly, by the op's own relations alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from derive.derivation import Derivation, differentiate
from derive.notation.op import Op
from derive.verify.exact import exact
from derive.verify.mutation.equivalence import is_equivalent, mutated
from derive.verify.mutation.finding import EQUIVALENT, FORMULAS, KILLED, LIVE, Finding
from derive.verify.mutation.formulas import Mutant, mutants
from derive.verify.mutation.tolerances import Way, ways
from derive.verify.reference import composed
from derive.verify.relations import related, worst_violation
from derive.verify.run import EXACT, sample_for
from derive.verify.sample import errors, gradients

FP64, DUAL, RELATIONS = "fp64 against autograd", "exact, by dual numbers", "its own relations"


@dataclass
class Formulas:
    """The mutants of one op's formulas, and what their judgment needs, worked out once."""

    op: Op
    tolerance: float = EXACT
    patience: float = 600.0

    @cached_property
    def derivation(self) -> Derivation:
        return differentiate(self.op)

    @cached_property
    def mutants(self) -> list[Mutant]:
        return mutants(self.derivation)

    @cached_property
    def ways(self) -> list[Way]:
        return ways(self.op)

    def __len__(self) -> int:
        return len(self.mutants)

    def prepare(self) -> None:
        """Work out what all mutants share."""
        self.sample = sample_for(self.op, torch.float64)
        self.truth = gradients(composed(self.op), self.sample)
        related(self.derivation)
        exact(self.op, self.derivation)
        _ = self.mutants, self.ways

    def judge(self, number: int) -> Finding:
        """What becomes of a mutant."""
        mutant = self.mutants[number]
        notices = self._notices(mutant)
        checks = [name for name in (FP64, DUAL, RELATIONS) if notices[name]]
        if FP64 not in checks and is_equivalent(mutant):
            return self.finding(number, EQUIVALENT, "every gradient is proved to be what it was")
        fate, why = (KILLED, ", ".join(checks)) if checks else (LIVE, "no check fails on it")
        return self.finding(number, fate, why, notices)

    def finding(
        self, number: int, fate: str, why: str, notices: dict[str, bool] | None = None
    ) -> Finding:
        mutant = self.mutants[number]
        return Finding(
            self.op.name,
            FORMULAS,
            mutant.place,
            mutant.change,
            mutant.text,
            fate,
            why,
            notices or {},
        )

    def _notices(self, mutant: Mutant) -> dict[str, bool]:
        program = mutant.program
        found = program.run(self.sample)[len(self.op.outputs) :]
        off, _ = worst_violation(self.derivation, self.sample, found)
        return {
            FP64: errors(found, self.truth) > self.tolerance,
            DUAL: exact(self.op, mutated(mutant)).mismatch is not None,
            RELATIONS: bool(related(self.derivation)) and not off <= self.tolerance,
            **{way.name: way.notices(program) for way in self.ways},
        }
