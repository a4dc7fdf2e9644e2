"""The backends: one row each. To add one, write a template and a function that fills it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from derive.derivation import Derivation
from derive.emit.document import latex
from derive.emit.dtensor_module import TEMPLATE as DTENSOR
from derive.emit.dtensor_module import dtensor_module
from derive.emit.torch_module import torch_module
from derive.emit.triton_file import template_for, triton_module
from derive.notation.op import Op


@dataclass(frozen=True)
class Backend:
    """Where the files go, what they are made from, and who makes them."""

    name: str
    folder: str
    suffix: str
    templates: Callable[[Op], tuple[str, ...]]  # those an op's file is made from, below templates/
    comment: str  # begins a comment line
    render: Callable[[Op, Derivation], str]  # everything below the header


BACKENDS = {
    b.name: b
    for b in (
        Backend("torch", "torch", ".py", lambda op: ("torch/op.py.jinja",), "#", torch_module),
        Backend("triton", "triton", ".py", template_for, "#", triton_module),
        Backend("dtensor", "dtensor", ".py", lambda op: (DTENSOR,), "#", dtensor_module),
        Backend(
            "latex",
            "latex",
            ".tex",
            lambda op: ("latex/op.tex.jinja",),
            "%",
            lambda op, derivation: latex(derivation, standalone=True),
        ),
    )
}
