"""The dependency graph of an op: what is computed from what, and the gradient's way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from derive.derivation import Derivation
from derive.notation.known import parts_of
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.notation.unicode import name_unicode
from derive.page.layout import Place, layout

_HEIGHT, _LAYER, _MARGIN = 34.0, 74.0, 10.0
_PORT = 13.0  # between lines that meet one box
_LETTER, _SMALL, _PADDING = 9.5, 6.6, 26.0  # widths of letters in a name, below it, around it

Names: TypeAlias = tuple[str, str]  # the ends of a line
Lines: TypeAlias = Mapping[Names, Sequence[Place]]


@dataclass(frozen=True)
class Node:
    """A box: a tensor forward, its gradient on the way back."""

    name: str
    stem: str
    below: str
    role: str  # input, label, inner, output
    x: float
    y: float
    width: float
    height: float
    forward: str  # the ids that it leads to
    back: str


@dataclass(frozen=True)
class Edge:
    """A line as an SVG path, from what is used to what is computed, and the same line back."""

    start: str
    end: str
    path: str
    back: str  # empty where no gradient goes


@dataclass(frozen=True)
class Drawing:
    """Everything that the picture holds, in its own units; `said` tells it in words."""

    width: float
    height: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    said: tuple[tuple[str, str], ...]  # a tensor, what it is computed from


def edges_of(op: Op) -> list[tuple[str, str]]:
    """What is used, by what, in order."""
    return [(used, e.name) for e in op.equations for used in _uses(op, e.name)]


def _uses(op: Op, name: str) -> list[str]:
    expr = op.definitions[op.tensors[name].tensor].expr
    found = {c.tensor for c in parts_of(expr, Component)}
    return [n for n, c in op.tensors.items() if c.tensor in found and n != name]


def drawing(derivation: Derivation) -> Drawing:
    """The graph with inputs above what uses them, outputs below."""
    op = derivation.op
    labels = {n: _label(c) for n, c in op.tensors.items()}
    widths = {n: _width(*label) for n, label in labels.items()}
    edges = edges_of(op)
    made = layout(widths, edges)
    nodes = tuple(_node(derivation, n, labels[n], widths[n], made.nodes[n]) for n in op.tensors)
    height = made.layers * _LAYER - (_LAYER - _HEIGHT) + 2 * _MARGIN
    said = tuple((n, ", ".join(_uses(op, n))) for n in (e.name for e in op.equations))
    ends = _ports(made.lines, last=True), _ports(made.lines, last=False)
    lines = tuple(
        _edge(derivation, edge, line, (ends[1][edge], ends[0][edge]))
        for edge, line in made.lines.items()
    )
    return Drawing(made.width + 2 * _MARGIN, height, nodes, lines, said)


def _label(component: Component) -> tuple[str, str]:
    stem, below = name_unicode(component.tensor.name)
    axes = component.tensor.axes(component.indices)
    letters = " ".join("".join(i.name for i in axis) for axis in axes)
    return stem, ", ".join(filter(None, (below, letters)))


def _width(stem: str, below: str) -> float:
    return max(len(stem) * _LETTER + len(below) * _SMALL + _PADDING, 64.0)


def _node(
    derivation: Derivation, name: str, label: tuple[str, str], width: float, place: Place
) -> Node:
    op = derivation.op
    is_input = name in {c.tensor.name for c in op.inputs}
    is_output = name in {c.tensor.name for c in op.outputs}
    has_gradient = name in derivation.stage
    role = "output" if is_output else "inner" if not is_input else "input"
    if is_input and not has_gradient:
        role = "label"
    x, y = place.x + _MARGIN, place.layer * _LAYER + _HEIGHT / 2 + _MARGIN
    forward = "op" if is_input else f"eq-{name}"
    back = f"gradient-{name}" if has_gradient else forward
    return Node(name, *label, role, x, y, width, _HEIGHT, forward, back)


def _ports(lines: Lines, *, last: bool) -> dict[Names, float]:
    """How far from the middle of a box each line meets it: side by side, as they come."""
    found: dict[Names, float] = {}
    for name in {edge[last] for edge in lines}:
        own = [edge for edge in lines if edge[last] == name]
        own.sort(key=lambda edge: lines[edge][-2 if last else 1].x)
        for k, edge in enumerate(own):
            found[edge] = (k - (len(own) - 1) / 2) * min(_PORT, 40 / len(own))
    return found


def _edge(
    derivation: Derivation, edge: Names, line: Sequence[Place], ports: tuple[float, float]
) -> Edge:
    points = list(_points(line))
    for k, shift in ((0, ports[0]), (-1, ports[1])):
        points[k] = (points[k][0] + shift, points[k][1])
    start, end = edge
    back = _curve(points[::-1]) if start in derivation.stage else ""
    return Edge(start, end, _curve(points), back)


def _points(line: Sequence[Place]) -> Iterator[tuple[float, float]]:
    """The lower rim of the first box, both rims of each layer passed, the upper rim of the last."""
    for k, place in enumerate(line):
        x, y = place.x + _MARGIN, place.layer * _LAYER + _MARGIN
        if k > 0:
            yield x, y
        if k < len(line) - 1:
            yield x, y + _HEIGHT


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """A smooth line that leaves and meets every point vertically; room for the arrow at its end."""
    (x, y), *rest = points
    down = 1 if rest[-1][1] > y else -1
    rest[-1] = (rest[-1][0], rest[-1][1] - 7 * down)
    parts = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in rest:
        if to_x == x:
            parts.append(f"V{to_y:.1f}")
            y = to_y
            continue
        half = (to_y - y) / 2
        parts.append(f"C{x:.1f} {y + half:.1f} {to_x:.1f} {to_y - half:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return "".join(parts)
