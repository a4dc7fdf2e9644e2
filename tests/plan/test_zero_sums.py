"""Which sums are zero is asked where one could be, and told from the definitions alone."""

import pytest

from derive.catalogue import load, parse
from derive.notation import point
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.notation.point import Glance, Sample
from derive.plan.zero_sums import ZeroSums
from derive.simplify.identities import Identities

LETTERS = "abcdefghijklmnopqrst"
MANY = ",".join(LETTERS)
ONES = ",".join(LETTERS[:-1])


def target(op, name):
    (equation,) = (e for e in op.equations if e.target.tensor.name == name)
    return equation.target


def test_a_difference_from_the_mean_sums_to_zero() -> None:
    op = load("layer_norm")
    centred = target(op, "mu")
    assert ZeroSums(op).over(centred, centred.indices) == (centred.indices[1],)


def test_of_products_of_many_indices_nothing_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Identities, "reduce", search)
    monkeypatch.setattr(Glance, "may_vanish", search)
    (op,) = parse(f"op product(u[{MANY}], v[t]) -> y[{MANY}]\ny[{MANY}] = 2 * u[{MANY}] * v[t]^2\n")
    result: Component = target(op, "y")
    assert ZeroSums(op).over(result, result.indices) == ()


def test_what_is_too_large_to_be_drawn_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (op,) = parse(
        f"op difference(u[{MANY}], v[t]) -> y[{MANY}]\ny[{MANY}] = u[{MANY}] - 1[{ONES}] * v[t]\n"
    )
    made: list[Op] = []

    def sample(op: Op, *rest: object, **more: object) -> Sample:
        made.append(op)
        return Sample(op, *rest, **more)

    monkeypatch.setattr(point, "Sample", sample)
    glance = Glance(op)
    assert glance.may_vanish(target(op, "y")), "nobody can tell"
    assert glance.may_vanish(target(op, "y"))
    assert made == [op]
