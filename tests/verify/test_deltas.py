"""Deltas and numbers alone make a tensor too."""

from __future__ import annotations

import pytest

import derive
from derive.verify.run import verify

DELTAS = [
    "op f(x[b,h]) -> y[b,h]\nz[h] = delta[h,k]*delta[k,h]\ny[b,h] = x[b,h]*z[h]\n",
    "op f(A[h,h]) -> y[h,k]\ny[h,k] = delta[h,k]*2 + 0*A[h,k]\n",
    "op f(x[b,h]) -> y[b,h]\ny[b,h] = exp(1[h]*delta[h,k]*1[k])*x[b,h]\n",
    "op f(x[b,h]) -> y[b,h]\ny[b,h] = x[b,k]*tanh(delta[h,k])\n",
]


@pytest.mark.parametrize("text", DELTAS)
def test_a_statement_of_deltas_alone(text: str) -> None:
    (op,) = derive.parse(text)
    assert all(row.passed for row in verify(op, "torch"))
