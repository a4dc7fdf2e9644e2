"""A function of each item of a list, by as many processes as there are processors."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_all_start_methods, get_context
from typing import Any

_work: list[Any] = []  # the function and the items, as a forked process finds them


def available() -> bool:
    """Can a process be forked that finds all as it is here? Threads would be lost on the way."""
    alone = threading.active_count() == 1 and "torch" not in sys.modules
    return alone and "fork" in get_all_start_methods() and (os.cpu_count() or 1) > 1


@contextmanager
def each(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Iterator[Any]]:
    """The results in order; None for an item at which the function failed, to be tried again."""
    _work[:] = [function, items]
    with get_context("fork").Pool(min(os.cpu_count() or 1, len(items))) as pool:
        yield pool.imap(_one, range(len(items)))


def _one(place: int) -> Any:
    function, items = _work
    try:
        return function(items[place])
    except Exception:  # noqa: BLE001  # the error is raised where it can be told
        return None
