"""What is wrong at present; once mended, a test moves to the file of its subject."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from sympy import Add, Integer, Pow, Rational

import derive
from derive.notation.functions import call
from derive.notation.nodes import Component, Contraction, Index, Size, Tensor
from derive.rewrite import keeping_shape
from derive.simplify.normal import is_zero, normal
from derive.verify.run import verify
from tests.samples import TESTS, named

SHARED = """
import sys
from derive.catalogue import load
from derive.derivation import differentiate
from derive.emit.torch_module import torch_module
op = load(sys.argv[1])
print(torch_module(op, differentiate(op)))
"""


def test_shared_products_do_not_depend_on_the_hash_seed() -> None:
    """plan/share.py: a Counter over a set decides between pairs that occur equally often."""
    texts = set()
    for seed in "0123":
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(TESTS.parent)}
        command = [sys.executable, "-c", SHARED, str(TESTS / "ops" / "norms.op") + ":double_norm"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        texts.add(done.stdout)
    assert len(texts) == 1


@pytest.mark.parametrize(
    "factor", ["1/(1/(2+H^2)^2+2)", "sqrt((H^2+1)/(B^2+1))", "sqrt(1-1/(H^2+1))"]
)
def test_rational_functions_of_sizes_crash_nothing(factor: str) -> None:
    """notation/nodes.py, Size: positive integers make SymPy look for the roots of polynomials."""
    (op,) = derive.parse(f"op f(x[b,h]) -> y[b,h]\ny[b,h] = x[b,h]*{factor}\n")
    derive.differentiate(op).latex()
    derive.build(op, backend="torch")


X = Component(Tensor("x", 0))
B = Size("B", 1)


def test_whole_and_half_powers_of_a_sum_meet() -> None:
    """simplify/normal.py, _power: a sum under a root and one in a divisor have other contents."""
    with keeping_shape():
        inner = Add(2, Pow(X, 2))
        root = Contraction(Pow(inner, Rational(-1, 2)) / B, Index("k", B, 5))
        assert normal(Pow(root, 2)) == normal(1 / inner)
        assert is_zero(call("sin", Pow(root, 2)) - call("sin", 1 / inner))


def test_numbers_under_a_root_are_multiplied_out() -> None:
    """simplify/normal.py, _expand: what is_number is taken for a coefficient, whatever it is."""
    with keeping_shape():
        e = call("exp", Rational(1, 2))
        assert is_zero(Pow(Add(e, 1), 2) - Pow(e, 2) - 2 * e - Integer(1))


def test_pi_can_be_evaluated() -> None:
    """notation/evaluate.py, _applied: mpmathify does not know SymPy's pi, which erf brings."""
    assert not derive.prove(named("gelu"), "dx[n] = dy[n]")


LEAD = [
    ("gelu", ()),
    ("rows_only", ()),
    ("power_mean", (5,)),
    ("correlation", (5,)),
    ("cosine", (5,)),
]


@pytest.mark.parametrize(("name", "shape"), LEAD)
def test_one_row_may_give_a_number(name: str, shape: tuple[int, ...]) -> None:
    """emit/interface.py: `.reshape(*lead)` without a leading axis is `.reshape()`, a TypeError."""
    op = named(name)
    inputs = [torch.rand(shape, dtype=torch.float64, requires_grad=True) for _ in op.inputs]
    output = getattr(derive.build(op, backend="torch"), name)(*inputs)
    assert output.shape == ()
    output.backward()


BROKEN = [
    ("min(x[b,h], 1)", "emit/torch_printer.py, function: torch.minimum wants tensors"),
    ("max(0, x[b,h])", "the same"),
]


@pytest.mark.parametrize(("expr", "cause"), BROKEN)
def test_the_smaller_of_a_tensor_and_a_number(expr: str, cause: str) -> None:
    (op,) = derive.parse(f"op f(x[b,h]) -> y[b,h]\ny[b,h] = {expr}\n")
    x = torch.randn(3, 4, dtype=torch.float64)
    want = torch.clamp(x, max=1) if "min" in expr else torch.clamp(x, min=0)
    assert torch.equal(derive.build(op, backend="torch").f(x), want), cause


SAME = """op same(same[b,h], same_forward[h], same_backward[h]) -> same_out[b,h]
same_out[b,h] = same[b,h]*same_forward[h] + sin(same[b,h])*same_backward[h]
"""


def test_a_tensor_named_like_its_op() -> None:
    """emit/interface.py: the tensor hides the function of the same name."""
    (op,) = derive.parse(SAME)
    assert all(row.passed for row in verify(op, "torch"))
