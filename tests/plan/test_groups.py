"""Groups of statements between matrix products: what is in them, in which order, and why."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

import derive
from derive.catalogue import catalogue, load, load_all
from derive.emit.fused_module import grouped_by
from derive.emit.triton_module import has_kernels
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.plan.groups import Group, Grouped, Item
from derive.plan.passes import passes
from derive.plan.program import plan
from derive.rewrite import keeping_shape
from tests.samples import every_op, name_of, named

UNSEEN = load_all(Path(__file__).parents[1] / "data" / "epilogues.op")
OPS = [op for op in (*every_op(), *UNSEEN, *map(load, catalogue())) if not has_kernels(op)]
OPS = list({op.name: op for op in OPS}.values())


@cache
def grouped(op: Op) -> Grouped | None:
    return grouped_by(op, derive.differentiate(op))


def of(text: str) -> Grouped | None:
    return grouped(derive.parse(text)[0])


def made(item: Item) -> tuple[Component, ...]:
    return item.results if isinstance(item, Group) else (item.target,)


def read(item: Item) -> set[str]:
    found = item.reads if isinstance(item, Group) else item.uses
    return {c.tensor.name for c in found}


@pytest.mark.parametrize("op", OPS, ids=name_of)
def test_each_item_comes_after_what_it_reads(op: Op) -> None:
    """And all that is asked for is there."""
    found = grouped(op)
    if found is None:
        return
    program = found.program
    forward = [c.tensor.name for c in op.inputs]
    backward = [c.tensor.name for c in (*program.cotangents, *program.saved)]
    for items, known in ((found.forward, forward), (found.backward, backward)):
        for item in items:
            assert read(item) <= set(known)
            known += [c.tensor.name for c in made(item)]
    assert {c.tensor.name for c in (*op.outputs, *program.kept)} <= set(forward)
    assert {c.tensor.name for c in program.gradients} <= set(backward)


@pytest.mark.parametrize("op", OPS, ids=name_of)
def test_a_group_makes_one_pass_of_two_or_more(op: Op) -> None:
    """And gives nothing that nobody reads."""
    found = grouped(op)
    for items in (found.forward, found.backward) if found else ():
        for item in (i for i in items if isinstance(i, Group)):
            assert sum(passes(s.expr) for s in item.members) >= 2
            program = found.program
            results = {c.tensor for c in (*op.outputs, *program.kept, *program.gradients)}
            others = {name for i in items if i is not item for name in read(i)}
            names = {t.name for t in results} | others
            assert {c.tensor.name for c in item.results} <= names


@pytest.mark.parametrize("name", ["attention", "product_norm", "linear_attention"])
def test_what_is_saved_is_what_it_was(name: str) -> None:
    op = next((op for op in UNSEEN if op.name == name), None) or load(name)
    with keeping_shape():
        plain = plan(op, derive.differentiate(op), shared=False)
    found = grouped(op)
    assert found is not None
    assert found.program.saved == plain.saved
    assert found.program.gradients == plain.gradients


NONE = {
    "a product alone": "op f(x[b,i], w[i,o]) -> y[b,o]\ny[b,o] = x[b,i]*w[i,o]\n",
    "a number": "op f(x[b,i], w[i,o]; a = 3) -> y[b,o]\ny[b,o] = a/I*x[b,i]*w[i,o]\n",
    "one addition": "op f(x[b,i], w[i,o], c[o]) -> y[b,o]\ny[b,o] = x[b,i]*w[i,o] + 1[b]*c[o]\n",
    "vectors": "op f(w[i,j], x[j]) -> y[i]\nu[i] = w[i,j]*x[j]\ny[i] = exp(u[i])*sin(u[i])\n",
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_not_worth_a_kernel(name: str) -> None:
    found = of(NONE[name])
    large = [g for g in found.groups if len(g.results[-1].indices) > 1] if found else []
    assert not large


def groups(op: Op) -> list[list[str]]:
    found = grouped(op)
    assert found is not None
    return [[s.target.tensor.name for s in g.members] for g in found.groups]


def test_attention_is_one_group_forward_and_one_back() -> None:
    assert groups(named("attention")) == [["s", "m", "e", "z", "p"], ["e", "p", "dz", "de", "ds"]]


def test_what_products_multiply_is_computed_once() -> None:
    """dy sign(y) stands in two products and a sum over rows."""
    text = "op f(x[b,i], w[o,i], c[o]) -> y[b,o]\ny[b,o] = relu(x[b,i]*w[o,i] + 1[b]*c[o])\n"
    assert groups(derive.parse(text)[0]) == [["y"], ["dy_y", "dc"]]


def test_a_product_that_two_gradients_need_is_computed_once() -> None:
    found = grouped(next(op for op in UNSEEN if op.name == "capped_attention"))
    assert found is not None
    host = [i.target.tensor.name for i in found.backward if not isinstance(i, Group)]
    assert [n for n in host if n.endswith("_sum")] == ["dq_sum"]


def test_what_a_group_reads_may_not_be_there() -> None:
    """Of attention's gradients dv alone needs no dp."""
    found = grouped(named("attention"))
    assert found is not None
    assert [{t.name for t in g.absent} for g in found.groups] == [set(), {"dp"}]


def test_places_along_two_axes_of_one_size_are_told_apart() -> None:
    """Kronecker's delta is such a comparison."""
    found = grouped(load("info_nce"))
    assert found is not None
    (back,) = (g for g in found.backward if isinstance(g, Group))
    sizes = [s.name for s in (*back.small.schedule.rows, *back.small.schedule.columns)]
    assert len(set(sizes)) == 2
