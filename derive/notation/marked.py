"""What a step changed: what is written after it, with marks on what was not there before.

Terms that stood there stay unmarked. A term that shares factors with one that is gone has those
factors marked that are new; inside brackets it goes on in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from derive.notation.written import Factor, Operator, Product, Sum

T = TypeVar("T")


def marked(old: Sum, new: Sum) -> Sum:
    """`new`, marked where it differs from `old`."""
    gone = _without(old.terms, new.terms)
    kept = _common(new.terms, old.terms)
    terms: list[Product] = []
    for term in new.terms:
        if term in kept:
            kept.remove(term)
            terms.append(term)
        else:
            source = max(gone, key=lambda t: len(_common(term.factors, t.factors)), default=None)
            terms.append(_marked_term(source, term))
            if source is not None and len(gone) > len(new.terms) - len(terms):
                gone.remove(source)
    return Sum(tuple(terms))


def _marked_term(old: Product | None, new: Product) -> Product:
    """Its new factors marked; the whole of it if none of them is old, or its number is new."""
    if old is None or (old.negative, old.number) != (new.negative, new.number):
        return replace(new, marked=True)
    kept = _common(new.factors, old.factors)
    gone = _without(old.factors, new.factors)
    factors: list[Factor] = []
    for factor in new.factors:
        if factor in kept:
            kept.remove(factor)
            factors.append(factor)
        else:
            factors.append(_marked_factor(gone, factor))
    if all(f.marked for f in factors):
        return replace(new, marked=True)
    return replace(new, factors=tuple(factors))


def _marked_factor(gone: Iterable[Factor], new: Factor) -> Factor:
    """A bracket that replaces a bracket is marked inside; anything else as a whole."""
    for old in gone:
        if old.exponent != new.exponent:
            continue
        if isinstance(old.base, Sum) and isinstance(new.base, Sum):
            return replace(new, base=marked(old.base, new.base))
        if isinstance(old.base, Operator) and isinstance(new.base, Operator):
            body = marked(old.base.body, new.base.body)
            return replace(new, base=replace(new.base, body=body))
    return replace(new, marked=True)


def _common(these: Iterable[T], those: Iterable[T]) -> list[T]:
    """Those of `these` that are among `those`, each as often as there."""
    left, found = list(those), []
    for one in these:
        if one in left:
            left.remove(one)
            found.append(one)
    return found


def _without(these: Iterable[T], those: Iterable[T]) -> list[T]:
    """What is left of `these` when `those` are taken away."""
    left = list(these)
    for one in those:
        if one in left:
            left.remove(one)
    return left
