"""The Triton kernels under Triton's interpreter: `TRITON_INTERPRET=1 pytest tests/interpreter`."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

if os.environ.get("TRITON_INTERPRET") != "1":
    reason = "Triton decides on its import whether to interpret: set TRITON_INTERPRET=1"
    pytest.skip(reason, allow_module_level=True)

import numpy as np
import torch
import triton.language as tl
from torch import Tensor
from torch.autograd.gradcheck import gradcheck
from triton.runtime import interpreter

from derive.emit.module import build
from derive.emit.triton_module import has_kernels
from derive.notation.op import Op
from derive.plan.roles import roles
from derive.verify.reference import composed
from derive.verify.sample import Sample, draw, error
from derive.verify.tiles import in_tiles
from tests.running import leaves_of, real
from tests.samples import every_op, name_of, named

torch.set_num_threads(1)

# NumPy computes the lanes beyond the row's end too, where a logarithm of zero does no harm.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

KERNELS = [op for op in every_op() if has_kernels(op)]
every = pytest.mark.parametrize("op", KERNELS, ids=name_of)
ways = pytest.mark.parametrize("way", ["row", "tiles"])
NORMS = ("layer_norm", "rms_norm", "softmax")
norms = pytest.mark.parametrize("name", NORMS)
EXACT = 1e-10
CLOSE = {
    torch.float64: EXACT,
    torch.float32: 64 * 2.0**-23,
    torch.bfloat16: 4 * 2.0**-8,
    torch.float16: 4 * 2.0**-11,
}


@pytest.fixture(autouse=True, scope="session")
def rounding() -> Iterator[None]:
    """Stores to bf16 round to the nearest, as on a GPU; the interpreter cuts the digits off."""
    plain = interpreter._convert_float

    def convert(data: Any, source: Any, target: Any, mode: Any) -> Any:
        if source != tl.float32 or target != tl.bfloat16:
            return plain(data, source, target, mode)
        bits = np.frombuffer(data.tobytes(), dtype=np.uint32).astype(np.uint64)
        nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return nearest.astype(np.uint16).reshape(data.shape)

    interpreter._convert_float = convert
    yield
    interpreter._convert_float = plain


@cache
def module(name: str) -> ModuleType:
    return build(named(name), backend="triton")


def function(name: str) -> Callable[..., Any]:
    return getattr(module(name), name)


@pytest.fixture
def walk() -> Iterator[Callable[[str, str], None]]:
    """Makes a module take its rows in one block, or in small tiles."""
    with ExitStack() as changes:

        def choose(name: str, way: str) -> None:
            made = module(name)
            changes.enter_context(patch.object(made, "_FEW", 16))
            if hasattr(made, "_TILE"):
                whole = patch.object(made, "_LONGEST_ROW", 1 << 20)
                changes.enter_context(in_tiles(made) if way == "tiles" else whole)

        yield choose


def listed(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def run(call: Callable[..., Any], sample: Sample) -> tuple[Tensor, ...]:
    """Outputs, then gradients; zero for an input without influence."""
    leaves = leaves_of(sample.inputs)
    outputs = listed(call(*leaves))
    known = [(o, c) for o, c in zip(outputs, sample.cotangents, strict=True) if o.requires_grad]
    grads = torch.autograd.grad(
        [o for o, _ in known], real(leaves), [c for _, c in known],
        allow_unused=True, materialize_grads=True,
    )  # fmt: skip
    return (*(o.detach() for o in outputs), *grads)


def truth(op: Op, sample: Sample) -> tuple[Tensor, ...]:
    """By autograd of the equations, in fp64, of the same rounded inputs."""
    return run(composed(op), sample.to(torch.float64))


def agree(got: Sequence[Tensor], want: Sequence[Tensor], close: float = EXACT) -> None:
    for g, w in zip(got, want, strict=True):
        assert error(g, w) <= close


# -- every op, both kernels, every type -----------------------------------------------------------


@every
@ways
def test_fp64(op: Op, way: str, walk: Callable[[str, str], None]) -> None:
    walk(op.name, way)
    sample = draw(op, (3, 7, 5, 2, 3))
    agree(run(function(op.name), sample), truth(op, sample))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision(op: Op, dtype: torch.dtype) -> None:
    """As good as the type allows, or as composed operations in fp32, where the op is sensitive."""
    sample = draw(op, (3, 7, 5, 2, 3)).to(dtype)
    want = truth(op, sample)
    plain = run(composed(op), sample.to(torch.float32))
    got = run(function(op.name), sample)
    for g, p, w, t in zip(
        got, plain, want, (*sample.cotangents, *real(sample.inputs)), strict=True
    ):
        assert g.dtype is t.dtype
        assert error(g, w) <= max(CLOSE[dtype], 2 * error(p, w))


@norms
@ways
@pytest.mark.parametrize("dtype", CLOSE)
def test_norms_in_every_type(
    name: str, way: str, dtype: torch.dtype, walk: Callable[[str, str], None]
) -> None:
    walk(name, way)
    sample = draw(named(name), (4, 37)).to(dtype)
    agree(run(function(name), sample), truth(named(name), sample), CLOSE[dtype])


@norms
@ways
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 31, 33])
def test_lengths(name: str, way: str, length: int, walk: Callable[[str, str], None]) -> None:
    """Powers of two and not, shorter than a tile and longer, one."""
    walk(name, way)
    sample = draw(named(name), (3, length))
    for g, w in zip(run(function(name), sample), truth(named(name), sample), strict=True):
        torch.testing.assert_close(g, w, rtol=EXACT, atol=1e-14)


@norms
def test_a_row_longer_than_a_block(name: str) -> None:
    """8193 columns: the tiles that a GPU would use, with nothing changed."""
    sample = draw(named(name), (2, 8193)).to(torch.float32)
    agree(run(function(name), sample), truth(named(name), sample), 1e-5)


def test_verification_passes() -> None:
    from derive.verify.run import verify

    rows = verify(named("layer_norm"), "triton")
    assert all(row.passed for row in rows), rows


@norms
@ways
def test_gradcheck(name: str, way: str, walk: Callable[[str, str], None]) -> None:
    walk(name, way)
    inputs = [t.requires_grad_() for t in draw(named(name), (3, 6)).inputs]
    assert gradcheck(function(name), inputs, eps=1e-5, atol=1e-9, rtol=1e-7)


# -- shapes, strides, subsets ---------------------------------------------------------------------


@norms
@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (2, 1, 3)])
def test_leading_axes(name: str, lead: tuple[int, ...]) -> None:
    op = named(name)
    leading = roles(op).leading
    assert leading is not None
    sample = draw(op, (torch.Size(lead).numel(), 6))
    want = run(function(name), sample)

    def deep(tensors: Sequence[Tensor], declared: Sequence[Any]) -> tuple[Tensor, ...]:
        return tuple(
            t.reshape((*lead, *t.shape[1:])) if c.indices[0].size == leading.size else t
            for t, c in zip(tensors, declared, strict=True)
        )

    given = Sample(deep(sample.inputs, op.inputs), deep(sample.cotangents, op.outputs))
    got = run(function(name), given)
    for g, w, t in zip(got, want, (*given.cotangents, *given.inputs), strict=True):
        assert g.shape == t.shape
        assert torch.equal(g.reshape(w.shape), w)


@every
def test_no_rows(op: Op) -> None:
    leading = roles(op).leading
    if leading is None:
        return
    sample = draw(op, (3, 5, 4))
    empty = Sample(
        tuple(
            t[:0] if c.indices and c.indices[0].size == leading.size else t
            for t, c in zip(sample.inputs, op.inputs, strict=True)
        ),
        tuple(t[:0] for t in sample.cotangents),
    )
    got = run(function(op.name), empty)
    for g, t in zip(got, (*empty.cotangents, *real(empty.inputs)), strict=True):
        assert g.shape == t.shape
        assert not g.any()


STRIDES: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda t: t.mT.contiguous().mT if t.dim() > 1 else t,
    "strided": lambda t: torch.stack((t, t + 1), -1).flatten(-2)[..., ::2],
    "expanded": lambda t: t[:1].expand(t.shape),
}


@norms
@pytest.mark.parametrize("layout", STRIDES)
def test_strides(name: str, layout: str) -> None:
    sample = draw(named(name), (4, 6))
    laid = [STRIDES[layout](t).requires_grad_() for t in sample.inputs]
    given = [STRIDES[layout](t) for t in sample.cotangents]
    outputs = listed(function(name)(*laid))
    grads = torch.autograd.grad(outputs, laid, given)
    dense = Sample(tuple(t.contiguous() for t in laid), tuple(t.contiguous() for t in given))
    agree([*outputs, *grads], truth(named(name), dense))


@norms
@ways
def test_needs(name: str, way: str, walk: Callable[[str, str], None]) -> None:
    walk(name, way)
    op = named(name)
    sample = draw(op, (3, 6))
    saved = getattr(module(name), f"{name}_forward")(*sample.inputs)[len(op.outputs) :]
    backward = getattr(module(name), f"{name}_backward")
    full = backward(*sample.cotangents, *saved)
    for needs in product((False, True), repeat=len(op.inputs)):
        for needed, got, want in zip(
            needs, backward(*sample.cotangents, *saved, needs=needs), full, strict=True
        ):
            assert (got is not None) == needed
            assert got is None or torch.equal(got, want)


def test_a_wrong_shape_names_the_tensor() -> None:
    one = torch.ones(2, 5)
    with pytest.raises(ValueError, match=r"^gamma \[h\] must be \[5\], not \[4\]$"):
        function("layer_norm")(one, torch.ones(4), torch.ones(5))


# -- accuracy -------------------------------------------------------------------------------------


@ways
@pytest.mark.parametrize("name", ["layer_norm", "instance"])
def test_a_large_mean_costs_no_digits(
    name: str, way: str, walk: Callable[[str, str], None]
) -> None:
    walk(name, way)
    drawn = draw(named(name), (4, 96))
    sample = Sample((drawn.inputs[0] + 1e4, *drawn.inputs[1:]), drawn.cotangents)
    sample = sample.to(torch.float32)
    agree(run(function(name), sample), truth(named(name), sample), 1e-5)


@ways
def test_constant_rows(way: str, walk: Callable[[str, str], None]) -> None:
    walk("layer_norm", way)
    drawn = draw(named("layer_norm"), (3, 50))
    constant = torch.full((3, 50), 3333.33, dtype=torch.float64)
    sample = Sample((constant, *drawn.inputs[1:]), drawn.cotangents).to(torch.float32)
    y, dx, dgamma, dbeta = run(function("layer_norm"), sample)
    want = truth(named("layer_norm"), sample)
    agree([y, dx, dbeta], [want[0], want[1], want[3]], 1e-5)
    assert dgamma.abs().max() <= 1e-5


# -- the kernels ----------------------------------------------------------------------------------


def kernel(name: str, which: str) -> str:
    """The source of one kernel, without its signature."""
    source = module(name).__loader__.get_source(module(name).__name__)  # type: ignore[union-attr]
    found = re.search(rf"^def {which}\([^)]*\):\n(.*?)(?=^\S)", source, re.MULTILINE | re.DOTALL)
    assert found, which
    return found[1]


@every
def test_a_row_is_read_once(op: Op) -> None:
    """Each tensor with the row's columns is loaded once, forward and backward."""
    for which in ("_forward_row", "_backward_row"):
        body = kernel(op.name, which)
        loads = re.findall(r"tl\.load\((\w+)_ptr", body)
        assert len(loads) == len(set(loads)), loads


