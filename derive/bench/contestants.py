"""Who takes part: the generated code of each backend, and who it is held against.

`torch`         torch's own function, for the ops that it has
`composed`      the generated forward pass, its gradients by torch's autograd
`compile`       torch's own function, or the composed one, compiled; and ours for torch, compiled
`liger`         Liger's kernel, where it is installed and has one
`quack`         quack's, likewise
`module:name`   a function of yours, imported from the module: it takes what the op takes
`file.py:name`  one in a file, such as a tutorial's
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from derive.bench import rivals
from derive.config import nearest
from derive.emit.module import build
from derive.errors import DeriveError
from derive.notation.op import Op

Function = Callable[..., Any]
RIVALS = ("torch", "composed", "compile", *rivals.RIVALS)


@dataclass(frozen=True)
class Contestant:
    """A function of an op's inputs and parameters; `ours`: derive made it."""

    name: str
    function: Function
    ours: bool = False


def contestants(
    op: Op, backends: Sequence[str], against: Sequence[str], native: Function | None
) -> Iterator[Contestant]:
    """Those that there are for an op, in the order asked for."""
    for backend in backends:
        yield Contestant(f"derive, {backend}", _generated(op, backend), ours=True)
    if "compile" in against:
        torch._dynamo.reset()  # noqa: SLF001  # there is no other way to forget what was compiled
    if "compile" in against and "torch" in backends:
        yield Contestant("derive, torch, compiled", torch.compile(_generated(op, "torch")), True)
    for name in against:
        function = _rival(name, op, native)
        if function is not None:
            yield Contestant(name, function)


def _generated(op: Op, backend: str) -> Function:
    function: Function = getattr(build(op, backend), op.name)
    return function


def known_rivals(names: Sequence[str]) -> tuple[str, ...]:
    """The names, of which commas may part several; an error for one that nobody has."""
    found = [part.strip() for name in names for part in name.split(",") if part.strip()]
    for name in found:
        if name not in RIVALS and ":" not in name:
            hint = nearest(name, RIVALS) or f"; there are {', '.join(RIVALS)}, and module:function"
            raise DeriveError(f'nobody to be held against is called "{name}"{hint}')
    return tuple(dict.fromkeys(found))


def _rival(name: str, op: Op, native: Function | None) -> Function | None:
    if name == "torch":
        return native
    if name == "composed":
        return _composed(op)
    if name == "compile":
        return torch.compile(native or _composed(op))
    if name in rivals.RIVALS:
        return rivals.installed(name, op.name)
    return rivals.imported(name)


def _composed(op: Op) -> Function:
    """The generated forward pass; autograd follows each of its operations."""
    forward = getattr(build(op, "torch"), f"{op.name}_forward")
    count = len(op.outputs)

    def composed(*inputs: Any, **scalars: float) -> Any:
        return forward(*inputs, **scalars)[:count]

    return composed
