"""The mistakes that are made in formulas, one function for each kind, on one subexpression.

They are the ones that papers, tutorials and issue trackers show in gradients written by hand: signs
and factors, a forgotten term, a wrong power, N - 1 for N, a wrong index, tensor or sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sympy import Add, Expr, Integer, KroneckerDelta, Mul, Pow, Rational, S

from derive.notation.conditions import AT_MOST, EQUAL, LESS, Iverson, iverson
from derive.notation.functions import Elementwise, call
from derive.notation.nodes import (
    Component,
    Contraction,
    Extremum,
    Maximum,
    Minimum,
    Size,
    Tensor,
    free_indices,
)
from derive.verify.mutation.places import Place

_HALF = Rational(1, 2)
_OPPOSITE: Mapping[type[Expr], type[Extremum]] = {Maximum: Minimum, Minimum: Maximum}
_TWINS = {"min": "max", "max": "min", "sin": "cos", "cos": "sin"}


@dataclass(frozen=True)
class Change:
    """One mistake: what stands at the place instead, and how to say it in the least words."""

    kind: str
    instead: Expr
    was: Expr
    now: Expr | None = None  # none: it is left out


@dataclass(frozen=True)
class Known:
    """What an equation could name by mistake: tensors known by then, by their axes, and sizes."""

    tensors: Mapping[tuple[Size, ...], Sequence[Tensor]]
    sizes: Sequence[Size]


Operator = Callable[[Place, Known], Iterator[Change]]


def terms(place: Place, _known: Known) -> Iterator[Change]:
    """A term of a sum with another sign, twice, half, or left out."""
    node = place.node
    if not (place.is_side or isinstance(node, Add)) or node == 0:
        return
    parts = Add.make_args(node)
    for k, term in enumerate(parts):
        rest = (*parts[:k], *parts[k + 1 :])
        yield Change("sign", Add(*rest, -term), term, -term)
        yield Change("factor", Add(*rest, 2 * term), term, 2 * term)
        yield Change("factor", Add(*rest, term / 2), term, term / 2)
        if rest:
            yield Change("dropped term", Add(*rest), term)


def factors(place: Place, _known: Known) -> Iterator[Change]:
    """A factor of a product left out."""
    parts = Mul.make_args(place.node)
    for k, factor in enumerate(parts):
        if len(parts) > 1 and factor != -1:
            sign = S.NegativeOne if factor.is_Rational and factor.is_negative else S.One
            rest = Mul(sign, *parts[:k], *parts[k + 1 :])
            yield Change("dropped factor", rest, sign * factor)


def exponents(place: Place, _known: Known) -> Iterator[Change]:
    """One more, one less, the inverse; no root."""
    node = place.node
    if place.is_base or isinstance(node, Add | Mul | Iverson) or node.is_number:
        return  # a condition is its own square, and nobody divides by one
    base, exponent = node.as_base_exp() if isinstance(node, Pow) else (node, S.One)
    wrong = [exponent + 1, exponent - 1, -exponent]
    wrong += [2 * exponent] if exponent.is_Rational and exponent.q == 2 else []
    for other in wrong:
        if other not in (0, exponent):
            yield Change("exponent", Pow(base, other), node, Pow(base, other))


def sizes(place: Place, known: Known) -> Iterator[Change]:
    """N - 1 for N, as in an unbiased variance; the size of another axis."""
    node = place.node
    if isinstance(node, Size):
        yield Change("size", node - 1, node, node - 1)
        for other in known.sizes:
            if other != node:
                yield Change("size", other, node, other)


def indices(place: Place, _known: Known) -> Iterator[Change]:
    """Another letter of the same size, free for summed or the reverse; two letters exchanged."""
    node = place.node
    if not isinstance(node, Component | KroneckerDelta):
        return
    head = (node.tensor,) if isinstance(node, Component) else ()
    letters = node.args[len(head) :]
    for k, letter in enumerate(letters):
        for other in place.scope:
            if other.size == letter.size and other != letter:
                wrong = node.func(*head, *letters[:k], other, *letters[k + 1 :])
                yield Change("index", wrong, node, wrong)
        for j in range(k):
            if letters[j].size == letter.size and isinstance(node, Component):
                moved = {k: letters[j], j: letter}
                wrong = node.func(*head, *(moved.get(n, i) for n, i in enumerate(letters)))
                yield Change("index", wrong, node, wrong)


def tensors(place: Place, known: Known) -> Iterator[Change]:
    """Another tensor with the same axes: x for x - mean, a gradient for a value."""
    node = place.node
    if isinstance(node, Component):
        for other in known.tensors.get(tuple(i.size for i in node.indices), ()):
            if other != node.tensor:
                wrong = Component(other, *node.indices)
                yield Change("tensor", wrong, node, wrong)


def sums(place: Place, _known: Known) -> Iterator[Change]:
    """A mean for a sum, a sum over an axis too many, over the wrong axis, over none."""
    node = place.node
    if not isinstance(node, Contraction):
        return
    body, dummies = node.open()
    mean = node / Mul(*(d.size for d in dummies))
    yield Change("sum", mean, node, mean)
    for letter in free_indices(node):
        more = Contraction(body, *dummies, letter)
        yield Change("sum", more, node, more)
    for k, dummy in enumerate(dummies):
        rest = (*dummies[:k], *dummies[k + 1 :])
        for letter in place.scope:
            if letter.size == dummy.size:
                wrong = Contraction(body.xreplace({dummy: letter}), *rest)
                yield Change("sum", wrong, node, wrong)
                exchanged = body.xreplace({dummy: letter, letter: dummy})
                yield Change("sum", wrong := Contraction(exchanged, *dummies), node, wrong)


def functions(place: Place, _known: Known) -> Iterator[Change]:
    """The derivative of a function for the function, its argument, its twin."""
    node = place.node
    if not isinstance(node, Elementwise):
        return
    wrong = [d(*node.args, node) for d in node.row.derivatives]
    wrong += node.args
    if node.row.name in _TWINS:
        wrong.append(call(_TWINS[node.row.name], *node.args))
    for other in wrong:
        yield Change("function", other, node, other)


def conditions(place: Place, _known: Known) -> Iterator[Change]:
    """The contrary; of whole numbers, < for <= and the reverse; a minimum for a maximum."""
    node = place.node
    if isinstance(node, Iverson):
        yield Change("condition", node.contrary, node, node.contrary)
        if node.counts and node.relation != EQUAL:
            other = iverson(LESS if node.relation == AT_MOST else AT_MOST, node.left, node.right)
            yield Change("condition", other, node, other)
    if isinstance(node, Extremum):
        body, dummies = node.open()
        other = _OPPOSITE[type(node)](body, *dummies)
        yield Change("function", other, node, other)


def numbers(place: Place, _known: Known) -> Iterator[Change]:
    """A gradient for one that is zero."""
    if place.is_side and place.node == 0:
        yield Change("number", Integer(1), S.Zero, S.One)


OPERATORS: tuple[Operator, ...] = (
    terms,
    factors,
    exponents,
    sizes,
    indices,
    tensors,
    sums,
    functions,
    conditions,
    numbers,
)
