"""Modules of `torch.nn` on generated code: the same arguments, state, text and start."""

from __future__ import annotations

import torch
from torch import Tensor

from derive.nn import functional as functional
from derive.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    elu,
    embedding,
    gelu,
    group_norm,
    huber_loss,
    layer_norm,
    linear,
    log_softmax,
    mish,
    mse_loss,
    rms_norm,
    silu,
    softmax,
    softplus,
)


class LayerNorm(torch.nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(torch.nn.RMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)


class GroupNorm(torch.nn.GroupNorm):
    def forward(self, input: Tensor) -> Tensor:
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class Linear(torch.nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


class Embedding(torch.nn.Embedding):
    def forward(self, input: Tensor) -> Tensor:
        return embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )


class Softmax(torch.nn.Softmax):
    def forward(self, input: Tensor) -> Tensor:
        return softmax(input, self.dim)


class LogSoftmax(torch.nn.LogSoftmax):
    def forward(self, input: Tensor) -> Tensor:
        return log_softmax(input, self.dim)


class GELU(torch.nn.GELU):
    def forward(self, input: Tensor) -> Tensor:
        return gelu(input, approximate=self.approximate)


class SiLU(torch.nn.SiLU):
    def forward(self, input: Tensor) -> Tensor:
        return silu(input, self.inplace)


class Mish(torch.nn.Mish):
    def forward(self, input: Tensor) -> Tensor:
        return mish(input, self.inplace)


class ELU(torch.nn.ELU):
    def forward(self, input: Tensor) -> Tensor:
        return elu(input, self.alpha, self.inplace)


class Softplus(torch.nn.Softplus):
    def forward(self, input: Tensor) -> Tensor:
        return softplus(input, self.beta, self.threshold)


class CrossEntropyLoss(torch.nn.CrossEntropyLoss):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class MSELoss(torch.nn.MSELoss):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, target, reduction=self.reduction)


class HuberLoss(torch.nn.HuberLoss):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class BCEWithLogitsLoss(torch.nn.BCEWithLogitsLoss):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(
            input, target, self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


__all__ = [
    "ELU",
    "GELU",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "Embedding",
    "GroupNorm",
    "HuberLoss",
    "LayerNorm",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Mish",
    "RMSNorm",
    "SiLU",
    "Softmax",
    "Softplus",
    "functional",
]
