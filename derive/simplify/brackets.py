"""What is true of conditions in a product: [c] [c] = [c], a label has one value, a < b excludes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from sympy import Expr, S

from derive.notation.conditions import (
    EQUAL,
    LESS,
    Iverson,
    Position,
    brackets_of,
    is_implied,
    is_no_place,
    iverson,
)
from derive.notation.nodes import Component, Index, free_indices

Powers = dict[Expr, Expr]


def with_one_value(powers: Powers) -> Powers:
    """[i = t] [j = t] = [i = t] [i = j]: a label has one value."""
    seen: dict[Expr, Iverson] = {}
    found = dict(powers)
    for bracket in _brackets(powers):
        label = bracket.picks
        if label is None:
            continue
        first = seen.setdefault(label, bracket)
        if first is not bracket:
            del found[bracket]
            same = iverson(EQUAL, Position(first.index), Position(bracket.index))
            found[same] = found.get(same, S.Zero) + 1
    return found


def counted_once(powers: Powers) -> Powers | None:
    """[c]^n = [c]; None if no point satisfies all conditions. What others imply is not said."""
    found = {b: S.One if isinstance(b, Iverson) and e.is_positive else e for b, e in powers.items()}
    if any(_exclude(*pair) for pair in combinations(_brackets(found), 2)):
        return None
    return {b: e for b, e in found.items() if not is_implied(b, found.keys())}


def picked(powers: Powers, dummies: frozenset[Index]) -> tuple[Powers, frozenset[Index]]:
    """Σ_c [c = t] = [t is a value of c], where nothing else carries c."""
    for bracket in _brackets(powers):
        if bracket.picks is not None and bracket.index in dummies:
            others = (b for b in powers if b is not bracket)
            if not any(bracket.index in free_indices(b) for b in others):
                rest = {b: e for b, e in powers.items() if b is not bracket}
                rest |= dict.fromkeys(brackets_of(bracket.chosen(rest)), S.One)
                return picked(rest, dummies - {bracket.index})
    return powers, dummies


def _brackets(powers: Iterable[Expr]) -> list[Iverson]:
    return [b for b in powers if isinstance(b, Iverson)]


def _exclude(one: Iverson, other: Iverson) -> bool:
    """c excludes not c, a < b excludes b < a and a = b; what picks is no number below zero."""
    if one.contrary == other:
        return True
    if not one.holds or not other.holds:
        return False
    if _says_nothing(one, other.picks) or _says_nothing(other, one.picks):
        return True
    if {one.left, one.right} != {other.left, other.right}:
        return False
    relations = {one.relation, other.relation}
    return relations == {LESS, EQUAL} or (relations == {LESS} and one != other)


def _says_nothing(bracket: Iverson, label: Component | None) -> bool:
    """Is the condition that the label is a number which is the place of nothing?"""
    sides = {bracket.left, bracket.right}
    if label is None or bracket.relation != EQUAL or label not in sides:
        return False
    return any(map(is_no_place, sides))
