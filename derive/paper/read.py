"""The forward equations of a paper: which of its displays define a tensor, and by what.

An equation is forward if a single component stands on its left, and no derivative in its chain. Of
a chain `y = A = B` the first right side that can be read defines y; the others follow from it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from derive.errors import Report, Span
from derive.notation import tree as t
from derive.notation.chains import Chain, Member, chains
from derive.notation.displays import Display, Source, displays
from derive.notation.lines import Line
from derive.notation.tex import MOST_CHARACTERS, MOST_EQUALITIES
from derive.notation.tex_parse import parse_tex
from derive.notation.tex_statement import is_component
from derive.paper.doubts import applied, doubts, labels, refuse_applied
from derive.paper.forward import Forward, Reading, Unread, has_letters, references
from derive.paper.names import OpenNames
from derive.paper.powers import called, power_of_component, without_powers
from derive.paper.values import given

_GROUP = r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}"
_DERIVATIVE = re.compile(
    r"\\(?:partial|nabla)(?![A-Za-z])|\\mathrm\s*\{\s*d\s*\}"
    rf"|\\[dt]?frac\s*(?=\{{\s*d(?!\s*[_^])){_GROUP}\s*\{{\s*d\s*[^\s_^}}]"
)
_LIKE_A_COMPONENT = re.compile(
    r"\s*(?:\\?[A-Za-z]+|\\[a-z]+\s*\{[^{}]*\})\s*(?:[_^].*)?", re.DOTALL
)
_BOUND = re.compile(
    r"\\sum\s*(?:\\limits\s*)?_\s*(?:\{\s*(?P<k>[a-z])\s*(?:=\s*1\s*)?\}|(?P<l>[a-z]))"
    r"(?P<above>\s*\^\s*(?:\{\s*(?P<n>[A-Za-z])\s*\}|(?P<m>[A-Za-z])))"
)


@dataclass(frozen=True)
class _Side:
    """One side of an equality, and what is refused of it."""

    tree: t.Node | None
    line: Line
    report: Report

    @property
    def good(self) -> t.Node | None:
        return None if self.report.found else self.tree


@dataclass(frozen=True)
class _Draft:
    """A component, and all it is said to equal."""

    target: t.Declaration
    sides: list[_Side]
    power: tuple[str, int] | None  # `\\sigma` and 2, where the square of σ is defined

    @property
    def trees(self) -> list[t.Node]:
        return [side.tree for side in self.sides if side.tree is not None]


def read(source: Source) -> Reading:
    """The forward equations in order."""
    if len(source.text) > MOST_CHARACTERS:
        report = Report(source.lines, source.path)
        report.add("E401", Span(1, 1, 1, 2), "a document of more than 1 MiB", "split it")
        raise report.error()
    document = _Document(source)
    document.survey()
    return _settled(document)


class _Document:
    """Every display of a paper, down to components and what they are said to equal."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.names = OpenNames(source.text)
        self.reading = Reading()
        self.drafts: list[_Draft] = []
        self.gradients: set[str] = set()  # names of what is defined by a derivative
        self.count = 0

    def survey(self) -> None:
        report = self._report()
        for display in displays(self.source, report):
            for chain in self._chains(display):
                self._chain(chain)
        self.refuse("", report)

    def refuse(self, name: str, report: Report) -> None:
        """Note what a report refuses, if it does."""
        if report.found:
            self.reading.unread.append(Unread(name, report.error().diagnostics))

    def _report(self) -> Report:
        return Report(self.source.lines, self.source.path)

    def _chains(self, display: Display) -> list[Chain]:
        """The chains of a display; one about derivatives may be written as it likes."""
        report = self._report()
        found = chains(self.source, display, report)
        if not _DERIVATIVE.search(self.source.text, display.start, display.end):
            self.refuse("", report)
        return found

    def _chain(self, chain: Chain) -> None:
        if len(chain.members) < 2:
            return
        self._count(chain)
        subject, others = chain.members[0], chain.members[1:]
        left = self._side(subject)
        target, power = _target(left.good)
        if any(_DERIVATIVE.search(member.code) for member in chain.members):
            self.gradients |= {target.name} if target else set()
        elif target:
            self.drafts.append(_Draft(target, [self._side(m) for m in others], power))
        elif left.good is not None:
            names = frozenset(r.name for r in references(left.good))
            self.reading.relations.append((left.line.first, names))
        elif _LIKE_A_COMPONENT.fullmatch(subject.code):
            self.refuse("", left.report)

    def _count(self, chain: Chain) -> None:
        self.count += len(chain.members) - 1
        if self.count > MOST_EQUALITIES:
            report = self._report()
            place = self.source.span(chain.members[0].start, chain.members[0].end)
            report.add("E403", place, "more than 2000 equalities", "split the document")
            raise report.error()

    def _side(self, member: Member) -> _Side:
        first, column = self.source.place(member.start)
        code = _BOUND.sub(self._unbounded, member.code)
        line = Line(first, first + code.count("\n"), " " * (column - 1) + code)
        report = self._report()
        labels(line, report)
        tree = parse_tex(line, self.names, report)
        if tree is not None:
            doubts(tree, report)
        return _Side(tree, line, report)

    def _unbounded(self, found: re.Match[str]) -> str:
        """`\\sum_{i=1}^{N}` with its bound blanked, for a sum runs over all of its index."""
        letter, bound = found["k"] or found["l"], found["n"] or found["m"]
        self.reading.bounds.setdefault(bound, letter)
        start = found.start("above") - found.start()
        return found[0][:start] + re.sub(r"\S", " ", found[0][start:])


