"""The derivation as LaTeX and as text for a terminal, from one narrative."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from derive.config import nearest
from derive.derivation import Derivation, total_gradient
from derive.emit.environment import render
from derive.emit.latex_lines import Row, laid
from derive.emit.narrative import Passage, Section, narrative
from derive.errors import DeriveError
from derive.forms import FORMS, form, polynomial_text, together
from derive.notation.latex import (
    changed_latex,
    component_latex,
    loss_beside,
    name_latex,
    to_latex,
)
from derive.notation.nodes import Partial, free_indices
from derive.notation.op import Equation, Op
from derive.notation.solution import sides
from derive.notation.statement import statement_text
from derive.notation.text import component_text, sides_text, to_text

PARTS = ("all", "forward", "steps", "result")

SENTENCES = {
    "jacobian": "The derivative of ${of}$ with respect to ${wrt}$:",
    "chain rule": "The backpropagated gradient:",
    "substitution": "Substituting the gradients already derived:",
    "adjoint": "The right side less the left has a name of its own, as its gradient comes first. "
    "A change of it changes the unknown by the solution for that change, so this gradient solves "
    "the transposed relation:",
    "identity": "where",
    "continued": "and so",
}


@dataclass(frozen=True)
class Display:
    """A sentence and an aligned block."""

    kind: str  # as of the passage
    sentence: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Chapter:
    """A heading and its displays."""

    name: str  # of the tensor
    heading: str
    displays: tuple[Display, ...]


def latex(
    derivation: Derivation, part: str = "all", standalone: bool = False, form: str = "closed"
) -> str:
    """`part` of the derivation, its result in one of FORMS; a whole document if `standalone`."""
    _one_of("part", part, PARTS)
    _one_of("form", form, FORMS)
    op = derivation.op
    headline, sources = title(op)
    with loss_beside(op):
        return render(
            "latex/op.tex.jinja",
            standalone=standalone,
            title=_escaped(headline),
            shown={p: part in ("all", p) for p in PARTS},
            sources=_escaped(sources),
            equations=laid([equation_row(op, e) for e in op.equations]),
            chapters=[_broken(c) for c in chapters(derivation)],
            results=laid([equation_row(op, e) for e in _results(derivation, form)]),
        )


def title(op: Op) -> tuple[str, str]:
    """The first clause of the title, and the rest: sources and remarks."""
    whole = " ".join(op.title)
    headline, _, rest = re.sub(r"[.;]\s+", "\n", f"{whole} ", count=1).partition("\n")
    return headline.strip() or op.name, rest.strip()


def _broken(chapter: Chapter) -> Chapter:
    displays = (replace(d, rows=tuple(laid(d.rows))) for d in chapter.displays)
    return replace(chapter, displays=tuple(displays))


def chapters(derivation: Derivation, *, marked: bool = False) -> list[Chapter]:
    """A chapter for each gradient; `marked`: what a step changed is in \\textcolor{red}."""
    return [_chapter(derivation.op, s, marked) for s in narrative(derivation)]


def _one_of(what: str, word: str, words: Sequence[str]) -> None:
    if word not in words:
        hint = nearest(word, words) or f"; there are {', '.join(words)}"
        raise DeriveError(f'no {what} "{word}"{hint}')


def _results(derivation: Derivation, name: str, wrt: str | None = None) -> list[Equation]:
    """The gradients of the inputs, or of one tensor, in a form; what they share stands once."""
    shown = [c.tensor.name for c in derivation.op.differentiable] if wrt is None else [wrt]
    return together(derivation, shown, name)


def equation_row(op: Op, equation: Equation) -> Row:
    """An equation, or a relation that defines its target."""
    target = equation.target
    left, right, free = sides(target, equation.expr)
    shown = component_latex(target) if left == target else to_latex(left, free, op.letters)
    return Row(shown, to_latex(right, free, op.letters), "")


def _chapter(op: Op, section: Section, marked: bool) -> Chapter:
    name = section.component.tensor.name
    displays = tuple(display(op, p, marked=marked) for p in section.passages)
    return Chapter(name, f"Gradient of ${name_latex(name)}$", displays)


def display(op: Op, passage: Passage, *, marked: bool = False) -> Display:
    """The chain of a passage; a step that changes nothing on paper has no line."""
    rows: list[Row] = []
    shown, before = "", passage.lines[0].expr
    for line in passage.lines:
        right = to_latex(line.expr, passage.free, op.letters)
        if rows and right == shown:
            continue
        shown = right
        if rows and marked:
            right = changed_latex(before, line.expr, passage.free, op.letters)
        left = "" if rows else to_latex(passage.subject, passage.free, op.letters)
        rows.append(Row(left, right, law_latex(line.law)))
        before = line.expr
    return Display(passage.kind, _sentence(passage), tuple(rows))


_DEFINITION = re.compile(r"definition of (\w+)")


def law_latex(law: str) -> str:
    """The law's name as text; the tensor of a definition as mathematics."""
    return _DEFINITION.sub(lambda found: f"definition of ${name_latex(found[1])}$", law)


