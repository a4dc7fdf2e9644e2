"""Gradients of tensor operations, derived on paper and in code from one definition."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from derive.catalogue import load as load
    from derive.catalogue import parse as parse
    from derive.derivation import differentiate as differentiate
    from derive.emit.module import build as build
    from derive.notation.op import Op as Op
    from derive.prove import prove as prove

__version__ = "0.1.0"

# Where each public name lives. They load when first used, so that `import derive` costs nothing.
_HOMES = {
    "load": "derive.catalogue",
    "parse": "derive.catalogue",
    "differentiate": "derive.derivation",
    "build": "derive.emit.module",
    "prove": "derive.prove",
    "Op": "derive.notation.op",
}
__all__ = ["Op", "__version__", "build", "differentiate", "load", "parse", "prove"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'derive' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Importing `derive.prove`, the module, must not hide `derive.prove`, the function."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
