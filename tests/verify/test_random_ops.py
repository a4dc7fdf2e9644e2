"""Random expressions made into ops: printed, read again, derived, and run against autograd."""

from __future__ import annotations

import math
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from sympy import Expr
from sympy.polys.polyerrors import PolynomialError

import derive
from derive.errors import SourceError
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.notation.text import to_text
from derive.rewrite import keeping_shape
from derive.verify.reference import composed
from derive.verify.sample import Sample, error
from tests.samples import World, different
from tests.simplify.test_normal import FREE, SHAPES, WORLD_OP, Builder, Recipe, recipes

bounded = settings(
    max_examples=30,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # to shrink takes minutes
    suppress_health_check=list(HealthCheck),
)
b, h = FREE[:2]
LETTERS = {"x": "b,h", "y": "b,h", "u": "b", "w": "h", "A": "h,h", "s": ""}
LENGTHS = {"b": 3, "h": 4}


def op_of(recipe: Recipe) -> tuple[Op, Expr]:
    """`op f(…) -> out[b,h]` with the recipe as its equation, and the expression itself."""
    with keeping_shape():
        expr = Builder().build(recipe, ((b,), (h,)))
        text = to_text(expr, (b, h), (b, h))
    names = {c.tensor.name for c in expr.atoms(Component)}
    assume(names & {"x", "y"})
    inputs = ", ".join(f"{n}[{LETTERS[n]}]" if LETTERS[n] else n for n in SHAPES if n in names)
    lines = f"op f({inputs}) -> out[b,h]\nout[b,h] = {text}\n"
    try:
        (op,) = derive.parse(lines)
    except SourceError as refused:  # sums of sums may use one letter twice, or be too large
        assume(any(d.code in ("E406", "E408", "E404", "E601", "E602") for d in refused.diagnostics))
        raise
    return op, expr


def sample(op: Op) -> Sample:
    generator = torch.Generator().manual_seed(0)

    def draw(letters: str) -> torch.Tensor:
        shape = [LENGTHS[k] for k in letters.split(",") if k]
        return 0.2 + torch.rand(shape, generator=generator, dtype=torch.float64)

    inputs = tuple(draw(LETTERS[c.tensor.name]) for c in op.inputs)
    return Sample(inputs, (draw("b,h") - 0.7,))


def run(call: Any, given: Sample) -> list[torch.Tensor]:
    leaves = [t.clone().requires_grad_() for t in given.inputs]
    outputs = call(*leaves)
    output = outputs[0] if isinstance(outputs, tuple) else outputs
    if not output.requires_grad:
        return [output, *(torch.zeros_like(t) for t in leaves)]
    grads = torch.autograd.grad(
        output, leaves, given.cotangents, allow_unused=True, materialize_grads=True
    )
    return [output.detach(), *grads]


@bounded
@given(recipes(depth=3, scope=(1, 1)))
def test_what_is_printed_reads_the_same(recipe: Recipe) -> None:
    try:
        op, expr = op_of(recipe)
    except PolynomialError:
        assume(False)
        raise
    want = World(WORLD_OP, (2, 3), 0).values(expr, (b, h))
    ranks = {name: rank for rank, name in enumerate(SHAPES)}
    world = World(WORLD_OP, (2, 3), 0)

    def lookup(component: Component, place: tuple[int, ...]) -> Any:
        known = type(component.tensor)(component.tensor.name, ranks[component.tensor.name])
        return world.component(Component(known, *component.indices), place)

    other = World(op, (2, 3), 0)
    other.evaluator.lookup = lookup
    free = op.equations[0].target.indices
    assert not different(other.values(op.equations[0].expr, free), want)


@bounded
@given(recipes(depth=3, scope=(1, 1)))
def test_the_torch_module_agrees_with_autograd(recipe: Recipe) -> None:
    try:
        op, _ = op_of(recipe)
        module = derive.build(op, backend="torch")
    except PolynomialError:
        assume(False)
        raise
    given_sample = sample(op)
    want = run(composed(op), given_sample)
    assume(all(t.isfinite().all() and t.abs().max() < 1e9 for t in want))
    got = run(module.f, given_sample)
    largest = max(1.0, *(t.abs().max().item() for t in want))
    for g, w in zip(got, want, strict=True):
        assert error(g, w) <= 1e-9 or math.isclose(
            (g - w).abs().max().item() / largest, 0, abs_tol=1e-12
        )
