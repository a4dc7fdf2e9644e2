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

    @property
    def short_remedy(self) -> str:
        """The remedy as a help line has it: no sentence, so a small letter and no full stop."""
        return self.remedy[0].lower() + self.remedy[1:].removesuffix(".")
