"""Where kernels read, told before they do: what Triton's interpreter runs alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

Look = Callable[[Any], None]  # at addresses, an array of numpy's


@contextmanager
def reads_shown(look: Look) -> Iterator[None]:
    """`look` is given the addresses of every load of an interpreted kernel, but for masked ones."""
    interpreter = sys.modules.get("triton.runtime.interpreter")
    if interpreter is None:  # nothing is interpreted here
        yield
        return
    builder = interpreter.InterpreterBuilder
    load = builder.create_masked_load

    def shown(self: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
        every, read = np.broadcast_arrays(pointers.data, mask.data)
        look(every[read.astype(bool)])
        return load(self, pointers, mask, *rest)

    with patch.object(builder, "create_masked_load", shown):
        yield
