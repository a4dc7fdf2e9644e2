"""A gradient penalty, which needs the gradient of a gradient, through generated operations.

    python examples/gradient_penalty.py [--steps 100] [--seed 0] [--quick]

The critic of a WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028) is drawn to gradients of length 1
at points between real and generated samples: its loss holds a gradient, so that training it
differentiates twice. All its layers are generated; their second derivatives are derived too. The
gradients of the loss are compared, in fp64, with those of the same critic made of torch's
elementary operations and differentiated by autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import click
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from derive.generated.torch.gelu import gelu
from derive.generated.torch.layer_norm import (
    layer_norm,
    layer_norm_backward,
    layer_norm_forward,
)
from derive.generated.torch.linear import linear

SIZES = (2, 64, 64, 1)  # of what each layer reads and gives
BATCH, RATE, PENALTY = 64, 2e-3, 10.0
STEPS, QUICK_STEPS = 100, 5
Weights = dict[str, Tensor]
Loss = tuple[Tensor, Tensor]  # the loss, and the mean length of the gradient that is in it


# -- the critic -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operations:
    """What a critic is made of."""

    linear: Callable[[Tensor, Tensor, Tensor], Tensor]
    layer_norm: Callable[[Tensor, Tensor, Tensor], Tensor]
    gelu: Callable[[Tensor], Tensor]


def composed_layer_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + 1e-5) * gamma + beta


class Fused(torch.autograd.Function):
    """The same passes, wrapped as fused kernels often are: autograd may go through them once."""

    @staticmethod
    def forward(ctx, x, gamma, beta):
        y, *saved = layer_norm_forward(x, gamma, beta)
        ctx.save_for_backward(*saved)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        return layer_norm_backward(dy, *ctx.saved_tensors)


GENERATED = Operations(linear, layer_norm, gelu)
COMPOSED = Operations(
    linear=lambda x, w, bias: x @ w.T + bias,
    layer_norm=composed_layer_norm,
    gelu=lambda x: x / 2 * (1 + torch.erf(x / math.sqrt(2))),
)
ONCE = Operations(linear, Fused.apply, gelu)


def initial(seed: int) -> Weights:
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    for layer, (inputs, outputs) in enumerate(pairwise(SIZES)):
        drawn = torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
        weights[f"{layer}.w"] = drawn / math.sqrt(inputs)
        weights[f"{layer}.bias"] = torch.randn(outputs, generator=generator, dtype=torch.float64)
        if outputs > 1:
            weights[f"{layer}.gamma"] = torch.ones(outputs, dtype=torch.float64)
            weights[f"{layer}.beta"] = torch.zeros(outputs, dtype=torch.float64)
    return {name: weight.requires_grad_() for name, weight in weights.items()}


def critic(ops: Operations, weights: Weights, x: Tensor) -> Tensor:
    """A number for each row of x: high where it looks real."""
    for layer in range(len(SIZES) - 1):
        x = ops.linear(x, weights[f"{layer}.w"], weights[f"{layer}.bias"])
        if f"{layer}.gamma" in weights:
            x = ops.layer_norm(x, weights[f"{layer}.gamma"], weights[f"{layer}.beta"])
            x = ops.gelu(x)
    return x.squeeze(-1)


# -- its loss -------------------------------------------------------------------------------------


def samples(seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Points of a ring, points of a blob, and points between them; forever."""
    generator = torch.Generator().manual_seed(seed)

    def normal(columns: int) -> Tensor:
        return torch.randn(BATCH, columns, generator=generator, dtype=torch.float64)

    while True:
        real = torch.nn.functional.normalize(normal(2)) * 2 + 0.05 * normal(2)
        fake = normal(2) * 0.5
        part = torch.rand(BATCH, 1, generator=generator, dtype=torch.float64)
        yield real, fake, part * real + (1 - part) * fake


def loss_of(ops: Operations, weights: Weights, real: Tensor, fake: Tensor, between: Tensor) -> Loss:
    """How badly the critic tells real from fake, and the penalty on the slope between them."""
    between = between.detach().requires_grad_()
    scores = critic(ops, weights, between)
    (slope,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    length = slope.norm(dim=1)
    apart = critic(ops, weights, fake).mean() - critic(ops, weights, real).mean()
    return apart + PENALTY * ((length - 1) ** 2).mean(), length.mean()


def gradients(ops: Operations, weights: Weights, *batch: Tensor) -> Weights:
    """Of the loss, for each weight: derivatives of derivatives are in them."""
    loss, _ = loss_of(ops, weights, *batch)
    names = list(weights)
    found = torch.autograd.grad(loss, [weights[name] for name in names])
    return dict(zip(names, found, strict=True))


# -- what is compared -----------------------------------------------------------------------------


def errors(ops: Operations, seed: int) -> dict[str, float]:
    """Of the gradients, beside the composed critic's: largest difference over largest value."""
    weights, batch = initial(seed), next(samples(seed))
    found, truth = (gradients(these, weights, *batch) for these in (ops, COMPOSED))
    return {name: relative(found[name], truth[name]) for name in truth}


def relative(found: Tensor, truth: Tensor) -> float:
    """Absolute where the truth is zero: the last bias has no say in a difference of scores."""
    size = truth.abs().max().item()
    return (found - truth).abs().max().item() / (size if size > 1e-12 else 1)


def train(ops: Operations, steps: int, seed: int) -> list[tuple[float, float]]:
    """The loss and the mean length of the gradient, at each step."""
    weights, data = initial(seed), samples(seed)
    optimizer = torch.optim.Adam(weights.values(), lr=RATE, betas=(0.5, 0.9))
    history = []
    for _, batch in zip(range(steps), data, strict=False):
        loss, length = loss_of(ops, weights, *batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append((loss.item(), length.item()))
    return history


def refusal(seed: int) -> str:
    """What `loss.backward()` says where a layer can be differentiated once."""
    loss, _ = loss_of(ONCE, initial(seed), *next(samples(seed)))
    try:
        loss.backward()
    except RuntimeError as error:
        return str(error)
    return "nothing"


@click.command()
@click.option("--steps", type=click.IntRange(min=1), help=f"[default: {STEPS}]")
@click.option("--seed", default=0, show_default=True)
@click.option("--quick", is_flag=True, help=f"{QUICK_STEPS} steps.")
def main(steps: int | None, seed: int, quick: bool) -> None:
    """Compare the gradients of a gradient penalty, and train a critic with it."""
    torch.set_num_threads(1)  # tensors this small gain nothing from more
    click.echo("gradient of the loss by  relative error, fp64")
    for name, error in errors(GENERATED, seed).items():
        click.echo(f"{name:23s}  {error:.1e}")
    steps = steps or (QUICK_STEPS if quick else STEPS)
    ours, theirs = (train(ops, steps, seed) for ops in (GENERATED, COMPOSED))
    click.echo("\nstep  loss generated  loss composed  mean length of the gradient")
    every = max(1, steps // 5)
    for step, ((a, length), (b, _)) in enumerate(zip(ours, theirs, strict=True), start=1):
        if step in (1, steps) or step % every == 0:
            click.echo(f"{step:4d}  {a:14.9f}  {b:13.9f}  {length:.4f}")
    wrong = max(errors(ONCE, seed).values())
    click.echo(
        "\nWith a layer norm marked `once_differentiable`, as fused kernels often are, "
        f"`loss.backward()`\nraises “{refusal(seed)}”,\nand "
        "`torch.autograd.grad(loss, weights)` drops most of the penalty without a word: "
        f"relative error {wrong:.1f}."
    )


if __name__ == "__main__":
    main()
