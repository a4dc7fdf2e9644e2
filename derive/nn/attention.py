"""Attention of `torch.nn.functional` on generated code."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, broadcast_shapes

from derive.nn.stand_in import Part, expect, generated, stands_in


@stands_in(F.scaled_dot_product_attention)
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """With dropout, the places that are dropped are those of torch's own formulas."""
    expect(0 <= dropout_p < 1, "this dropout")
    expect(not (is_causal and attn_mask is not None), "two masks")
    expect(min(t.dim() for t in (query, key, value)) >= 2, "a row")
    if enable_gqa:
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    given = (query, key, value)
    lead = broadcast_shapes(*(t.shape[:-2] for t in given))  # type: ignore[no-untyped-call]  # torch's
    scores = torch.Size((*lead, query.shape[-2], key.shape[-2]))
    parts = [("drop", _dropped(query, scores, dropout_p), 1)]
    name = "attend_before" if is_causal else "attend" if attn_mask is None else "attend_where"
    if not is_causal:
        parts += _mask(query, attn_mask, scores)
    heads = (_heads(t, lead) for t in given)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    found: Tensor = generated(name, *parts, on=query)(*heads, scale=scale)
    return found.reshape(*lead, *found.shape[-2:])


def _heads(tensor: Tensor, lead: torch.Size) -> Tensor:
    """All leading axes as one."""
    shape = tensor.shape[-2:]
    return tensor.expand(*lead, *shape).reshape(math.prod(lead), *shape)


def _mask(query: Tensor, mask: Tensor | None, shape: torch.Size) -> list[Part]:
    """A mask is of places, or of numbers that are added, -inf of them for no place."""
    if mask is None:
        return [("bias", None, 0)]
    keep = mask if mask.dtype == torch.bool else mask > -math.inf
    bias = None if mask.dtype == torch.bool else _heads(torch.where(keep, mask, 0), shape[:-2])
    return [("bias", bias, 0), ("keep", _heads(keep.to(query.dtype), shape[:-2]), 1)]


def _dropped(query: Tensor, shape: torch.Size, chance: float) -> Tensor | None:
    """0 where a place is dropped; the others are made larger for it."""
    if not chance:
        return None
    kept = torch.empty(shape, dtype=query.dtype, device=query.device).bernoulli_(1 - chance)
    return _heads(kept / (1 - chance), shape[:-2])
