"""How the signs on a page are read, and the derivatives of the functions that stand on it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from derive.derivation import Derivation, total_gradient
from derive.emit.document import Chapter, equation_row
from derive.notation.conditions import EQUAL, Iverson, Position
from derive.notation.functions import Elementwise
from derive.notation.latex import component_latex, gradient_latex, loss_letter, name_latex, to_latex
from derive.notation.nodes import Component, Named
from derive.notation.op import Op, gradient, is_total
from derive.page.mathml import prose
from derive.rewrite import Step

_DELTA = re.compile(r"\\delta_\{(\w+) (\w+)\}")
_BRACKET = re.compile(r"\\left\[.*?\\right\]")
_ARGUMENTS = (Named("u"), Named("w"))


def legend(derivation: Derivation, told: Sequence[Chapter]) -> Markup:
    """The signs that stand in the equations and in the chapters, each by one that stands there."""
    op = derivation.op
    rows = [equation_row(op, e) for e in op.equations]
    rows += [row for chapter in told for display in chapter.displays for row in display.rows]
    shown = " ".join(part for row in rows for part in (row.left, row.right))
    shown = shown.replace(r"\textcolor{red}", "")
    said = (*_sums(op, shown), *_signs(shown), *_loss(derivation), *_pointing(op))
    return prose(" ".join(said))


def _sums(op: Op, shown: str) -> Iterator[str]:
    yield "A letter that stands twice in a product, and not on the left, is summed over."
    if op.letters:
        ones = {i.name: rf"\mathbf{{1}}_{{{i.name}}}" for i in op.letters}
        letter = next((i for i in reversed(op.letters) if ones[i.name] in shown), op.letters[-1])
        name, size = letter.name, name_latex(letter.size.name)
        if ones[name] in shown:
            yield f"${ones[name]}$ is a one for each ${name}$, and ${size}$ how many there are."
        else:
            yield f"${size}$ is how many values ${name}$ takes."


def _signs(shown: str) -> Iterator[str]:
    if delta := _DELTA.search(shown):
        yield f"${delta[0]}$ is one where ${delta[1]} = {delta[2]}$, and zero elsewhere."
    if brackets := _BRACKET.findall(shown):
        yield f"${min(brackets, key=len)}$ is one where that holds, and zero elsewhere."


def _loss(derivation: Derivation) -> Iterator[str]:
    if not derivation.op.differentiable:
        return
    letter = loss_letter(derivation.op) or r"\mathcal{L}"
    yield f"${letter}$ is a loss: one number, computed from the outputs."
    for stage in derivation.stages:
        whole = total_gradient(derivation.op, stage.component)
        if is_total(whole):
            yield _twofold(component_latex(stage.component), whole, gradient(stage.component))
            break


def _twofold(name: str, whole: Component, part: Component) -> str:
    """An output that is used again."""
    direct, all_ways = gradient_latex(part), gradient_latex(whole)
    return (
        f"${direct}$ is how it changes with ${name}$ as an output alone, "
        f"${all_ways}$ also by way of what is computed from ${name}$."
    )


def _pointing(op: Op) -> Iterator[str]:
    brackets = (b for e in op.equations for b in e.expr.atoms(Iverson))
    if any(b.relation == EQUAL and len(b.atoms(Position)) > 1 for b in brackets):
        yield "What an index points at beyond its axis is zero."


def derivatives(derivation: Derivation, steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """Name and derivative, as LaTeX, of each function that the chain rule met; in their order."""
    if not any(s.law == "chain rule" for s in steps):
        return
    calls = (c for e in derivation.op.equations for c in e.expr.atoms(Elementwise))
    met = {c.row.name: c.func for c in calls if c.has(Component)}
    for name in sorted(met):
        function = met[name]
        arguments = _ARGUMENTS[: function.row.arity]
        value = function(*arguments)
        for variable, slope in zip(arguments, function.row.derivatives, strict=True):
            left = rf"\frac{{\partial}}{{\partial {variable.name}}} {to_latex(value, (), ())}"
            yield name, f"{left} = {to_latex(slope(*arguments, value), (), ())}"
