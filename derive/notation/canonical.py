"""The orders of dummies that are compared when looking for the one that sorts first.

Where signatures leave too many open, they are refined until each says all that is known of its
neighbours' (Weisfeiler, Leman 1968); where some are still equal, each of these in turn is made the
first (McKay 1981). A chain of n equal factors so has one order, not n!.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby, islice, permutations, product
from math import factorial, prod
from typing import Any, NamedTuple

_MOST_ORDERS, _FEW_ORDERS = 120, 6  # orders of dummies that are compared in a small, a large sum
_MOST_NODES = 20_000  # in all that is compared

Dummy = Any  # an Index; a component has a `tensor` and `indices`
Colours = dict[Dummy, int]


class Link(NamedTuple):
    """What stands beside what: a label, and in each place a dummy, or else a name to sort by."""

    label: Any
    places: tuple[Any, ...]


def orders(components: Iterable[Any], dummies: list[Dummy], size: int) -> list[tuple[Dummy, ...]]:
    """All that the signatures leave open or, where those are too many, some that differ.

    `size` is how many nodes there are to compare.
    """
    components = list(components)
    most = max(_FEW_ORDERS, min(_MOST_ORDERS, _MOST_NODES // size))
    found = signatures(components, dummies)
    if prod(factorial(n) for n in Counter(found.values()).values()) <= most:
        return list(_permuted(found))
    links = [_link(c, found) for c in components]
    return list(islice(_told_apart(_ranked(found), links), most))


def signatures(components: Iterable[Any], dummies: Iterable[Dummy]) -> dict[Dummy, tuple[Any, ...]]:
    """What tells one dummy from another, whatever their names: where components carry it."""
    places: dict[Dummy, list[Any]] = {d: [] for d in dummies}
    for c in components:
        for index in (i for i in set(c.indices) if i in places):
            mine = tuple(k for k, i in enumerate(c.indices) if i == index)
            places[index].append((c.tensor.rank, c.tensor.name, mine))
    return {d: (d.size.rank, d.size.name, tuple(sorted(p))) for d, p in places.items()}


def _permuted(marks: Mapping[Dummy, Any]) -> Iterator[tuple[Dummy, ...]]:
    """Orders in which only dummies of equal signature change places."""
    ordered = sorted(marks, key=marks.__getitem__)
    groups = (tuple(equal) for _, equal in groupby(ordered, key=marks.__getitem__))
    for chosen in product(*map(permutations, groups)):
        yield tuple(chain.from_iterable(chosen))


def _link(component: Any, dummies: Mapping[Dummy, Any]) -> Link:
    label = (component.tensor.rank, component.tensor.name)
    return Link(label, tuple(i if i in dummies else (i.rank, i.name) for i in component.indices))


def _told_apart(colours: Colours, links: list[Link]) -> Iterator[tuple[Dummy, ...]]:
    colours = _refined(colours, links)
    sizes = Counter(colours.values())
    shared = min((c for c, n in sizes.items() if n > 1), default=None)
    if shared is None:
        yield tuple(sorted(colours, key=colours.__getitem__))
        return
    for first in (d for d, c in colours.items() if c == shared):
        yield from _told_apart({d: 2 * c + (d != first) for d, c in colours.items()}, links)


def _refined(colours: Colours, links: list[Link]) -> Colours:
    """Until a dummy's neighbours tell no more than its colour does."""
    known = 0
    while known < len(set(colours.values())):
        known = len(set(colours.values()))
        beside: dict[Dummy, list[Any]] = {d: [] for d in colours}
        for label, places in links:
            around = tuple((1, colours[p]) if p in colours else (0, p) for p in places)
            for k, place in enumerate(places):
                if place in colours:
                    beside[place].append((label, k, around))
        colours = _ranked({d: (c, sorted(beside[d])) for d, c in colours.items()})
    return colours


def _ranked(marks: Mapping[Dummy, Any]) -> Colours:
    """The place of each mark among those that differ."""
    colours: Colours = {}
    last: Any = None
    for dummy, mark in sorted(marks.items(), key=lambda pair: pair[1]):
        colours[dummy] = len(set(colours.values())) - (mark == last)
        last = mark
    return colours
