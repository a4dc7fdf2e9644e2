"""The derivation as a person tells it: sections, sentences, chains of equalities with their laws.

LaTeX, the terminal and the page print these; none of them looks at the steps again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sympy import Expr

from derive.derivation import Derivation, Stage
from derive.notation.nodes import Component, Index, Partial, free_indices
from derive.notation.solution import Solution, sides
from derive.rewrite import Chain, Step


@dataclass(frozen=True)
class Equality:
    """One line of a chain: what stands right of the sign, and the law that gave it."""

    expr: Expr
    law: str


@dataclass(frozen=True)
class Passage:
    """A sentence and the chain under it; `free` are the indices of the left side."""

    kind: str  # jacobian, chain rule, substitution, adjoint, identity, continued
    subject: Expr
    lines: tuple[Equality, ...]
    free: tuple[Index, ...]


@dataclass(frozen=True)
class Section:
    """How the gradient of one tensor comes about, and what it comes to."""

    component: Component
    passages: tuple[Passage, ...]
    result: Equality


def narrative(derivation: Derivation, wrt: str | None = None) -> tuple[Section, ...]:
    """One section for each tensor, in the order of the derivation."""
    stages = [s for s in derivation.stages if wrt in (None, s.name)]
    return tuple(_section(s) for s in stages)


def _section(stage: Stage) -> Section:
    if isinstance(stage.computed, Solution):
        return _adjoint(stage, stage.computed)
    passages = [_passage("jacobian", c) for c in stage.jacobians]
    passages += _with_proofs("chain rule", stage.gradient)
    if stage.closing.steps:
        passages += _with_proofs("substitution", stage.closing)
    return Section(stage.component, tuple(passages), Equality(stage.closed, ""))


def _adjoint(stage: Stage, relation: Solution) -> Section:
    """The relation that the gradient of a right side solves."""
    left, right, free = sides(stage.gradient.subject, relation)
    passage = Passage("adjoint", left, (Equality(right, ""),), free)
    return Section(stage.component, (passage,), Equality(right, ""))


def _passage(kind: str, chain: Chain) -> Passage:
    lines = [Equality(chain.start, ""), *(Equality(s.after, s.law) for s in chain.steps)]
    return Passage(kind, chain.subject, tuple(lines), _free(chain.subject))


def _with_proofs(kind: str, chain: Chain) -> Iterator[Passage]:
    """The chain, interrupted by the proof of each identity where it is used."""
    lines = [Equality(chain.start, "")]
    for step in chain.steps:
        proofs = list(_proofs(step))
        if proofs:
            yield Passage(kind, chain.subject, tuple(lines), _free(chain.subject))
            yield from proofs
            kind, lines = "continued", []
        lines.append(Equality(step.after, step.law))
    yield Passage(kind, chain.subject, tuple(lines), _free(chain.subject))


def _proofs(step: Step) -> Iterator[Passage]:
    """The lemmas of a step, each a chain of its own, those that it rests on before it."""
    chain: list[Step] = []
    for part in step.proof:
        yield from _proofs(part)
        if chain and part.before != chain[-1].after:
            yield lemma(chain)
            chain = []
        chain.append(part)
    if chain:
        yield lemma(chain)


def lemma(chain: Sequence[Step]) -> Passage:
    """The proof of an identity."""
    subject = chain[0].before
    lines = tuple(Equality(s.after, s.law) for s in chain)
    return Passage("identity", subject, lines, _free(subject))


def _free(subject: Expr) -> tuple[Index, ...]:
    if isinstance(subject, Component):
        return subject.indices
    if isinstance(subject, Partial):
        return (*subject.of.indices, *subject.wrt.indices)
    return tuple(free_indices(subject))
