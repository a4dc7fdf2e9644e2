"""Which lines of a module a check runs: it sees nothing else of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_run(file: str, run: Callable[[], object]) -> frozenset[int]:
    """The lines of a file that are run."""
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
        run()
    finally:
        sys.settrace(before)
    return frozenset(lines)
