"""Functions of `torch.nn.functional` on generated code: the same arguments, types and errors.

An argument that may be None has a variant of its own without it, derived from equations in which a
number stands for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from derive.nn.stand_in import expect, generated, stands_in

# -- norms ----------------------------------------------------------------------------------------


@stands_in(F.layer_norm)
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    rows = _rows(input, normalized_shape, weight, bias)
    call = generated("layer_norm", ("gamma", _flat(weight), 1), ("beta", _flat(bias), 0), on=input)
    return _view(call(rows, eps=eps), input)


@stands_in(F.rms_norm)
def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    rows = _rows(input, normalized_shape, weight)
    if eps is None:
        eps = torch.finfo(torch.float64 if input.dtype == torch.float64 else torch.float32).eps
    call = generated("rms_norm", ("gamma", _flat(weight), 1), on=input)
    return _view(call(rows, eps=eps), input)


@stands_in(F.group_norm)
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    expect(input.dim() >= 2 and num_groups > 0, "an input without channels")
    samples, channels = input.shape[:2]
    expect(channels % num_groups == 0, "a group of some channels")
    _expect_parameters(input, (channels,), weight, bias)
    gamma, beta = (None if t is None else t.reshape(num_groups, -1) for t in (weight, bias))
    call = generated("group_norm", ("gamma", gamma, 1), ("beta", beta, 0), on=input)
    places = prod(input.shape[2:])
    x = input.reshape(samples, num_groups, channels // num_groups, places)
    return _view(call(x, eps=eps), input)


def _rows(input: Tensor, shape: Sequence[int], *parameters: Tensor | None) -> Tensor:
    """The last axes as one."""
    shape = tuple(shape)
    lead = input.dim() - len(shape)
    expect(bool(shape) and lead >= 0 and input.shape[lead:] == shape, "this shape")
    _expect_parameters(input, shape, *parameters)
    return input.reshape(*input.shape[:lead], prod(shape))


def _expect_parameters(input: Tensor, shape: Sequence[int], *parameters: Tensor | None) -> None:
    """Parameters are of the input's type, or fp32 where that is short."""
    for tensor in (t for t in parameters if t is not None):
        expect(tensor.shape == tuple(shape), "a parameter of another shape")
        short = input.dtype in (torch.float16, torch.bfloat16) and tensor.dtype == torch.float32
        expect(short or tensor.dtype == input.dtype, "a parameter of another type")


def _flat(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.reshape(-1)


def _view(output: Tensor, input: Tensor) -> Tensor:
    return output.reshape(input.shape)


# -- softmaxes ------------------------------------------------------------------------------------


@stands_in(F.softmax)
def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> Tensor:
    return _along("softmax", input, dim, dtype)


@stands_in(F.log_softmax)
def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> Tensor:
    return _along("log_softmax", input, dim, dtype)


def _along(name: str, input: Tensor, dim: int | None, dtype: torch.dtype | None) -> Tensor:
    """An op on rows along an axis; a number is a row of one."""
    expect(dim is not None, "an axis that is not named")
    assert dim is not None
    x = input if dtype is None else input.to(dtype)
    axes = max(1, x.dim())
    expect(-axes <= dim < axes, "an axis that is not there")
    rows = x.reshape(1) if x.dim() == 0 else x.movedim(dim, -1)
    found: Tensor = generated(name, on=x)(rows)
    return found.reshape(()) if x.dim() == 0 else found.movedim(-1, dim)


# -- products and tables --------------------------------------------------------------------------


@stands_in(F.linear)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    expect(weight.dim() == 2, "a weight that is no matrix")
    expect(bias is None or bias.dim() == 1, "a bias that is no row")
    found: Tensor = generated("linear", ("bias", bias, 0), on=input)(input, w=weight)
    return found


@stands_in(F.embedding)
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    plain = padding_idx is None and max_norm is None and not scale_grad_by_freq and not sparse
    expect(plain, f"an option of the table (norm {norm_type})")
    expect(input.dtype in (torch.int64, torch.int32), "a label of this type")
    found: Tensor = generated("embedding", on=weight)(weight, input)
    return found


# -- activations ----------------------------------------------------------------------------------


@stands_in(F.gelu)
def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    names = {"none": "gelu", "tanh": "gelu_tanh"}
    expect(approximate in names, "this approximation")
    return _pointwise(names[approximate], input)


@stands_in(F.silu)
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    return _pointwise("silu", input, inplace)


@stands_in(F.mish)
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    return _pointwise("mish", input, inplace)


@stands_in(F.relu)
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    return _pointwise("relu", input, inplace)


@stands_in(F.elu)
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    return _pointwise("elu", input, inplace, alpha=alpha)


@stands_in(F.softplus)
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    x = input * beta
    return torch.where(x > threshold, input, _pointwise("softplus", x) / beta)


def _pointwise(name: str, input: Tensor, inplace: bool = False, **options: float) -> Tensor:
    expect(not inplace, "a change in place")
    return _view(generated(name, on=input)(input.reshape(-1), **options), input)


# -- losses ---------------------------------------------------------------------------------------


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
    old = size_average is not None or reduce is not None
    expect(weight is None and not old and reduction == "mean", "weights, or another reduction")
    expect(target.dtype == torch.int64, "a target that is no label")
    expect(0 <= label_smoothing <= 1, "this smoothing")
    classes = input.unsqueeze(0) if input.dim() == 1 else input.movedim(1, -1)
    labels = target.unsqueeze(0) if input.dim() == 1 else target
    expect(input.dim() >= 1 and labels.shape == classes.shape[:-1], "these shapes")
    expect(input.numel() > 0, "an empty input")
    call = generated("cross_entropy", on=input)
    found: Tensor = call(
        classes.reshape(-1, classes.shape[-1]),
        labels.reshape(-1),
        ignore=ignore_index,
        smoothing=label_smoothing,
    )
    return found


@stands_in(F.mse_loss)
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    expect(size_average is None and reduce is None and weight is None, "weights, or old options")
    return _of_pairs("mse", input, target, reduction)


@stands_in(F.huber_loss)
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    expect(weight is None and delta > 0, "weights, or this delta")
    return _of_pairs("huber", input, target, reduction, bound=delta)


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
    plain = weight is None and pos_weight is None and size_average is None and reduce is None
    expect(plain and input.shape == target.shape, "weights, old options, or shapes that differ")
    return _of_pairs("bce_with_logits", input, target, reduction)


def _of_pairs(name: str, input: Tensor, target: Tensor, reduction: str, **options: float) -> Tensor:
    """The mean over all places, or their sum."""
    expect(reduction in ("mean", "sum"), "a loss of each place")
    expect(input.shape == target.shape and input.dtype == target.dtype, "two of other kinds")
    expect(input.numel() > 0, "an empty input")
    x, t = (tensor.reshape(1, -1) for tensor in (input, target))
    mean: Tensor = generated(name, on=input)(x, t, **options)
    return mean * input.numel() if reduction == "sum" else mean
