"""A paper as input: each equality of its displays proved, refuted, or none of the op's business."""

from __future__ import annotations

from dataclasses import dataclass, replace

from derive.derivation import Derivation, differentiate
from derive.errors import Diagnostic
from derive.notation.op import Op
from derive.notation.tex import Claim, survey
from derive.prove import Proof, Refutation, Verdict, prove_statement

WORDS = ("proved", "definition", "refuted", "undecided", "outside", "unreadable")


@dataclass(frozen=True)
class Finding:
    """What became of one equality; `word` is one of `WORDS`."""

    path: str
    line: int
    source: str
    word: str
    verdict: Verdict | None = None
    notes: tuple[str, ...] = ()
    refusal: Diagnostic | None = None

    def __bool__(self) -> bool:
        return self.word in ("proved", "definition", "outside")

    def __str__(self) -> str:
        lines = [f"{self.path}:{self.line}: {self.word}: {self.source}"]
        if self.verdict is not None and not self.verdict:
            lines += str(self.verdict).split("\n")[1:]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def latex(self) -> str:
        """The proof, or the numbers that refute."""
        return self.verdict.latex() if self.verdict else rf"\text{{{self.word}}}"


def prove_document(op: Op, text: str, path: str) -> list[Finding]:
    """A finding for each equality of a paper, then one for each place that cannot be read."""
    claims, report = survey(op, text, path)
    derivation = differentiate(op) if claims else None
    found = [_decide(derivation, claim, path) for claim in claims]
    refused = report.error().diagnostics if report.found else ()
    return found + [Finding(path, d.span.line, d.source, "unreadable", refusal=d) for d in refused]


def _decide(derivation: Derivation | None, claim: Claim, path: str) -> Finding:
    finding = Finding(path, claim.line, claim.source, "outside", notes=claim.notes)
    if derivation is None or claim.statement is None:
        return finding
    verdict = prove_statement(derivation, claim.statement)
    return replace(finding, word=_word(claim, verdict), verdict=verdict)


def _word(claim: Claim, verdict: Verdict) -> str:
    if isinstance(verdict, Proof):
        return "definition" if claim.defines else "proved"
    return "refuted" if isinstance(verdict, Refutation) else "undecided"
