"""Which checks fail on a mutated formula: in fp64, exactly, by the op's own relations alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf

import torch
from torch import Tensor

from derive.derivation import Derivation, differentiate
from derive.notation.op import Op
from derive.verify.exact import exact
from derive.verify.mutation.equivalence import is_equivalent, mutated
from derive.verify.mutation.finding import EQUIVALENT, FORMULAS, KILLED, LIVE, Finding
from derive.verify.mutation.formulas import Mutant, mutants
from derive.verify.mutation.tolerances import Way, ways
from derive.verify.program import Program
from derive.verify.reference import composed
from derive.verify.relations import related, worst_violation
from derive.verify.run import EXACT, sample_for
from derive.verify.sample import Sample, errors, gradients
from derive.verify.switches import near_switches

FP64, DUAL, RELATIONS = "fp64 against autograd", "exact, by dual numbers", "its own relations"


@dataclass
class Formulas:
    """The mutants of one op's formulas, and what their judgment needs, worked out once."""

    op: Op
    tolerance: float = EXACT
    patience: float = 600.0
    at_once: int = 8

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
        first = sample_for(self.op, torch.float64)
        near = near_switches(self.op, first.scalars)
        self.truths = [
            (first, gradients(composed(self.op), first)),
            *((n.sample, n.truth[len(self.op.outputs) :]) for n in near),
        ]
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
        wrong, unrelated = self._seen(program)
        return {
            FP64: wrong,
            DUAL: exact(self.op, mutated(mutant)).mismatch is not None,
            RELATIONS: unrelated,
            **{way.name: way.notices(program) for way in self.ways},
        }

    def _seen(self, program: Program) -> tuple[bool, bool]:
        """Is any gradient wrong at any input, and is any relation violated?"""
        related_at_all = bool(related(self.derivation))
        wrong = unrelated = False
        for sample, truth in self.truths:
            off, violation = self._offs(program, sample, truth)
            wrong = wrong or off > self.tolerance
            unrelated = unrelated or not violation <= self.tolerance
            if wrong and (unrelated or not related_at_all):
                break
        return wrong, unrelated

    def _offs(
        self, program: Program, sample: Sample, truth: Sequence[Tensor]
    ) -> tuple[float, float]:
        """How far gradients are from the truth, and from what relations say of them."""
        try:
            found = program.run(sample)[len(self.op.outputs) :]
        except RuntimeError:  # a matrix that has no inverse
            return inf, inf if related(self.derivation) else 0.0
        is_related = bool(related(self.derivation))
        off = worst_violation(self.derivation, sample, found)[0] if is_related else 0.0
        return errors(found, truth), off
