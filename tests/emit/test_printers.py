"""Printed code is evaluated: every tricky precedence gives the value of the tree it came from."""

from __future__ import annotations

import ast
import math
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sympy import Add, Expr, Mul, Pow, Rational, S

from derive.catalogue import parse
from derive.emit.fold import folded
from derive.emit.module import build
from derive.emit.source import broken
from derive.emit.torch_printer import TorchPrinter
from derive.emit.triton_printer import TritonPrinter, helpers_in
from derive.errors import DeriveError
from derive.notation.nodes import Component, Contraction, Scalar, Tensor
from derive.notation.op import Op, Parameter
from derive.rewrite import keeping_shape
from tests.samples import Pair, World, op_for, pair

POINTWISE = [
    "x[b,h]",
    "-x[b,h]",
    "x[b,h] - (y[b,h] - x[b,h])",
    "x[b,h] - (y[b,h] + 1)",
    "-(x[b,h] + y[b,h])",
    "-(x[b,h] + y[b,h])*x[b,h]",
    "x[b,h] - -y[b,h]",
    "2 - 3*x[b,h]",
    "x[b,h]/(y[b,h]*u[b])",
    "x[b,h]/y[b,h]/u[b]",
    "x[b,h]/(y[b,h]/u[b])",
    "1/(x[b,h]/y[b,h])",
    "1/x[b,h]/y[b,h]",
    "2/3*x[b,h]",
    "x[b,h]*2/3/y[b,h]",
    "-2/3*x[b,h]/y[b,h]",
    "x[b,h]^2",
    "(-x[b,h])^2",
    "-x[b,h]^2",
    "-(x[b,h]^2)^2",
    "x[b,h]^3*y[b,h]^-1",
    "x[b,h]^-3",
    "1/x[b,h]^3/y[b,h]",
    "(x[b,h] + y[b,h])^4",
    "(x[b,h] + y[b,h])^-4",
    "(x[b,h]*y[b,h])^5",
    "x[b,h]^(1/2)",
    "x[b,h]^(-1/2)*y[b,h]",
    "x[b,h]^(-3/2)/y[b,h]^(5/2)",
    "x[b,h]^(1/3)",
    "x[b,h]^1.7",
    "x[b,h]^k",
    "x[b,h]^-k",
    "x[b,h]^(k - n)",
    "x[b,h]^(1/k)",
    "x[b,h]^(-k/2)/y[b,h]^n",
    "k^2*x[b,h]",
    "k^-n*x[b,h]",
    "(k - n)*x[b,h]",
    "x[b,h]/(k - n)",
    "x[b,h]/H",
    "x[b,h]*H/B",
    "x[b,h]/(H - 1)",
    "x[b,h]*(H - 7)^2",
    "x[b,h]*sqrt(H)",
    "x[b,h]/sqrt(H + 1)",
    "x[b,h]*sqrt(2)",
    "x[b,h]*pi",
    "x[b,h]*1e-20",
    "x[b,h]*123456789123456789/10",
    "x[b,h]*0.1",
    "exp(-x[b,h])",
    "exp(-(x[b,h] - y[b,h])^2)",
    "exp(x[b,h])^2",
    "exp(x[b,h])^-1",
    "1/exp(x[b,h] + 1)",
    "-exp(-x[b,h])",
    "sin(x[b,h])/cos(y[b,h])^2",
    "tanh(x[b,h]/2)*sigmoid(-y[b,h])",
    "max(x[b,h], y[b,h]) - min(x[b,h], y[b,h])",
    "max(x[b,h] - 1, -y[b,h])^2",
    "abs(x[b,h] - y[b,h])*sign(y[b,h] - x[b,h])",
    "relu(1 - x[b,h])",
    "erf(x[b,h]/sqrt(2))",
    "softplus(-x[b,h])",
    "tan(x[b,h]/3) + log(x[b,h])",
    "x[b,h]*u[b]*w[h]",
    "u[b]*w[h]",
    "u[b]/w[h]",
    "1/(u[b]*w[h])",
    "x[b,h]*(u[b] + 1)*w[h]",
    "x[b,h]*u[b]^2/(2*w[h])",
    "(1[h]*u[b] - 1[b]*w[h])*x[b,h]",
    "x[b,h]*u[b]/(1[h]*u[b]^2 + 1[b]*w[h])",
    "u[b]*1[h]",
    "w[h]^2*1[b] - 1",
    "s*x[b,h]*u[b]",
    "x[b,h]^2/s^2",
]
SUMS = [  # free letters, expression
    ("b", "1[h]*x[b,h]"),
    ("b", "-1/H*x[b,h]*1[h]"),
    ("b", "1/H*x[b,h]*w[h]"),
    ("b", "2*u[b]/H*x[b,h]*1[h]"),
    ("b", "u[b]*x[b,h]*w[h]/H^2"),
    ("b", "1/(1[h]*x[b,h])"),
    ("b", "(x[b,h]*w[h])^2"),
    ("b", "sqrt(x[b,h]*x[b,h])"),
    ("b", "u[b] - x[b,h]*w[h]"),
    ("h", "x[b,h]*u[b]"),
    ("h", "-x[b,h]*u[b]/w[h]"),
    ("", "x[b,h]*1[b,h]"),
    ("", "x[b,h]*y[b,h]/B/H"),
    ("", "u[b]*x[b,h]*w[h]"),
    ("", "w[h]*w[h]"),
    ("b,h", "x[b,h] - 1[h]*(x[b,k]*w[k])"),
    ("b,h", "x[b,h]*(x[b,k]*1[k])/H"),
    ("b,h", "x[b,h]/(x[b,k]*w[k])"),
    ("b,h", "x[b,k]*A[k,h]"),
    ("b,h", "x[b,k]*A[h,k]*w[h]"),
    ("h,k", "x[b,h]*y[b,k]"),
    ("k,h", "x[b,h]*y[b,k]"),
    ("h,k", "x[b,h]*u[b]*y[b,k]"),
    ("h", "A[h,h]*w[h]"),
    ("", "A[h,h]"),
    ("", "A[h,k]*A[k,h]"),
    ("h,k", "A[k,h]"),
    ("h,k", "A[k,h] - A[h,k]/2"),
    ("h", "A[h,k]*w[k]"),
    ("h", "A[k,h]*w[k]"),
    ("", "w[h]*A[h,k]*w[k]"),
    ("h,k", "delta[h,k]*w[h]"),
    ("h,k", "delta[h,k] - w[h]*w[k]"),
    ("h,b", "x[b,h]*u[b]"),
    ("h,b", "x[b,h] - w[h]*1[b]"),
]


