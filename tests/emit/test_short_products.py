"""What generated code multiplies is of 16 bits where all tensors are; all else is fp32."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from derive import parse
from derive.catalogue import load
from derive.emit.module import build
from derive.notation.op import Op
from derive.verify import run as verification
from derive.verify.sample import Sample, draw, error
from tests.samples import name_of

(MLP,) = parse("""
op mlp(x[b,i], w[i,h], c[h], v[h,o]) -> y[b,o]

u[b,h] = x[b,i] * w[i,h] + 1[b] * c[h]
y[b,o] = u[b,h] * sigmoid(u[b,h]) * v[h,o]
""")
OPS = (MLP, *map(load, ("attention", "lora")))
_PRODUCTS = [torch.ops.aten.mm, torch.ops.aten.bmm]


class Seen(TorchDispatchMode):
    """The types that products are given, what sums give, and how often a type is changed."""

    def __init__(self) -> None:
        super().__init__()
        self.products = Counter[torch.dtype]()
        self.summed: set[torch.dtype] = set()
        self.casts = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func.overloadpacket in _PRODUCTS:
            assert args[0].dtype == args[1].dtype
            self.products[args[0].dtype] += 1
        if func in (torch.ops.aten.sum.dim_IntList, torch.ops.aten.mean.dim):
            self.summed.add(found.dtype)
        self.casts += func is torch.ops.aten._to_copy.default
        return found

    @property
    def multiplied(self) -> set[torch.dtype]:
        return {*self.products}


@contextmanager
def seen() -> Iterator[Seen]:
    with Seen() as mode:
        yield mode


def forward_and_backward(op: Op, *inputs: Tensor) -> Seen:
    leaves = [t.requires_grad_() for t in inputs]
    with seen() as mode:
        y = getattr(build(op, "torch"), op.name)(*leaves)
        y.backward(torch.ones_like(y))
    assert all(t.grad is not None and t.grad.dtype == t.dtype for t in leaves)
    return mode


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("op", OPS, ids=name_of)
def test_products_have_the_type_of_the_tensors(op: Op, dtype: torch.dtype) -> None:
    """Of tensors without memory, which go the way of a GPU's."""
    module = build(op, "torch")
    forward, backward = (getattr(module, f"{op.name}_{way}") for way in ("forward", "backward"))
    inputs = [t.to("meta") for t in draw(op, (5, 7, 4, 3)).to(dtype).inputs]
    with seen() as mode:
        y, *saved = forward(*inputs)
        backward(torch.empty_like(y), *saved)
    assert y.dtype is dtype
    assert mode.multiplied == {dtype}
    assert mode.summed <= {torch.promote_types(dtype, torch.float32)}
    assert (mode.casts == 0) == (dtype.itemsize > 2)  # what is right already is left alone


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_on_a_cpu_scores_alone_are_cast(dtype: torch.dtype) -> None:
    """Of results that are not rounded there are none on a CPU, but for those of fp32."""
    mode = forward_and_backward(
        load("attention"), *draw(load("attention"), (5, 7, 4)).to(dtype).inputs
    )
    assert mode.products == {dtype: 6} if dtype is torch.float32 else {dtype: 5, torch.float32: 1}
    assert (mode.casts == 0) == (dtype is torch.float32)


def test_of_two_types_all_is_fp32() -> None:
    q, k, v = draw(load("attention"), (5, 7, 4, 3)).to(torch.bfloat16).inputs
    assert forward_and_backward(load("attention"), q, k.float(), v).multiplied == {torch.float32}


@pytest.mark.parametrize(("op", "name"), [(load("lora"), "u"), (MLP, "u")], ids=["lora", "mlp"])
def test_what_only_products_read_is_kept_in_16_bits(op: Op, name: str) -> None:
    """The low rank of LoRA; not what an activation reads."""
    sample = draw(op, (5, 7, 4, 3)).to(torch.bfloat16)
    kept = getattr(build(op, "torch"), f"{op.name}_forward")(*sample.inputs)[
        -1 - len(op.parameters)
    ]
    assert kept.dtype is (torch.bfloat16 if op.name == "lora" else torch.float32), name


def test_far_from_the_origin_distances_keep_their_digits() -> None:
    """|x|² + |y|² - 2 xy of points near each other: the product is not rounded to 16 bits."""
    (op,) = parse("""
op kernel(x[i,k], y[j,k]) -> r[i,j]

c[i,j] = x[i,k] * y[j,k]
a[i]   = 1[k] * x[i,k]^2
b[j]   = 1[k] * y[j,k]^2
r[i,j] = sqrt(a[i] * 1[j] + 1[i] * b[j] - 2 * c[i,j] + 1)
""")
    x, y = (40 + t for t in draw(op, (5, 7, 4)).to(torch.bfloat16).inputs)
    got = build(op, "torch").kernel(x, y)
    want = (torch.cdist(x.double(), y.double()) ** 2 + 1).sqrt()
    assert error(got, want) < 2**-8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("op", OPS, ids=name_of)
def test_the_tolerance_is_that_of_roundings_of_matrices(op: Op, dtype: torch.dtype) -> None:
    """Results are off by as much as random roundings of what is multiplied make them, at most."""
    checks, names = dict(verification.CHECKS), {d: n for n, d in verification.PRECISIONS.items()}
    sample = verification.sample_for(op, dtype)
    exact = sample.to(dtype).to(torch.float64)
    worst, allowed, _ = checks[names[dtype]](op, build(op, "torch"), sample)
    spread = verification.of_products(op, exact, dtype)
    assert 0 < spread < 4 * torch.finfo(dtype).eps
    assert worst <= min(allowed, 2 * spread + torch.finfo(dtype).eps)


def test_a_linear_op_has_no_roundings_of_matrices() -> None:
    sample: Sample = draw(load("linear"), (5, 7, 4))
    assert verification.of_products(load("linear"), sample, torch.bfloat16) == 0
