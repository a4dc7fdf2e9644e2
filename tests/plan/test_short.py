"""Which matrix products are taken in 16 bits, and which tensors have that type."""

from __future__ import annotations

import pytest

from derive import differentiate, parse
from derive.catalogue import load
from derive.emit.fused_module import groups_of
from derive.notation.op import Op
from derive.plan.program import plan
from derive.plan.short import products_in, typed

WORTH_IT = {
    "s[i,j] = tanh(x[i,k] * y[j,k])": 1,
    "s[i,j] = tanh(x[i,k] * w[k,l] * y[j,l])": 1,  # of three matrices
    "s[i] = tanh(x[i,k] * u[k])": 0,  # x has all indices
    "s[i] = tanh(x[i,k] * x[i,k])": 0,
    "s[i] = tanh(1[k] * x[i,k])": 0,
    "s[i,j] = x[i,k] * y[j,k]": 0,  # an op that is linear has one type as it is
    "s[i,j] = exp(x[i,k] * y[j,k] + 1[i] * b[j])": 1,
    "s[i,j] = exp(2 * x[i,k] * y[j,k] - 1[k] * x[i,k]^2 * 1[j] - 1[i] * b[j])": 0,  # it cancels
    "c[i,j] = x[i,k] * y[j,k]; r[i] = 1[k] * x[i,k]^2; s[i,j] = exp(c[i,j] - 1[j] * r[i])": 0,
    "s[i,j] = exp(where(i >= j, x[i,k] * y[j,k], 0))": 1,  # not what a condition picks
    "s[i,j] = tanh(1[k] * where(k > i, x[i,k], 0) * y[j,k])": 0,
}


def op_of(text: str) -> Op:
    equations = text.split("; ")
    known = {"x": "x[i,k]", "y": "y[j,k]", "w": "w[k,l]", "u": "u[k]", "b": "b[j]"}
    used = [a for n, a in known.items() if any(f"{n}[" in e.split(" = ")[1] for e in equations)]
    if "w[" in text:
        used = [a.replace("y[j,k]", "y[j,l]") for a in used]
    out = equations[-1].split(" = ")[0]
    (op,) = parse("\n".join([f"op made({', '.join(used)}) -> {out}", "", *equations]))
    return op


@pytest.mark.parametrize(("text", "count"), WORTH_IT.items())
def test_what_is_a_product_of_matrices(text: str, count: int) -> None:
    op = op_of(text)
    assert len(products_in(op, op.equations)) == count


@pytest.mark.parametrize("name", ["inverse", "linear_solve", "rope", "causal_conv1d", "layer_norm"])
def test_what_stays_in_fp32(name: str) -> None:
    """Systems that are solved, sums over a pair of halves, windows, rows."""
    op = load(name)
    assert typed(plan(op, differentiate(op))) is None


def test_what_only_products_read_is_rounded_where_it_is_made() -> None:
    made = groups_of(load("attention"))
    assert made is not None
    assert made.types is not None
    names = [{t.name for t in short} for short in (made.types.forward, made.types.backward)]
    assert names[0] == {"q", "k", "v", "p", "o"}  # not q k, of which exp is taken
    assert names[1] >= {"do", "q", "k", "v", "dp", "p", "ds", "dv"}
    assert not names[1] & {"s", "m", "z", "e", "dz", "de"}
