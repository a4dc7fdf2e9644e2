"""Hard inputs, and what must hold of a generated function on them, for the tests of both backends.

A check takes a function and its op, and asserts. The truth is fp64 autograd of the op's equations
as composed operations, on the same rounded inputs; torch's own functions are only compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from derive.emit.backends import BACKENDS
from derive.emit.files import source
from derive.emit.module import _imported
from derive.emit.triton_module import has_kernels
from derive.notation.conditions import Iverson
from derive.notation.nodes import Component, Labels
from derive.notation.op import Op
from derive.plan.roles import roles
from derive.verify.reference import composed
from derive.verify.run import _allowed
from derive.verify.sample import Sample, draw, error
from tests.running import EXACT, is_leading, leaves_of, listed, real, run
from tests.samples import every_op, named

F = torch.nn.functional
Function = Callable[..., Any]

KERNELS = tuple(op for op in every_op() if has_kernels(op))
NORMS = ("layer_norm", "rms_norm", "softmax")
# Their m is the maximum of the row.
SHIFTED = ("shifted_softmax", "shifted_log_softmax", "temperature_softmax")
# Whose derivative at NaN is anybody's.
KINKED = ("clipped_huber", "hinge", "clamp", "relu", "pinball")
CENTRED = ("layer_norm", "instance", "vector_norm", "layer_norm_at_once")
WEIGHTS = ("gamma", "g", "w", "s")
UNCENTRED = ("dbeta", "do")  # a sum of dy alone
ROUNDING = torch.finfo(torch.float32).eps


# -- what torch has of its own ------------------------------------------------------------------


def layer_norm(eps: float) -> Function:
    return lambda x, g=None, b=None: F.layer_norm(x, x.shape[-1:], g, b, eps)


def shifted(native: Function) -> Function:
    """A function that needs no shift, with one that has no influence."""
    return lambda x, m: native(x, -1) + 0 * m.unsqueeze(-1)


NATIVE: dict[str, Function] = {
    "layer_norm": layer_norm(1e-5),
    "instance": layer_norm(1e-6),
    "vector_norm": layer_norm(1e-5),
    "layer_norm_at_once": layer_norm(1e-5),
    "rms_norm": lambda x, g: F.rms_norm(x, x.shape[-1:], g, 1e-6),
    "softmax": lambda x: x.softmax(-1),
    "shifted_softmax": shifted(torch.softmax),
    "shifted_log_softmax": shifted(torch.log_softmax),
}


# -- samples ------------------------------------------------------------------------------------


def drawn(op: Op, rows: int = 3, columns: int = 9, lead: int | None = None) -> Sample:
    """Random inputs: the length of the rows, of every other axis, and maybe of the leading one."""
    found = roles(op)
    lengths = dict.fromkeys((i.size for i in op.letters), rows)
    for component in op.inputs:
        axes = zip(component.indices, found.classes.of(component), strict=True)
        lengths |= {i.size: columns for i, axis in axes if axis in found.columns}
    if lead is not None and found.leading is not None:
        lengths[found.leading.size] = lead
    return shift(op, draw(op, list(lengths.values())))


def shift(op: Op, sample: Sample) -> Sample:
    """With the maximum of each row as the shift, where the op has one."""
    if op.name not in SHIFTED:
        return sample
    *rest, _ = sample.inputs
    return replace(sample, inputs=(*rest, rest[0].amax(-1)))


def change(op: Op, sample: Sample, hard: Callable[[Tensor], Tensor]) -> Sample:
    """With another first input."""
    first, *rest = sample.inputs
    return shift(op, replace(sample, inputs=(hard(first.clone()), *rest)))


def weightless(op: Op, sample: Sample) -> Sample:
    """With γ = 0, or whatever the weights of the op are called."""
    pairs = zip(sample.inputs, op.inputs, strict=True)
    inputs = (torch.zeros_like(t) if c.tensor.name in WEIGHTS else t for t, c in pairs)
    return replace(sample, inputs=tuple(inputs))


def summed(sample: Sample) -> Sample:
    """With the dy of `y.sum().backward()`: ones that are one number in memory."""
    ones = (torch.ones((), dtype=c.dtype).expand(c.shape) for c in sample.cotangents)
    return replace(sample, cotangents=tuple(ones))


def outlier(x: Tensor) -> Tensor:
    x.flatten()[x.numel() // 2] = 1e6
    return x


HARD: dict[str, Callable[[Tensor], Tensor]] = {
    "mean 0": lambda x: x,
    "mean 1e2": lambda x: x + 1e2,
    "mean 1e4": lambda x: x + 1e4,
    "mean 1e6": lambda x: x + 1e6,
    "constant": lambda x: torch.full_like(x, 3333.33),
    "outlier": outlier,
    "large": lambda x: 1e4 * x,
    "small": lambda x: 1e-6 * x,
}


def names(op: Op) -> list[str]:
    """What `results` gives, by name."""
    return [*(c.tensor.name for c in op.outputs), *(f"d{c.tensor.name}" for c in op.differentiable)]


def results(call: Function, sample: Sample) -> list[Tensor]:
    """Outputs, then gradients."""
    outputs, gradients = run(call, sample.inputs, sample.cotangents)
    return [*outputs, *gradients]


def truth(op: Op, sample: Sample) -> list[Tensor]:
    return results(composed(op), sample.to(torch.float64))


# -- errors -------------------------------------------------------------------------------------


def worst(got: Tensor, want: Tensor) -> float:
    """The worst error of a row, relative to its largest value."""
    if want.dim() < 2:
        return error(got, want)
    rows = zip(got.flatten(0, -2), want.flatten(0, -2), strict=True)
    return max((error(g, w) for g, w in rows), default=0.0)


def compared(call: Function, other: Function, op: Op, sample: Sample) -> list[tuple[float, float]]:
    """The errors of both functions, for each output and each gradient."""
    trio = zip(results(call, sample), results(other, sample), truth(op, sample), strict=True)
    return [(worst(got, exact), worst(beside, exact)) for got, beside, exact in trio]


def check_against_native(call: Function, op: Op, sample: Sample) -> None:
    """No error is larger than torch's own on the same input, but for a few roundings.

    Of a gradient in a row of one or two numbers only rounding may be left: there composed
    operations are a measure too.
    """
    floor = 8 * torch.finfo(sample.inputs[0].dtype).eps
    found = compared(call, NATIVE[op.name], op, sample)
    if sample.inputs[0].shape[-1] <= 2:
        plain = compared(call, composed(op), op, sample)
        found = [(o, 4 * max(n, p)) for (o, n), (_, p) in zip(found, plain, strict=True)]
    for place, (ours, theirs) in enumerate(found):
        assert ours <= max(theirs, floor), (op.name, place, ours, theirs)


def check_ten_times_closer(call: Function, op: Op, sample: Sample) -> None:
    """All that depends on x - m has at most a tenth of the error of torch's own."""
    found = dict(zip(names(op), compared(call, NATIVE[op.name], op, sample), strict=True))
    for name, (ours, theirs) in found.items():
        assert 10 * ours <= theirs or name in UNCENTRED, (op.name, name, ours, theirs)


