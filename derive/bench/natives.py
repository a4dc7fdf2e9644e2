"""What torch itself computes for the ops of the catalogue, by name: functions of the same inputs.

They are who the generated code is held against: in values by the tests, in time by `derive bench`.
An op of yours that has one of these names takes part with it only if both compute the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# -- functions that torch has under another name, or in parts -------------------------------------


def group_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    joined = x.flatten(1, 2)
    return F.group_norm(joined, x.shape[1], gamma.flatten(), beta.flatten()).view_as(x)


def batch_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y = F.batch_norm(x, None, None, gamma, beta, training=True)
    return y, x.mean((0, 2)), x.var((0, 2), unbiased=False)


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return F.layer_norm(x, gamma.shape, gamma, beta)


def rms_norm(x: Tensor, gamma: Tensor) -> Tensor:
    return F.rms_norm(x, gamma.shape, gamma, 1e-6)


def add_layer_norm(
    x: Tensor, residual: Tensor, gamma: Tensor, beta: Tensor
) -> tuple[Tensor, Tensor]:
    return layer_norm(x + residual, gamma, beta), x + residual


def add_rms_norm(x: Tensor, residual: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    return rms_norm(x + residual, gamma), x + residual


def ada_layer_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    y = F.layer_norm(x, x.shape[-1:], eps=1e-6)
    return y * (1 + scale[:, None]) + shift[:, None]


def poly_norm(x: Tensor, a1: Tensor, a2: Tensor, a3: Tensor, shift: Tensor) -> Tensor:
    y1, y2, y3 = (F.rms_norm(x**n, x.shape[-1:], eps=1e-6) for n in (1, 2, 3))
    return a1 * y1 + a2 * y2 + a3 * y3 + shift


def causal_softmax(x: Tensor) -> Tensor:
    future = torch.ones(x.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
    return x.masked_fill(future, -torch.inf).softmax(-1)


def masked_softmax(x: Tensor, mask: Tensor) -> Tensor:
    return x.masked_fill(mask <= 0, -torch.inf).softmax(-1).nan_to_num()


def cross_entropy(
    x: Tensor, t: Tensor, ignore: float = -100, smoothing: float = 0, z_weight: float = 0
) -> Tensor:
    loss = F.cross_entropy(x, t, ignore_index=int(ignore), label_smoothing=smoothing)
    if not z_weight:
        return loss
    return loss + z_weight * x.logsumexp(-1)[t != ignore].square().mean()


def js_div(x: Tensor, y: Tensor) -> Tensor:
    mixture = ((x.exp() + y.exp()) / 2).log()
    p, q = (F.kl_div(mixture, t, reduction="batchmean", log_target=True) for t in (x, y))
    return (p + q) / 2


def focal(x: Tensor, t: Tensor) -> Tensor:
    """`sigmoid_focal_loss` of torchvision."""
    p = torch.sigmoid(x)
    p_t = p * t + (1 - p) * (1 - t)
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none") * (1 - p_t) ** 2
    return ((0.25 * t + 0.75 * (1 - t)) * loss).mean()


def info_nce(q: Tensor, k: Tensor) -> Tensor:
    return F.cross_entropy(q @ k.T / 0.07, torch.arange(len(q), device=q.device))


def dpo(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor) -> Tensor:
    return -F.logsigmoid(0.1 * ((chosen - rejected) - (ref_chosen - ref_rejected))).mean()


def lora(x: Tensor, w: Tensor, down: Tensor, up: Tensor) -> Tensor:
    return F.linear(x, w + 16 / len(down) * (up @ down))


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (F.elu(q) + 1) @ (F.elu(k) + 1).T
    return weights / weights.sum(-1, keepdim=True) @ v


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def rope(x: Tensor, c: Tensor, z: Tensor) -> Tensor:
    one, other = x.chunk(2, -1)
    return torch.cat((one * c - other * z, other * c + one * z), -1)


def causal_conv1d(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
    padded = F.pad(x.mT, (len(w) - 1, 0))
    return F.conv1d(padded, w.flip(0).T[:, None], bias, groups=w.shape[1]).mT


def swiglu_joined(x: Tensor) -> Tensor:
    gate, value = x.chunk(2, -1)
    return F.silu(gate) * value


# -- the table ------------------------------------------------------------------------------------

NATIVES: Mapping[str, Callable[..., Any]] = {
    "ada_layer_norm": ada_layer_norm,
    "add_layer_norm": add_layer_norm,
    "add_rms_norm": add_rms_norm,
    "attention": F.scaled_dot_product_attention,
    "batch_norm": batch_norm,
    "batched_matmul": torch.bmm,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "bilinear": F.bilinear,
    "causal_attention": causal_attention,
    "causal_conv1d": causal_conv1d,
    "causal_softmax": causal_softmax,
    "cosine_similarity": F.cosine_similarity,
    "covariance": lambda x: torch.cov(x.T),
    "cross_entropy": cross_entropy,
    "dpo": dpo,
    "dropout_add": lambda x, residual, mask: x * mask / (1 - 0.1) + residual,
    "dyt": lambda x, alpha, gamma, beta: gamma * torch.tanh(alpha * x) + beta,
    "elu": F.elu,
    "embedding": lambda w, t: F.embedding(t, w),
    "focal": focal,
    "geglu": lambda a, b: F.gelu(a) * b,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "group_norm": group_norm,
    "huber": lambda x, t, bound=1.0: F.huber_loss(x, t, delta=bound),
    "info_nce": info_nce,
    "instance_norm": lambda x, gamma, beta: F.instance_norm(x, weight=gamma, bias=beta),
    "inverse": torch.linalg.inv,
    "js_div": js_div,
    "kl_div": lambda x, t: F.kl_div(x, t, reduction="batchmean"),
    "l2_normalize": F.normalize,
    "layer_norm": layer_norm,
    "linear": F.linear,
    "linear_attention": linear_attention,
    "linear_solve": torch.linalg.solve,
    "log_softmax": lambda x: x.log_softmax(-1),
    "logsumexp": lambda x: x.logsumexp(-1),
    "lora": lora,
    "masked_softmax": masked_softmax,
    "matmul": torch.matmul,
    "mish": F.mish,
    "mse": F.mse_loss,
    "multi_head_attention": F.scaled_dot_product_attention,
    "poly_norm": poly_norm,
    "relu": F.relu,
    "relu_squared": lambda x: F.relu(x).square(),
    "rms_norm": rms_norm,
    "rope": rope,
    "silu": F.silu,
    "softcap": lambda x: 50 * torch.tanh(x / 50),
    "softmax": lambda x: x.softmax(-1),
    "softplus": F.softplus,
    "squared_distances": lambda x, y: torch.cdist(x, y) ** 2,
    "swiglu": lambda a, b: F.silu(a) * b,
    "swiglu_joined": swiglu_joined,
    "tvd": lambda p, q: F.l1_loss(p, q, reduction="sum") / len(p) / 2,
    "weight_norm": lambda v, g: torch._weight_norm(v, g[:, None], 0),  # noqa: SLF001  # as nn does
}
