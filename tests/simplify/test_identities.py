"""Identities are found from the definitions alone; none is false, and the search ends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest
from sympy import Expr, Mul, Pow

import derive
from derive.notation.nodes import Component, Contraction, free_indices
from derive.notation.op import Op, gradient
from derive.rewrite import Step, keeping_shape
from derive.simplify import identities
from derive.simplify.identities import Identities, Identity, outer_sums
from derive.simplify.zero import is_zero
from tests.samples import World, derived, different, every_op, name_of, named, pair

STANDARD = """op standard(x[b,h]; eps = 1/8) -> y[b,h]
m[b] = 1/H*1[h]*x[b,h]
mu[b,h] = x[b,h] - 1[h]*m[b]
v[b] = 1/H*1[h]*mu[b,h]^2
sigma[b] = sqrt(v[b] + eps)
y[b,h] = mu[b,h]/sigma[b]
"""


def op_named(name: str) -> Op:
    return derive.parse(STANDARD)[0] if name == "standard" else named(name)


def reduced(op: Op, free: str, left: str) -> Identity | None:
    with keeping_shape():
        total = pair(free, left, left, op).before
        assert isinstance(total, Contraction)
        return Identities(op).reduce(total)


def false(op: Op, left: Expr, right: Expr, lengths: tuple[int, ...] = (2, 3, 2, 2)) -> list[object]:
    """Where the two differ in numbers; positive inputs, for roots and logarithms."""
    free = sorted(set(free_indices(left)) | set(free_indices(right)), key=lambda i: i.rank)
    found: list[object] = []
    for seed, sizes in ((0, lengths), (1, (3, 2, 2, 3))):
        world = World(op, sizes, seed, 0.2, 1.5)
        found += different(world.values(left, free), world.values(right, free))
    return found


KNOWN = [
    ("layer_norm", "b", "1[h]*mu[b,h]", "0"),
    ("layer_norm", "b", "1[h]*mu[b,h]^2", "H*v[b]"),
    ("layer_norm", "b", "1[h]*x[b,h]", "H*m[b]"),
    ("softmax", "b", "1[i]*e[b,i]", "z[b]"),
    ("softmax", "b", "1[i]*p[b,i]", "1"),
    ("standard", "b", "1[h]*y[b,h]", "0"),
    ("standard", "b", "1[h]*y[b,h]^2", "H*v[b]/sigma[b]^2"),
    ("standard", "b", "1[h]*y[b,h]^2", "H*(1 - eps/sigma[b]^2)"),
    ("instance", "p", "1[r]*cen[p,r]", "0"),
    ("instance", "p", "1[r]*cen[p,r]^2", "T*var[p]"),
    ("group_norm", "n,g", "1[s,p]*mu[n,g,s,p]", "0"),
    ("group_norm", "n,g", "1[s,p]*mu[n,g,s,p]^2", "S*P*v[n,g]"),
    ("channel_norm", "g", "1[a,c]*mu[a,g,c]", "0"),
    ("batch_norm", "c", "1[n,p]*mu[n,c,p]", "0"),
    ("column_norm", "c", "1[n]*mu[n,c]", "0"),
    ("multi_head_attention", "b,n,i", "1[j]*p[b,n,i,j]", "1"),
    ("covariance", "i", "1[n]*mu[n,i]", "0"),
    ("double_norm", "b", "1[h]*c2[b,h]", "0"),
    ("soft_weights", "", "1[h]*p[h]", "1"),
]


@pytest.mark.parametrize(("name", "free", "left", "right"), KNOWN)
def test_it_is_found(name: str, free: str, left: str, right: str) -> None:
    op = op_named(name)
    found = reduced(op, free, left)
    assert found is not None
    assert not outer_sums(found.right)
    with keeping_shape():
        want = pair(free, right, right, op).after
        assert equal(op, found.right, want)


def equal(op: Op, left: Expr, right: Expr) -> bool:
    """Equal as they stand, or once the roots that define sigma are put in."""
    definitions = {e.target: e.expr for e in op.equations if isinstance(e.expr, Pow)}
    return is_zero((left - right).xreplace(definitions))


UNKNOWN = [
    ("layer_norm", "b", "1[h]*mu[b,h]^3"),
    ("layer_norm", "b", "mu[b,h]*gamma[h]"),
    ("layer_norm", "h", "1[b]*mu[b,h]"),
    ("layer_norm", "b", "1[h]*y[b,h]"),
    ("softmax", "b", "1[i]*p[b,i]^2"),
    ("softmax", "i", "1[b]*p[b,i]"),
    ("softmax", "b", "p[b,i]*x[b,i]"),
    ("rms_norm", "b", "1[h]*x[b,h]"),
    ("group_norm", "n,g,s", "1[p]*mu[n,g,s,p]"),
    ("channel_norm", "a,g", "1[c]*mu[a,g,c]"),
]


@pytest.mark.parametrize(("name", "free", "left"), UNKNOWN)
def test_what_is_no_identity_is_not_found(name: str, free: str, left: str) -> None:
    assert reduced(op_named(name), free, left) is None


def test_one_of_two_sums_is_enough() -> None:
    """Σ_bh gamma_h mu_bh u_b: nothing. Σ_bh mu_bh u_b: zero for each b."""
    op = named("layer_norm")
    with keeping_shape():
        total = pair("", "1[b,h]*mu[b,h]*sigma[b]", "0", op).before
        (left,) = outer_sums(total)
        found = Identities(op).simplify(left)
        assert found is not None
        assert found[0] == 0
        mixed = pair("", "mu[b,h]*gamma[h]*sigma[b]", "0", op).before
        assert Identities(op).simplify(outer_sums(mixed)[0]) is None


def test_nothing_is_said_about_a_gradient() -> None:
    op = named("layer_norm")
    mu = op.tensors["mu"]
    total = Contraction(gradient(mu) * mu, mu.indices[1])
    assert Identities(op).reduce(total) is None


def test_an_identity_comes_with_its_proof() -> None:
    found = reduced(named("layer_norm"), "b", "1[h]*mu[b,h]")
    assert found is not None
    assert found.steps[0].law == "definition of mu"
    assert found.steps[0].before == found.left
    assert found.steps[-1].after == found.right == 0
    assert len(found.steps) >= 4


# -- nothing false --------------------------------------------------------------------------------


def used_steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from used_steps(step.proof)


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_what_a_derivation_uses_is_true(op: Op) -> None:
    for identity in derived(op.name).used:
        assert not false(op, identity.left, identity.right)
        for step in used_steps(identity.steps):
            assert not false(op, step.before, step.after), step.law
        for first, second in zip(identity.steps, identity.steps[1:], strict=False):
            assert first.after == second.before


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_what_is_found_is_true(op: Op) -> None:
    with keeping_shape():
        known = Identities(op)
        found = [i for total in questions(op) if (i := known.reduce(total)) is not None]
    for identity in found:
        assert not outer_sums(identity.right)
        assert not false(op, identity.left, identity.right)


def questions(op: Op) -> Iterator[Contraction]:
    """Sums over one or two indices of each tensor, its powers, and products of two tensors."""
    tensors = [c for c in op.tensors.values() if c.indices]
    bodies: list[Expr] = [f(c) for c in tensors for f in (lambda t: t, _square, lambda t: 1 / t)]
    bodies += [Mul(a, b) for a, b in combinations(tensors, 2) if set(a.indices) & set(b.indices)]
    for body in bodies[:24]:
        indices = [i for i in free_indices(body) if any(i in c.indices for c in _inside(body))]
        for dummies in [(i,) for i in indices] + list(combinations(indices, 2))[:1]:
            total = Contraction(body, *dummies)
            if isinstance(total, Contraction):
                yield total


def _square(component: Component) -> Expr:
    return Pow(component, 2)


def _inside(expr: Expr) -> set[Component]:
    return set(expr.atoms(Component))


def test_identities_are_found_by_that_question() -> None:
    """The test above is not empty: among its questions are the identities everybody knows."""
    with keeping_shape():
        known = Identities(named("layer_norm"))
        found = [i for q in questions(named("layer_norm")) if (i := known.reduce(q)) is not None]
    assert any(i.right == 0 for i in found)
    assert len(found) >= 3


# -- the search is bounded ------------------------------------------------------------------------


def attempts(op: Op, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many sums are opened while an op is derived."""
    count = 0
    attempt = Identities._opened

    def counted(self: Identities, total: Contraction, depth: int) -> Identity | None:
        nonlocal count
        count += 1
        return attempt(self, total, depth)

    monkeypatch.setattr(Identities, "_opened", counted)
    derive.differentiate(op)
    return count


