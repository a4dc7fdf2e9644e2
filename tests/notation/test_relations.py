"""`solve y: left = right`: what is read, refused and printed, its derivatives, singular systems."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd.gradcheck import gradcheck

from derive.higher import backward
from derive.notation.nodes import Component
from derive.notation.op import Op
from derive.notation.solution import Solution
from derive.verify.exact import exact
from derive.verify.reference import composed
from tests.notation.reading import (
    again,
    check_means_the_same,
    helped,
    latex,
    marking,
    read,
    refusals,
    shown,
)
from tests.running import EXACT, made, run

SYSTEM = "op f(A[i,k], b[i]) -> y[k]\nsolve y: A[i,k]*y[k] = b[i]\n"
INVERSE = "op f(x[i,k]) -> y[k,j]\nsolve y: delta[i,j] = x[i,k]*y[k,j]\n"
SEVERAL = "op f(A[b,i,k], c[b,i,j]) -> y[b,k,j]\nsolve y: A[b,i,k]*y[b,k,j] = c[b,i,j]\n"
RIDGE = """op f(A[n,i], t[n]; lam = 0.5) -> w[k]
solve w: A[n,i]*A[n,k]*w[k] + lam*w[i] = A[n,i]*t[n]
"""
FIXED = "op f(A[i,i], b[i]) -> x[i]\nsolve x: x[i] = 1/9*A[i,j]*x[j] + b[i]\n"
RECURRENCE = "op f(x[s]; a = 0.5) -> y[s]\nsolve y: y[s] = a*y[s-1] + x[s]\n"
SYLVESTER = """op f(A[i,i], B[j,j], C[i,j]) -> y[i,j]
solve y: A[i,k]*y[k,j] + y[i,l]*B[l,j] = C[i,j]
"""
MATRIX = "op f(A[i,k,j,l], b[i,j]) -> y[k,l]\nsolve y: A[i,k,j,l]*y[k,l] = b[i,j]\n"
WITHIN = """op f(A[i,k], b[i]) -> y[k], n
r[i] = exp(b[i])
solve z: A[i,k]*z[k] = r[i]
y[k] = 2*z[k]^2
n = z[k]*z[k]
"""
RELATIONS = {
    "system": SYSTEM,
    "inverse": INVERSE,
    "several": SEVERAL,
    "ridge": RIDGE,
    "fixed point": FIXED,
    "recurrence": RECURRENCE,
    "sylvester": SYLVESTER,
    "matrix": MATRIX,
    "within": WITHIN,
}
every = pytest.mark.parametrize("text", RELATIONS.values(), ids=RELATIONS)


def relation(op: Op) -> Solution:
    (found,) = (e.expr for e in op.equations if isinstance(e.expr, Solution))
    return found


# -- what is read ---------------------------------------------------------------------------------


def test_a_system_piece_by_piece() -> None:
    op = read(SYSTEM)
    A, b = op.inputs
    i, k = op.letters
    assert relation(op) == Solution(A, b, i, k)
    assert op.equations[0].target == Component(op.outputs[0].tensor, k)
    assert i.size == k.size


ROWS = {  # a relation; its rows, its columns, what numbers it
    SYSTEM: ("i", "k", ""),
    INVERSE: ("i", "k", "j"),
    SEVERAL: ("i", "k", "bj"),
    RIDGE: ("i", "k", ""),
    MATRIX: ("ij", "kl", ""),
    WITHIN: ("i", "k", ""),
}


@pytest.mark.parametrize("text", ROWS)
def test_rows_and_columns(text: str) -> None:
    op = read(text)
    found = relation(op)
    target = next(e.target for e in op.equations if e.expr == found)
    shared = [i for i in target.indices if i not in found.columns]
    letters = (*map("".join, ([i.name for i in g] for g in (found.rows, found.columns, shared))),)
    assert letters == ROWS[text]


SAME = [
    (SYSTEM, SYSTEM.replace("A[i,k]*y[k] = b[i]", "b[i] = A[i,k]*y[k]")),
    (SYSTEM, SYSTEM.replace("A[i,k]*y[k] = b[i]", "A[i,k]*y[k] - b[i] = 0")),
    (SYSTEM, SYSTEM.replace("A[i,k]*y[k] = b[i]", "0 = 2*b[i] - 2*sum[k](y[k]*A[i,k])")),
    (SYSTEM, SYSTEM.replace("A[i,k]*y[k] = b[i]", "3*A[i,k]*y[k] = b[i] + 2*A[i,l]*y[l]")),
    (RIDGE, RIDGE.replace("lam*w[i] = A[n,i]*t[n]", "lam*delta[i,k]*w[k] = t[n]*A[n,i]")),
    (FIXED, FIXED.replace("x[i] = 1/9*A[i,j]*x[j]", "(delta[i,j] - 1/9*A[i,j])*x[j] =")
            .replace("= +", "=")),
    ("op f(a[i], b[i]) -> y[i]\nsolve y: a[i]*y[i] = b[i]\n",
     "op f(a[i], b[i]) -> y[i]\ny[i] = b[i]/a[i]\n"),
    ("op f(a, b) -> y\nsolve y: a*y = b\n", "op f(a, b) -> y\ny = b/a\n"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_ways_to_write_it(one: str, other: str) -> None:
    check_means_the_same(read(one), read(other))


def test_a_side_may_be_a_number() -> None:
    op = read("op f(A[i,k]) -> y[k]\nsolve y: A[i,k]*y[k] = 1\n")
    assert relation(op).right == 1


# -- printed --------------------------------------------------------------------------------------

PRINTED = {
    SYSTEM: ("A[i,k]*y[k] = b[i]", "A_{i k} y_{k} = b_{i}"),
    INVERSE: ("x[i,k]*y[k,j] = delta[i,j]", r"x_{i k} y_{k j} = \delta_{i j}"),
    SEVERAL: ("A[b,i,k]*y[b,k,j] = c[b,i,j]", "A_{b i k} y_{b k j} = c_{b i j}"),
    MATRIX: ("A[i,k,j,l]*y[k,l] = b[i,j]", "A_{i k j l} y_{k l} = b_{i j}"),
    "op f(A[i,k], b[i]) -> y[k]\nsolve y: A[i,k]*y[k] = b[i]*y[i]\n": (
        "y[k]*(A[i,k] - b[i]*delta[i,k]) = 0",
        r"y_{k} \left(A_{i k}-b_{i} \delta_{i k}\right) = 0",
    ),
}


@pytest.mark.parametrize("text", PRINTED)
def test_what_is_printed(text: str) -> None:
    op, (equation, tex) = read(text), PRINTED[text]
    assert shown(op)[-1] == f"solve y: {equation}"
    assert latex(op) == tex


@every
def test_what_is_printed_reads_the_same(text: str) -> None:
    check_means_the_same(again(read(text)), read(text))


# -- refused --------------------------------------------------------------------------------------

HEAD = "op f(A[i,k], b[i]) -> y[k]\n"
REFUSED = {  # the line of the relation, what is marked in braces; the code
    "solve y: A[i,k]*{y[k]^2} = b[i]": "E504",
    "solve y: A[i,k]*{exp(y[k])} = b[i]": "E504",
    "solve y: {A[i,k]*y[k]*1[j]*y[j]} = b[i]": "E504",
    "solve y: A[i,k]*y[k]/({1[j]*y[j]}) = b[i]": "E504",
    "solve y: A[i,k]*where({y[k] > 0}, y[k], 0) = b[i]": "E504",
    "solve {y}: A[i,k]*y[k]*b[j] = b[i]*b[j]": "E504",
    "solve {y}: b[i]*y[k]*A[i,k] = 1": "E504",
    "solve {y}: A[i,k]*1[k] = b[i]": "E507",
    "solve {q}: A[i,k]*y[k] = b[i]": "E507",
    "solve y: {A[i,k]*y[k]} = b[j]*1[i]": "E303",
    "solve y: A[i,k]*y[k] = {b[j]*b[j]}": "E303",
    "solve y: A[i,k]*y[k] = {b}": "E304",
    "solve y: A[i,k]*y[k] + {b[j]*b[j]} = b[i]": "E302",
    "solve y: A[i,k]*y[k] = {q[i]}": "E201",
    "solve y: {A[i]}*y[k] = b[i]": "E304",
    "solve y{[}k]: A[i,k]*y[k] = b[i]": "E101",
    "solve y {A}[i,k]*y[k] = b[i]": "E101",
    "solve y: A[i,k]*y[k]{}": "E102",
    "solve y: A[i,k]*y[k] = b[i] {=} 0": "E101",
    "y{:} A[i,k]*y[k] = b[i]": "E101",
    "solve {A}: A[i,k]*b[k] = b[i]": "E206",
    "solve {exp}: A[i,k]*exp[k] = b[i]": "E203",
    "solve {solve}: A[i,k]*solve[k] = b[i]": "E203",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_refused(line: str) -> None:
    text, wanted = marking(f"{HEAD}{line}\n", REFUSED[line])
    assert wanted in refusals(text)


def test_the_sizes_of_rows_and_columns_agree() -> None:
    text = "op f(A[i,j,k], b[i,j]) -> y[k]\nsolve y: A[i,j,k]*y[k] = b[i,j]\n"
    assert "equations [i,j] for the unknowns [k]" in helped(text)


def test_an_unknown_is_used_below_its_relation() -> None:
    text = "op f(A[i,k], b[i]) -> z[k]\nz[k] = y[k]\nsolve y: A[i,k]*y[k] = b[i]\n"
    assert refusals(text)[0].code == "E207"


def test_an_unknown_is_an_output_or_used() -> None:
    text = "op f(A[i,k], b[i]) -> z\nz = b[i]*A[i,k]*1[k]\nsolve {y}: A[i,k]*y[k] = b[i]\n"
    text, wanted = marking(text, "E208")
    assert refusals(text) == [wanted]


# -- derived --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(RELATIONS) - {"matrix", "sylvester"}))
def test_gradients_are_exact(name: str) -> None:
    """Elimination in exact numbers takes minutes for the others, which are held against torch."""
    report = exact(read(RELATIONS[name]))
    assert report.components
    assert report.mismatch is None


@pytest.mark.parametrize("name", ["system", "inverse", "ridge", "fixed point", "recurrence"])
def test_gradients_of_gradients_are_exact(name: str) -> None:
    report = exact(backward(read(RELATIONS[name])))
    assert report.components
    assert report.mismatch is None


# -- run ------------------------------------------------------------------------------------------


def numbers(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


NATIVE: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    SYSTEM: (torch.linalg.solve, (numbers(4, 4), numbers(4))),
    INVERSE: (torch.linalg.inv, (numbers(3, 3),)),
    SEVERAL: (torch.linalg.solve, (numbers(2, 3, 3), numbers(2, 3, 4))),
    RIDGE: (
        lambda a, t: torch.linalg.solve(a.T @ a + 0.5 * torch.eye(3).double(), a.T @ t),
        (numbers(5, 3), numbers(5)),
    ),
    FIXED: (
        lambda a, b: torch.linalg.solve(torch.eye(3).double() - a / 9, b),
        (numbers(3, 3), numbers(3)),
    ),
}


@pytest.mark.parametrize("text", NATIVE)
def test_against_torch(text: str) -> None:
    native, inputs = NATIVE[text]
    got, want = run(made(text), inputs), run(native, inputs)
    torch.testing.assert_close(got, want, rtol=EXACT, atol=1e-12)


def test_a_recurrence() -> None:
    x = numbers(5)
    (y,), (dx,) = run(made(RECURRENCE), [x], [torch.ones(5).double()])
    want = [x[0]]
    for number in x[1:]:
        want.append(0.5 * want[-1] + number)
    torch.testing.assert_close(y, torch.stack(want), rtol=EXACT, atol=0)
    torch.testing.assert_close(dx[-1], torch.ones(()).double(), rtol=EXACT, atol=0)


@pytest.mark.parametrize("name", ["sylvester", "matrix", "within"])
def test_against_composed_operations(name: str) -> None:
    sizes = {"sylvester": ((3, 3), (2, 2), (3, 2)), "matrix": ((2, 2, 3, 3), (2, 3))}
    shapes = sizes.get(name, ((3, 3), (3,)))
    inputs = [numbers(*shape, seed=k) for k, shape in enumerate(shapes)]
    text = RELATIONS[name]
    got, want = run(made(text), inputs), run(composed(read(text)), inputs)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("text", [SYSTEM, INVERSE, SEVERAL])
def test_numerical_differentiation(text: str) -> None:
    _, inputs = NATIVE[text]
    leaves = [t.clone().requires_grad_() for t in inputs]
    assert gradcheck(made(text), leaves, eps=1e-6, atol=1e-6, rtol=1e-5)


SINGULAR = {
    SYSTEM: (torch.ones(2, 2).double(), torch.ones(2).double()),
    INVERSE: (torch.zeros(3, 3).double(),),
    SEVERAL: (torch.eye(2).double() * torch.tensor([1, 0])[:, None, None], numbers(2, 2, 1)),
    FIXED: (9 * torch.eye(2).double(), torch.ones(2).double()),
}


@pytest.mark.parametrize("text", SINGULAR)
def test_a_singular_relation_fails_as_in_torch(text: str) -> None:
    with pytest.raises(torch.linalg.LinAlgError, match="singular"):
        made(text)(*SINGULAR[text])


def test_no_relations() -> None:
    (y,), (dA, dc) = run(made(SEVERAL), [numbers(0, 3, 3), numbers(0, 3, 2)])
    assert (y.shape, dA.shape, dc.shape) == ((0, 3, 2), (0, 3, 3), (0, 3, 2))


def test_no_unknowns() -> None:
    (y,), (dA, db) = run(made(SYSTEM), [numbers(0, 0), numbers(0)])
    assert (y.shape, dA.shape, db.shape) == ((0,), (0, 0), (0,))