def _sentence(passage: Passage) -> str:
    sentence = SENTENCES[passage.kind]
    if isinstance(passage.subject, Partial):
        of, wrt = component_latex(passage.subject.of), component_latex(passage.subject.wrt)
        return sentence.replace("{of}", of).replace("{wrt}", wrt)
    return sentence


_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def _escaped(text: str) -> str:
    """Text in which no character means anything to TeX; what stands in `…` is code."""
    parts = enumerate(re.split(r"`([^`]+)`", text))
    shown = ((k % 2, "".join(_ESCAPES.get(c, c) for c in part)) for k, part in parts)
    return "".join(rf"\texttt{{{part}}}" if is_code else part for is_code, part in shown)


# -- for a terminal ----------------------------------------------------------------------------


def text(
    derivation: Derivation, wrt: str | None = None, trace: bool = False, form: str = "closed"
) -> str:
    """Equations, gradients in a form and, with `trace`, every step with its law."""
    _one_of("form", form, FORMS)
    op = derivation.op
    refuse_tensor(derivation, wrt)
    lines = [*op.title, op.header, ""]
    lines += _aligned(sides_text(e.target, e.expr, op.letters) for e in op.equations)
    lines += ["", "gradients", *(f"  {e.text}" for e in _results(derivation, form, wrt))]
    if wrt is None and form != "chain":
        lines += ["", "as computed", *(f"  {e.text}" for e in _results(derivation, "chain"))]
    lines += ["", "operations", *_operations(derivation, wrt)]
    if wrt is None and derivation.identities:
        lines += ["", "theorems", *_theorems(derivation)]
    if trace:
        for section in narrative(derivation, wrt):
            lines += ["", f"gradient of {section.component.tensor.name}"]
            for passage in section.passages:
                lines += ["", *_passage_lines(op, passage)]
    return "\n".join(lines)


def refuse_tensor(derivation: Derivation, wrt: str | None) -> None:
    """Refuse what the op does not have, and what has no derivation."""
    op = derivation.op
    if wrt is not None and wrt not in op.tensors:
        hint = nearest(wrt, op.tensors) or f"; it has {', '.join(op.tensors)}"
        raise DeriveError(f'{op.name} has no tensor "{wrt}"{hint}')
    if wrt is not None and wrt not in derivation.stage:
        there = ", ".join(derivation.stage)
        raise DeriveError(f"d{wrt} is given, not derived; derived are those of {there}")


def moves(derivation: Derivation, wrt: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """The derivation one step at a time: a hint, then the lines of text that it leads to."""
    refuse_tensor(derivation, wrt)
    for section in narrative(derivation, wrt):
        for passage in section.passages:
            subject, start, *rest = _passage_lines(derivation.op, passage)
            yield _told(passage), [subject, start]
            for line in rest:
                stated, _, law = line.partition("  # ")
                yield law, [stated.rstrip()]


def _told(passage: Passage) -> str:
    """The sentence of a passage without LaTeX."""
    sentence = SENTENCES[passage.kind].rstrip(":").replace("$", "")
    if isinstance(passage.subject, Partial):
        of, wrt = component_text(passage.subject.of), component_text(passage.subject.wrt)
        return sentence.replace("{of}", of).replace("{wrt}", wrt)
    return sentence


def _theorems(derivation: Derivation) -> Iterable[str]:
    """Each identity and where it comes from; those that were used stand in the trace, proved."""
    op = derivation.op
    shown = []
    for identity in derivation.identities:
        free = tuple(free_indices(identity.left))
        text = statement_text(op, identity.left, identity.right, free)
        used = dict.fromkeys(n for s in identity.steps for n in _DEFINITION.findall(s.law))
        reason = identity.reason or f"by definition of {', '.join(used)}"
        shown.append((text, reason))
    width = max(len(equation) for equation, _ in shown)
    return [f"  {equation.ljust(width)}  # {reason}" for equation, reason in shown]


def _operations(derivation: Derivation, wrt: str | None) -> list[str]:
    """What each form of a gradient costs; one figure, if it is the same for all."""
    lines = []
    for name in [c.tensor.name for c in derivation.op.differentiable] if wrt is None else [wrt]:
        costs = {f: polynomial_text(form(derivation, name, f).operations) for f in FORMS}
        gradient = total_gradient(derivation.op, derivation.stage[name].component)
        shown = ", ".join(f"{f} {cost}" for f, cost in costs.items())
        equal = len(set(costs.values())) == 1
        lines.append(f"  {gradient.tensor.name}: {costs['chain'] if equal else shown}")
    return lines


def _passage_lines(op: Op, passage: Passage) -> Iterable[str]:
    left = to_text(passage.subject, passage.free, op.letters)
    shown: list[tuple[str, str]] = []
    for line in passage.lines:
        right = to_text(line.expr, passage.free, op.letters)
        if not shown or shown[-1][0] != right:
            shown.append((right, line.law))
    yield f"  {left}"
    width = max(len(r) for r, _ in shown)
    for right, law in shown:
        yield f"    = {right.ljust(width)}  # {law}" if law else f"    = {right}"


def _aligned(pairs: Iterable[tuple[str, str]]) -> list[str]:
    pairs = list(pairs)
    width = max(len(left) for left, _ in pairs)
    return [f"  {left.ljust(width)} = {right}" for left, right in pairs]
