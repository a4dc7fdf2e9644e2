"""The torch modules: against torch's own functions, autograd and finite differences; edge cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.gradcheck import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from derive.errors import DeriveError
from derive.notation.op import Op
from derive.plan.roles import roles
from derive.verify.reference import composed
from derive.verify.run import verify
from derive.verify.sample import Sample, draw
from tests.running import (
    EXACT,
    agree,
    function,
    is_leading,
    leaves_of,
    listed,
    module,
    random,
    real,
    run,
)
from tests.samples import every_op, name_of, named

every = pytest.mark.parametrize("op", every_op(), ids=name_of)


# -- everything against autograd ------------------------------------------------------------------


@every
def test_verification_passes(op: Op) -> None:
    rows = verify(op, "torch")
    assert {"fp64 against autograd", "gradcheck"} <= {row.check for row in rows}
    assert all(row.passed for row in rows), [row for row in rows if not row.passed]


NATIVE: dict[str, tuple[Callable[..., Tensor], tuple[tuple[int, ...], ...]]] = {
    "layer_norm": (
        lambda x, g, b: torch.nn.functional.layer_norm(x, x.shape[-1:], g, b, 1e-5),
        ((6, 9), (9,), (9,)),
    ),
    "rms_norm": (
        lambda x, g: torch.nn.functional.rms_norm(x, x.shape[-1:], g, 1e-6),
        ((6, 9), (9,)),
    ),
    "matmul": (torch.matmul, ((5, 7), (7, 4))),
    "linear": (torch.nn.functional.linear, ((5, 7), (4, 7), (4,))),
}


@pytest.mark.parametrize("name", NATIVE)
def test_against_the_native_function(name: str) -> None:
    native, shapes = NATIVE[name]
    inputs = [random(*shape, seed=k) for k, shape in enumerate(shapes)]
    (outputs, grads), (want, want_grads) = run(function(name), inputs), run(native, inputs)
    torch.testing.assert_close(outputs, want, rtol=EXACT, atol=1e-12)
    torch.testing.assert_close(grads, want_grads, rtol=EXACT, atol=1e-12)


def test_a_shifted_softmax_against_the_native_function() -> None:
    """With the maximum as the shift, which receives no gradient."""
    x = random(6, 9, seed=1)
    (p,), (dx, dm) = run(function("shifted_softmax"), (x, x.amax(-1)))
    (want,), (want_dx,) = run(lambda t: torch.softmax(t, -1), (x,))
    torch.testing.assert_close(p, want, rtol=EXACT, atol=1e-14)
    torch.testing.assert_close(dx, want_dx, rtol=EXACT, atol=1e-14)
    assert torch.equal(dm, torch.zeros_like(dm))


@every
@pytest.mark.parametrize("sizes", [(1, 3, 2, 1, 2), (3, 1, 4, 2, 1), (1, 1, 1, 1, 1)])
def test_sizes_of_one(op: Op, sizes: tuple[int, ...]) -> None:
    try:
        sample = draw(op, sizes)
    except DeriveError:
        assert op.name in ("moments", "correlation")  # the variance of one number is zero
        return
    got = run(function(op.name), sample.inputs, sample.cotangents)
    want = run(composed(op), sample.inputs, sample.cotangents)
    torch.testing.assert_close(got, want, rtol=EXACT, atol=1e-14)


# -- which gradients are needed -------------------------------------------------------------------

_FREE = ("view", "reshape", "expand", "permute", "detach", "transpose", "t.", "alias", "slice",
         "unsqueeze", "squeeze", "select", "diagonal", "empty")  # fmt: skip


class Counter(TorchDispatchMode):
    """Counts the operations that compute something."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::")
        self.count += not name.startswith(_FREE) and not name.startswith("_to_copy")
        return func(*args, **(kwargs or {}))


def cost(op: Op, sample: Sample, needs: Sequence[bool]) -> tuple[int, tuple[Tensor | None, ...]]:
    """Operations of the backward pass, and what it gives."""
    made = module(op.name)
    saved = getattr(made, f"{op.name}_forward")(*sample.inputs)[len(op.outputs) :]
    with Counter() as counter:
        grads = getattr(made, f"{op.name}_backward")(*sample.cotangents, *saved, needs=needs)
    return counter.count, grads


