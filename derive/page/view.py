"""What a page shows, in its order, as strings: the template places them and decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from markupsafe import Markup

from derive.derivation import Derivation
from derive.emit.document import Chapter, Display, display, equation_row, law_latex
from derive.emit.latex_lines import Row
from derive.emit.narrative import lemma
from derive.forms import FORMS, form, polynomial_text
from derive.notation.latex import component_latex, name_latex, to_latex
from derive.notation.nodes import free_indices
from derive.notation.op import Equation, Op
from derive.notation.unicode import name_unicode
from derive.page.example import Example, Line, example
from derive.page.legend import derivatives
from derive.page.mathml import count_latex, math, prose
from derive.rewrite import Step
from derive.simplify.identities import Identity
from derive.theorems.relations import in_words
from derive.theorems.symmetries import Symmetry


@dataclass(frozen=True)
class Shown:
    """A line of a chain: the law that gave it stands beside it."""

    left: Markup
    right: Markup
    law: Markup
    anchor: str  # of the law's statement


@dataclass(frozen=True)
class Passage:
    """A sentence, what it comes to, and the chain between."""

    id: str
    kind: str
    sentence: Markup
    result: Markup
    rows: tuple[Shown, ...]
    steps: str


@dataclass(frozen=True)
class Gradient:
    """How the gradient of one tensor comes about."""

    id: str
    number: int  # those of the op's equations come first
    letters: tuple[str, str]  # the name, and what stands below it
    name: Markup
    result: Markup
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Law:
    """A law that some step uses, by name and in a formula."""

    id: str
    name: Markup
    statement: Markup


@dataclass(frozen=True)
class Way:
    """A gradient in one form."""

    name: str
    explained: str
    rows: tuple[Markup, ...]
    cost: Markup


@dataclass(frozen=True)
class Theorem:
    """An equation, where it comes from, its proof."""

    equation: Markup
    reason: Markup
    proof: Passage


@dataclass(frozen=True)
class Numbers:
    """A tensor of the example: its equation, its values, one component worked out."""

    equation: Markup
    values: Markup
    worked: Markup
    anchor: str


_EXPLAINED = {
    "closed": "everything put in",
    "factored": "what recurs has a name, what all terms share stands in front",
    "chain": "as it is computed, one equation for each gradient on the way",
}
NOTHING = Markup()
_MOVED = re.compile(r"^(no output moves with )(\w+)$")
Definitions: TypeAlias = Mapping[str, tuple[str, str]]  # by the law's name


def slug(text: str) -> str:
    """Text as part of an id."""
    return re.sub(r"\W+", "-", text).strip("-")


def equation(derivation: Derivation, one: Equation) -> tuple[Markup, Markup]:
    """The two sides."""
    row = equation_row(derivation.op, one)
    return math(row.left), math(f"= {row.right}")


def whole(derivation: Derivation, one: Equation) -> Markup:
    """An equation in one piece."""
    row = equation_row(derivation.op, one)
    return math(f"{row.left} = {row.right}")


def gradients(derivation: Derivation, told: Sequence[Chapter]) -> Iterator[Gradient]:
    """In the order of the derivation, whose chapters are `told`."""
    definitions = definitions_of(derivation)
    for number, chapter in enumerate(told, len(derivation.op.equations) + 1):
        id_ = f"gradient-{chapter.name}"
        displays = enumerate(chapter.displays, 1)
        passages = tuple(_passage(f"{id_}-{k}", d, definitions) for k, d in displays)
        name = math(name_latex(chapter.name), block=False)
        letters, result = name_unicode(chapter.name), passages[-1].result
        yield Gradient(id_, number, letters, name, result, passages)


def _passage(id_: str, shown: Display, definitions: Definitions) -> Passage:
    rows = tuple(_row(row, definitions) for row in shown.rows)
    first, last = shown.rows[0], shown.rows[-1]
    result = math(f"{first.left} = {_unmarked(last.right)}")
    count = len(rows) - (not rows[0].law)
    steps = "" if count < 1 or len(rows) == 1 else "1 step" if count == 1 else f"{count} steps"
    sentence = prose(shown.sentence.rstrip(":"))
    return Passage(id_, slug(shown.kind), sentence, result, rows, steps)


def _row(row: Row, definitions: Definitions) -> Shown:
    left = math(row.left) if row.left else NOTHING
    law, anchor = _named(row.law, definitions)
    return Shown(left, math(f"= {row.right}"), prose(law), anchor)


def _named(law: str, definitions: Definitions) -> tuple[str, str]:
    """A law and where it is stated; definitions with their numbers, the word for them once."""
    parts = law.split(", ")
    known = [definitions[p] for p in parts if p in definitions]
    if len(known) != len(parts):
        return law, f"law-{slug(law)}"
    numbered = ", ".join(p + number for p, (_, number) in zip(parts, known, strict=True))
    return numbered.replace(", definition of", ","), known[0][0]


def definitions_of(derivation: Derivation) -> Definitions:
    """Where the equations stand that steps refer to, and their numbers."""
    names = enumerate((e.name for e in derivation.op.equations), 1)
    return {law_latex(f"definition of {n}"): (f"eq-{n}", f" ({k})") for k, n in names}


def _unmarked(latex: str) -> str:
    return latex.replace(r"\textcolor{red}", "")


def laws(derivation: Derivation) -> Iterator[Law]:
    """Those that the steps use and that have a statement, in their order."""
    found: dict[str, str] = {}
    steps = list(_every(derivation.steps))
    for step in steps:
        found.setdefault(step.law, step.statement)
    for name, statement in found.items():
        if statement and not name.startswith("definition of "):
            yield Law(f"law-{slug(law_latex(name))}", prose(law_latex(name)), math(statement))
    for n, (name, statement) in enumerate(derivatives(derivation, steps)):
        yield Law(f"function-{n}", prose(f"derivative of {name}"), math(statement))


def _every(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _every(step.proof)


def ways(derivation: Derivation, name: str) -> Iterator[Way]:
    """The forms of one gradient, those that are written alike once."""
    seen: list[tuple[Markup, ...]] = []
    for kind in ("closed", "factored", "chain"):
        made = form(derivation, name, kind)
        rows = tuple(whole(derivation, e) for e in made.equations)
        if rows in seen:
            continue
        seen.append(rows)
        cost = math(count_latex(polynomial_text(made.operations)), block=False)
        yield Way(kind, _EXPLAINED[kind], rows, cost)
    assert set(_EXPLAINED) == set(FORMS)


def theorems(derivation: Derivation) -> Iterator[Theorem]:
    """The identities with their proofs."""
    op = derivation.op
    for k, identity in enumerate(derivation.identities, 1):
        free = tuple(free_indices(identity.left))
        sides = (to_latex(side, free, op.letters) for side in (identity.left, identity.right))
        shown = display(op, lemma(identity.steps), marked=True)
        proof = _passage(f"theorem-{k}", shown, definitions_of(derivation))
        yield Theorem(math(" = ".join(sides)), _reason(op, identity), proof)


def _reason(op: Op, identity: Identity) -> Markup:
    """Where a theorem comes from."""
    if isinstance(identity.symmetry, Symmetry):
        told = in_words(op, identity.symmetry, lambda c: f"${component_latex(c)}$")
        return prose(f"Because {told}.")
    used = dict.fromkeys(s.law for s in identity.steps if s.law.startswith("definition"))
    names = law_latex(", ".join(used)).replace(", definition of", ",")
    reason = _MOVED.sub(lambda found: f"{found[1]}${name_latex(found[2])}$", identity.reason)
    return prose(f"Because {reason}." if reason else f"By the {names}.")


def numbers(derivation: Derivation) -> tuple[Example, Mapping[str, tuple[Numbers, ...]]] | None:
    """The example, its lines printed."""
    found = example(derivation)
    if found is None:
        return None
    parts = {"given": found.given, "forward": found.forward, "back": found.back}
    return found, {k: tuple(_numbers(derivation, n) for n in v) for k, v in parts.items()}


def setting(found: Example) -> Markup:
    """The sizes and parameters of the example."""
    return prose(", ".join(f"${one}$" for one in found.setting))


def compared(found: Example) -> tuple[Markup, Markup]:
    """One component as derived, and by differences."""
    return math(f"{found.component} = {found.derived}"), math(found.differences)


def _numbers(derivation: Derivation, line: Line) -> Numbers:
    name = line.component.tensor.name
    if line.equation is None:
        shown, anchor = math(component_latex(line.component)), ""
    else:
        shown = whole(derivation, line.equation)
        anchor = anchor_of(derivation, name)
    values = math(f"{component_latex(line.component)} = {line.values}") if line.values else NOTHING
    return Numbers(shown, values, math(line.worked) if line.worked else NOTHING, anchor)


def anchor_of(derivation: Derivation, name: str) -> str:
    """Where a page tells how a tensor, or a gradient `dt`, is computed; empty if nowhere."""
    if name in {e.name for e in derivation.op.equations}:
        return f"eq-{name}"
    known = (n for n in derivation.stage if name in (f"d{n}", f"d{n}_total"))
    return next((f"gradient-{n}" for n in known), "")


def tensors(derivation: Derivation) -> Iterator[tuple[str, int, Markup]]:
    """Id, number and equation of what the op computes."""
    for number, one in enumerate(derivation.op.equations, 1):
        yield f"eq-{one.name}", number, whole(derivation, one)
