"""Every law is sampled: its example, read as numbers, holds before and after it is applied."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import pytest
from sympy import Expr, Mul

import derive.simplify
from derive.notation.nodes import Contraction
from derive.rewrite import Chain, Law, everywhere, keeping_shape
from derive.simplify.collect import COLLECT
from derive.simplify.laws import COUNT, LAWS, OUTSIDE
from tests.samples import Pair, World, different, pair

SAMPLES = ((0, (2, 3, 4, 2)), (1, (3, 2, 5, 4)), (2, (1, 4, 2, 3)))


def _laws() -> Iterator[Law]:
    """Every law that stands in some module of `derive.simplify`."""
    for found in pkgutil.iter_modules(derive.simplify.__path__, "derive.simplify."):
        for value in vars(importlib.import_module(found.name)).values():
            yield from (v for v in (value if isinstance(value, tuple) else (value,)) if _is(v))


def _is(value: object) -> bool:
    return isinstance(value, Law)


EVERY = tuple(dict.fromkeys([*LAWS, COLLECT, *_laws()]))


def sample(law: Law) -> Pair:
    """The example, its letters free unless they are summed: as many free as let the law apply."""
    before, after = law.example
    ones = {k for inside in re.findall(r"\b1\[([\w,]+)\]", before) for k in inside.split(",")}
    letters = [k for k in _letters(after) if k in _letters(before) and k not in ones]
    found = None
    for count in range(len(letters), 0, -1):
        for free in combinations(letters, count):
            found = pair(",".join(free), before, after)
            found = replace(found, before=inward(found.before)) if law is OUTSIDE else found
            if everywhere(law.apply, found.before) != found.before:
                return found
    raise AssertionError(f"the law changes none of the readings of {before}")


def _letters(text: str) -> list[str]:
    return list(
        dict.fromkeys(k for inside in re.findall(r"\[([\w,]+)\]", text) for k in inside.split(","))
    )


def inward(expr: Expr) -> Expr:
    """a Σ b as Σ (a b): the reader has already moved what the law would move."""
    (total,) = (f for f in expr.args if isinstance(f, Contraction))
    body, dummies = total.open()
    return Contraction(Mul(*(f for f in expr.args if f is not total), body), *dummies)


def wrong(example: Pair, left: Expr, right: Expr) -> list[object]:
    """Where two expressions differ, over all samples; nothing, if they are equal."""
    found: list[object] = []
    for seed, lengths in SAMPLES:
        world = World(example.op, lengths, seed)
        found += different(world.values(left, example.free), world.values(right, example.free))
    return found


def test_the_laws_are_found() -> None:
    assert {*LAWS, COLLECT} <= set(EVERY)
    assert {law.name for law in EVERY} >= {"contract the delta", "ones count"}


@pytest.mark.parametrize("law", EVERY, ids=lambda law: f"{law.name}-{law.example[0]}")
class TestLaw:
    def test_is_named_and_stated(self, law: Law) -> None:
        assert law.name
        assert "=" in law.statement
        assert all(law.example)

    def test_example_is_true(self, law: Law) -> None:
        with keeping_shape():
            example = sample(law)
        assert not wrong(example, example.before, example.after)

    def test_what_it_gives_is_equal_to_what_was(self, law: Law) -> None:
        with keeping_shape():
            example = sample(law)
            after = everywhere(law.apply, example.before)
        assert after != example.before
        assert not wrong(example, example.before, after)

    def test_gives_the_example(self, law: Law) -> None:
        """OUTSIDE, which changes nothing on paper, makes the two sides comparable."""
        with keeping_shape():
            example = sample(law)
            assert run(law, example.before) == run(OUTSIDE, example.after)

    def test_ends(self, law: Law) -> None:
        with keeping_shape():
            once = run(law, sample(law).before)
            assert run(law, once) == once


def run(law: Law, expr: Expr) -> Expr:
    chain = Chain(expr, expr)
    chain.run((law, OUTSIDE))
    return chain.expr


def test_a_wrong_law_would_be_caught() -> None:
    with keeping_shape():
        example = sample(COUNT)
        after = 2 * everywhere(COUNT.apply, example.before)
    assert wrong(example, example.before, after)


def test_a_step_says_which_law() -> None:
    with keeping_shape():
        before = sample(COUNT).before
        chain = Chain(before, before)
        assert chain.apply(COUNT)
        assert not chain.apply(COUNT)
    (step,) = chain.steps
    assert (step.law, step.before, step.after) == (COUNT.name, before, chain.expr)


def test_a_silent_law_belongs_to_the_step_before() -> None:
    with keeping_shape():
        example = sample(OUTSIDE)
        chain = Chain(example.before, example.before)
        assert chain.apply(OUTSIDE)
    assert not chain.steps
    assert chain.start == chain.expr == example.after