def many(count: int) -> Op:
    """`count` sums of products of everything before."""
    sums = [f"s{k}[b] = x[b,h]*w[h]*sin({k}*x[b,h]*s{k - 1}[b])" for k in range(1, count)]
    lines = ["op many(x[b,h], w[h]) -> y[b]", "s0[b] = x[b,h]*w[h]", *sums]
    lines.append("y[b] = " + " + ".join(f"s{k}[b]^{k + 1}" for k in range(count)))
    return derive.parse("\n".join(lines) + "\n")[0]


@pytest.mark.parametrize("op", [named("many_sums"), many(4)], ids=name_of)
def test_the_search_is_bounded(op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    assert attempts(op, monkeypatch) <= 2 * identities._MOST_SUMS


def test_a_sum_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with keeping_shape():
        op = named("layer_norm")
        known = Identities(op)
        mu = op.tensors["mu"]
        total = Contraction(mu, mu.indices[1])
        first = known.reduce(total)
        monkeypatch.setattr(Identities, "_opened", None)
        monkeypatch.setattr(Identities, "_named", None)
        assert known.reduce(total) is first


def test_beyond_the_bound_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "_MOST_SUMS", 1)
    found = derive.differentiate(named("group_norm"))
    assert {i.right for i in found.used} <= {0}
    for stage in found.stages:
        assert stage.closed is not None


ZEROS = [
    "op scaled(x[b,h], w[h], alpha) -> y[b,h]\ns[b] = alpha*(1[h]*x[b,h])\ny[b,h] = w[h]*s[b]\n",
    (
        "op gated(x[b,h], g[b]) -> y[b]\nr[b] = relu(g[b])\ns[b] = r[b]*(1[h]*x[b,h])\n"
        "y[b] = s[b]*exp(1[h]*x[b,h]*r[b]^2)\n"
    ),
]


@pytest.mark.parametrize("text", ZEROS)
def test_no_identity_divides_by_what_may_be_zero(text: str) -> None:
    (op,) = derive.parse(text)
    derivation = derive.differentiate(op)
    for expr in (*derivation.gradients.values(), *derivation.chain.values()):
        assert not any(p.exp.is_negative for p in expr.atoms(Pow) if p.base.atoms(Component))