@every
def test_a_gradient_that_is_not_needed_is_not_computed(op: Op) -> None:
    sample = draw(op, (3, 4, 2, 3, 2))
    everything, full = cost(op, sample, [True] * len(op.inputs))
    assert [g is not None for g in full] == [t.is_floating_point() for t in sample.inputs]
    for needs in product((False, True), repeat=len(op.inputs)):
        count, grads = cost(op, sample, needs)
        assert count <= everything
        for needed, got, want in zip(needs, grads, full, strict=True):
            assert (got is not None) == (needed and want is not None)
            assert got is None or torch.equal(got, want)


@pytest.mark.parametrize("name", ["layer_norm", "linear", "matmul", "lora"])
def test_one_gradient_costs_less_than_all(name: str) -> None:
    op = named(name)
    sample = draw(op, (3, 4, 2, 3, 2))
    everything, _ = cost(op, sample, [True] * len(op.inputs))
    for k in range(len(op.inputs)):
        assert cost(op, sample, [j == k for j in range(len(op.inputs))])[0] < everything


@pytest.mark.parametrize("needs", list(product((False, True), repeat=3))[1:])
def test_autograd_asks_for_what_is_needed(needs: tuple[bool, ...]) -> None:
    inputs = [random(4, 5), random(5, seed=1), random(5, seed=2)]
    _, want = run(function("layer_norm"), inputs, [random(4, 5, seed=9)])
    leaves = [t.clone().requires_grad_(n) for t, n in zip(inputs, needs, strict=True)]
    function("layer_norm")(*leaves).backward(random(4, 5, seed=9))
    for needed, leaf, grad in zip(needs, leaves, want, strict=True):
        assert (leaf.grad is not None) == needed
        assert leaf.grad is None or torch.equal(leaf.grad, grad)


# -- shapes and strides ---------------------------------------------------------------------------

LEADING = [op for op in every_op() if roles(op).leading is not None]


def lead_size(op: Op) -> Any:
    leading = roles(op).leading
    assert leading is not None
    return leading.size


@pytest.mark.parametrize("op", LEADING, ids=name_of)
@pytest.mark.parametrize("lead", [(), (6,), (2, 3), (3, 1, 2), (1, 2, 1, 3)])
def test_leading_axes(op: Op, lead: tuple[int, ...]) -> None:
    """One row index is no axis, one, or several."""
    rows = torch.Size(lead).numel()
    lengths = {lead_size(op).name: rows}
    sample = _drawn(op, lengths)
    leads = [is_leading(op, c) for c in op.inputs]
    want = run(function(op.name), sample.inputs, sample.cotangents)
    deep = [
        t.reshape((*lead, *t.shape[1:])) if is_lead else t
        for t, is_lead in zip(sample.inputs, leads, strict=True)
    ]
    out = [is_leading(op, c) for c in op.outputs]
    given = [
        t.reshape((*lead, *t.shape[1:])) if is_lead else t
        for t, is_lead in zip(sample.cotangents, out, strict=True)
    ]
    got = run(function(op.name), deep, given)
    for g, w, is_lead in zip(got[0], want[0], out, strict=True):
        assert g.shape == ((*lead, *w.shape[1:]) if is_lead else w.shape)
        assert torch.equal(g.reshape(w.shape), w)
    for g, t, w in zip(got[1], real(deep), want[1], strict=True):
        assert g.shape == t.shape
        assert torch.equal(g.reshape(w.shape), w)


def _drawn(op: Op, lengths: dict[str, int]) -> Sample:
    names = list(dict.fromkeys(i.size.name for i in op.letters))
    return draw(op, [lengths.get(name, (4, 3, 2)[k % 3]) for k, name in enumerate(names)])