def check_against_composed(call: Function, op: Op, sample: Sample, floor: float) -> None:
    """About as exact as composed operations in fp32, where those keep three digits.

    Or else as exact as the input allows, which random roundings tell: where a difference of large
    numbers decides a switch, rounding decides.
    """
    for place, (ours, theirs) in enumerate(compared(call, composed(op), op, sample)):
        if theirs < 1e-3 and ours > max(4 * theirs, floor):
            exact = sample.to(torch.float64)
            assert ours <= _allowed(op, exact, torch.float32), (op.name, place, ours, theirs)


# -- special values -----------------------------------------------------------------------------


def check_nan_stays_in_its_row(call: Function, op: Op) -> None:
    """NaN and infinities: the other rows come out bit by bit as without, sums over rows as they do
    in composed operations: finite where those are."""
    if roles(op).leading is None:
        return
    clean = drawn(op)
    before = results(call, clean)
    lead = [is_leading(op, c) for c in (*op.outputs, *op.differentiable)]
    for value in (float("nan"), float("inf"), -float("inf")):

        def poison(x: Tensor, value: float = value) -> Tensor:
            x[1].reshape(-1)[:1].fill_(value)
            return x

        spoilt = change(op, clean, poison)
        got, want = results(call, spoilt), truth(op, spoilt)
        for g, b, w, leads in zip(got, before, want, lead, strict=True):
            if leads:
                others = torch.arange(len(g)) != 1
                assert torch.equal(g[others], b[others]), (op.name, value)
            known = w.isfinite()
            if op.name not in KINKED:
                assert error(g[known], w[known]) <= EXACT, (op.name, value)


