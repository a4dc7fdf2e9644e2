"""A text as a module that is forgotten afterwards; no file is written."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from types import ModuleType

_numbers = count()


@contextmanager
def loaded(text: str) -> Iterator[ModuleType]:
    """The module of a text. Triton and tracebacks read its lines where Python keeps them."""
    name = f"derive_mutant_{next(_numbers)}"
    file = f"<{name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = file
    try:
        exec(compile(text, file, "exec"), module.__dict__)  # noqa: S102  # what derive generated
        yield module
    finally:
        del sys.modules[name], linecache.cache[file]
