"""Sums over some of the rows and some of the columns: kernels against autograd of the equations."""

from __future__ import annotations

import os
from unittest.mock import patch

import pytest

if os.environ.get("TRITON_INTERPRET") != "1":
    reason = "Triton decides on its import whether to interpret: set TRITON_INTERPRET=1"
    pytest.skip(reason, allow_module_level=True)

import numpy as np
import torch
from triton.runtime.errors import InterpreterError

import derive
from derive.costs import moved_by_kernels
from derive.verify.memory import OutOfBounds, in_memory_of_its_own, walks, watched
from derive.verify.reference import composed
from derive.verify.sample import Sample, draw, error
from derive.verify.tiles import in_tiles

NORM = """
op f(x[{rows},{columns}], {given}; eps = 1e-5) -> y[{rows},{columns}]
m[{rows}] = mean[{columns}](x[{rows},{columns}])
mu[{rows},{columns}] = x[{rows},{columns}] - 1[{columns}] * m[{rows}]
sigma[{rows}] = sqrt(mean[{columns}](mu[{rows},{columns}]^2) + eps)
y[{rows},{columns}] = mu[{rows},{columns}] / sigma[{rows}] * ({scale})
"""
SIZES = (2, 3, 3, 5, 2)  # of n, g, s, p, q: no part fills a power of 2
NORMS = {  # rows, columns, what is given beside x, the scale
    "parts": ("n,g", "s,p", "u[g,s]", "u[g,s]"),
    "parts along two axes": ("n", "s,p,q", "u[s,p]", "u[s,p]"),
    "parts of two lengths": ("n", "s,p,q", "u[s,p], w[s]", "u[s,p] + 1[p] * w[s]"),
    "parts and all columns": ("n,g", "s,p", "u[g,s], w[s,p]", "u[g,s] * w[s,p]"),
    "parts of no sum": ("n,g", "s,p", "u[n,g,s]", "u[n,g,s]"),
    "the outer columns": ("n,g", "s,p", "u[g,p]", "u[g,p]"),
    "rows alone": ("n,g", "s,p", "u[n], w[g]", "u[n] * w[g]"),
    "a single row": ("", "s,p", "u[s]", "u[s]"),
    "the last rows": ("n,g", "s", "u[n,s]", "u[n,s]"),
    "the first rows": ("n,g", "s", "u[g,s]", "u[g,s]"),
    "the rows between": ("n,g,t", "s", "u[n,t,s]", "u[n,t,s]"),
    "some rows and all": ("n,g", "s", "u[n,s], w[s], a", "u[n,s] * w[s] * a"),
    "some rows and parts": ("n,g", "s,p", "u[n,s,p], w[g,s]", "u[n,s,p] * w[g,s]"),
    "two kinds of groups": ("n,g", "s", "u[n,s], w[g,s]", "u[n,s] * w[g,s]"),
}
TWICE = ("the outer columns", "two kinds of groups")  # a program walks over one kind
ONCE = [n for n in NORMS if n not in TWICE]


def norm(name: str) -> derive.Op:
    rows, columns, given, scale = NORMS[name]
    text = NORM.format(rows=rows, columns=columns, given=given, scale=scale)
    (op,) = derive.parse(text.replace("[,", "[").replace("[]", ""))
    return op


def gradients(call, sample) -> list[torch.Tensor]:
    leaves = [t.clone().requires_grad_() for t in sample.inputs]
    output = call(*leaves)
    output = output[0] if isinstance(output, tuple) else output
    return [output.detach(), *torch.autograd.grad(output, leaves, sample.cotangents[0])]


@pytest.mark.parametrize("name", NORMS)
def test_gradients_that_are_summed_in_parts(name: str) -> None:
    """Several rows at once, or one after another; tiles within a part; tiles of several parts."""
    op = norm(name)
    module, sample = derive.build(op, backend="triton"), draw(op, SIZES)
    wanted = gradients(composed(op), sample)

    def worst() -> float:
        return max(map(error, gradients(module.f, sample), wanted))

    for few in (16, 64):
        with patch.multiple(module, _FEW=few):
            assert worst() < 1e-10
    for columns in (2, 4, 32):
        with in_tiles(module, columns):
            assert worst() < 1e-10


@pytest.mark.parametrize("name", ONCE)
def test_nothing_large_moves_twice(name: str) -> None:
    """Forward x and y, backward dy, x and dx."""
    op = norm(name)
    moved = moved_by_kernels(op, derive.differentiate(op))
    large = [sum(len(c.indices) == len(op.inputs[0].indices) for c in way) for way in moved]
    assert large == [2, 3]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the mean of nothing
def test_rows_of_length_zero_have_a_sum() -> None:
    """Of a number beside them: nothing, written into memory that held no number."""
    op = norm("some rows and all")
    module = derive.build(op, backend="triton")
    x, u, w, a = (torch.ones(shape).double() for shape in ((2, 3, 0), (2, 0), (0,), ()))
    sample = Sample((x, u, w, a), (x,))
    for walk in walks(module):
        with walk, watched(module):
            *_, da = gradients(module.f, sample)
        assert da == 0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # where nothing is looked at
def test_parts_of_length_zero_have_a_sum() -> None:
    """Every part of a row is nothing, and still told."""
    text = "op f(x[n,g,s,p], u[g,s]) -> y[n,g,s,p]\nm[n,g] = 1[s] * 1[p] * x[n,g,s,p]\n"
    (op,) = derive.parse(text + "y[n,g,s,p] = u[g,s] * x[n,g,s,p] * m[n,g]")
    module = derive.build(op, backend="triton")
    x, u = torch.ones(2, 3, 4, 0).double(), torch.ones(3, 4).double()
    for walk in walks(module):
        with walk, watched(module):
            *_, du = gradients(module.f, Sample((x, u), (x,)))
        assert torch.equal(du, torch.zeros(3, 4).double())


def test_what_is_written_twice_is_noticed() -> None:
    """A sum that is read in between is not."""
    with watched(derive.build(norm("parts"), backend="triton")) as memory:
        area = memory.empty((4,), dtype=torch.float64)
        places = np.arange(4) * 8 + area.data_ptr()
        memory.note(places[:2])
        memory.look(places[:1])
        memory.note(places[[0, 3]])
        with pytest.raises(OutOfBounds, match="twice"):
            memory.note(places[1:2])


def test_a_program_too_many_is_noticed() -> None:
    """Of one row, it computes the same as the first."""
    (op,) = derive.parse("op f(x[h]) -> y[h]\nm = 1[h]*x[h]\ny[h] = m*x[h]")
    module, sample = derive.build(op, backend="triton"), draw(op, SIZES)
    assert in_memory_of_its_own(op, module, sample)[0] < 1e-10
    more = patch.object(module.triton, "cdiv", lambda a, b: -(-a // b) + 1)
    with more, pytest.raises(InterpreterError, match="written twice"):
        in_memory_of_its_own(op, module, sample)
