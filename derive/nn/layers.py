"""Modules of `torch.nn` with parameters or statistics, or along an axis, on generated code."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from derive.nn.functional import (
    batch_norm,
    bilinear,
    cosine_similarity,
    embedding,
    group_norm,
    instance_norm,
    layer_norm,
    linear,
    log_softmax,
    rms_norm,
    softmax,
    softmin,
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


class _OfBatches(_BatchNorm):
    """What torch's own does, but for the function that is called."""

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)  # type: ignore[no-untyped-call]  # torch's
        follows = self.track_running_stats or not self.training
        own = self.training or (self.running_mean is None and self.running_var is None)
        return batch_norm(
            input,
            self.running_mean if follows else None,
            self.running_var if follows else None,
            self.weight,
            self.bias,
            own,
            self._step(),
            self.eps,
        )

    def _step(self) -> float:
        """How far the running statistics go: without a momentum they are means of all batches."""
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                return 1.0 / float(self.num_batches_tracked)
        return self.momentum or 0.0


class BatchNorm1d(_OfBatches, torch.nn.BatchNorm1d):
    pass


class BatchNorm2d(_OfBatches, torch.nn.BatchNorm2d):
    pass


class BatchNorm3d(_OfBatches, torch.nn.BatchNorm3d):
    pass


class _OfInstances(_InstanceNorm):
    def _apply_instance_norm(self, input: Tensor) -> Tensor:
        return instance_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum or 0.0,
            self.eps,
        )


class InstanceNorm1d(_OfInstances, torch.nn.InstanceNorm1d):
    pass


class InstanceNorm2d(_OfInstances, torch.nn.InstanceNorm2d):
    pass


class InstanceNorm3d(_OfInstances, torch.nn.InstanceNorm3d):
    pass


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


class Softmin(torch.nn.Softmin):
    def forward(self, input: Tensor) -> Tensor:
        return softmin(input, self.dim)


class Bilinear(torch.nn.Bilinear):
    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return bilinear(input1, input2, self.weight, self.bias)


class CosineSimilarity(torch.nn.CosineSimilarity):
    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return cosine_similarity(x1, x2, self.dim, self.eps)