def read(free: str, text: str) -> Pair:
    """Over x, y [b h], u [b], w [h], A [h h], a number s, and parameters k and n."""
    op = op_for("delta[h,k] x[b,h] y[b,h] u[b] w[h] A[h,k]")
    numbers = {"k": Fraction(5, 2), "n": Fraction(3)}
    parameters = [
        Parameter(Scalar(name, 500 + i), v, str(v)) for i, (name, v) in enumerate(numbers.items())
    ]
    number = Component(Tensor("s", 600))
    op = replace(op, parameters=tuple(parameters), inputs=(*op.inputs, number))
    return pair(free, text, text, op)


def world(op: Op) -> World:
    return World(op, (3, 4), 1, 0.3, 1.4)


def shaped(values: list[Any], numbers: World, indices: Any) -> torch.Tensor:
    flat = torch.tensor([float(v) for v in values], dtype=torch.float64)
    return flat.reshape([numbers.sizes[i.size] for i in indices])


def names(case: Pair, numbers: World) -> dict[str, Any]:
    """What the printed names stand for."""
    known: dict[str, Any] = {"torch": torch}
    for c in case.op.inputs:
        if c.tensor.name in "xyuwAs":
            known[c.tensor.name] = shaped(numbers.values(c, c.indices), numbers, c.indices)
    known |= {size.name: n for size, n in numbers.sizes.items()}
    return known | {p.symbol.name: float(p.default) for p in case.op.parameters}


def torch_value(case: Pair, expr: Expr) -> torch.Tensor:
    """The printed code, run."""
    numbers = world(case.op)
    code = TorchPrinter("x").text(expr, case.free)
    value = eval(compile(code, code, "eval"), names(case, numbers))
    target = [numbers.sizes[i.size] for i in case.free]
    return torch.as_tensor(value, dtype=torch.float64).expand(target)


