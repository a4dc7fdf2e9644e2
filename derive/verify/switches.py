"""Where formulas switch: inputs on both sides of each kink and each condition, and just there.

Random inputs come near no threshold of 1e-16, so what decides there could be anything. A formula
switches at comparisons of real numbers, at |u|, sign and relu, at minima and maxima of two. For
each such place two draws are sought that lie on different sides of it; between them, by halving,
there are inputs as near to it as is wanted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice, product
from types import ModuleType

import torch
from sympy import Add, Expr, S
from torch import Tensor

from derive.notation.conditions import Iverson
from derive.notation.functions import Elementwise
from derive.notation.nodes import Bound, Component, Extremum, Index, Labels, Scalar
from derive.notation.op import Op
from derive.verify.complex_step import by_complex_step
from derive.verify.grid import is_sum, on_grid
from derive.verify.memory import walks
from derive.verify.reference import composed, evaluated, value
from derive.verify.sample import Sample, draw, errors, results, sizes_for

CLOSE = 1e-10
_NEAR = 0.25  # how far the two sides are apart there, beside their size
_GRID = 2.0**-10
_HALVINGS = 60
_SEEDS = 20  # draws, of which one has its maximum at the end of a row
_PLACES = 2  # components of each switch at which inputs are sought
_SCALES = (1e-1, 1e-3, 1e-6, 1e-9, 1e-12, 1e-15, 1e1, 1e3)
_AT_ZERO = ("abs", "sign", "relu")  # these switch where their argument is zero
_OF_TWO = ("min", "max")  # these where their arguments are equal

Path = Callable[[float], Sample]  # from one sample, at 0, to another, at 1


@dataclass(frozen=True)
class Switch:
    """Two sides of which one is larger or the other, over the axes they have where they stand."""

    left: Expr
    right: Expr
    axes: tuple[Index, ...]

    @property
    def terms(self) -> list[Expr]:
        """What is added up on both sides."""
        return [t for side in (self.left, self.right) for t in Add.make_args(side) if t != 0]

    def gap(self, op: Op, sample: Sample) -> tuple[Tensor, Tensor]:
        """left - right, and how large they are: [*axes], flat."""
        values = evaluated(op, *sample.inputs, **sample.scalars)
        shape = [values[i.size.name] for i in self.axes]

        def number(expr: Expr) -> Tensor:
            return value(expr, self.axes, values, sample.inputs[0]).expand(shape).reshape(-1)

        sizes = torch.stack([number(t).abs() for t in self.terms])
        return number(self.left) - number(self.right), sizes.amax(0)


def switches(op: Op) -> tuple[Switch, ...]:
    """Every place of the equations where real numbers decide which formula holds."""
    return tuple(s for s in _all(op) if _is_real(s))


def _all(op: Op) -> dict[Switch, None]:
    found = (s for e in op.equations for s in _within(e.expr, e.target.indices))
    return dict.fromkeys(found)


def _within(expr: Expr, axes: tuple[Index, ...]) -> Iterator[Switch]:
    if isinstance(expr, Component):
        return
    if isinstance(expr, Bound):
        body, dummies = expr.open()
        yield from _within(body, (*axes, *dummies))
        return
    if isinstance(expr, Iverson):
        yield Switch(expr.left, expr.right, axes)
    if isinstance(expr, Elementwise) and expr.row.name in _AT_ZERO:
        yield Switch(expr.args[0], S.Zero, axes)
    if isinstance(expr, Elementwise) and expr.row.name in _OF_TWO:
        left, right = expr.args
        yield Switch(left, right, axes)
    for part in expr.args:
        if isinstance(part, Expr):
            yield from _within(part, axes)


def _is_real(switch: Switch) -> bool:
    components = (switch.left - switch.right).atoms(Component)
    return any(not isinstance(c.tensor, Labels) for c in components)


@dataclass(frozen=True)
class Near:
    """A sample near a switch, and the outputs and gradients there."""

    sample: Sample
    truth: tuple[Tensor, ...]


def near_switches(op: Op, scalars: Mapping[str, float]) -> tuple[Near, ...]:
    """Samples near every switch; where extrema are attained at all places, too."""
    return _near_switches(op, tuple(sorted(scalars.items())))


@cache
def _near_switches(op: Op, scalars: tuple[tuple[str, float], ...]) -> tuple[Near, ...]:
    first = replace(draw(op, sizes_for(op)), scalars=dict(scalars))
    found = [s for switch in switches(op) for s in _near(op, switch, first)]
    found += _told(op, first)
    extrema = _extrema(op)
    found += [s for extremum in extrema for s in _at_the_ends(op, extremum, first)]
    if found or extrema:
        found.append(_constant(first))
    near = (Near(s, _truth(op, s)) for s in found)
    return tuple(n for n in near if all(t.isfinite().all() for t in n.truth))


def _told(op: Op, first: Sample) -> Iterator[Sample]:
    """Where parameters alone decide: one by itself zero or negative, if that is elsewhere."""
    for switch in _all(op):
        names = {s.name for s in (switch.left - switch.right).atoms(Scalar)}
        if (switch.left - switch.right).atoms(Component, Index):
            continue
        here, _ = switch.gap(op, first)
        for name, factor in product(sorted(names & first.scalars.keys()), (0.0, -1.0)):
            changed = {**first.scalars, name: factor * first.scalars[name]}
            other = replace(first, scalars=changed)
            if (switch.gap(op, other)[0].sign() != here.sign()).any():
                yield other


def _extrema(op: Op) -> tuple[tuple[Extremum, tuple[Index, ...]], ...]:
    """Every maximum and minimum over axes, and the axes it has where it stands."""
    found: list[tuple[Extremum, tuple[Index, ...]]] = []

    def visit(expr: Expr, axes: tuple[Index, ...]) -> None:
        if isinstance(expr, Extremum):
            found.append((expr, axes))
        body, dummies = expr.open() if isinstance(expr, Bound) else (expr, ())
        for part in (body,) if dummies else expr.args:
            if isinstance(part, Expr) and not isinstance(part, Component):
                visit(part, (*axes, *dummies))

    for equation in op.equations:
        visit(equation.expr, equation.target.indices)
    return tuple(dict.fromkeys(found))


def _at_the_ends(
    op: Op, extremum: tuple[Extremum, tuple[Index, ...]], first: Sample
) -> Iterator[Sample]:
    """Draws in which it is attained at the first place, and in which at the last."""
    expr, axes = extremum
    body, dummies = expr.open()
    wanted = {0, -1}
    for seed in range(_SEEDS):
        drawn = replace(first, inputs=draw(op, sizes_for(op), seed).inputs)
        values = evaluated(op, *drawn.inputs, **drawn.scalars)
        shape = [values[i.size.name] for i in (*axes, *dummies)]
        inside = value(body, (*axes, *dummies), values, drawn.inputs[0]).expand(shape)
        inside = inside.flatten(len(axes))
        best = inside.argmax(-1) if expr.word == "max" else inside.argmin(-1)
        met = {p for p in wanted if (best == p % inside.shape[-1]).any()}
        if met:
            yield drawn
        wanted -= met


def _truth(op: Op, sample: Sample) -> tuple[Tensor, ...]:
    """By autograd; by complex steps where the branch that is not taken would spoil that.

    Autograd multiplies by zero what comes back from there, be it infinite.
    """
    found = results(composed(op), sample)
    if all(t.isfinite().all() for t in found):
        return found
    slopes = tuple(torch.zeros_like(t) for t in found[len(op.outputs) :])
    for which, place, slope in by_complex_step(op, sample, most=sys.maxsize):
        slopes[which].view(-1)[place] = slope
    return (*found[: len(op.outputs)], *slopes)


def _constant(sample: Sample) -> Sample:
    """All inputs are one number: every extremum is attained everywhere, differences are zero."""
    inputs = (torch.full_like(t, 0.5) if t.is_floating_point() else t for t in sample.inputs)
    return replace(sample, inputs=tuple(inputs))


def _near(op: Op, switch: Switch, first: Sample) -> Iterator[Sample]:
    """For some components: equality, if it can be met, and both sides of it."""
    for path, place in islice(_crossings(op, switch, first), _PLACES):
        middle, exact = _halved(op, switch, path, place)
        if exact is not None:
            yield exact
        yield from (_beside(op, switch, path, place, middle, end) for end in (0.0, 1.0))


def _crossings(op: Op, switch: Switch, first: Sample) -> Iterator[tuple[Path, int]]:
    """Paths that begin and end on different sides, in one component each."""
    here, _ = switch.gap(op, first)
    used: set[int] = set()
    for other in _others(op, first):
        there, _ = switch.gap(op, other)
        crossed = (here.sign() * there.sign() < 0).nonzero().flatten().tolist()
        for place in [k for k in crossed if k not in used][:1]:
            used.add(place)
            yield _between(first, other), place


def _others(op: Op, first: Sample) -> Iterator[Sample]:
    """Each input by itself negative; other draws; each by itself of other orders of magnitude.

    By itself: where all change sign together, one could be taken for another.
    """
    real = [k for k, t in enumerate(first.inputs) if t.is_floating_point()]
    yield from (_scaled(first, k, -1.0) for k in real)
    for seed in (1, 2, 3):
        yield replace(first, inputs=draw(op, sizes_for(op), seed).inputs)
    yield from (_scaled(first, k, scale) for scale in _SCALES for k in real)


def _scaled(first: Sample, place: int, scale: float) -> Sample:
    inputs = (t * scale if k == place else t for k, t in enumerate(first.inputs))
    return replace(first, inputs=tuple(inputs))


def _between(first: Sample, last: Sample) -> Path:
    """In equal ratios between numbers of one sign, in equal steps between others."""

    def mixed(a: Tensor, b: Tensor, t: float) -> Tensor:
        if not a.is_floating_point():
            return a
        ratio = a.sign() * torch.exp((1 - t) * a.abs().log() + t * b.abs().log())
        return torch.where(a * b > 0, ratio, (1 - t) * a + t * b)

    def at(t: float) -> Sample:
        pairs = zip(first.inputs, last.inputs, strict=True)
        return replace(first, inputs=tuple(mixed(a, b, t) for a, b in pairs))

    return at


def _halved(op: Op, switch: Switch, path: Path, place: int) -> tuple[float, Sample | None]:
    """Where the sides change places; inputs at which they are equal, whatever is rounded."""
    is_exact = is_sum(op, switch.left - switch.right)
    low, high = 0.0, 1.0
    before = switch.gap(op, path(low))[0][place].sign()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        sample = on_grid(path(middle), _GRID) if is_exact else path(middle)
        gap = switch.gap(op, sample)[0][place]
        if gap == 0:
            return middle, sample if is_exact else None
        low, high = (middle, high) if gap.sign() == before else (low, middle)
    return (low + high) / 2, None


def _beside(op: Op, switch: Switch, path: Path, place: int, middle: float, end: float) -> Sample:
    """Towards one end, but so near that a threshold of half or double the size is farther.

    Where zero is the threshold, the end itself.
    """
    step = end - middle
    if len(switch.terms) == 1:
        return path(end)
    for _ in range(_HALVINGS):
        gap, size = switch.gap(op, path(middle + step))
        if gap[place].abs() <= _NEAR * size[place]:
            break
        step /= 2
    return path(middle + step)


def where_it_switches(op: Op, module: ModuleType, sample: Sample) -> tuple[float, float, str]:
    """The worst error near every switch, rows in a block and rows in tiles; what is allowed."""
    found = near_switches(op, sample.scalars)
    worst = 0.0
    device = sample.inputs[0].device
    for near in found:
        here, want = near.sample.on(device), [t.to(device) for t in near.truth]
        for walk in walks(module):
            with walk:
                worst = max(worst, errors(results(getattr(module, op.name), here), want))
    return worst, CLOSE, f"{len(found)} draws"
