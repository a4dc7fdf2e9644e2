"""What torch itself computes for the ops of the catalogue: functions of the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from derive.bench.natives import NATIVES

Draw = Callable[[torch.Generator], Tensor]


@dataclass(frozen=True)
class Native:
    """A function of torch's that an op must agree with, on inputs like these."""

    op: str
    inputs: tuple[Draw, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)
    constant: frozenset[int] = frozenset()  # inputs that torch gives no gradient

    @property
    def function(self) -> Callable[..., Any]:
        return NATIVES[self.op]

    def draw(self, seed: int = 0) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        return tuple(draw(generator) for draw in self.inputs)


# -- inputs ---------------------------------------------------------------------------------------


def normal(*shape: int) -> Draw:
    return lambda generator: torch.randn(shape, generator=generator, dtype=torch.float64)


def chances(*shape: int) -> Draw:
    """Probabilities: each row is a distribution."""
    return lambda generator: normal(*shape)(generator).softmax(-1)


def logs(*shape: int) -> Draw:
    """The logarithms of probabilities."""
    return lambda generator: normal(*shape)(generator).log_softmax(-1)


def labels(*shape: int, below: int) -> Draw:
    return lambda generator: torch.randint(below, shape, generator=generator)


def binary(*shape: int) -> Draw:
    """Zeros and ones, as floating-point numbers."""
    return lambda generator: torch.randint(2, shape, generator=generator).double()


def given(*rows: Any, dtype: torch.dtype | None = None) -> Draw:
    return lambda _: torch.tensor(rows, dtype=dtype)


# -- the table ------------------------------------------------------------------------------------

_X, _H = normal(6, 9), normal(9)
_N, _T = normal(20), labels(6, below=9)
_ATTENTION = (normal(5, 4), normal(7, 4), normal(7, 3))

NATIVE = (
    Native("layer_norm", (_X, _H, _H)),
    Native("rope", (normal(2, 5, 8), normal(5, 4), normal(5, 4))),
    Native("causal_conv1d", (normal(2, 6, 3), normal(4, 3), normal(3))),
    Native("inverse", (normal(5, 5),)),
    Native("linear_solve", (normal(5, 5), normal(5, 3))),
    Native("swiglu_joined", (normal(6, 8),)),
    Native("rms_norm", (_X, _H)),
    Native("group_norm", (normal(3, 2, 4, 5), normal(2, 4), normal(2, 4))),
    Native("instance_norm", (normal(3, 4, 5), normal(4), normal(4))),
    Native("batch_norm", (normal(3, 4, 5), normal(4), normal(4))),
    Native("weight_norm", (_X, normal(6))),
    Native("l2_normalize", (_X,)),
    Native("l2_normalize", (given([0.0] * 4, [3.0, 4.0, 0.0, 0.0], dtype=torch.float64),)),
    Native("add_layer_norm", (_X, _X, _H, _H)),
    Native("add_rms_norm", (_X, _X, _H)),
    Native("ada_layer_norm", (normal(3, 5, 9), normal(3, 9), normal(3, 9))),
    Native("poly_norm", (_X, *(normal(),) * 4)),
    Native("dyt", (_X, normal(), _H, _H)),
    Native("softmax", (_X,)),
    Native("log_softmax", (_X,)),
    Native("logsumexp", (_X,)),
    Native("causal_softmax", (normal(3, 5, 5),)),
    Native("masked_softmax", (_X, _X), constant=frozenset({1})),
    Native("softcap", (_N,)),
    Native("cross_entropy", (_X, _T)),
    Native("cross_entropy", (_X, _T), {"smoothing": 0.1, "z_weight": 1e-2}),
    Native("cross_entropy", (_X, _T), {"ignore": 4, "smoothing": 0.3}),
    Native("cross_entropy", (_X, given(1, -100, 0, 8, -100, 2))),
    Native("kl_div", (logs(6, 9), chances(6, 9))),
    Native("kl_div", (logs(6, 9), binary(6, 9)), constant=frozenset({1})),
    Native("js_div", (logs(6, 9), logs(6, 9))),
    Native("tvd", (chances(6, 9), chances(6, 9))),
    Native("bce_with_logits", (_X, chances(6, 9))),
    Native("huber", (_X, _X)),
    Native("huber", (_X, _X), {"bound": 0.3}),
    Native("focal", (_X, binary(6, 9)), constant=frozenset({1})),
    Native("info_nce", (_X, _X)),
    Native("dpo", (_N, _N, _N, _N)),
    Native("mse", (_X, _X)),
    Native("relu", (_N,)),
    Native("relu", (given(-1.0, 0.0, 2.0, dtype=torch.float64),)),
    Native("relu_squared", (_N,)),
    Native("silu", (_N,)),
    Native("gelu", (_N,)),
    Native("gelu_tanh", (_N,)),
    Native("elu", (_N,)),
    Native("elu", (_N,), {"alpha": 0.7}),
    Native("mish", (_N,)),
    Native("softplus", (_N,)),
    Native("swiglu", (_N, _N)),
    Native("geglu", (_N, _N)),
    Native("linear", (_X, normal(4, 9), normal(4))),
    Native("matmul", (normal(5, 7), normal(7, 4))),
    Native("batched_matmul", (normal(3, 5, 7), normal(3, 7, 4))),
    Native("bilinear", (_X, normal(6, 4), normal(3, 9, 4), normal(3))),
    Native("lora", (_X, normal(5, 9), normal(2, 9), normal(5, 2))),
    Native("squared_distances", (normal(5, 4), normal(7, 4))),
    Native("cosine_similarity", (_X, _X)),
    Native("covariance", (_X,)),
    Native("attention", _ATTENTION),
    Native("causal_attention", _ATTENTION),
    Native("multi_head_attention", (normal(2, 3, 5, 4), normal(2, 3, 7, 4), normal(2, 3, 7, 3))),
    Native("linear_attention", _ATTENTION),
    Native("embedding", (normal(9, 4), _T)),
    Native("dropout_add", (_N, _N, binary(20)), constant=frozenset({2})),
)
