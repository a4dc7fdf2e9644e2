"""Softmaxes, lengths, products and tables of `torch.nn.functional` on generated code."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from derive.nn.stand_in import broadcast, expect, generated, stands_in

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


@stands_in(F.softmin)
def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> Tensor:
    return _along("softmax", -input, dim, dtype)


def _along(
    name: str, input: Tensor, dim: int | None, dtype: torch.dtype | None, **options: float
) -> Tensor:
    """An op on rows along an axis; of rows without a number there is nothing to compute."""
    expect(dim is not None, "an axis that is not named")
    assert dim is not None
    x = input if dtype is None else input.to(dtype)
    rows = _row_of(x, dim)
    found: Tensor = generated(name, on=x)(rows, **options) if rows.shape[-1] else rows.clone()
    return found.reshape(()) if x.dim() == 0 else found.movedim(-1, dim)


def _row_of(x: Tensor, dim: int) -> Tensor:
    """The axis as the last; a number is a row of one."""
    axes = max(1, x.dim())
    expect(-axes <= dim < axes, "an axis that is not there")
    return x.movedim(dim, -1) if x.dim() else x.reshape(1)


# -- lengths and angles ---------------------------------------------------------------------------


@stands_in(F.normalize)
def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    expect(p > 0 and out is None, "another norm, or a place for the result")
    if p == math.inf:
        return _along("normalize_by_largest", input, dim, None, eps=eps)
    expect(eps**p > torch.finfo(torch.float32).tiny, "a norm whose power of eps is nothing")
    if p == 2:
        return _along("l2_normalize", input, dim, None, eps=eps)
    return _along("normalize_by", input, dim, None, p=p, eps=eps)


@stands_in(F.cosine_similarity)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    expect(x1.dtype == x2.dtype, "two of other types")
    rows = (_row_of(t, dim) for t in broadcast(x1, x2))
    found: Tensor = generated("cosine_similarity", on=x1)(*rows, eps)
    return found


# -- products and tables --------------------------------------------------------------------------


@stands_in(F.linear)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    expect(weight.dim() == 2, "a weight that is no matrix")
    expect(bias is None or bias.dim() == 1, "a bias that is no row")
    found: Tensor = generated("linear", ("bias", bias, 0), on=input)(input, w=weight)
    return found


@stands_in(F.bilinear)
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    lead = input1.shape[:-1]
    expect(input1.dim() > 0 and lead == input2.shape[:-1], "two of other shapes")
    expect(weight.dim() == 3 and (bias is None or bias.dim() == 1), "these weights")
    rows = (t.reshape(math.prod(lead), t.shape[-1]) for t in (input1, input2))
    call = generated("bilinear", ("bias", bias, 0), on=input1)
    found: Tensor = call(*rows, w=weight)
    return found.reshape(*lead, weight.shape[0])


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
    """With `max_norm` the rows that are asked for are shortened, in place, as torch does it."""
    expect(not scale_grad_by_freq and not sparse, "a gradient of another kind")
    expect(input.dtype in (torch.int64, torch.int32), "a label of this type")
    if max_norm is not None:
        torch.embedding_renorm_(weight.detach(), input.contiguous(), max_norm, norm_type)
    found: Tensor = generated("embedding", on=weight)(weight, input)
    if padding_idx is None:
        return found
    size = weight.shape[0]
    expect(-size <= padding_idx < size, "a place outside the table")
    return torch.where((input == padding_idx % size)[..., None], found.detach(), found)
