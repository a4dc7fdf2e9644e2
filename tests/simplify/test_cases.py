"""Pairs of `tests/cases`: each pass takes the first expression to the second, which is equal."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from sympy import Expr

from derive.rewrite import Chain, Law, keeping_shape
from derive.simplify.cancel import CANCEL
from derive.simplify.collect import COLLECT
from derive.simplify.identities import Identities
from derive.simplify.laws import COLLECTING, CONTRACTING, COUNT, EXPANDING, OUTSIDE
from derive.simplify.normal import normal
from derive.simplify.zero import is_zero
from tests.samples import TESTS, Pair, World, different, lines_of, named, op_for, pair

LAWS: dict[str, tuple[Law, ...]] = {
    "contracting": CONTRACTING,
    "collecting": COLLECTING,
    "expanding": EXPANDING,
    "sharing": (OUTSIDE, COLLECT),
    "cancelling": (CANCEL,),
}
_CASE = re.compile(r"(?:(.+?): )?\[([\w,]*)\] (.+?) ; (.+)")


def cases(name: str) -> list[str]:
    return lines_of(TESTS / "cases" / f"{name}.txt")


def read(line: str) -> Pair:
    match = _CASE.fullmatch(line)
    assert match, line
    given, free, before, after = match.groups()
    if given and "[" not in given:
        return pair(free, before, after, named(given))
    return pair(free, before, after, op_for(given or "", before, after))


def run(laws: tuple[Law, ...], expr: Expr) -> Expr:
    chain = Chain(expr, expr)
    chain.run(laws)
    return chain.expr


def unequal(case: Pair) -> list[object]:
    found: list[object] = []
    for seed, lengths in ((0, (2, 3, 4, 2)), (1, (3, 2, 2, 3))):
        world = World(case.op, lengths, seed, 0.3, 1.5)
        before = world.values(case.before, case.free)
        found += different(before, world.values(case.after, case.free))
    return found


@pytest.mark.parametrize(
    ("laws", "line"), [(laws, line) for name, laws in LAWS.items() for line in cases(name)]
)
def test_a_pass_takes_before_to_after(laws: tuple[Law, ...], line: str) -> None:
    with keeping_shape():
        case = read(line)
        got, want = run(laws, case.before), run((OUTSIDE, COUNT), case.after)
        assert run((COUNT,), got) == want
    assert not unequal(case)


@pytest.mark.parametrize("line", cases("folding"))
def test_a_definition_is_recognised(line: str) -> None:
    with keeping_shape():
        case = read(line)
        assert run(Identities(case.op).folds, case.before) == case.after
    assert not unequal(case)


@pytest.mark.parametrize("line", cases("normal"))
def test_equal_sides_have_one_normal_form(line: str) -> None:
    with keeping_shape():
        case = read(line)
        assert normal(case.before) == normal(case.after)
        assert is_zero(case.before - case.after)
    assert not unequal(case)


@pytest.mark.parametrize("line", cases("zero"))
def test_equal_sides_differ_by_zero(line: str) -> None:
    with keeping_shape():
        case = read(line)
        assert is_zero(case.before - case.after)
    assert not unequal(case)


@pytest.mark.parametrize("decide", [normal, lambda e: not is_zero(e)], ids=["normal", "is_zero"])
@pytest.mark.parametrize("line", cases("different"))
def test_what_differs_is_told_apart(line: str, decide: Callable[[Expr], object]) -> None:
    with keeping_shape():
        case = read(line)
        assert decide(case.before - case.after)
    world = World(case.op, (2, 3, 2, 2), seed=3, low=-1.5, high=-0.2)
    assert different(world.values(case.before, case.free), world.values(case.after, case.free))
