"""Gradients that vanish: "no gradient through the stabilising maximum" is one of them."""

from __future__ import annotations

from collections.abc import Iterator

from sympy import S

from derive.derivation import Derivation, total_gradient
from derive.simplify.identities import Identity


def vanished(derivation: Derivation) -> Iterator[Identity]:
    """∂l/∂t = 0 for each tensor on the way that the outputs use, but do not depend on."""
    op = derivation.op
    defined = {e.name for e in op.equations}
    for stage in derivation.stages:
        if stage.name in defined and stage.closed == 0 and stage.jacobians:
            steps = (*stage.gradient.steps, *stage.closing.steps)
            left = total_gradient(op, stage.component)
            yield Identity(left, S.Zero, steps, f"no output moves with {stage.name}")