@pytest.mark.parametrize("op", LEADING, ids=name_of)
def test_no_rows(op: Op) -> None:
    sample = _drawn(op, {lead_size(op).name: 2})
    empty = [
        t[:0] if is_leading(op, c) else t for t, c in zip(sample.inputs, op.inputs, strict=True)
    ]
    outputs, grads = run(function(op.name), empty)
    for output, declared in zip(outputs, op.outputs, strict=True):
        assert (output.numel() == 0) == is_leading(op, declared)
    for grad, t in zip(grads, real(empty), strict=True):
        assert grad.shape == t.shape
        assert not grad.any()


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda t: t.mT.contiguous().mT if t.dim() > 1 else t,
    "strided": lambda t: torch.stack((t, t + 1), -1).flatten(-2)[..., ::2] if t.dim() else t,
    "offset": lambda t: torch.cat((t.flatten(), t.flatten()))[t.numel() :].reshape(t.shape),
    "reversed": lambda t: t.movedim(0, -1).contiguous().movedim(-1, 0) if t.dim() > 1 else t,
}


@every
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(op: Op, layout: str) -> None:
    sample = draw(op, (4, 3, 2, 5, 2))
    want = run(function(op.name), sample.inputs, sample.cotangents)
    laid = leaves_of(sample.inputs, LAYOUTS[layout])
    outputs = listed(function(op.name)(*laid))
    given = [LAYOUTS[layout](t) for t in sample.cotangents]
    grads = torch.autograd.grad(
        outputs, real(laid), given, allow_unused=True, materialize_grads=True
    )
    agree([*outputs, *grads], [*want[0], *want[1]])


@every
def test_expanded_inputs_and_cotangents(op: Op) -> None:
    """What `sum().backward()` gives, and a weight that is one number everywhere."""
    sample = draw(op, (4, 3, 2, 5, 2))
    wide = [t.flatten()[:1].reshape([1] * t.dim()).expand(t.shape) for t in sample.inputs]
    full = [t.contiguous() for t in wide]
    ones = [torch.ones_like(t) for t in sample.cotangents]
    try:
        want = run(function(op.name), full, ones)
    except torch.linalg.LinAlgError:
        with pytest.raises(torch.linalg.LinAlgError, match="singular"):
            composed(op)(*full)
        return
    except RuntimeError as failure:
        raise AssertionError(op.name) from failure
    if not all(t.isfinite().all() for t in (*want[0], *want[1])):
        assert op.name in ("moments", "correlation")
        return
    leaves = leaves_of(wide, torch.detach)
    outputs = listed(function(op.name)(*leaves))
    given = [torch.ones((), dtype=o.dtype).expand(o.shape) for o in outputs]
    grads = torch.autograd.grad(
        outputs, real(leaves), given, allow_unused=True, materialize_grads=True
    )
    agree([*outputs, *grads], [*want[0], *want[1]])


@every
def test_a_wrong_shape_names_the_tensor(op: Op) -> None:
    sample = draw(op, (4, 3, 2, 5, 2))
    names = "|".join(c.tensor.name for c in op.inputs)
    leads = [k for k, c in enumerate(op.inputs) if is_leading(op, c)]
    for k, tensor in enumerate(sample.inputs):
        deeper = list(sample.inputs)
        deeper[k] = tensor.unsqueeze(-1).expand(*tensor.shape, 7)
        if leads == [k]:
            continue  # one more leading axis
        with pytest.raises(ValueError, match=rf"\b({names}) \[.*\] (must|cannot) be "):
            function(op.name)(*deeper)


def test_the_message_says_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"^gamma \[h\] must be \[5\], not \[4\]$"):
        function("layer_norm")(random(2, 5), random(4), random(5))
    with pytest.raises(ValueError, match=r"^beta \[h\] must be \[5\], not \[5, 1\]$"):
        function("layer_norm")(random(2, 5), random(5), random(5, 1))
    with pytest.raises(ValueError, match=r"^w \[o i\] must be \[4, 5\], not \[4, 6\]$"):
        function("linear")(random(2, 5), random(4, 6), random(4))
    with pytest.raises(ValueError, match=r"^A \[i i\] must be \[3, 3\], not \[3, 4\]$"):
        function("quadratic")(random(3), random(3, 4))
    with pytest.raises(ValueError, match=r"^x \[... h\] cannot be a tensor of shape \[\]$"):
        function("layer_norm")(random(), random(5), random(5))


