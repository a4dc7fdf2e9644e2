"""What torch itself computes for the ops of the catalogue: functions of the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

Draw = Callable[[torch.Generator], Tensor]


@dataclass(frozen=True)
class Native:
    """A function of torch's that an op must agree with, on inputs like these."""

    op: str
    function: Callable[..., Any]
    inputs: tuple[Draw, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)
    constant: frozenset[int] = frozenset()  # inputs that torch gives no gradient

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
    future = torch.ones(x.shape[-2:], dtype=torch.bool).triu(1)
    return x.masked_fill(future, -torch.inf).softmax(-1)


def masked_softmax(x: Tensor, mask: Tensor) -> Tensor:
    return x.masked_fill(mask <= 0, -torch.inf).softmax(-1).nan_to_num()


def cross_entropy(
    x: Tensor, t: Tensor, ignore: int = -100, smoothing: float = 0, z_weight: float = 0
) -> Tensor:
    z = x.logsumexp(-1)[t != ignore]
    loss = F.cross_entropy(x, t, ignore_index=ignore, label_smoothing=smoothing)
    return loss + z_weight * z.square().mean()


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
    return F.cross_entropy(q @ k.T / 0.07, torch.arange(len(q)))


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

_X, _H = normal(6, 9), normal(9)
_N, _T = normal(20), labels(6, below=9)
_ATTENTION = (normal(5, 4), normal(7, 4), normal(7, 3))

