"""Recognising an instance of a pattern: the same expression but for the letters of its indices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, product

from sympy import Expr

from derive.notation.nodes import Index, Tensor, free_indices, rename

Mapping = dict[Index, Index]
_MOST_TRIES = 256


def match(pattern: Expr, letters: Sequence[Index], expr: Expr) -> Mapping | None:
    """Letters for the free indices of `pattern` that make it equal `expr`, or None."""
    if type(pattern) is not type(expr) or pattern.atoms(Tensor) != expr.atoms(Tensor):
        return None
    found = free_indices(expr)
    choices = [[i for i in found if i.size == letter.size] for letter in letters]
    for chosen in islice(product(*choices), _MOST_TRIES):
        mapping = dict(zip(letters, chosen, strict=True))
        if set(chosen) == set(found) and rename(pattern, mapping) == expr:
            return mapping
    return None
