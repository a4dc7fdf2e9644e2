"""Kernels between matrix products, of the catalogue and of ops that it does not have."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

if os.environ.get("TRITON_INTERPRET") != "1":
    reason = "Triton decides on its import whether to interpret: set TRITON_INTERPRET=1"
    pytest.skip(reason, allow_module_level=True)

import torch
from torch import Tensor
from torch.library import opcheck

from derive import parse
from derive.catalogue import catalogue, load, load_all
from derive.emit.module import build
from derive.notation.op import Op
from derive.verify.reference import composed
from derive.verify.run import of_products
from derive.verify.sample import Sample, draw, error
from derive.verify.tiles import in_tiles
from tests import hard
from tests.features import FEATURES, Subject
from tests.interpreter.test_triton import CLOSE, STRIDES, agree, listed, run, truth
from tests.running import leaves_of, real
from tests.samples import name_of

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore")  # NumPy computes the lanes beyond a row's end too

UNSEEN = load_all(Path(__file__).parents[1] / "data" / "epilogues.op")
OPS = (*UNSEEN, *map(load, ("causal_attention", "info_nce", "linear_attention")))
every = pytest.mark.parametrize("op", OPS, ids=name_of)
unseen = pytest.mark.parametrize("op", UNSEEN, ids=name_of)
SIZES = (3, 7, 5, 2, 3)


def few(module: ModuleType) -> AbstractContextManager[object]:
    """Two rows or more at once, and one program that walks over all of them."""
    programs = {"_programs": lambda *_: 1} if hasattr(module, "_programs") else {}
    return patch.multiple(module, _FEW=16, **programs)


def tiles(module: ModuleType) -> AbstractContextManager[object]:
    return in_tiles(module) if hasattr(module, "_TILE") else nullcontext()


WAYS: dict[str, Callable[[ModuleType], AbstractContextManager[object]]] = {
    "rows": lambda _: nullcontext(),
    "few at once": few,
    "tiles": tiles,
}


@cache
def module(op: Op) -> ModuleType:
    if op.name in catalogue():
        return import_module(f"derive.generated.triton.{op.name}")
    return build(op, "triton")


def function(op: Op) -> Callable[..., Any]:
    return getattr(module(op), op.name)


@every
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sizes", [SIZES, (1,) * 5, (2, 1, 3, 1, 2)])
def test_fp64(op: Op, way: str, sizes: tuple[int, ...]) -> None:
    """Odd sizes and sizes of one, in a block, a few at once and in tiles."""
    sample = draw(op, sizes)
    with WAYS[way](module(op)):
        agree(run(function(op), sample), truth(op, sample))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision(op: Op, dtype: torch.dtype) -> None:
    """Beside fp32, what roundings of the matrices that are multiplied in bf16 may lead to."""
    sample = draw(op, SIZES).to(dtype)
    want, plain = truth(op, sample), run(composed(op), sample.to(torch.float32))
    short = of_products(op, sample.to(torch.float64), dtype) if dtype.itemsize == 2 else 0.0
    kinds = (*sample.cotangents, *real(sample.inputs))
    for g, p, w, t in zip(run(function(op), sample), plain, want, kinds, strict=True):
        assert g.dtype is t.dtype
        assert error(g, w) <= max(CLOSE[dtype], 2 * error(p, w)) + short


@every
@pytest.mark.parametrize("layout", STRIDES)
def test_strides(op: Op, layout: str) -> None:
    drawn = draw(op, SIZES)

    def laid(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(
            STRIDES[layout](t) if t.is_floating_point() and t.dim() else t for t in tensors
        )

    inputs = drawn.inputs if layout == "expanded" else laid(drawn.inputs)
    sample = Sample(inputs, laid(drawn.cotangents))
    leaves = tuple(t.detach().requires_grad_(t.is_floating_point()) for t in sample.inputs)
    outputs = listed(function(op)(*leaves))
    grads = torch.autograd.grad(outputs, real(leaves), sample.cotangents)
    dense = Sample(
        *(tuple(t.contiguous() for t in ts) for ts in (sample.inputs, sample.cotangents))
    )
    agree([*outputs, *grads], truth(op, dense))


def passes(op: Op) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
    """The backward pass, and what it is given."""
    sample = draw(op, SIZES)
    saved = getattr(module(op), f"{op.name}_forward")(*sample.inputs)[len(op.outputs) :]
    return getattr(module(op), f"{op.name}_backward"), (*sample.cotangents, *saved)


@every
def test_needs(op: Op) -> None:
    """Each gradient that is asked for, whatever others are, and no other one."""
    backward, given = passes(op)
    full = backward(*given)
    for needs in product((False, True), repeat=len(op.inputs)):
        found = backward(*given, needs=needs)
        for needed, got, want in zip(needs, found, full, strict=True):
            assert (got is not None) == (needed and want is not None)
            assert got is None or torch.equal(got, want)


@pytest.mark.parametrize("check", [c for c in hard.CHECKS if "row" not in c and c != "ranks"])
@unseen
def test_hard_inputs(op: Op, check: str) -> None:
    if not any(t for t in op.inputs if t not in op.differentiable):
        hard.CHECKS[check](function(op), op)


@pytest.mark.parametrize("feature", [f for f in FEATURES if "check" not in f and f != "backward"])
@pytest.mark.parametrize("name", ["linear_gelu", "cosine_cross_entropy"])
def test_features(name: str, feature: str) -> None:
    op = next(op for op in UNSEEN if op.name == name)
    FEATURES[feature](Subject(op, function(op)))


@pytest.mark.parametrize("name", ["capped_attention", "product_norm"])
def test_second_derivatives(name: str) -> None:
    op = next(op for op in UNSEEN if op.name == name)
    FEATURES["gradgradcheck"](Subject(op, function(op), (2, 3, 2, 3, 2)))


def test_kernels_are_operations_of_torch() -> None:
    """What nobody asks for is None on the way in, and not there on the way out."""
    made = module(load("causal_attention"))
    dp, s = torch.randn(2, 3, 5), torch.randn(3, 5)
    m = s.amax(1)
    z = (s - m[:, None]).exp().sum(1)
    opcheck(made._launch_forward_p, (s, 4, torch.bfloat16))
    for needs, given in (((True, True, True), dp[0]), ((False, False, True), None)):
        arguments = (given, s, m, z, torch.bfloat16, needs)
        opcheck(made._launch_backward_da, arguments)
        assert len(made._launch_backward_da(*arguments)) == 1 + needs[0]


# -- what is fused, and what is not ----------------------------------------------------------------

HOST = re.compile(r"^ +(?:\w+, )*\(?(\w+),?\)? = (.*)$", re.MULTILINE)


def host(op: Op, which: str) -> Iterator[str]:
    """What each statement of a pass is: a product, a launch, or else its code."""
    source = module(op).__loader__.get_source(module(op).__name__)  # type: ignore[union-attr]
    body = source.partition(f"\ndef {which}(")[2].partition("\n    return ")[0].partition('"""')[2]
    for _, code in HOST.findall(body.partition('"""')[2]):
        if ".shape[" not in code and not code.endswith("None") and "_work_dtype(" not in code:
            launches = "_launch_" in code or code == "_placed("
            multiplies = PRODUCT in code or code.startswith("_unrounded(")
            yield LAUNCH if launches else PRODUCT if multiplies else code


