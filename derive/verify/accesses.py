"""Where kernels read and write, told before they do: what Triton's interpreter runs alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

Look = Callable[[Any], None]  # at addresses, an array of numpy's


@contextmanager
def accesses_shown(read: Look, written: Look) -> Iterator[None]:
    """They are given the addresses of every access of interpreted kernels, but for masked ones."""
    interpreter = sys.modules.get("triton.runtime.interpreter")
    if interpreter is None:  # nothing is interpreted here
        yield
        return
    builder = interpreter.InterpreterBuilder
    load, store = builder.create_masked_load, builder.create_masked_store

    def loaded(self: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
        read(_unmasked(pointers, mask))
        return load(self, pointers, mask, *rest)

    def stored(self: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        written(_unmasked(pointers, mask))
        return store(self, pointers, value, mask, *rest)

    with patch.multiple(builder, create_masked_load=loaded, create_masked_store=stored):
        yield


def _unmasked(pointers: Any, mask: Any) -> Any:
    every, held = np.broadcast_arrays(pointers.data, mask.data)
    return every[held.astype(bool)]
