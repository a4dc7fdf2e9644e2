"""Which lines of a module a check runs: it sees nothing else of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


def lines_run(file: str, run: Callable[[], T]) -> tuple[T, frozenset[int]]:
    """What a call returns, and the lines of a file that it runs."""
    lines: set[int] = set()

    def local(frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "line":
            lines.add(frame.f_lineno)
        return local

    def entered(frame: FrameType, _event: str, _arg: Any) -> Any:
        return local if frame.f_code.co_filename == file else None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        returned = run()
    finally:
        sys.settrace(before)
    return returned, frozenset(lines)
