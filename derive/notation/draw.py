"""Random labels, for all that tries an op at random points."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from sympy import Expr

from derive.notation.nodes import Labels, Size

_SELDOM = 0.25


def values_of(labels: Labels, lengths: Mapping[Size, int]) -> range:
    """What it may be: of one of which nothing is said, some are no value of any index."""
    if labels.values is not None:
        return range(lengths[labels.values])
    return range(-1, max(lengths.values(), default=1) + 1)


def draw_label(
    labels: Labels, random: Random, sizes: Mapping[Size, int], scalars: Mapping[Any, Any]
) -> Any:
    """A value of the index; one time in four a sentinel, if the label has one."""
    none = [_number(number, scalars) for number in labels.sentinels]
    if none and random.random() < _SELDOM:
        return random.choice(none)
    values = values_of(labels, sizes)
    return random.choice([v for v in values if v not in none] or values)


def _number(expr: Expr, scalars: Mapping[Any, Any]) -> Any:
    return scalars[expr] if expr in scalars else int(expr)