def _target(left: t.Node | None) -> tuple[t.Declaration | None, tuple[str, int] | None]:
    """What a left side defines: a component whose letters differ, or a power of one."""
    powered = power_of_component(left) if left else None
    node = powered[0] if powered else left
    if not isinstance(node, t.Reference) or not is_component(node):
        return None, None
    power = (node.name, powered[1]) if powered else None
    name = called(*power) if power else node.name
    return t.Declaration(node.span, name, node.span, node.letters), power


def _powers(document: _Document) -> dict[str, int]:
    """The tensors of which the power alone is defined; where they are too, theirs follows."""
    defined = {draft.target.name for draft in document.drafts}
    powers: dict[str, int] = {}
    for draft in list(document.drafts):
        if draft.power and draft.power[0] in defined:
            document.drafts.remove(draft)
        elif draft.power:
            powers.setdefault(*draft.power)
    return powers


def _settled(document: _Document) -> Reading:
    """The drafts that are index notation and speak of no gradient, as equations."""
    document.reading.powers = powers = _powers(document)
    known = _known(document)
    defined = Counter(draft.target.name for draft in document.drafts)
    indexed = {name for draft in document.drafts for name in _indexed(draft)}
    for draft in _without_gradients(document):
        for side in draft.sides:
            for node in _doubtful(side, known):
                refuse_applied(node, side.report)
            if defined[draft.target.name] == 1:
                _refuse_itself(draft.target, side)
        tree = next((side.good for side in draft.sides if side.good is not None), None)
        if _is_prose(document, draft, tree, indexed):
            continue
        if tree is None:
            document.refuse(draft.target.name, draft.sides[0].report)
        else:
            equation = Forward(draft.target, without_powers(tree, powers))
            document.reading.forward.append(equation)
    return document.reading


def _refuse_itself(target: t.Declaration, side: _Side) -> None:
    for node in references(side.tree) if side.tree else ():
        if node.name == target.name:
            remedy = "give what is new another name"
            side.report.add("E207", node.span, f"`{node.name}` is defined by itself", remedy)


def _doubtful(side: _Side, known: set[str]) -> list[t.Reference]:
    if side.good is None:
        return []
    return [node for node in applied(side.good, side.line) if node.name not in known]


def _known(document: _Document) -> set[str]:
    """The names that are surely no functions: defined, given a value, or a factor elsewhere."""
    known = {draft.target.name for draft in document.drafts} | set(document.reading.bounds)
    before_brackets: set[str] = set()
    for draft in document.drafts:
        for side in draft.sides:
            if side.tree is not None:
                doubtful = set(applied(side.tree, side.line))
                before_brackets |= {node.name for node in doubtful}
                known |= {r.name for r in references(side.tree) if r not in doubtful}
                known |= {
                    k.name.upper() for p in t.walk(side.tree) for k in getattr(p, "letters", ())
                }
    return known | {name for name in before_brackets - known if given(name, document.source)}


def _indexed(draft: _Draft) -> Iterator[str]:
    """The names that carry an index somewhere."""
    if draft.target.letters:
        yield draft.target.name
    for tree in draft.trees:
        yield from (r.name for r in references(tree) if r.letters)


def _without_gradients(document: _Document) -> Iterator[_Draft]:
    """What is defined by a gradient, or is called as one, is no forward equation."""
    tensors = {name for draft in document.drafts for name in (draft.target.name, *_indexed(draft))}
    gradients = document.gradients - {draft.target.name for draft in document.drafts}
    gradients |= {f"d{name}" for name in tensors}
    for draft in document.drafts:
        used = {r.name for tree in draft.trees for r in references(tree)}
        if draft.target.name in gradients or used & gradients:
            gradients.add(draft.target.name)
        else:
            yield draft


def _is_prose(document: _Document, draft: _Draft, tree: t.Node | None, indexed: set[str]) -> bool:
    """An equality without an index: about whole tensors, or the value of a number."""
    written = any("_" in side.line.code for side in draft.sides if side.tree is None)
    if draft.target.letters or written or any(map(has_letters, draft.trees)):
        return False
    if tree is None:
        return True
    names = {draft.target.name, *(r.name for r in references(tree))}
    return bool(names & indexed) or given(draft.target.name, document.source) is not None