LAUNCH, PRODUCT = "a launch", " @ "
EXPECTED = {
    "multi_head_attention": (
        [PRODUCT, LAUNCH, PRODUCT],
        [PRODUCT, LAUNCH, PRODUCT, PRODUCT, PRODUCT],
    ),
    "linear_gelu": ([PRODUCT, LAUNCH], [LAUNCH, PRODUCT, PRODUCT]),
    "product_norm": ([PRODUCT, LAUNCH], [LAUNCH, PRODUCT, PRODUCT]),
    "two_layers": (
        [PRODUCT, LAUNCH, PRODUCT, LAUNCH],
        [LAUNCH, PRODUCT, PRODUCT, LAUNCH, PRODUCT, PRODUCT],
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_products_and_kernels_alone(name: str) -> None:
    op = next((op for op in UNSEEN if op.name == name), None) or load(name)
    for which, want in zip(("_forward", "_backward"), EXPECTED[name], strict=True):
        assert [*host(op, which)] == want


@pytest.mark.parametrize("name", ["linear", "lora", "matmul", "linear_solve", "embedding"])
def test_where_no_kernel_is_worth_it_the_code_is_torchs(name: str) -> None:
    texts = []
    for backend in ("torch", "triton"):
        made = build(load(name), backend)
        texts.append(made.__loader__.get_source(made.__name__))  # type: ignore[union-attr]
    assert texts[0] == texts[1]


def test_an_empty_batch_and_rows_of_nothing() -> None:
    x, w, bias = torch.randn(0, 3), torch.randn(3, 5), torch.randn(5)
    op = UNSEEN[0]
    leaves = leaves_of((x, w, bias))
    y = function(op)(*leaves)
    assert y.shape == (0, 5)
    assert all(not g.any() for g in torch.autograd.grad(y.sum(), leaves))
    attention = function(load("causal_attention"))
    with pytest.raises(IndexError, match="non-zero size"):
        attention(torch.randn(3, 2), torch.randn(0, 2), torch.randn(0, 4))


def test_a_label_out_of_range_is_refused() -> None:
    op = next(op for op in UNSEEN if op.name == "cosine_cross_entropy")
    with pytest.raises(IndexError, match="none of 4"):
        function(op)(torch.randn(3, 2), torch.randn(4, 2), torch.tensor([0, 4, 1]))


MORE = {
    "names that kernels have": """op f(rows[b,i], kernel[i,o], block[o]) -> many[b,o]

work[b,o]    = rows[b,i]*kernel[i,o] + 1[b]*block[o]
found[b,o]   = relu(work[b,o])*tanh(work[b,o])
row[b]       = max[o](found[b,o])
options[b,o] = found[b,o] - row[b]*1[o]
many[b,o]    = exp(options[b,o])
""",
    "labels that count for nothing": """op f(x[n,i], w[i,c], t[n]: int[c]; ignore = -100) -> loss

s[n,c] = x[n,i]*w[i,c]
m[n]   = max[c](s[n,c])
z[n]   = 1[c]*exp(s[n,c] - 1[c]*m[n])
l[n]   = log(z[n]) + m[n] - s[n,t[n]]
k      = 1[n]*where(t[n] == ignore, 0, 1)
loss   = 1[n]*where(t[n] == ignore, 0, l[n]) / k
""",
}


@pytest.mark.parametrize("what", MORE)
def test_more_ops(what: str) -> None:
    (op,) = parse(MORE[what])
    for way in WAYS.values():
        sample = draw(op, SIZES)
        with way(module(op)):
            agree(run(function(op), sample), truth(op, sample))
