"""What the template is given of a pair of kernels: themselves, and the host function."""

from __future__ import annotations

from dataclasses import dataclass

from derive.emit.kernel import Kernel
from derive.emit.source import Line
from derive.emit.totals import AddUp


@dataclass(frozen=True)
class Launch:
    """The host function around a pair of kernels."""

    signature: str
    doc: str
    sizes: tuple[str, ...]
    rows: str
    prologue: tuple[Line, ...]  # what needs no row
    allocations: tuple[str, ...]
    choose: tuple[str, ...]
    call: str
    epilogue: tuple[Line, ...]
    returns: str
    launch: tuple[str, ...] = ()  # its call, where gradients may be left out


@dataclass(frozen=True)
class Back:
    """The kernels and the host function of one way back, and what these are called."""

    way: str
    row: Kernel
    tiles: Kernel | None
    add_up: AddUp | None
    launch: Launch
    names: dict[str, str]
    column: str
    cotangent: str
    tensors: str
    share: int
    grouped: bool