def check_zero_cotangents(call: Function, op: Op) -> None:
    """dy = 0 gives zeros, exactly."""
    sample = drawn(op)
    none = tuple(torch.zeros_like(c) for c in sample.cotangents)
    for gradient in results(call, replace(sample, cotangents=none))[len(op.outputs) :]:
        assert not gradient.any(), op.name


def axes_of(component: Component) -> list[set[str]]:
    """The names of the sizes that make each axis, as it is shown."""
    groups = component.tensor.axes(component.indices)
    return [{i.size.name for i in group} for group in groups]


def points_nowhere(op: Op, sample: Sample, size: str) -> bool:
    """Are there labels left by which something is picked, and nothing that they could point at?"""
    brackets = (b for e in op.equations for b in e.expr.atoms(Iverson))
    picking = {b.picks.tensor for b in brackets if b.picks is not None}
    return any(
        c.tensor in picking and isinstance(c.tensor, Labels) and c.tensor.values is not None
        and c.tensor.values.name == size and t.numel() > 0
        for c, t in zip(op.inputs, sample.inputs, strict=True)
    )  # fmt: skip


def check_empty(call: Function, op: Op) -> None:
    """Each size zero in turn, no rows or rows of no columns: what autograd makes of that, be it an
    error."""
    for size in dict.fromkeys(i.size.name for i in op.letters):

        def emptied(
            tensors: Sequence[Tensor], declared: Sequence[Component], size: str = size
        ) -> tuple[Tensor, ...]:
            return tuple(
                t[tuple(slice(0) if size in sizes else slice(None) for sizes in axes_of(c))]
                for t, c in zip(tensors, declared, strict=True)
            )

        full = drawn(op)
        sample = replace(
            full,
            inputs=emptied(full.inputs, op.inputs),
            cotangents=emptied(full.cotangents, op.outputs),
        )
        if points_nowhere(op, sample, size):
            with pytest.raises(
                (IndexError, RuntimeError),
                match="out of bounds|out of range|non-zero size|none of 0",
            ):
                results(call, sample)
            continue
        try:
            exact = truth(op, sample)
        except IndexError:  # there is no largest of no numbers
            with pytest.raises(IndexError, match="non-zero size"):
                results(call, sample)
            continue
        for got, want in zip(results(call, sample), exact, strict=True):
            # A sum of nothing is 0; autograd may have divided by the mean of nothing first.
            expected = torch.where(want.isnan() & (got == 0), got, want)
            torch.testing.assert_close(got, expected, rtol=EXACT, atol=EXACT, equal_nan=True)


# -- shapes and memory --------------------------------------------------------------------------


def check_ranks(call: Function, op: Op) -> None:
    """The leading axis is none, or up to four: the same bits, in other shapes."""
    if roles(op).leading is None:
        return
    several, one = drawn(op, rows=2, lead=4), drawn(op, rows=2, lead=1)
    flat = {1: results(call, one), 4: results(call, several)}
    for lead in ((), (2, 2), (1, 4, 1), (2, 1, 2, 1)):
        full = several if lead else one

        def deep(
            tensors: Sequence[Tensor],
            declared: Sequence[Component],
            lead: tuple[int, ...] = lead,
        ) -> tuple[Tensor, ...]:
            return tuple(
                t.reshape((*lead, *t.shape[1:])) if is_leading(op, c) else t
                for t, c in zip(tensors, declared, strict=True)
            )

        inputs, cotangents = deep(full.inputs, op.inputs), deep(full.cotangents, op.outputs)
        got = results(call, replace(full, inputs=inputs, cotangents=cotangents))
        want = flat[torch.Size(lead).numel()]
        for g, w, like in zip(got, want, (*cotangents, *real(inputs)), strict=True):
            assert g.shape == like.shape, op.name
            assert torch.equal(g.reshape(w.shape), w), op.name


