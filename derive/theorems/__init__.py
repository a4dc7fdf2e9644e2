"""Theorems: what the equations of an op imply about its sums and about its gradients."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain

from derive.derivation import Derivation
from derive.notation.effort import Exhausted, bounded
from derive.notation.known import operations_in
from derive.notation.nodes import free_indices
from derive.simplify.identities import Identity
from derive.simplify.matching import match
from derive.theorems.relations import relations
from derive.theorems.statistics import statistics
from derive.theorems.vanished import vanished

_MOST_OPERATIONS = 80  # in the equations of an op that is searched
_MOST_WORK = 600_000  # steps of proofs


def theorems(derivation: Derivation) -> tuple[Identity, ...]:
    """The identities that were used, other sums, gradients that vanish, relations among the others.

    Of a large op only those that were used: what is true of it has no short proof. The search ends
    with what it has found when it has done enough.
    """
    if sum(operations_in(e.expr) for e in derivation.op.equations) > _MOST_OPERATIONS:
        return derivation.used
    found: list[Identity] = []
    sources = (
        derivation.used,
        statistics(derivation.op),
        vanished(derivation),
        relations(derivation),
    )
    with bounded(_MOST_WORK), suppress(Exhausted):
        for identity in chain.from_iterable(sources):
            if not any(_same(identity, known) for known in found):
                found.append(identity)
    return tuple(found)


def _same(one: Identity, other: Identity) -> bool:
    """Do two left sides differ in nothing but their letters?"""
    return match(one.left, free_indices(one.left), other.left) is not None
