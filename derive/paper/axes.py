"""Which letters run over the same axis, so that a header names each axis by one letter.

Letters that stand at one place of a tensor, or at one delta, have one size. An axis is called by a
letter of the outputs if there is one, else by the letter that the paper writes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from derive.notation import tree as t
from derive.notation.scope import deltas_of
from derive.paper.forward import references


def axis_letters(
    equations: Sequence[t.Equality], outputs: Iterable[str], rank: Mapping[str, int]
) -> dict[str, str]:
    """Each letter to the one that names its axis."""
    targets = [e.target for e in equations if e.target.name in set(outputs)]
    first = {k.name for target in targets for k in target.letters}
    order = sorted(rank, key=lambda k: (k not in first, rank[k]))
    named = {k: k for k in order}
    for one, other in _pairs(equations):
        low, high = sorted((named[one], named[other]), key=order.index)
        named = {k: low if name == high else name for k, name in named.items()}
    return named


def _pairs(equations: Iterable[t.Equality]) -> list[tuple[str, str]]:
    """Letters of one size."""
    at: dict[tuple[str, int], str] = {}
    pairs = []
    for e in equations:
        pairs += deltas_of(e.right)
        components = [(r.name, r.letters) for r in references(e.right)]
        for name, letters in [(e.target.name, e.target.letters), *components]:
            for k, letter in enumerate(letters):
                pairs.append((at.setdefault((name, k), letter.name), letter.name))
    return pairs