def misaligned(t: Tensor) -> Tensor:
    """The same numbers, contiguous, one number after the start of their memory."""
    return torch.cat((t.new_zeros(1), t.flatten()))[1:].reshape(t.shape)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda t: t.mT.contiguous().mT if t.dim() > 1 else t,
    "strided": lambda t: torch.stack((t, t + 1), -1)[..., 0],
    "rows apart": lambda t: torch.cat((t, t + 1), -1)[..., : t.shape[-1]] if t.dim() else t,
    "flipped memory": lambda t: t.movedim(0, -1).contiguous().movedim(-1, 0) if t.dim() else t,
    "misaligned": misaligned,
    "expanded": lambda t: t[:1].expand(t.shape) if t.dim() else t,
}


def check_layouts(call: Function, op: Op) -> None:
    """Views of all kinds, of inputs and of cotangents, give what dense tensors give."""
    sample = drawn(op, rows=2)
    plain = results(call, sample)
    for name, laid in LAYOUTS.items():
        leaves = leaves_of(sample.inputs, laid)
        outputs = listed(call(*leaves))
        given = [laid(c) for c in sample.cotangents]
        known = [(o, g) for o, g in zip(outputs, given, strict=True) if o.requires_grad]
        gradients = torch.autograd.grad(
            [o for o, _ in known],
            real(leaves),
            [g for _, g in known],
            allow_unused=True,
            materialize_grads=True,
        )
        dense = Sample(tuple(t.contiguous() for t in leaves), tuple(g.contiguous() for g in given))
        want = results(call, dense) if name == "expanded" else plain
        for g, w in zip((*outputs, *gradients), want, strict=True):
            close = torch.allclose(g, w, rtol=EXACT, atol=1e-13, equal_nan=True)
            assert close, (op.name, name)


def check_a_shared_input(call: Function, op: Op) -> None:
    """One tensor as two inputs receives the sum of what each of them receives alone."""
    sample = drawn(op)
    places = [k for k, t in enumerate(sample.inputs) if t.is_floating_point()]
    for j, k in combinations(places, 2):
        first, second = sample.inputs[j], sample.inputs[k]
        if first.shape != second.shape:
            continue
        inputs = [*sample.inputs]
        inputs[k] = first
        apart = results(call, replace(sample, inputs=tuple(inputs)))[len(op.outputs) :]
        leaf = first.clone().requires_grad_()
        inputs[j] = inputs[k] = leaf
        torch.autograd.backward(listed(call(*inputs)), sample.cotangents)
        assert leaf.grad is not None
        both = apart[places.index(j)] + apart[places.index(k)]
        torch.testing.assert_close(leaf.grad, both, rtol=EXACT, atol=1e-13)


def check_single_gradients(call: Function, op: Op) -> None:
    """Whichever inputs ask for a gradient receive the one that they receive beside all others."""
    sample = drawn(op)
    want = results(call, sample)[len(op.outputs) :]
    places = range(len(op.differentiable))
    for needs in [[False for _ in places], *([j == k for j in places] for k in places)]:
        inputs = leaves_of(sample.inputs)
        leaves = [t.requires_grad_(n) for t, n in zip(real(inputs), needs, strict=True)]
        outputs = [(o, c) for o, c in zip(listed(call(*inputs)), sample.cotangents, strict=True)]
        assert all(o.requires_grad == any(needs) for o, _ in outputs), op.name
        if not any(needs):
            continue
        torch.autograd.backward([o for o, _ in outputs], [c for _, c in outputs])
        for leaf, needed, gradient in zip(leaves, needs, want, strict=True):
            assert (leaf.grad is not None) == needed, op.name
            assert leaf.grad is None or torch.equal(leaf.grad, gradient), op.name


def memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def check_nothing_else_changes(call: Function, op: Op) -> None:
    """Inputs and cotangents stay as they were; no two results lie in the same memory, so a second
    backward pass adds to each gradient once."""
    sample = drawn(op)
    leaves = leaves_of(sample.inputs)
    given = [c.clone() for c in sample.cotangents]
    outputs = listed(call(*leaves))
    torch.autograd.backward(outputs, given, retain_graph=True)
    first = [g.clone() for leaf in leaves if (g := leaf.grad) is not None]
    torch.autograd.backward(outputs, given)
    for now, before in zip((*leaves, *given), (*sample.inputs, *sample.cotangents), strict=True):
        assert torch.equal(now.detach(), before), op.name
        assert now._version == 0, op.name
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    assert all(torch.equal(g, 2 * f) for g, f in zip(gradients, first, strict=True)), op.name
    places = [memory(t) for t in (*leaves, *given, *outputs, *gradients) if t.numel()]
    assert len(places) == len(set(places)), op.name


def check_changed_outputs(call: Function, op: Op) -> None:
    """Each output may be changed in place, as those of torch's own functions may: gradients follow
    the change, and nothing that was saved is touched."""
    sample = drawn(op)
    want = results(call, replace(sample, cotangents=tuple(2 * c for c in sample.cotangents)))
    leaves = leaves_of(sample.inputs)
    outputs = [o.mul_(2) for o in listed(call(*leaves))]
    torch.autograd.backward(outputs, sample.cotangents)
    for leaf, gradient in zip(real(leaves), want[len(op.outputs) :], strict=True):
        assert leaf.grad is not None
        assert torch.equal(leaf.grad, gradient), op.name


def check_changed_inputs(call: Function, op: Op) -> None:
    """An input that is changed in place before the backward pass: an error, or no difference."""
    sample = drawn(op)
    want = results(call, sample)[len(op.outputs) :]
    for place in range(len(op.inputs)):
        leaves = leaves_of(sample.inputs)
        outputs = listed(call(*leaves))
        with torch.no_grad():
            leaves[place].mul_(-3)
        _assert_refused_or_same(outputs, leaves, sample, want)


def _assert_refused_or_same(
    outputs: Sequence[Tensor], leaves: Sequence[Tensor], sample: Sample, want: Sequence[Tensor]
) -> None:
    refusal = ""
    try:
        torch.autograd.backward(outputs, sample.cotangents)
    except RuntimeError as raised:
        refusal = str(raised)
    same = all(
        leaf.grad is not None and torch.equal(leaf.grad, gradient)
        for leaf, gradient in zip(real(leaves), want, strict=True)
    )
    assert same or "modified by an inplace operation" in refusal


def check_changed_statistics(call: Function, op: Op) -> None:
    """So it is with what was saved, inputs or not, for whoever lays hands on it."""
    sample = drawn(op)
    want = results(call, sample)[len(op.outputs) :]
    for place in range(len(_saved(call, sample)[1])):
        outputs, saved, leaves = _saved(call, sample)
        with torch.no_grad():
            saved[place].mul_(-3)
        _assert_refused_or_same(outputs, leaves, sample, want)


def _saved(
    call: Function, sample: Sample
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], list[Tensor]]:
    """Outputs, what was saved on the way to them, and the inputs."""
    leaves = leaves_of(sample.inputs)
    outputs = listed(call(*leaves))
    node: Any = outputs[0].grad_fn
    return outputs, node.saved_tensors, leaves


CHECKS: dict[str, Callable[[Function, Op], None]] = {
    "NaN stays in its row": check_nan_stays_in_its_row,
    "zero cotangents": check_zero_cotangents,
    "empty": check_empty,
    "ranks": check_ranks,
    "layouts": check_layouts,
    "a shared input": check_a_shared_input,
    "single gradients": check_single_gradients,
    "nothing else changes": check_nothing_else_changes,
    "changed outputs": check_changed_outputs,
    "changed inputs": check_changed_inputs,
    "changed statistics": check_changed_statistics,
}


# -- faults -------------------------------------------------------------------------------------


def broken(name: str, backend: str, *changes: tuple[str, str]) -> ModuleType:
    """A generated module with some of its text changed."""
    text = source(named(name), BACKENDS[backend])
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    return _imported(f"broken_{name}", text)
