"""The generated modules beside the equations that their statements carry out, linked both ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from derive.derivation import Derivation
from derive.emit.backends import BACKENDS
from derive.emit.document import equation_row
from derive.emit.files import path_of, source
from derive.errors import DeriveError
from derive.notation.op import Equation
from derive.page.listing import Chunk, Segment, listing
from derive.page.mathml import math
from derive.page.view import anchor_of
from derive.plan.program import Program
from derive.plan.statement import Statement


@dataclass(frozen=True)
class Beside:
    """Lines of code, the equation that they carry out, and where the page derives that."""

    id: str
    anchor: str
    says: str
    equation: Markup
    lines: tuple[Markup, ...]


@dataclass(frozen=True)
class Part:
    """A function: open if it holds statements of the two passes."""

    name: str
    is_open: bool
    pieces: tuple[Beside, ...]
    count: int


@dataclass(frozen=True)
class Module:
    """What a backend wrote."""

    backend: str
    path: str
    text: str
    parts: tuple[Part, ...]


def modules(program: Program, derivation: Derivation) -> Iterator[Module]:
    """Those of the backends that give Python that is read beside the formulas."""
    beside = _Beside(program, derivation)
    for name in ("torch", "triton"):
        backend = BACKENDS[name]
        try:
            text = source(program.op, backend)
        except DeriveError:
            continue
        yield Module(name, path_of(program.op, backend), text, tuple(beside.parts(name, text)))


def backlinks(made: Sequence[Module]) -> Mapping[str, list[tuple[str, str]]]:
    """For each equation or gradient: the backends and the places where their code begins."""
    found: dict[str, dict[str, str]] = {}
    for module in made:
        for piece in (p for part in module.parts for p in part.pieces if p.id):
            found.setdefault(piece.anchor, {}).setdefault(module.backend, piece.id)
    return {anchor: list(places.items()) for anchor, places in found.items()}


class _Beside:
    def __init__(self, program: Program, derivation: Derivation) -> None:
        self.op, self.derivation = program.op, derivation
        self.notes: dict[str, Statement] = {}
        self.anchors: dict[str, str] = {}
        for statements in (program.forward, program.backward):
            for k, statement in enumerate(statements):
                if statement.note and statement.note not in self.notes:
                    self.notes[statement.note] = statement
                    self.anchors[statement.note] = self._anchor(statements[k:])

    def _anchor(self, statements: Sequence[Statement]) -> str:
        """That of the first tensor which the page derives, of those that follow from it."""
        behind = {statements[0].target.tensor}
        for statement in statements:
            if statement is statements[0] or behind & {c.tensor for c in statement.uses}:
                behind.add(statement.target.tensor)
                if anchor := self._own(statement):
                    return anchor
        return ""

    def _own(self, statement: Statement) -> str:
        return anchor_of(self.derivation, statement.target.tensor.name)

    def parts(self, backend: str, text: str) -> Iterator[Part]:
        seen: set[str] = set()
        for chunk in listing(text, self.notes):
            is_open = bool(chunk.notes) and not self._repeats(chunk, seen)
            pieces = tuple(self._piece(backend, s, seen) for s in chunk.segments)
            count = sum(len(p.lines) for p in pieces)
            yield Part(chunk.name, is_open, pieces, count)

    def _repeats(self, chunk: Chunk, seen: set[str]) -> bool:
        """Is there nothing in it that was not there before?"""
        return all(note in seen for note in chunk.notes)

    def _piece(self, backend: str, segment: Segment, seen: set[str]) -> Beside:
        if not segment.note:
            return Beside("", "", "", Markup(), segment.lines)
        statement, anchor = self.notes[segment.note], self.anchors[segment.note]
        number = "" if segment.note in seen else f"{backend}-{len(seen) + 1}"
        seen.add(segment.note)
        row = equation_row(self.op, Equation(statement.target, statement.expr, segment.note))
        shown = math(f"{row.left} = {row.right}")
        return Beside(number, anchor, _says(anchor), shown, segment.lines)


def _says(anchor: str) -> str:
    kind, _, name = anchor.partition("-")
    return {"eq": f"equation of {name}", "gradient": f"gradient of {name}"}.get(kind, "")
