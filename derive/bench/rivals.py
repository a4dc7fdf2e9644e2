"""Kernels of others for the ops of the catalogue, where they are installed: Liger's and quack's.

Each is a function of an op's inputs and parameters. That it computes what the op does is not taken
on trust: `derive bench` refuses who disagrees.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from derive.errors import DeriveError

Function = Callable[..., Any]
Adapter = Callable[[Any, str], Function]  # the module, and the name of what is in it


def _plain(module: Any, name: str) -> Function:
    return lambda *inputs, **_: getattr(module, name)(*inputs)


def _applied(*more: Any) -> Adapter:
    """An autograd.Function that takes some numbers besides."""

    def adapted(module: Any, name: str) -> Function:
        return lambda *inputs, **_: getattr(module, name).apply(*inputs, *more)

    return adapted


def _group_norm(module: Any, name: str) -> Function:
    """Groups are no axis of their own there."""

    def run(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
        shape, groups = x.shape, x.shape[1]
        parameters = gamma.flatten(), beta.flatten()
        sizes = groups * shape[2], groups
        return getattr(module, name).apply(x.flatten(1, 2), *parameters, *sizes, eps).view(shape)

    return run


def _cross_entropy(module: Any, name: str) -> Function:
    """It overwrites its input with the gradient."""
    return lambda x, t, **_: getattr(module, name).apply(x.clone(), t, None)[0]


RIVALS: Mapping[str, Mapping[str, tuple[str, str, Adapter]]] = {
    "liger": {
        "layer_norm": ("liger_kernel.ops.layer_norm", "LigerLayerNormFunction", _applied(1e-5)),
        "rms_norm": (
            "liger_kernel.ops.rms_norm", "LigerRMSNormFunction",
            _applied(1e-6, 0.0, "llama", False),
        ),
        "add_rms_norm": (
            "liger_kernel.ops.fused_add_rms_norm", "LigerFusedAddRMSNormFunction",
            _applied(1e-6, 0.0, "llama", False),
        ),
        "group_norm": ("liger_kernel.ops.group_norm", "LigerGroupNormFunction", _group_norm),
        "dyt": ("liger_kernel.ops.dyt", "LigerDyTFunction", _applied()),
        "softmax": ("liger_kernel.ops.softmax", "LigerSoftmaxFunction", _applied()),
        "cross_entropy": (
            "liger_kernel.ops.cross_entropy", "LigerCrossEntropyFunction", _cross_entropy,
        ),
        "swiglu": ("liger_kernel.ops.swiglu", "LigerSiLUMulFunction", _applied()),
        "geglu": ("liger_kernel.ops.geglu", "LigerGELUMulFunction", _applied()),
    },
    "quack": {
        "rms_norm": ("quack.rmsnorm", "rmsnorm", _plain),
        "softmax": ("quack.softmax", "softmax", _plain),
        "cross_entropy": ("quack.cross_entropy", "cross_entropy", _plain),
    },
}  # fmt: skip


def installed(who: str, op: str) -> Function | None:
    """A rival's function for an op; None if it has none, or is not installed."""
    row = RIVALS[who].get(op)
    if row is None or importlib.util.find_spec(row[0].partition(".")[0]) is None:
        return None
    module, name, adapter = row
    return adapter(import_module(module), name)


def imported(name: str) -> Function:
    """`module:function`, or `file.py:function`: such as a tutorial's kernel."""
    place, _, attribute = name.rpartition(":")
    try:
        module: Any = _of_file(Path(place)) if place.endswith(".py") else import_module(place)
        function: Function = getattr(module, attribute)
    except (ImportError, AttributeError, ValueError, OSError) as error:
        raise DeriveError(f"{name} cannot be imported: {error}") from error
    if not callable(function):
        raise DeriveError(f"{name} is no function")
    return function


def _of_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
