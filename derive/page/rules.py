"""How the tensors of an op may be shared out among ranks, as the dtensor backend does it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from derive.derivation import Derivation
from derive.emit.dtensor_module import LEADING, Axes, DTensorModule
from derive.errors import DeriveError
from derive.plan.program import Program
from derive.plan.sharding import sharded
from derive.rewrite import keeping_shape


@dataclass(frozen=True)
class Rule:
    """A letter that axes may be cut along: how each tensor lies then, and what is exchanged."""

    letter: str
    placements: tuple[tuple[str, str], ...]
    exchanged: str


def rules(program: Program, derivation: Derivation) -> tuple[Rule, ...]:
    """One for each letter; none where the op cannot be shared out."""
    with keeping_shape():
        try:
            module = DTensorModule(sharded(program), derivation)
        except DeriveError:
            return ()
        axes, summary = list(module.axes()), [line.partition(": ") for line in module.summary()]
    return tuple(_rule(letter, axes, exchanged) for letter, _, exchanged in summary)


def _rule(letter: str, axes: Iterable[Axes], exchanged: str) -> Rule:
    own = LEADING if letter == "leading axes" else letter
    return Rule(letter, tuple((a.name, _placement(a, own)) for a in axes), exchanged)


def _placement(axes: Axes, letter: str) -> str:
    """As torch.distributed names it."""
    if letter in axes.partial:
        return "Partial()"
    if letter in axes.letters:
        return f"Shard({axes.letters.index(letter)})"
    return "Replicate()"
