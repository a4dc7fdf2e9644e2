"""The theorems of every op: listed in a file, true of numbers, and none of them by accident."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from derive import parse, prove
from derive.derivation import differentiate
from derive.notation.nodes import free_indices
from derive.notation.op import Op
from derive.notation.statement import statement_text
from derive.simplify.identities import Identity
from derive.theorems.relations import relations
from derive.theorems.symmetries import Symmetry, symmetries
from tests.samples import World, derived, different, every_op, name_of, named

LISTED = Path(__file__).with_name("theorems.txt")


def shown(op: Op, identity: Identity) -> str:
    free = tuple(free_indices(identity.left))
    return statement_text(op, identity.left, identity.right, free)


def lines(op: Op) -> Iterator[str]:
    for identity in derived(op.name).identities:
        yield f"{op.name} | {shown(op, identity)}" + (
            f" | {identity.reason}" if identity.reason else ""
        )


def listed(op: Op) -> list[str]:
    text = LISTED.read_text(encoding="utf-8") if LISTED.exists() else ""
    return [line for line in text.splitlines() if line.startswith(f"{op.name} | ")]


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_each_op_has_the_theorems_that_are_listed(op: Op, request: pytest.FixtureRequest) -> None:
    """`pytest -n 0 --update-traces` writes the list anew."""
    found = list(lines(op))
    if request.config.getoption("--update-traces"):
        kept = LISTED.read_text(encoding="utf-8").splitlines() if LISTED.exists() else []
        others = [line for line in kept if not line.startswith(f"{op.name} | ")]
        LISTED.write_text("\n".join([*others, *found]) + "\n", encoding="utf-8")
    assert found == listed(op)


def test_every_line_has_its_op() -> None:
    """In the order of the ops, as a list that is written anew has them."""
    text = LISTED.read_text(encoding="utf-8")
    names = list(dict.fromkeys(line.partition(" | ")[0] for line in text.splitlines()))
    assert names == [op.name for op in every_op() if op.name in names]


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_each_theorem_holds_at_random_numbers(op: Op) -> None:
    for identity in derived(op.name).identities:
        world = World(op, (2, 3, 2, 2, 3), 5, 0.3, 1.4)
        free = tuple(free_indices(identity.left))
        left, right = (world.values(s, free) for s in (identity.left, identity.right))
        assert not different(left, right), shown(op, identity)


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_each_proof_hangs_together(op: Op) -> None:
    for identity in derived(op.name).identities:
        assert identity.steps
        assert identity.steps[-1].after in (identity.right, 0)
        for first, second in zip(identity.steps, identity.steps[1:], strict=False):
            assert first.after == second.before


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_a_theorem_can_be_asked_for(op: Op) -> None:
    """What is listed is a statement that `prove` reads, and proves."""
    for identity in derived(op.name).identities:
        assert prove(op, shown(op, identity))


def test_what_the_field_knows_is_found() -> None:
    known = {
        "layer_norm | 1[h]*mu[b,h]^2/sigma[b]^2 = H*(1 - eps/sigma[b]^2)",
        "softmax | 1[i]*p[b,i] = 1[b]",
        "layer_norm | dx[p,h]*1[h] = 0 | x[b,h] + c[b]: y[b,h] stays",
        "shifted_softmax | dm[q] = 0 | m[b] + c[b]: p[b,i] stays",
    }
    names = ("layer_norm", "softmax", "shifted_softmax")
    assert known <= {line for name in names for line in lines(named(name))}


# -- nothing false, nothing empty ------------------------------------------------------------------


def test_a_symmetry_that_is_none_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers only propose: a wrong proposal ends at the proof."""
    op = named("layer_norm")

    def wrong(op: Op) -> list[Symmetry]:
        return [
            replace(s, answers=tuple(a._replace(k=a.k + Fraction(1)) for a in s.answers))
            for s in symmetries(op)
            if s.answers is not None
        ]

    monkeypatch.setattr(sys.modules[relations.__module__], "symmetries", wrong)
    assert not list(relations(derived(op.name)))


def test_no_symmetry_is_made_up() -> None:
    """tanh has none; the shift of a bias is its gradient, no theorem."""
    (op,) = parse(
        "op squash(x[b,h], w[h], c[h]) -> y[b,h]\ny[b,h] = tanh(x[b,h]*w[h]) + 1[b]*c[h]\n"
    )
    assert [[p.component.tensor.name for p in s.parts] for s in symmetries(op)] == [["x", "w"]]


def test_a_relation_up_to_a_parameter_names_it() -> None:
    (op,) = parse(
        "op unit(x[b,h]; tiny = 1e-6) -> y[b,h]\n"
        "n[b] = sqrt(x[b,h]*x[b,h] + tiny)\ny[b,h] = x[b,h]/n[b]\n"
    )
    found = [shown(op, i) for i in differentiate(op).identities]
    assert "dx[p,h]*x[p,h] = tiny*dy[p,h]*x[p,h]/n[p]^3 for p" in found


def test_other_letters_in_the_equations_make_no_difference() -> None:
    first = named("layer_norm")
    (second,) = parse(
        "op other(x[b,h], gamma[h], beta[h]; eps = 1e-5) -> y[b,h]\n"
        "m[i] = 1/H*1[j]*x[i,j]\nmu[s,t] = x[s,t] - 1[t]*m[s]\nv[i] = 1/H*1[j]*mu[i,j]^2\n"
        "sigma[b2] = sqrt(v[b2] + eps)\ny[s,t] = mu[s,t]/sigma[s]*gamma[t] + 1[s]*beta[t]\n"
    )
    reasons = [i.reason for i in differentiate(second).identities if i.reason]
    assert reasons == [i.reason for i in derived(first.name).identities if i.reason]
