"""The names of chosen equations as the op language has them: tensors, sizes, numbers told apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from derive.errors import Report, Span
from derive.notation import tree as t
from derive.notation.scope import letters_of
from derive.paper.forward import Forward, mapped


@dataclass(frozen=True)
class Spelling:
    """What the names mean; `renamed` are tensors that are called like the size of an index."""

    letters: dict[str, int]  # each with its rank, in order of appearance
    bare: frozenset[str]  # tensors without an index
    renamed: dict[str, str]
    bounds: dict[str, str]  # `N` to `I`, where a sum over `i` ends at `N`

    def name(self, node: t.Reference | t.Declaration) -> str:
        """What the language calls it."""
        is_tensor = bool(node.letters) or node.name in self.bare
        return (self.renamed if is_tensor else self.bounds).get(node.name, node.name)

    def is_number(self, name: str) -> bool:
        """Is a name without an index a parameter, and not a size or a tensor?"""
        tensors = {self.renamed.get(k, k) for k in self.bare}
        return name not in tensors and name not in {k.upper() for k in self.letters}


def spelling(equations: Sequence[Forward], bounds: Mapping[str, str]) -> Spelling:
    """What the names of equations mean."""
    found = [k.name for e in equations for k in (*e.target.letters, *letters_of(e.right))]
    letters = {k: n for n, k in enumerate(dict.fromkeys(found))}
    sizes = {k.upper() for k in letters}
    bare = frozenset(e.name for e in equations if not e.target.letters)
    named = [r for e in equations for r in e.references]
    tensors = {e.name for e in equations} | {r.name for r in named if r.letters}
    names = tensors | {r.name for r in named}
    renamed = {n: n.lower() for n in sorted(tensors & sizes) if n.lower() not in names}
    ends = {n: k.upper() for n, k in bounds.items() if k in letters and n not in sizes | tensors}
    return Spelling(letters, bare, renamed, ends)


def spelled(equation: Forward, meant: Spelling) -> t.Equality:
    """An equation in the names of the language."""

    def rewrite(_: t.Node, node: t.Node) -> t.Node:
        return replace(node, name=meant.name(node)) if isinstance(node, t.Reference) else node

    target = replace(equation.target, name=meant.name(equation.target))
    return t.Equality(target, mapped(equation.right, rewrite))


def check_ranks(equations: Iterable[Forward], meant: Spelling, report: Report) -> None:
    """Refuse a tensor that has another number of indices on another line."""
    first: dict[str, tuple[int, Span]] = {}
    for name, count, span in sorted(_components(equations, meant), key=lambda c: c[2]):
        other, place = first.setdefault(name, (count, span))
        if other != count:
            message = (
                f"`{name}` has {_counted(count)} here, and {other or 'none'} on line {place.line}"
            )
            report.add("E304", span, message, "give one of the two another name")


def _components(equations: Iterable[Forward], meant: Spelling) -> Iterator[tuple[str, int, Span]]:
    for e in equations:
        yield e.name, len(e.target.letters), e.target.span
        for r in e.references:
            if r.letters or r.name not in meant.renamed:
                yield r.name, len(r.letters), r.span


def _counted(count: int) -> str:
    return f"{count or 'no'} {'index' if count == 1 else 'indices'}"
