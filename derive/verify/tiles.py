"""What is large, made cheap: rows that kernels walk in tiles, formulas on a few rows at a time.

When only one gradient is wanted, the others' pointers are None there.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from types import ModuleType
from typing import Any
from unittest.mock import patch

from derive.notation.op import Op
from derive.verify.alone import alone
from derive.verify.reference import composed
from derive.verify.sample import Sample, error, gradients

CLOSE = 1e-10


def has_tiles(module: ModuleType) -> bool:
    """Do its kernels walk long rows in tiles, or its formulas many rows a few at a time?"""
    return hasattr(module, "_TILE") or hasattr(module, "_CACHE")


def in_tiles(module: ModuleType, columns: int = 0, rows: int = 1) -> AbstractContextManager[object]:
    """Tiles of so many columns and at least so many rows; formulas on one row.

    By itself a row of three numbers or more has several tiles, and few of them; where some rows
    are together, they are two at least.
    """
    if not hasattr(module, "_TILE"):
        return patch.multiple(module, _CACHE=1)
    choose = partial(_so_many, vars(module)["_choose"], columns, rows)
    less: dict[str, Any] = {"_LONGEST_ROW": 0, "_choose": choose}
    less |= {"_GROUP": 2} if hasattr(module, "_GROUP") else {}
    return patch.multiple(module, **less)


def _so_many(choose: Any, columns: int, rows: int, length: int, *told: Any) -> tuple[Any, ...]:
    """The kernel that would be chosen, for so many columns and rows at once."""
    kernel, many, _, warps = choose(length, *told)
    return kernel, max(many, rows), columns or (4 if length > 6 else 2), warps


def one_at_a_time_in_tiles(op: Op, module: ModuleType, sample: Sample) -> tuple[float, float, str]:
    """The worst error of a gradient that is asked for alone, and what is allowed."""
    if not has_tiles(module):
        return 0.0, 0.0, "nothing walks tiles"
    function, worst = getattr(module, op.name), 0.0
    with in_tiles(module, rows=2):
        real = [k for k, t in enumerate(sample.inputs) if t.is_floating_point()]
        for place, want in zip(real, gradients(composed(op), sample), strict=True):
            worst = max(worst, error(alone(function, sample, place)[0], want))
    return worst, CLOSE, ""