def agree(got: torch.Tensor, case: Pair, expr: Expr) -> None:
    numbers = world(case.op)
    want = shaped(numbers.values(expr, case.free), numbers, case.free)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("free", "text"), [*(("b,h", t) for t in POINTWISE), *SUMS])
def test_torch(free: str, text: str) -> None:
    with keeping_shape():
        case = read(free, text)
        agree(torch_value(case, case.before), case, case.before)


@pytest.mark.parametrize("text", POINTWISE)
def test_torch_with_axes_in_another_order(text: str) -> None:
    with keeping_shape():
        case = read("h,b", text)
        agree(torch_value(case, case.before), case, case.before)


X = Component(Tensor("x", 0))


TREES = [  # what no one writes, but laws may give
    Mul(-1, Add(X, 1), evaluate=False),
    Add(X, Mul(-1, Add(X, 2), evaluate=False), evaluate=False),
    Pow(Pow(X, 2, evaluate=False), 3, evaluate=False),
    Pow(Pow(X, -1, evaluate=False), -1, evaluate=False),
    Pow(Mul(-2, X), -1),
    Pow(Mul(-1, X), 3, evaluate=False),
    Mul(Rational(-1, 3), Pow(X, -1), Pow(Add(X, 1), -1)),
    Mul(Rational(7, 2), Pow(Mul(3, X, evaluate=False), -2, evaluate=False)),
    Mul(X, Pow(Add(X, S.Half), Rational(-5, 2))),
    Add(Mul(-1, X), -1),
    Pow(Add(Mul(-1, X), -1), 2),
    Mul(-1, Pow(Add(X, 1), 2)),
    Mul(2, Mul(3, X, evaluate=False), evaluate=False),
    Mul(X, Rational(1, 7)),
    Pow(S(2), Rational(1, 3)) * X,
]


def number(expr: Expr) -> float:
    return float(World(op_for("")).evaluator.value(expr.xreplace({X: Rational(13, 10)}), {}))


@pytest.mark.parametrize("expr", TREES, ids=str)
def test_trees(expr: Expr) -> None:
    want = number(expr)
    x = torch.tensor(1.3, dtype=torch.float64)
    torch_code = TorchPrinter("x").text(expr, ())
    triton_code = TritonPrinter({}, str).text(expr, ())
    for code, given in ((torch_code, x), (triton_code, 1.3)):
        assert float(eval(code, {"torch": torch, "x": given, **HELPERS})) == pytest.approx(
            want, 1e-13
        )


# -- triton ---------------------------------------------------------------------------------------

TL = SimpleNamespace(
    exp=math.exp,
    log=math.log,
    sin=math.sin,
    cos=math.cos,
    erf=math.erf,
    abs=abs,
    sqrt=math.sqrt,
    sigmoid=lambda x: 1 / (1 + math.exp(-x)),
    full=lambda shape, value, dtype: value,
)
HELPERS: dict[str, Any] = {
    "tl": TL,
    "ACC": None,
    "_power": lambda x, n: x**n,
    "_real_power": lambda x, p: x**p,
    "_tan": math.tan,
    "_tanh": math.tanh,
    "_softplus": lambda x: math.log1p(math.exp(x)),
    "_sign": lambda x: math.copysign(1, x) if x else 0,
    "_relu": lambda x: max(x, 0),
    "_minimum": min,
    "_maximum": max,
}


@pytest.mark.parametrize("text", POINTWISE)
def test_triton(text: str) -> None:
    """One element at a time: every name is a number."""
    with keeping_shape():
        case = read("b,h", text)
        numbers = world(case.op)
        code = TritonPrinter({}, str).text(case.before, case.free)
        assert set(helpers_in(code)) <= set(HELPERS)
        for at in numbers.points(case.free):
            known = HELPERS | {
                c.tensor.name: float(numbers.value(c, at)) for c in case.before.atoms(Component)
            }
            known |= {f"size_{s.name}": float(n) for s, n in numbers.sizes.items()}
            known |= {p.symbol.name: float(p.default) for p in case.op.parameters}
            want = float(numbers.value(case.before, at))
            assert float(eval(code, known)) == pytest.approx(want, rel=1e-12, abs=1e-13), code


