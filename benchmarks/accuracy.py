"""Errors of layer norm in fp32, largest over largest, beside others' on the same inputs.

    python benchmarks/accuracy.py

The truth is fp64 autograd of composed operations on the same fp32 inputs. Where it is zero (the
gradients of constant rows and of rows of one number) the error is absolute. Kernels run under
Triton's interpreter where there is no GPU. Liger's do not: on a GPU they are compared too, if they
are installed.
"""

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

import derive
from derive.emit.module import ready_triton
from derive.verify.reference import composed

ROWS, COLUMNS, EPS = 16, 1000, 1e-5
NOTHING = 1e-6  # a truth below this is zero, but for its own rounding
SHOWN = ("y", "dx", "dγ")
Function = Callable[[Tensor, Tensor, Tensor], Tensor]


def inputs() -> dict[str, Tensor]:
    """Rows that are easy, and rows that are not."""
    torch.manual_seed(0)
    plain = torch.randn(ROWS, COLUMNS)
    outlier = plain.clone()
    outlier[3, 5] = 1e6
    return {
        "mean 0, std 1": plain,
        "mean 1e2": plain + 1e2,
        "mean 1e4": plain + 1e4,
        "mean 1e6": plain + 1e6,
        "constant rows, 3333.33": torch.full_like(plain, 3333.33),
        "rows of one number": plain[:, :1],
        "one outlier of 1e6": outlier,
    }


def functions() -> dict[str, Function]:
    """What is compared."""
    ready_triton()
    native = torch.nn.functional.layer_norm
    found: dict[str, Function] = {
        "`F.layer_norm`": lambda x, g, b: native(x, x.shape[-1:], g, b, EPS)
    }
    if torch.cuda.is_available() and find_spec("liger_kernel"):
        from liger_kernel.ops.layer_norm import LigerLayerNormFunction

        found["Liger"] = lambda x, g, b: LigerLayerNormFunction.apply(x, g, b, EPS)
    found["generated torch"] = derive.build("layer_norm", "torch").layer_norm
    found["generated triton"] = derive.build("layer_norm", "triton").layer_norm
    return found


def run(function: Function, tensors: list[Tensor], dy: Tensor) -> list[Tensor]:
    """The output, and the gradients of x and γ."""
    own = [t.detach().clone().requires_grad_() for t in tensors]
    y = function(*own)
    return [y, *torch.autograd.grad(y, own[:2], dy)]


def errors(function: Function, x: Tensor) -> list[float]:
    """The errors of what is shown."""
    torch.manual_seed(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tensors = [t.to(device) for t in (x, torch.randn(x.shape[-1]), torch.randn(x.shape[-1]))]
    dy = torch.randn(x.shape).to(device)
    reference = composed(derive.load("layer_norm"))
    want = run(lambda *a: reference(*a)[0], [t.double() for t in tensors], dy.double())
    return [error(g, w) for g, w in zip(run(function, tensors, dy), want, strict=True)]


def error(got: Tensor, want: Tensor) -> float:
    """Relative to the largest value; absolute where there is none."""
    largest = want.abs().max().item()
    off = (got - want).abs().max().item()
    return off / largest if largest > NOTHING else off


def main() -> None:
    """Print the table of the README."""
    compared = functions()
    print("| input | " + " | ".join(f"{n}: {', '.join(SHOWN)}" for n in compared) + " |")
    print("|---|" + "---|" * len(compared))
    for name, x in inputs().items():
        cells = (
            "  ".join(f"{e:.0e}".replace("0e+00", "0") for e in errors(f, x))
            for f in compared.values()
        )
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
