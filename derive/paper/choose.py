"""Which equations of a paper make the op, where it defines a tensor more than once.

A paper's equations fall into sets: a new one begins where a tensor is defined again, and what just
above it only the new set uses is part of it. A set that names no new tensor and leans on an earlier
one (`v_b = \\sigma_b^2 - \\epsilon`) only restates it. Of all other equations of a tensor the last
counts. Outputs are the tensors that no equation uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from derive.paper.forward import Forward

Chosen = dict[str, Forward]


@dataclass(frozen=True)
class Choice:
    """The equation of each tensor, and the tensors that no equation uses."""

    chosen: Chosen
    sinks: list[str]


def choose(equations: Sequence[Forward]) -> Choice:
    """One equation for each tensor that is defined, so that none depends on itself."""
    candidates = [e for one in _sets(_without_circles(equations)) for e in one]
    used = {name for e in candidates for name in e.uses}
    chosen = {e.name: e for e in candidates}  # the last one counts
    return Choice(chosen, [name for name in chosen if name not in used])


def _without_circles(equations: Iterable[Forward]) -> list[Forward]:
    """Without those that would define a tensor by itself: they follow from the ones above them."""
    uses: dict[str, set[str]] = {}
    kept = []
    for e in equations:
        if e.name not in _reached(e.uses, uses):
            uses.setdefault(e.name, set()).update(e.uses)
            kept.append(e)
    return kept


def _reached(names: Iterable[str], uses: Mapping[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += uses.get(name, ())
    return reached


def _sets(equations: Iterable[Forward]) -> list[list[Forward]]:
    """The sets of equations that do not only restate."""
    found: list[list[Forward]] = []
    for equation in equations:
        if not found or any(equation.name == e.name for e in found[-1]):
            found.append([])
        found[-1].append(equation)
    for before, after in pairwise(found):
        while early := _early(before, after):
            before.remove(early)
            after.insert(0, early)
    known: set[str] = set()
    kept = []
    for one in found:
        if not _restates(one, known):
            kept.append(one)
        known |= {e.name for e in one}
    return kept


def _early(before: list[Forward], after: list[Forward]) -> Forward | None:
    """An equation that its own set does not use, and the next one does."""
    used = {name for e in before for name in e.uses}
    wanted = {name for e in after for name in e.uses} - {e.name for e in after}
    return next((e for e in reversed(before) if e.name in wanted - used), None)


def _restates(equations: list[Forward], known: set[str]) -> bool:
    own = {e.name for e in equations}
    used = {name for e in equations for name in e.uses}
    return own <= known and bool(used & (known - own))


def ordered(chosen: Mapping[str, Forward], outputs: Iterable[str]) -> list[Forward]:
    """What the outputs need, as in the paper, but each tensor defined above its first use."""
    todo = sorted(_needed(chosen, outputs).values(), key=lambda e: e.target.span)
    done: list[Forward] = []
    while todo:
        waiting = {e.name for e in todo}
        ready = next(e for e in todo if waiting.isdisjoint(e.uses))
        todo.remove(ready)
        done.append(ready)
    return done


def _needed(chosen: Mapping[str, Forward], outputs: Iterable[str]) -> Chosen:
    needed: Chosen = {}
    todo = list(outputs)
    while todo:
        name = todo.pop()
        if name in chosen and name not in needed:
            needed[name] = chosen[name]
            todo += chosen[name].uses
    return needed


def groups(chosen: Mapping[str, Forward], outputs: Iterable[str]) -> list[list[str]]:
    """The outputs, those together that have a tensor in common, be it an input."""
    found: list[tuple[set[str], list[str]]] = []
    for output in outputs:
        tensors, together = _tensors(_needed(chosen, [output]).values()), [output]
        apart = []
        for others, names in found:
            if tensors.isdisjoint(others):
                apart.append((others, names))
            else:
                tensors, together = tensors | others, names + together
        found = [*apart, (tensors, together)]
    return [names for _, names in found]


def _tensors(equations: Iterable[Forward]) -> set[str]:
    """Tensors defined or with an index; numbers and sizes tie nothing together."""
    found: set[str] = set()
    for e in equations:
        found |= {e.name} | {r.name for r in e.references if r.letters}
    return found
