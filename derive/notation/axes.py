"""The axes that an op declares: their letters, and which of these have one size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from derive.errors import Report
from derive.notation import tree as t
from derive.notation.indices import Indices
from derive.notation.scope import deltas_of, letters_of
from derive.notation.sizes import Sizes


def sizes_of(head: t.Head, equations: Sequence[t.Equality]) -> Sizes:
    """The letters in order of appearance; those of one `delta` have one size throughout the op."""
    declared = [k.name for d in head.inputs for k in d.letters]
    more = [k for d in head.outputs for k in d.letters]
    more += [k for d in head.inputs for k in d.values or ()]
    for e in equations:
        more += [*e.target.letters, *(k for side in e.sides for k in letters_of(side))]
    sizes = Sizes([*declared, *(k.name for k in more)], set(declared))
    for e in equations:
        for one, other in (pair for side in e.sides for pair in deltas_of(side)):
            sizes.equate(one, other)
        for row, column in _squared(e, sizes):
            sizes.equate(row, column)
    return sizes


def _squared(e: t.Equality, sizes: Sizes) -> Iterable[tuple[str, str]]:
    """The rows and columns of a relation, in order: there are as many relations as unknowns."""
    if e.left is None:
        return ()
    indices = Indices(lambda _: True, sizes.rank.__getitem__, Report([]))
    free = {k for side in e.sides for k, is_free in indices.alone(side).free.items() if is_free}
    own = [k.name for k in e.target.letters]
    rows = sorted(free - set(own), key=sizes.rank.__getitem__)
    places = [p for side in e.sides for p in t.walk(side) if isinstance(p, t.Reference)]
    unknown = [p.axes for p in places if p.name == e.target.name and p.plain]
    along = ((k, a.name) for axes in unknown for k, a in zip(own, axes, strict=False))
    return (*zip(rows, [k for k in own if k not in free], strict=False), *along)


def groups(declared: t.Declaration) -> Iterable[tuple[str, ...]]:
    """The letters of each axis."""
    letters = iter(k.name for k in declared.letters)
    for count in declared.groups or (1,) * len(declared.letters):
        yield tuple(next(letters) for _ in range(count))
