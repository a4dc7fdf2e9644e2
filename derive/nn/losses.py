"""Losses of `torch.nn.functional` on generated code.

A loss is one op with three outputs: the loss of each place, their sum, their mean. What is asked
for, without the weights that are not given, is a variant with a derivation of its own.
"""

from __future__ import annotations

import warnings
from math import prod
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn import _reduction

from derive.nn.stand_in import Part, broadcast, expect, generated, stands_in

OUTPUTS = {"none": "each", "sum": "total", "mean": "average"}

# -- of two tensors -------------------------------------------------------------------------------


@stands_in(F.mse_loss)
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    output = _output(reduction, size_average, reduce)
    return _of_pairs("squared_loss", input, target, output, weight)


@stands_in(F.l1_loss)
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    output = _output(reduction, size_average, reduce)
    return _of_pairs("absolute_loss", input, target, output, weight)


@stands_in(F.huber_loss)
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    expect(delta > 0, "this delta")
    return _of_pairs("huber_loss", input, target, _output(reduction), weight, bound=delta)


@stands_in(F.smooth_l1_loss)
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    output = _output(reduction, size_average, reduce)
    if beta == 0:  # torch's own case, too: nothing is near zero
        return _of_pairs("absolute_loss", input, target, output, None)
    expect(beta > 0, "this beta")
    return _at_places("smooth_loss", output, _alike(input, target), beta=beta)


def _of_pairs(
    name: str,
    input: Tensor,
    target: Tensor,
    output: str,
    weight: Tensor | None,
    **options: float,
) -> Tensor:
    expect(weight is None or weight.shape == input.shape, "a weight of another shape")
    return _at_places(name, output, _alike(input, target), ("w", weight, 1), **options)


def _alike(input: Tensor, target: Tensor) -> list[Tensor]:
    """Both in one shape; as torch does it, and warns."""
    if input.shape != target.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=5,
        )
    return [*broadcast(input, target)]


@stands_in(F.soft_margin_loss)
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    expect(input.shape == target.shape, "a target of another shape")
    return _at_places("soft_margin_loss", _output(reduction, size_average, reduce), [input, target])


@stands_in(F.kl_div)
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    old = size_average is not None or reduce is not None
    rows = reduction == "batchmean" and not old
    output = _output("sum" if rows else reduction, size_average, reduce)
    name = "divergence_of_logs" if log_target else "divergence"
    found = _at_places(name, output, [*broadcast(input, target)])
    return found / input.shape[0] if rows and input.dim() else found


@stands_in(F.poisson_nll_loss)
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    output = _output(reduction, size_average, reduce)
    name = "poisson_loss" if log_input else "poisson_loss_of_rates"
    options = {} if log_input else {"eps": eps}
    both = [*broadcast(input, target)]
    return _at_places(name, output, both, ("full", None, int(full)), **options)


@stands_in(F.binary_cross_entropy_with_logits)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    expect(input.shape == target.shape, "a target of another shape")
    output = _output(reduction, size_average, reduce)
    parts = ("w", _spread(weight, input), 1), ("p", _spread(pos_weight, input), 1)
    return _at_places("binary_loss", output, [input, target], *parts)


def _spread(weight: Tensor | None, input: Tensor) -> Tensor | None:
    return None if weight is None else weight.expand(input.shape)


def _at_places(
    name: str, output: str, pair: list[Tensor], *parts: Part, **options: float
) -> Tensor:
    """An op that knows of no axes: all places of the tensors in one row."""
    input, target = pair
    expect(input.dtype == target.dtype, "two of other kinds")
    rows = ((n, _row(value), number) for n, value, number in parts)
    call = generated(name, *rows, on=input, output=output)
    found: Tensor = call(input.reshape(-1), target.reshape(-1), **options)
    return found.reshape(input.shape) if output == "each" else found


def _row(value: Any) -> Any:
    return value.reshape(-1) if isinstance(value, Tensor) else value


# -- of rows --------------------------------------------------------------------------------------


@stands_in(F.nll_loss)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    output = _output(reduction, size_average, reduce)
    return _of_labels("likelihood_loss", output, input, target, weight, ignore=ignore_index)


@stands_in(F.cross_entropy)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    output = _output(reduction, size_average, reduce)
    expect(0 <= label_smoothing <= 1, "this smoothing")
    smoothing = ("smoothing", label_smoothing or None, 0)
    if target.shape == input.shape and target.is_floating_point():
        expect(ignore_index < 0, "a place to ignore in a dense target")
        return _of_chances(output, input, target, weight, smoothing)
    return _of_labels("label_loss", output, input, target, weight, smoothing, ignore=ignore_index)


def _of_labels(
    name: str,
    output: str,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    *parts: Part,
    **options: float,
) -> Tensor:
    expect(target.dtype == torch.int64, "a target that is no label")
    rows, shape = _rows(input)
    expect(target.shape == shape, "these shapes")
    _expect_weight(weight, input, rows)
    call = generated(name, ("w", weight, 1), *parts, on=input, output=output)
    found: Tensor = call(rows, target.reshape(-1), **options)
    return found.reshape(shape) if output == "each" else found


def _of_chances(
    output: str,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    *parts: Part,
) -> Tensor:
    expect(input.dtype == target.dtype, "a target of another type")
    (rows, shape), (chances, _) = _rows(input), _rows(target)
    _expect_weight(weight, input, rows)
    call = generated("dense_loss", ("w", weight, 1), *parts, on=input, output=output)
    found: Tensor = call(rows, chances)
    return found.reshape(shape) if output == "each" else found


def _rows(input: Tensor) -> tuple[Tensor, torch.Size]:
    """The classes, which are the second axis, as rows; and the shape of the other axes."""
    expect(input.dim() >= 1, "a number")
    last = input if input.dim() == 1 else input.movedim(1, -1)
    return last.reshape(prod(last.shape[:-1]), last.shape[-1]), last.shape[:-1]


def _expect_weight(weight: Tensor | None, input: Tensor, rows: Tensor) -> None:
    fits = weight is None or (weight.shape == rows.shape[1:] and weight.dtype == input.dtype)
    expect(fits, "weights of another shape or type")


def _output(reduction: str, average: bool | None = None, reduce: bool | None = None) -> str:
    """Which output of the op; the two old options say it, too."""
    if average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(average, reduce)
    expect(reduction in OUTPUTS, "this reduction")
    return OUTPUTS[reduction]
