"""The program of an op: what it saves, what it computes again, where it re-centres."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import mpmath
import pytest
import torch
from sympy import Add, Expr

import derive
from derive.derivation import differentiate
from derive.notation.nodes import Component, Contraction, Extremum
from derive.notation.op import Op, gradient
from derive.notation.solution import Solution
from derive.plan.program import Program, Statement, plan
from derive.rewrite import keeping_shape
from derive.simplify.identities import Identities, outer_sums
from tests.samples import World, derived, different, every_op, name_of, named

every = pytest.mark.parametrize("op", every_op(), ids=name_of)


def program(op: Op) -> Program:
    return plan(op, derived(op.name))


def names(components: Iterable[Component]) -> list[str]:
    return [c.tensor.name for c in components]


SAVED = {  # inputs first
    "layer_norm": ["x", "gamma", "m", "sigma", "mu_mean"],
    "rms_norm": ["x", "gamma", "sigma"],
    "softmax": ["x", "m", "z"],
    "matmul": ["a", "b"],
    "linear": ["x", "w"],
    "no_gradient": ["w"],
    "gelu": ["x"],
    "constant": [],
    "attention": ["q", "k", "v", "s", "m", "z"],
    "weight_norm": ["v", "g", "r"],
}


@pytest.mark.parametrize("name", SAVED)
def test_what_is_saved(name: str) -> None:
    assert names(program(named(name)).saved) == SAVED[name]


@every
def test_nothing_pointwise_is_saved(op: Op) -> None:
    """What is as large as the inputs and holds no sum, nor solves a relation, is computed again."""
    found = program(op)
    largest = max(len(c.indices) for c in op.inputs)
    for kept in found.kept:
        definition = op.definitions.get(kept.tensor)
        costs = definition is None or definition.expr.atoms(Contraction, Extremum, Solution)
        assert costs or len(kept.indices) < largest, kept


@every
def test_the_backward_pass_uses_what_it_is_given(op: Op) -> None:
    found = program(op)
    known = {c.tensor for c in (*found.saved, *found.cotangents)}
    for statement in found.backward:
        assert {c.tensor for c in statement.uses} <= known, statement.target
        known.add(statement.target.tensor)
    assert {c.tensor for c in found.gradients} <= known


@every
def test_the_forward_pass_computes_what_is_saved(op: Op) -> None:
    found = program(op)
    known = {c.tensor for c in op.inputs}
    for statement in found.forward:
        assert {c.tensor for c in statement.uses} <= known, statement.target
        known.add(statement.target.tensor)
    assert {c.tensor for c in (*op.outputs, *found.saved)} <= known


@every
def test_no_sum_stands_inside_a_sum(op: Op) -> None:
    """Each sum is a statement, or part of one with the same indices."""
    found = program(op)
    for statement in (*found.forward, *found.backward):
        for total in outer_sums(statement.expr):
            assert not total.body.atoms(Contraction), statement.target


@every
def test_every_line_says_what_it_computes(op: Op) -> None:
    for statement in program(op).backward:
        assert statement.note
        assert "\n" not in statement.note


def computed(op: Op, statements: Iterable[Statement], world: World) -> None:
    """Runs a pass: each statement's values become known to the world."""
    for statement in statements:
        letters = statement.target.indices
        values = world.values(statement.expr, letters)
        for place, value in zip(list(world.places(letters)), values, strict=True):
            world.given[statement.target.tensor, place] = value


@every
def test_the_program_computes_what_was_derived(op: Op) -> None:
    """Forward and backward, statement by statement, against the closed forms."""
    found = program(op)
    want, got = (World(op, (2, 3, 2, 2), 3, 0.3, 1.4) for _ in range(2))
    computed(op, found.forward, got)
    for output in op.outputs:
        values = (w.values(output, output.indices) for w in (got, want))
        assert not different(*values), output
    computed(op, found.backward, got)
    for declared, grad in zip(op.differentiable, found.gradients, strict=True):
        stage = derived(op.name).stage[declared.tensor.name]
        here = [got.given[grad.tensor, place] for place in got.places(grad.indices)]
        there = want.values(stage.closed, stage.component.indices)
        assert not different(here, there, mpmath.mpf(10) ** -20), declared


# -- re-centring ----------------------------------------------------------------------------------

CENTRED = {
    "layer_norm": {"mu"},
    "instance": {"cen"},
    "batch_norm": {"mu"},
    "column_norm": {"mu"},
    "add_norm": {"mu"},
    "adaptive_norm": {"mu"},
    "double_norm": {"c", "c2"},
    "correlation": {"cx", "cz"},
    "moments": {"c"},
    "covariance": {"mu"},
    "group_norm": {"mu"},
    "channel_norm": {"mu"},
    "rms_norm": set(),
    "softmax": set(),
    "unit_rows": set(),
    "many_sums": set(),
}


def centred(found: Program) -> set[str]:
    """The tensors from which a mean is taken off."""
    means = {s.target.tensor for s in found.forward if "rounding error" in s.note}
    return {
        s.target.tensor.name
        for s in found.forward
        if any(c.tensor in means for c in s.uses) and s.target.tensor.name in names(_defined(found))
    }


def _defined(found: Program) -> list[Component]:
    return [e.target for e in found.op.equations]


@pytest.mark.parametrize("name", CENTRED)
def test_what_is_recentred(name: str) -> None:
    assert centred(program(named(name))) == CENTRED[name]


@every
def test_only_what_was_proved_to_sum_to_zero_is_recentred(op: Op) -> None:
    found = program(op)
    with keeping_shape():
        proved = {e.name for e in op.equations if _zero_sums(op, e.target, e.expr)}
    assert centred(found) <= proved