NATIVE = (
    Native("layer_norm", layer_norm, (_X, _H, _H)),
    Native("rope", rope, (normal(2, 5, 8), normal(5, 4), normal(5, 4))),
    Native("causal_conv1d", causal_conv1d, (normal(2, 6, 3), normal(4, 3), normal(3))),
    Native("inverse", torch.linalg.inv, (normal(5, 5),)),
    Native("linear_solve", torch.linalg.solve, (normal(5, 5), normal(5, 3))),
    Native("swiglu_joined", swiglu_joined, (normal(6, 8),)),
    Native("rms_norm", rms_norm, (_X, _H)),
    Native("group_norm", group_norm, (normal(3, 2, 4, 5), normal(2, 4), normal(2, 4))),
    Native(
        "instance_norm",
        lambda x, gamma, beta: F.instance_norm(x, weight=gamma, bias=beta),
        (normal(3, 4, 5), normal(4), normal(4)),
    ),
    Native("batch_norm", batch_norm, (normal(3, 4, 5), normal(4), normal(4))),
    Native("weight_norm", lambda v, g: torch._weight_norm(v, g[:, None], 0), (_X, normal(6))),
    Native("l2_normalize", F.normalize, (_X,)),
    Native(
        "l2_normalize", F.normalize, (given([0.0] * 4, [3.0, 4.0, 0.0, 0.0], dtype=torch.float64),)
    ),
    Native("add_layer_norm", add_layer_norm, (_X, _X, _H, _H)),
    Native("add_rms_norm", add_rms_norm, (_X, _X, _H)),
    Native("ada_layer_norm", ada_layer_norm, (normal(3, 5, 9), normal(3, 9), normal(3, 9))),
    Native("poly_norm", poly_norm, (_X, *(normal(),) * 4)),
    Native(
        "dyt",
        lambda x, alpha, gamma, beta: gamma * torch.tanh(alpha * x) + beta,
        (_X, normal(), _H, _H),
    ),
    Native("softmax", lambda x: x.softmax(-1), (_X,)),
    Native("log_softmax", lambda x: x.log_softmax(-1), (_X,)),
    Native("logsumexp", lambda x: x.logsumexp(-1), (_X,)),
    Native("causal_softmax", causal_softmax, (normal(3, 5, 5),)),
    Native("masked_softmax", masked_softmax, (_X, _X), constant=frozenset({1})),
    Native("softcap", lambda x: 50 * torch.tanh(x / 50), (_N,)),
    Native("cross_entropy", cross_entropy, (_X, _T)),
    Native("cross_entropy", cross_entropy, (_X, _T), {"smoothing": 0.1, "z_weight": 1e-2}),
    Native("cross_entropy", cross_entropy, (_X, _T), {"ignore": 4, "smoothing": 0.3}),
    Native("cross_entropy", cross_entropy, (_X, given(1, -100, 0, 8, -100, 2))),
    Native(
        "kl_div", lambda x, t: F.kl_div(x, t, reduction="batchmean"), (logs(6, 9), chances(6, 9))
    ),
    Native(
        "kl_div",
        lambda x, t: F.kl_div(x, t, reduction="batchmean"),
        (logs(6, 9), binary(6, 9)),
        constant=frozenset({1}),
    ),
    Native("js_div", js_div, (logs(6, 9), logs(6, 9))),
    Native(
        "tvd",
        lambda p, q: F.l1_loss(p, q, reduction="sum") / len(p) / 2,
        (chances(6, 9), chances(6, 9)),
    ),
    Native("bce_with_logits", F.binary_cross_entropy_with_logits, (_X, chances(6, 9))),
    Native("huber", F.huber_loss, (_X, _X)),
    Native("huber", lambda x, t, bound: F.huber_loss(x, t, delta=bound), (_X, _X), {"bound": 0.3}),
    Native("focal", focal, (_X, binary(6, 9)), constant=frozenset({1})),
    Native("info_nce", info_nce, (_X, _X)),
    Native("dpo", dpo, (_N, _N, _N, _N)),
    Native("mse", F.mse_loss, (_X, _X)),
    Native("relu", F.relu, (_N,)),
    Native("relu", F.relu, (given(-1.0, 0.0, 2.0, dtype=torch.float64),)),
    Native("relu_squared", lambda x: F.relu(x).square(), (_N,)),
    Native("silu", F.silu, (_N,)),
    Native("gelu", F.gelu, (_N,)),
    Native("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), (_N,)),
    Native("elu", F.elu, (_N,)),
    Native("elu", F.elu, (_N,), {"alpha": 0.7}),
    Native("mish", F.mish, (_N,)),
    Native("softplus", F.softplus, (_N,)),
    Native("swiglu", lambda a, b: F.silu(a) * b, (_N, _N)),
    Native("geglu", lambda a, b: F.gelu(a) * b, (_N, _N)),
    Native("linear", F.linear, (_X, normal(4, 9), normal(4))),
    Native("matmul", torch.matmul, (normal(5, 7), normal(7, 4))),
    Native("batched_matmul", torch.bmm, (normal(3, 5, 7), normal(3, 7, 4))),
    Native("bilinear", F.bilinear, (_X, normal(6, 4), normal(3, 9, 4), normal(3))),
    Native("lora", lora, (_X, normal(5, 9), normal(2, 9), normal(5, 2))),
    Native("squared_distances", lambda x, y: torch.cdist(x, y) ** 2, (normal(5, 4), normal(7, 4))),
    Native("cosine_similarity", F.cosine_similarity, (_X, _X)),
    Native("covariance", lambda x: torch.cov(x.T), (_X,)),
    Native("attention", F.scaled_dot_product_attention, _ATTENTION),
    Native("causal_attention", causal_attention, _ATTENTION),
    Native(
        "multi_head_attention",
        F.scaled_dot_product_attention,
        (normal(2, 3, 5, 4), normal(2, 3, 7, 4), normal(2, 3, 7, 3)),
    ),
    Native("linear_attention", linear_attention, _ATTENTION),
    Native("embedding", lambda w, t: F.embedding(t, w), (normal(9, 4), _T)),
    Native(
        "dropout_add",
        lambda x, residual, mask: x * mask / (1 - 0.1) + residual,
        (_N, _N, binary(20)),
        constant=frozenset({2}),
    ),
)
