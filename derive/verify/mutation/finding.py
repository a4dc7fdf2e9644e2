"""What became of a mutant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KILLED, EQUIVALENT, LIVE = "killed", "equivalent", "live"
FATES = (KILLED, EQUIVALENT, LIVE)
FORMULAS = "formulas"  # what is mutated, where it is not the source that a backend generates


@dataclass(frozen=True)
class Finding:
    """A mutant, its fate, and why: the check that failed on it, or the proof that it is none.

    `notices`: which checks, each by itself, would have seen it; asked of formulas only.
    """

    op: str
    of: str
    place: str
    change: str
    text: str  # the mutated formula, or the lines as a diff
    fate: str
    why: str
    notices: Mapping[str, bool] = field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        return self.fate == LIVE
