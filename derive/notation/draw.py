"""Random labels, for all that tries an op at random points."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from sympy import Expr

from derive.notation.nodes import Labels, Size

FEW = 3  # values of a label that indexes no axis
_SELDOM = 0.25


def draw_label(
    labels: Labels, random: Random, sizes: Mapping[Size, int], scalars: Mapping[Any, Any]
) -> Any:
    """A value of the index; one time in four a sentinel, if the label has one."""
    none = [_number(number, scalars) for number in labels.sentinels]
    if none and random.random() < _SELDOM:
        return random.choice(none)
    values = range(sizes[labels.values] if labels.values else FEW)
    return random.choice([v for v in values if v not in none] or values)


def _number(expr: Expr, scalars: Mapping[Any, Any]) -> Any:
    return scalars[expr] if expr in scalars else int(expr)
