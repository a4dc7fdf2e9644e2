"""The roles of indices: which class of kernel an op has, and which index may be several axes."""

from __future__ import annotations

import pytest

import derive
from derive.notation.op import Op
from derive.plan.program import plan
from derive.plan.roles import ELEMENT_WISE, GENERAL, PRODUCT, ROW_WISE, kernel_class, roles
from derive.plan.rows import Schedule
from tests.samples import every_op, name_of, named

CLASSES = {
    ROW_WISE: "batch_norm group_norm channel_norm adaptive_norm layer_norm rms_norm softmax "
    "log_softmax shifted_softmax temperature_softmax "
    "instance vector_norm double_norm add_norm gated_rms_norm unit_rows poly_norm power_norms "
    "layer_norm_at_once soft_weights entropy divergence correlation moments cosine power_mean "
    "weight_norm many_sums clipped_huber hinge row_shares",
    ELEMENT_WISE: "permuted gelu swiglu dynamic_tanh clamp softsign waves powers no_gradient "
    "rows_only",
    PRODUCT: "matmul linear bilinear product_chain polyadic quadratic traces transposed",
    GENERAL: "attention self_attention perceptron column_norm "
    "middle_softmax doubly_normalized covariance gram distances projector "
    "lora low_rank",
}
EXPECTED = [(name, kind) for kind, listed in CLASSES.items() for name in listed.split()]


@pytest.mark.parametrize(("name", "kind"), EXPECTED)
def test_the_class_of_kernel(name: str, kind: str) -> None:
    assert kernel_class(named(name)) == kind


LEADING = {
    "layer_norm": "b",
    "softmax": "b",
    "linear": "b",
    "matmul": "i",
    "attention": "i",
    "multi_head_attention": "b",
    "gated_rms_norm": "a",
    "gelu": "n",
    "distances": "i",
    "vector_norm": None,
    "batch_norm": None,
    "column_norm": None,
    "channel_norm": None,
    "covariance": None,
    "squared_error": None,
    "quadratic": None,
    "diagonals": None,
    "projector": None,
    "transposed": None,
    "entropy": None,
}


@pytest.mark.parametrize("name", LEADING)
def test_the_index_that_may_be_several_axes(name: str) -> None:
    leading = roles(named(name)).leading
    assert (leading.name if leading else None) == LEADING[name]


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_a_leading_index_leads_whatever_carries_it(op: Op) -> None:
    leading = roles(op).leading
    if leading is None:
        return
    for component in op.tensors.values():
        places = [k for k, i in enumerate(component.indices) if i.size == leading.size]
        assert places in ([], [0]), component


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_rows_and_columns_cover_every_tensor(op: Op) -> None:
    found = roles(op)
    if found.kind not in (ROW_WISE, ELEMENT_WISE):
        assert not found.columns
        return
    for component in op.tensors.values():
        axes = set(found.classes.of(component))
        assert axes <= {*found.rows, *found.columns}


def test_what_is_given_for_each_row_is_summed_before_the_rows() -> None:
    """And where all rows must be waited for, a row leaves a number, not itself."""
    op = named("row_shares")
    program = plan(op, derive.differentiate(op), shared=False)
    forward = Schedule(program, program.forward)
    assert [w.target.tensor.name for w in forward.prologue] == ["total"]
    backward = Schedule(program, program.backward, forward, accumulates=True)
    assert backward.left
    assert all(len(c.indices) == 1 for c in backward.left)


def test_a_letter_of_another_equation_is_the_same_axis() -> None:
    """`instance` names its rows p, q, k, z, m: they are one class."""
    found = roles(named("instance"))
    classes = {found.classes.of(c) for c in named("instance").tensors.values()}
    assert len({axis for axes in classes for axis in axes}) == 2


COUNTED = """op f(x[b,t]) -> y[b,t]
z[b] = 1[s]*x[b,s]
y[b,t] = 1[s]*where(s <= t, 1[s]*x[b,t], 0) + 1[t]*z[b]
"""
ONE_MORE = [
    ("op f(x[b,h]) -> y[h,b]\ny[h,b] = x[b,h]\n", (GENERAL, PRODUCT)),
    ("op f(x[b,h]) -> y[b,h]\ny[b,h] = x[b,h]\n", ELEMENT_WISE),
    ("op f(x[b,h]) -> y[b]\ny[b] = 1[h]*x[b,h]\n", ROW_WISE),
    ("op f(x[b,h]) -> y[h]\ny[h] = 1[b]*x[b,h]\n", (ROW_WISE, GENERAL, PRODUCT)),
    ("op f(x[b,t]) -> y[b,t]\ny[b,t] = 1[s]*where(s <= t, 1[t]*x[b,s], 0)\n", GENERAL),
    ("op f(x[b,t]) -> y[b]\ny[b] = 1[t]*where(t < 2, x[b,t]^2, 0)\n", ROW_WISE),
    (COUNTED, GENERAL),
    ("op f(x[i], z[j]) -> y[i,j]\ny[i,j] = x[i]*z[j]\n", (ELEMENT_WISE, PRODUCT)),
]


@pytest.mark.parametrize(("text", "kind"), ONE_MORE)
def test_small_ops(text: str, kind: str | tuple[str, ...]) -> None:
    (op,) = derive.parse(text)
    assert kernel_class(op) in ((kind,) if isinstance(kind, str) else kind)


@pytest.mark.parametrize(
    ("equation", "kind"),
    [
        ("l = sum[b,s](x[b,s]^2)/B", ROW_WISE),
        ("l = sum[b,s]((x[b,s] - x[b,s-1])^2)/B", GENERAL),
        ("l = sum[b,s,r](exp(x[b,s]*x[b,r]))/B", GENERAL),
    ],
)
def test_two_places_on_one_axis_are_no_row(equation: str, kind: str) -> None:
    """Also where both are summed over, the window inside another sum."""
    [op] = derive.parse(f"op f(x[b,s]) -> l\n{equation}\n")
    assert kernel_class(op) == kind
