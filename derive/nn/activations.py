"""Activations of `torch.nn.functional` on generated code: each number by itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from derive.nn.stand_in import expect, generated, stands_in


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


@stands_in(F.sigmoid)
def sigmoid(input: Tensor) -> Tensor:
    return _pointwise("logistic", input)


@stands_in(F.tanh)
def tanh(input: Tensor) -> Tensor:
    return _pointwise("hyperbolic_tangent", input)


@stands_in(F.logsigmoid)
def logsigmoid(input: Tensor) -> Tensor:
    return _pointwise("log_logistic", input)


@stands_in(F.tanhshrink)
def tanhshrink(input: Tensor) -> Tensor:
    return _pointwise("tangent_shrink", input)


@stands_in(F.softsign)
def softsign(input: Tensor) -> Tensor:
    return _pointwise("soft_sign", input)


@stands_in(F.leaky_relu)
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    return _pointwise("leaky", input, inplace, slope=negative_slope)


@stands_in(F.hardtanh)
def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    expect(min_val <= max_val, "these bounds")
    return _pointwise("cut", input, inplace, low=min_val, high=max_val)


@stands_in(F.relu6)
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    return _pointwise("cut", input, inplace, low=0, high=6)


@stands_in(F.hardsigmoid)
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    return _pointwise("hard_logistic", input, inplace)


@stands_in(F.hardswish)
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    return _pointwise("hard_swish", input, inplace)


@stands_in(F.celu)
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    expect(alpha != 0, "this alpha")
    return _pointwise("continuous_elu", input, inplace, alpha=alpha)


@stands_in(F.selu)
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    return _pointwise("scaled_elu", input, inplace)


@stands_in(F.softshrink)
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    expect(lambd >= 0, "this bound")
    return _pointwise("soft_shrink", input, bound=lambd)


@stands_in(F.hardshrink)
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    return _pointwise("hard_shrink", input, bound=lambd)


@stands_in(F.threshold)
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    return _pointwise("above", input, inplace, bound=threshold, value=value)


@stands_in(F.glu)
def glu(input: Tensor, dim: int = -1) -> Tensor:
    axes = input.dim()
    expect(-axes <= dim < axes and input.shape[dim] % 2 == 0, "an axis without halves")
    halves = input.chunk(2, dim)
    found: Tensor = generated("gated", on=input)(*(h.reshape(-1) for h in halves))
    return found.reshape(halves[0].shape)


def _pointwise(name: str, input: Tensor, inplace: bool = False, **options: float) -> Tensor:
    """In place, the result is computed of a copy, which the backward pass needs, and then put."""
    rows = (input.clone() if inplace else input).reshape(-1)
    found: Tensor = generated(name, on=input)(rows, **options).reshape(input.shape)
    return input.copy_(found) if inplace else found