# -- what is left alone ---------------------------------------------------------------------------


@every
def test_inputs_stay_as_they_are(op: Op) -> None:
    sample = draw(op, (4, 3, 2, 5, 2))
    leaves = leaves_of(sample.inputs)
    outputs = listed(function(op.name)(*leaves))
    shown = [o.detach().clone() for o in outputs]
    given = [t.clone() for t in sample.cotangents]
    torch.autograd.grad(outputs, real(leaves), given, allow_unused=True, materialize_grads=True)
    for now, before in zip((*leaves, *given), (*sample.inputs, *sample.cotangents), strict=True):
        assert torch.equal(now.detach(), before)
        assert now._version == 0 or not now.requires_grad
    assert all(torch.equal(o.detach(), s) for o, s in zip(outputs, shown, strict=True))


@every
def test_outputs_do_not_share_memory_with_inputs(op: Op) -> None:
    """Changing an output in place changes neither an input nor what was saved."""
    sample = draw(op, (4, 3, 2, 5, 2))
    with torch.no_grad():
        inputs = [t.clone() for t in sample.inputs]
        for output in listed(function(op.name)(*inputs)):
            assert all(output.data_ptr() != t.data_ptr() for t in inputs if t.numel())


def second(call: Callable[..., Any], sample: Sample) -> list[Tensor]:
    """The gradients of the sum of the gradients, by inputs and by cotangents."""
    leaves, given = leaves_of(sample.inputs), leaves_of(sample.cotangents)
    outputs = zip(listed(call(*leaves)), given, strict=True)
    known = [(o, g) for o, g in outputs if o.requires_grad]
    if not known:
        return [torch.zeros_like(t) for t in (*real(leaves), *given)]
    firsts = torch.autograd.grad(
        [o for o, _ in known], real(leaves), [g for _, g in known],
        create_graph=True, allow_unused=True, materialize_grads=True,
    )  # fmt: skip
    total = torch.stack([g.sum() for g in firsts]).sum()
    if not total.requires_grad:
        return [torch.zeros_like(t) for t in (*real(leaves), *given)]
    return list(
        torch.autograd.grad(
            total, [*real(leaves), *given], allow_unused=True, materialize_grads=True
        )
    )


@every
def test_a_second_derivative_is_right_or_refused(op: Op) -> None:
    """Statistics saved as constants would make it wrong without a word."""
    sample = draw(op, (3, 4, 2, 3, 2))
    try:
        got = second(function(op.name), sample)
    except NotImplementedError as refusal:
        assert "has no second derivative" in str(refusal)  # noqa: PT017  # or else it is compared
        return
    for g, w in zip(got, second(composed(op), sample), strict=True):
        torch.testing.assert_close(g, w, rtol=1e-9, atol=1e-11)


def test_what_has_no_gradient_needs_none() -> None:
    with torch.no_grad():
        assert not function("layer_norm")(random(2, 3), random(3), random(3)).requires_grad
    assert not function("layer_norm")(random(2, 3), random(3), random(3)).requires_grad


def test_scalars_are_parameters() -> None:
    x, g, b = random(3, 4), random(4, seed=1), random(4, seed=2)
    want = torch.nn.functional.layer_norm(x, (4,), g, b, 0.5)
    torch.testing.assert_close(function("layer_norm")(x, g, b, eps=0.5), want)
    torch.testing.assert_close(function("layer_norm")(x, g, b, 0.5), want)
    call = lambda *t: function("layer_norm")(*t, eps=0.5)  # noqa: E731  # a function of tensors
    assert gradcheck(call, [t.requires_grad_() for t in (x, g, b)], eps=1e-5, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("p", [1, 2, 3, 2.5])
def test_an_exponent_is_a_parameter(p: float) -> None:
    x = 0.5 + random(3, 4).abs()
    want = (x**p).mean(-1) ** (1 / p)
    torch.testing.assert_close(function("power_mean")(x, p=p), want)
    call = lambda t: function("power_mean")(t, p=p)  # noqa: E731  # a function of tensors
    assert gradcheck(call, [x.requires_grad_()], eps=1e-5, atol=1e-9, rtol=1e-7)