@norms
def test_what_the_backward_pass_reads(name: str) -> None:
    op = named(name)
    loads = set(re.findall(r"tl\.load\((\w+)_ptr", kernel(name, "_backward_row")))
    assert f"d{op.outputs[0].tensor.name}" in loads
    assert op.inputs[0].tensor.name in loads


@norms
@ways
def test_runs_repeat_themselves(name: str, way: str, walk: Callable[[str, str], None]) -> None:
    walk(name, way)
    sample = draw(named(name), (6, 9)).to(torch.float32)
    first, second = (run(function(name), sample) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])  # whose rows share something
@ways
@pytest.mark.parametrize("programs", [1, 2, 3, 7])
def test_the_number_of_programs_changes_only_rounding(
    name: str,
    way: str,
    programs: int,
    walk: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows are dealt to the programs; each has one at least."""
    walk(name, way)
    monkeypatch.setattr(module(name), "_programs", lambda most, *_: min(most, programs))
    sample = draw(named(name), (5, 6))
    agree(run(function(name), sample), truth(named(name), sample), 1e-13)


@norms
def test_a_row_does_not_depend_on_the_others(name: str) -> None:
    """The same bits for a row whatever the batch it stands in."""
    op = named(name)
    sample = draw(op, (6, 11)).to(torch.float32)
    leads = [len(c.indices) > 1 or c.indices[0].size == op.letters[0].size for c in op.inputs]
    some = Sample(
        tuple(t[2:4] if lead else t for t, lead in zip(sample.inputs, leads, strict=True)),
        tuple(t[2:4] for t in sample.cotangents),
    )
    whole, part = run(function(name), sample), run(function(name), some)
    assert torch.equal(whole[0][2:4], part[0])
    assert torch.equal(whole[1][2:4], part[1])


# -- what has no kernels --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["matmul", "linear", "attention", "batch_norm"])
def test_products_are_left_to_torch(name: str) -> None:
    sample = draw(named(name), (3, 4, 2, 3, 2))
    agree(run(function(name), sample), truth(named(name), sample))


def test_copies_of_a_module_live_side_by_side() -> None:
    """Operations have a namespace for each copy, whatever its name."""
    path = Path(__file__).parents[2] / "generated" / "triton" / "rms_norm.py"
    copies = []
    for _ in range(2):
        spec = importlib.util.spec_from_file_location("kernels", path)
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        copies.append(made)
    x, gamma = torch.randn(3, 5), torch.ones(5)
    first, second = (made.rms_norm(x, gamma) for made in copies)
    assert torch.equal(first, second)