def test_a_sum_in_a_kernel_has_a_name() -> None:
    case = read("b", "1[h]*x[b,h]")
    with pytest.raises(TypeError, match="marker"):
        TritonPrinter({}, str).text(case.before, case.free)
    assert isinstance(case.before, Contraction)
    assert TritonPrinter({"x": "total"}, str).text(X, ()) == "total"


NUMBERS = [
    ("1", "1"), ("-1", "-1"), ("1/2", "0.5"), ("1/3", "1 / 3"), ("-1/3", "-1 / 3"),
    ("1/8", "0.125"), ("10", "10"), ("1e-5", "1e-05"), ("22/7", "22 / 7"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "shown"), NUMBERS)
def test_numbers_are_exact(value: str, shown: str) -> None:
    fraction = Fraction(value)
    assert TorchPrinter().text(Rational(fraction.numerator, fraction.denominator), ()) == shown


def outer(axes: int) -> str:
    """A product of two tensors over one index, and `axes` of the result."""
    a = ",".join(f"a{k}" for k in range(axes // 2))
    b = ",".join(f"b{k}" for k in range(axes - axes // 2))
    return f"op f(x[{a},k], w[k,{b}]) -> y[{a},{b}]\ny[{a},{b}] = x[{a},k]*w[k,{b}]\n"


@pytest.mark.parametrize("axes", [4, 27, 51])
def test_einsum_has_letters_beyond_z(axes: int) -> None:
    (op,) = parse(outer(axes))
    module = build(op, backend="torch")
    x = torch.full((1,) * (axes // 2) + (2,), 3.0)
    w = torch.full((2,) + (1,) * (axes - axes // 2), 2.0)
    y, *saved = module.f_forward(x, w)
    assert y.flatten().tolist() == [12.0]
    dx, dw = module.f_backward(torch.ones_like(y), *saved)
    assert (dx.flatten().tolist(), dw.flatten().tolist()) == ([2.0, 2.0], [3.0, 3.0])


def test_more_indices_than_letters() -> None:
    (op,) = parse(outer(52))
    with pytest.raises(DeriveError, match=r"53 indices: torch\.einsum has letters for 52"):
        build(op, backend="torch")


def test_a_single_gradient_on_a_broken_line() -> None:
    names = ",".join(f"i{k}" for k in range(16))
    (op,) = parse(f"op f(x[{names}]) -> y[{names}]\ny[{names}] = exp(x[{names}])\n")
    module = build(op, backend="torch")
    x = torch.zeros((1,) * 16, dtype=torch.float64)
    y, *saved = module.f_forward(x)
    assert len(module.f_backward(3 * y, *saved)) == 1


# -- long lines ---------------------------------------------------------------------------------

LONG = f'''def f(x, y):
    """{"x [b h], " * 12}-> y [b]"""
    # y = {"x + " * 30}y
    g = call(needs=(alpha, {"beta[1], " * 12}gamma), other="{"a b " * 5}")
    return g


"""A text of several lines,
    # {"in which nothing is broken, " * 5}
"""
'''


def test_long_lines_are_broken_and_mean_the_same() -> None:
    text = folded(LONG)
    made, plain = (ast.parse(t).body[0] for t in (text, LONG))
    assert isinstance(made, ast.FunctionDef)
    assert isinstance(plain, ast.FunctionDef)
    long = [line for line in text.split("\n") if len(line) > 100]
    assert long == [line for line in LONG.split("\n") if "nothing is broken" in line]
    assert ast.dump(made.body[1]) == ast.dump(plain.body[1])
    docs = [(ast.get_docstring(f) or "").split() for f in (made, plain)]
    assert docs[0] == docs[1] != []
    comment = [line.strip("# ") for line in text.split("\n") if line.startswith("    #")][:2]
    assert " ".join(comment) == f"y = {'x + ' * 30}y"
    assert folded(text) == text


def test_a_tuple_of_one_keeps_its_comma_on_a_broken_line() -> None:
    long = "x" * 100
    assert broken(f"{long}(B,)", 0) == [f"{long}(", "    B,", ")"]
