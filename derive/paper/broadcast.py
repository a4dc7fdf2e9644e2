"""One-tensors that authors leave out, put in: `x_{bh} + c_h` as `x[b,h] + 1[b] * c[h]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from derive.errors import Report
from derive.notation import tree as t
from derive.notation.indices import Indices, Letters
from derive.paper.forward import has_letters, mapped, references
from derive.paper.tree_text import expression_text
from derive.paper.words import lines_text


class _Terms(Indices):
    """Keeps terms and cases that lack an index of their neighbours, instead of refusing them."""

    lacking: dict[t.Node, Letters]

    def _refuse_term(self, node: t.Node, part: t.Node, lacking: Letters) -> None:
        if isinstance(node, t.Sum | t.Where):
            self.lacking[part] = self.lacking.get(part, frozenset()) | lacking


def broadcast(
    equations: Sequence[t.Equality], rank: Mapping[str, int], lines: list[str]
) -> tuple[list[t.Equality], list[str]]:
    """The equations with their one-tensors, and what each was put to."""
    tensors = {e.target.name for e in equations}
    tensors |= {r.name for e in equations for r in references(e.right) if r.letters}
    made = []
    lacking: dict[tuple[str, str], list[int]] = {}
    for e in equations:
        terms = _Terms(tensors.__contains__, rank.__getitem__, Report(lines))
        terms.lacking = {}
        terms.place(e.right, frozenset(k.name for k in e.target.letters))
        ones = {part: sorted(k, key=rank.__getitem__) for part, k in terms.lacking.items()}
        made.append(replace(e, right=_filled(e.right, ones)))
        for part, letters in ones.items():
            term = expression_text(part).removeprefix("-"), ", ".join(letters)
            lacking.setdefault(term, []).append(part.span.line)
    return made, [
        f"{term} on {lines_text(found)} is read as the same for every {letters}"
        for (term, letters), found in lacking.items()
    ]


def _filled(node: t.Node, ones: Mapping[t.Node, Sequence[str]]) -> t.Node:
    def rewrite(old: t.Node, new: t.Node) -> t.Node:
        return _multiplied(new, ones[old]) if old in ones else new

    return mapped(node, rewrite)


def _multiplied(term: t.Node, letters: Sequence[str]) -> t.Node:
    """The one-tensor behind the numbers that a term begins with."""
    parts = term.parts if isinstance(term, t.Product) else (term,)
    at = next((k for k, part in enumerate(parts) if not _is_number(part)), len(parts))
    ones = t.Ones(term.span, tuple(t.Letter(term.span, k) for k in letters))
    return t.Product(term.span, parts=(*parts[:at], ones, *parts[at:]), height=term.height + 1)


def _is_number(node: t.Node) -> bool:
    return isinstance(node, t.Number) or (isinstance(node, t.Power) and not has_letters(node))
