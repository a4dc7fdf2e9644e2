"""Errors of layer norm in fp32, largest over largest, beside torch's own on the same inputs.

    python benchmarks/accuracy.py

The truth is fp64 autograd of composed operations on the same fp32 inputs. Kernels run under
Triton's interpreter where there is no GPU.
"""

from collections.abc import Callable

import torch

import derive
from derive.emit.module import ready_triton
from derive.verify.reference import composed

ROWS, COLUMNS = 16, 1000
Function = Callable[..., torch.Tensor]


def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    plain = torch.randn(ROWS, COLUMNS)
    outlier = plain.clone()
    outlier[3, 5] = 1e6
    return {
        "mean 0, std 1": plain,
        "mean 1e2": plain + 1e2,
        "mean 1e4": plain + 1e4,
        "mean 1e6": plain + 1e6,
        "one outlier of 1e6": outlier,
    }


def run(function: Function, tensors: list[torch.Tensor], dy: torch.Tensor) -> list[torch.Tensor]:
    own = [t.detach().clone().requires_grad_() for t in tensors]
    y = function(*own)
    return [y, *torch.autograd.grad(y, own, dy)]


def errors(function: Function, x: torch.Tensor) -> list[float]:
    torch.manual_seed(1)
    tensors = [x, torch.randn(COLUMNS), torch.randn(COLUMNS)]
    dy = torch.randn(x.shape)
    reference = composed(derive.load("layer_norm"))
    want = run(lambda *a: reference(*a)[0], [t.double() for t in tensors], dy.double())
    got = run(function, tensors, dy)
    return [((g - w).abs().max() / w.abs().max()).item() for g, w in zip(got, want, strict=True)]


def main() -> None:
    ready_triton()
    native = torch.nn.functional.layer_norm
    functions: dict[str, Function] = {
        "F.layer_norm": lambda x, g, b: native(x, (COLUMNS,), g, b),
        "torch": derive.build("layer_norm", "torch").layer_norm,
        "triton": derive.build("layer_norm", "triton").layer_norm,
    }
    print("| input | " + " | ".join(f"{name}: y, dx, dγ, dβ" for name in functions) + " |")
    print("|---|" + "---|" * len(functions))
    for name, x in inputs().items():
        cells = ("  ".join(f"{e:.0e}" for e in errors(f, x)) for f in functions.values())
        print(f"| {name} | " + " | ".join(cells) + " |")


main()
