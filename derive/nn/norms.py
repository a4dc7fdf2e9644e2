"""Norms of `torch.nn.functional` on generated code."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from derive.nn.stand_in import expect, generated, stands_in

# -- of rows --------------------------------------------------------------------------------------


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


# -- of channels ----------------------------------------------------------------------------------


@stands_in(F.batch_norm)
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """In training the running statistics are brought up to date, in place."""
    x = _channels(input, running_mean, running_var, weight, bias)
    if not training:
        return _view(_by_statistics(x, running_mean, running_var, weight, bias, eps), input)
    expect(eps > 0, "this eps")
    expect(input.dim() < 2 or x.shape[0] * x.shape[2] > 1, "one value a channel")
    y, mean, var = _by_own(_wide(x, running_mean), weight, bias, eps)
    _follow(running_mean, running_var, mean, var, x.shape[0] * x.shape[2], momentum)
    return _view(y, input).to(input.dtype)


@stands_in(F.instance_norm)
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """The running statistics are brought up to date, in place."""
    x = _channels(input, running_mean, running_var, weight, bias)
    if not use_input_stats:
        return _view(_by_statistics(x, running_mean, running_var, weight, bias, eps), input)
    expect(input.dim() > 2 and x.shape[2] > 1, "one value a channel")
    if running_mean is None:
        call = generated("instance_norm", ("gamma", weight, 1), ("beta", bias, 0), on=input)
        return _view(call(x, eps=eps), input)
    samples, channels, places = x.shape
    gamma, beta = (None if t is None else t.repeat(samples) for t in (weight, bias))
    x = _wide(x, running_mean).reshape(1, samples * channels, places)
    y, mean, var = _by_own(x, gamma, beta, eps)
    mean, var = (t.reshape(samples, channels).mean(0) for t in (mean, var))
    _follow(running_mean, running_var, mean, var, places, momentum)
    return _view(y, input).to(input.dtype)


def _channels(input: Tensor, *parameters: Tensor | None) -> Tensor:
    """Samples, channels, and all places as one axis."""
    expect(input.dim() >= 2, "an input without channels")
    _expect_parameters(input, input.shape[1:2], *parameters)
    return input.reshape(*input.shape[:2], prod(input.shape[2:]))


def _wide(x: Tensor, running: Tensor | None) -> Tensor:
    """In the type of the running statistics, which the input's may be too short for."""
    return x if running is None else x.to(torch.promote_types(x.dtype, running.dtype))


def _by_own(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Sequence[Tensor]:
    """The channels by their own means and variances, and these."""
    call = generated("batch_norm", ("gamma", weight, 1), ("beta", bias, 0), on=x)
    found: tuple[Tensor, ...] = call(x, eps=eps)
    return found


def _by_statistics(
    x: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    expect(mean is not None and var is not None, "evaluation without statistics")
    call = generated("norm_by", ("gamma", weight, 1), ("beta", bias, 0), on=x)
    found: Tensor = call(x, m=mean, v=var, eps=eps)
    return found


def _follow(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    mean: Tensor,
    var: Tensor,
    count: int,
    momentum: float,
) -> None:
    """Running statistics a step nearer to these; of the variance, without bias."""
    with torch.no_grad():
        if running_mean is not None:
            running_mean.mul_(1 - momentum).add_(mean.detach(), alpha=momentum)
        if running_var is not None:
            unbiased = momentum * count / (count - 1)
            running_var.mul_(1 - momentum).add_(var.detach(), alpha=unbiased)
