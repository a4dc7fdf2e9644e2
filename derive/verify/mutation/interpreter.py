"""Triton's interpreter, quicker: the functions of its language are exchanged once, not each time.

Before every launch, and every call of a function within a kernel, the interpreter looks through
Triton's language for functions to be exchanged for its own: a third of what a small kernel costs.
Where nothing is compiled they may stay exchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any


class _Kept:
    """An exchange that is not undone."""

    def restore(self) -> None:
        """Called after a launch."""


def keep_exchanged(interpreter: ModuleType) -> None:
    """From now on, in this process; `interpreter` is `triton.runtime.interpreter`."""
    exchange: Callable[[Any], Any] | None = getattr(interpreter, "_patch_lang", None)
    if exchange is None:
        return  # a version of Triton that does it in another way
    done: set[frozenset[str]] = set()

    def once(function: Any) -> _Kept:
        modules = (v for v in function.__globals__.values() if isinstance(v, ModuleType))
        seen = frozenset(m.__name__ for m in modules)
        if seen not in done:
            done.add(seen)
            exchange(function)
        return _Kept()

    interpreter.__dict__["_patch_lang"] = once