@every
def test_a_difference_that_sums_to_zero_is_recentred(op: Op) -> None:
    with keeping_shape():
        proved = {e.name for e in op.equations if _zero_sums(op, e.target, e.expr)}
    assert centred(program(op)) == proved


def _zero_sums(op: Op, target: Component, expr: Expr) -> list[object]:
    if len(Add.make_args(expr)) < 2:
        return []
    known = Identities(op)
    counts = range(1, len(target.indices) + 1)
    chosen = (c for n in counts for c in combinations(target.indices, n))
    found = (known.reduce(Contraction(target, *c)) for c in chosen)
    return [i for i in found if i is not None and i.right == 0]


def test_recentring_changes_no_value() -> None:
    op = named("layer_norm")
    world = World(op, (2, 5), 0)
    for statement in program(op).forward:
        if "mean" in statement.target.tensor.name:
            computed(op, program(op).forward[:2], world)
            assert not any(abs(v) > 1e-30 for v in world.values(statement.expr, op.letters[:1]))


# -- sizes and scalars ----------------------------------------------------------------------------

SHOWN = [  # op, sizes saved, scalars saved
    ("op f(x[b,h]) -> s\ns = 1[b]*1[h]*x[b,h]\n", ["B", "H"], []),
    ("op f(x[b,h]) -> y[b]\ny[b] = 1[h]*x[b,h]\n", ["H"], []),
    ("op f(x[b,h]) -> y[b]\ny[b] = 1/H*1[h]*x[b,h]\n", ["H"], []),
    ("op f(x[b,h]) -> y[b,h]\ny[b,h] = x[b,h]/H\n", [], []),
    ("op f(x[b,h]; k = 2) -> y[b,h]\ny[b,h] = k*x[b,h]\n", [], ["k"]),
    ("op f(x[b,h]; k = 2) -> y[b,h]\ny[b,h] = k + x[b,h]\n", [], []),
    ("op f(x[b,h]; k = 2, n = 3) -> y[b,h]\ny[b,h] = x[b,h]^n + k\n", [], ["n"]),
    ("op f(x[b,h]; k = 2) -> y[b]\ny[b] = k*1[h]*x[b,h]\n", ["H"], ["k"]),
]


@pytest.mark.parametrize(("text", "sizes", "scalars"), SHOWN)
def test_sizes_and_scalars_are_saved_where_no_tensor_shows_them(
    text: str, sizes: list[str], scalars: list[str]
) -> None:
    (op,) = derive.parse(text)
    found = plan(op, differentiate(op))
    assert [s.name for s in found.saved_sizes] == sizes
    assert [s.name for s in found.saved_scalars] == scalars


def test_a_saved_root_needs_no_eps() -> None:
    assert not program(named("layer_norm")).saved_scalars
    assert [s.name for s in program(named("column_norm")).saved_scalars] == ["eps"]


# -- what needs what ------------------------------------------------------------------------------


def test_which_gradients_need_a_statement() -> None:
    found = program(named("layer_norm"))
    needed = {t.name: names for t, names in found.needed_by.items()}
    assert needed["dsigma"] == needed["dm"] == {"x"}
    assert needed["mu"] == {"x", "gamma"}
    assert needed["dgamma"] == {"gamma"}
    assert needed["dy"] == {"x", "gamma", "beta"}


@every
def test_every_statement_is_needed(op: Op) -> None:
    found = program(op)
    for statement in found.backward:
        assert found.needed_by.get(statement.target.tensor), statement.target


@every
def test_gradients_are_shaped_like_their_inputs(op: Op) -> None:
    found = program(op)
    assert len(found.gradients) == len(op.differentiable)
    for declared, grad in zip(op.differentiable, found.gradients, strict=True):
        assert [i.size for i in grad.indices] == [i.size for i in declared.indices]
    for statement in found.backward:
        assert len(set(statement.target.indices)) == len(statement.target.indices)
    assert found.cotangents == tuple(gradient(c) for c in op.outputs)


@pytest.mark.parametrize("name", ["layer_norm", "softmax", "attention", "double_norm"])
def test_planning_twice_gives_the_same(name: str) -> None:
    first, second = (program(named(name)) for _ in range(2))
    for one, other in zip(first.backward, second.backward, strict=True):
        assert (str(one.target), one.note) == (str(other.target), other.note)


def test_what_is_maximised_has_the_indices_of_its_conditions() -> None:
    """No component carries t: the running maximum of a row."""
    (op,) = derive.parse(
        "op f(x[b,t]) -> y[b,t]\ny[b,t] = max[s](where(s <= t, x[b,s]*1[t], -9))\n"
    )
    forward = plan(op, differentiate(op)).forward
    (inside,) = (s for s in forward if s.target.tensor.name == "y_inside")
    assert len(inside.target.indices) == 3
    x = torch.randn(2, 5, dtype=torch.float64)
    assert derive.build(op, "torch").f(x).equal(x.cummax(1).values)


@pytest.mark.parametrize("name", ["causal_conv1d", "filtered"])
def test_a_short_window_makes_no_square_of_the_axis(name: str) -> None:
    """x[b,s-k,c] for all k, not w[s-q,c] for all pairs of places."""
    op = named(name)
    made = plan(op, derived(name))
    long = {i.size for i in op.outputs[0].indices} - {i.size for i in op.inputs[1].indices}
    for statement in (*made.forward, *made.backward):
        sizes = [i.size for i in statement.target.indices]
        assert all(sizes.count(size) < 2 for size in long), statement.note
