"""Where the nodes of a small directed graph stand: layer by layer, few crossings, short lines.

The method of Sugiyama: each node goes one layer below the lowest it follows from; a line that
passes a layer has a place of its own there; in each layer the order follows from the places of the
neighbours; then each node is drawn to the middle of its neighbours as far as the others let it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

_SWEEPS = 12
_PASSING = 14.0  # the room of a line that passes a layer


@dataclass(frozen=True)
class Place:
    """The middle of a node, and its layer from the top."""

    x: float
    layer: int


@dataclass(frozen=True)
class Layout:
    """Places of nodes; for each edge the points that its line goes through, ends included."""

    nodes: Mapping[str, Place]
    lines: Mapping[tuple[str, str], tuple[Place, ...]]
    width: float
    layers: int


def layout(
    widths: Mapping[str, float], edges: Collection[tuple[str, str]], gap: float = 18.0
) -> Layout:
    """`widths` of the nodes; an edge goes from a node to one that stands behind it there."""
    layer = _layers(widths, edges)
    paths = {edge: _path(edge, layer) for edge in edges}
    depth = max(layer.values(), default=0) + 1
    order: list[list[str]] = [[] for _ in range(depth)]
    for name in widths:
        order[layer[name]].append(name)
    for path in paths.values():
        for k, name in enumerate(path[1:-1], 1):
            order[layer[path[0]] + k].append(name)
    neighbours = _neighbours(paths.values())
    for k in range(_SWEEPS):
        _sort(order, neighbours, downwards=k % 2 == 0)
    x = _positions(order, neighbours, widths, gap)
    left = min((x[n] - widths.get(n, 0.0) / 2 for n in x), default=0.0)
    right = max((x[n] + widths.get(n, 0.0) / 2 for n in x), default=0.0)
    place = {n: Place(x[n] - left, k) for k, row in enumerate(order) for n in row}
    lines = {edge: tuple(place[n] for n in path) for edge, path in paths.items()}
    return Layout({n: place[n] for n in widths}, lines, right - left, depth)


def _layers(names: Iterable[str], edges: Collection[tuple[str, str]]) -> dict[str, int]:
    """The longest way from the top; what nothing leads to stands right above what it leads to."""
    layer = dict.fromkeys(names, 0)
    for name in layer:
        layer[name] = max((layer[a] + 1 for a, b in edges if b == name), default=0)
    followed = {b for _, b in edges}
    for name in (n for n in layer if n not in followed):
        layer[name] = min((layer[b] - 1 for a, b in edges if a == name), default=0)
    return layer


def _path(edge: tuple[str, str], layer: Mapping[str, int]) -> tuple[str, ...]:
    """The edge with a node of its own in each layer that it passes."""
    start, end = edge
    passed = range(layer[start] + 1, layer[end])
    return (start, *(f"{start} {end} {k}" for k in passed), end)


Neighbours = Mapping[str, tuple[list[str], list[str]]]  # those above, those below


def _neighbours(paths: Iterable[Sequence[str]]) -> Neighbours:
    found: dict[str, tuple[list[str], list[str]]] = {}
    for path in paths:
        for above, below in pairwise(path):
            found.setdefault(below, ([], []))[0].append(above)
            found.setdefault(above, ([], []))[1].append(below)
    return found


def _sort(order: list[list[str]], neighbours: Neighbours, *, downwards: bool) -> None:
    """Each layer by the mean place of the neighbours in the layer before."""
    rows = order if downwards else order[::-1]
    for before, row in pairwise(rows):
        at = {name: (k + 0.5) / len(before) for k, name in enumerate(before)}
        own = {name: (k + 0.5) / len(row) for k, name in enumerate(row)}
        side = 0 if downwards else 1
        row.sort(key=lambda n: _mean([at[m] for m in _of(neighbours, n)[side]], own[n]))


def _of(neighbours: Neighbours, name: str) -> tuple[list[str], list[str]]:
    return neighbours.get(name, ([], []))


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _positions(
    order: Sequence[Sequence[str]],
    neighbours: Neighbours,
    widths: Mapping[str, float],
    gap: float,
) -> dict[str, float]:
    """Every node in the middle of its neighbours, as far as its layer has room."""
    wide = {n: widths.get(n, _PASSING) for row in order for n in row}
    x: dict[str, float] = {}
    for row in order:
        x |= _apart(row, dict.fromkeys(row, 0.0), wide, gap)
    for k in range(_SWEEPS):
        for row in order if k % 2 == 0 else order[::-1]:
            wanted = {n: _mean([x[m] for m in chain(*_of(neighbours, n))], x[n]) for n in row}
            x |= _apart(row, wanted, wide, gap)
    return x


def _apart(
    row: Sequence[str], wanted: Mapping[str, float], wide: Mapping[str, float], gap: float
) -> dict[str, float]:
    """The places nearest to those wanted, in least squares, at which nothing overlaps."""
    offset, offsets = 0.0, {}
    for before, name in pairwise(("", *row)):
        offset += (wide[before] + wide[name]) / 2 + gap if before else 0.0
        offsets[name] = offset
    blocks: list[tuple[float, list[str]]] = []
    for name in row:
        blocks.append((wanted[name] - offsets[name], [name]))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, few), (other, more) = blocks[-2:]
            mean = (one * len(few) + other * len(more)) / (len(few) + len(more))
            blocks[-2:] = [(mean, few + more)]
    return {n: base + offsets[n] for base, names in blocks for n in names}
