"""What is known of a kind of error."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A kind of refusal. The example is an op file; with it a statement, or a paper in LaTeX."""

    code: str
    title: str
    explanation: str
    remedy: str
    example: str
    statement: str = ""
    paper: str = ""
    derived: bool = False  # the example can be read; it is refused when it is derived
