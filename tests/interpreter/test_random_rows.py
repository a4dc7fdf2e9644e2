"""Random row-wise ops of several equations: both kernels against autograd of the equations."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch

import derive
from derive.plan.roles import kernel_class
from derive.verify.reference import composed
from derive.verify.sample import SIZES, draw, error
from derive.verify.tiles import in_tiles

SEEDS = range(24)
FUNCTIONS = ("exp({})", "sin({})", "sigmoid({})", "({})^2", "sqrt(1 + ({})^2)", "1/(1 + ({})^2)")
SPACES = {"full": "b,h", "row": "b", "shared": "h", "number": ""}
INSIDE = {
    "full": ("full", "row", "shared", "number"),
    "row": ("row", "number"),
    "shared": ("shared", "number"),
    "number": ("number",),
}


class Writer:
    """Equations in which each kind of value is made from those it may be made from."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.known: dict[str, list[str]] = {kind: [] for kind in SPACES}
        self.lines: list[str] = []

    def text(self, equations: int) -> str:
        optional = (("g", "shared"), ("w", "shared"), ("m", "row"), ("c", "number"))
        inputs = [("x", "full"), *(i for i in optional if self.random.random() < 0.6)]
        for name, kind in inputs:
            self.known[kind].append(component(name, kind))
        for number in range(equations):
            self.equation(f"t{number}")
        unused = " + ".join(self.broadcast(c) for c in self.unused())
        last = self.term("full") + (f" + {unused}" if unused else "")
        header = ", ".join(component(n, k) for n, k in inputs)
        return "\n".join([f"op f({header}) -> out[b,h]", *self.lines, f"out[b,h] = {last}\n"])

    def equation(self, name: str) -> None:
        kind = self.random.choice(("full", "full", "row", "row", "shared", "number"))
        source = {"row": "full", "number": "shared"}.get(kind, kind)
        if not self.known[source]:
            return
        body = self.term(source)
        summed = kind != source
        right = f"1/H * 1[h] * ({body})" if summed else f"{body} - {self.term(source)}"
        self.lines.append(f"{component(name, kind)} = {right}")
        self.known[kind].append(component(name, kind))

    def term(self, kind: str) -> str:
        """A product of up to three known values, with the ones that its space needs."""
        choices = [c for k in INSIDE[kind] for c in self.known[k]]
        chosen = [self.random.choice(choices) for _ in range(self.random.randint(1, 3))]
        factors = [self.applied(c) for c in chosen]
        carried = {i for c in chosen for i in letters(c)}
        ones = [f"1[{i}]" for i in SPACES[kind].split(",") if i and i not in carried]
        return " * ".join([*ones, *factors])

    def applied(self, text: str) -> str:
        wanted = self.random.random() < 0.4
        return self.random.choice(FUNCTIONS).format(text) if wanted else text

    def unused(self) -> Iterator[str]:
        right = " ".join(line.split(" = ", 1)[1] for line in self.lines)
        for known in self.known.values():
            yield from (c for c in known if not re.search(rf"\b{c.split('[')[0]}\b(?!\()", right))

    def broadcast(self, text: str) -> str:
        ones = [f"1[{i}]" for i in "bh" if i not in letters(text)]
        return " * ".join([*ones, f"tanh({text}/9)"])


def component(name: str, kind: str) -> str:
    return f"{name}[{SPACES[kind]}]" if SPACES[kind] else name


def letters(text: str) -> list[str]:
    return text[text.index("[") + 1 : -1].split(",") if "[" in text else []


def worst(function, op, sample) -> float:
    def run(call):
        leaves = [t.clone().requires_grad_() for t in sample.inputs]
        outputs = call(*leaves)
        output = outputs[0] if isinstance(outputs, tuple) else outputs
        grads = torch.autograd.grad(
            output, leaves, sample.cotangents[0], allow_unused=True, materialize_grads=True
        )
        return [output.detach(), *grads]

    pairs = zip(run(function), run(composed(op)), strict=True)
    return max(error(got, want) for got, want in pairs)


@pytest.mark.parametrize("seed", SEEDS)
def test_both_kernels_agree_with_autograd(seed: int) -> None:
    text = Writer(seed).text(1 + seed % 6)
    (op,) = derive.parse(text)
    assert kernel_class(op) in ("row-wise", "element-wise"), text
    module = derive.build(op, backend="triton")
    sample = draw(op, SIZES)
    assert worst(module.f, op, sample) < 1e-10, text
    with patch.multiple(module, _FEW=16):
        assert worst(module.f, op, sample) < 1e-10, text
    if hasattr(module, "_TILE"):
        with in_tiles(module):
            assert worst(module.f, op, sample) < 1e-10, text
