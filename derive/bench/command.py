"""What `derive bench` is asked, as a setting; and what it found, as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from derive import report
from derive.bench.contestants import known_rivals
from derive.bench.picture import check_path
from derive.bench.run import Result, Setting
from derive.bench.table import HEADS, as_data, rows
from derive.errors import DeriveError

ON_A_CPU = ("torch",)  # without a GPU kernels are interpreted, and their time says nothing


def setting_of(  # noqa: PLR0913  # an argument for each option
    *,
    backends: Sequence[str],
    against: Sequence[str],
    sizes: Sequence[str],
    dtype: str,
    device: str | None,
    threads: int,
    seconds: float,
    plot: str | None,
) -> tuple[Setting, Path | None]:
    """The setting, and where a picture goes."""
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise DeriveError("there is no GPU that torch can use: leave out --device cuda")
    chosen = device or ("cuda" if there else "cpu")
    asked = tuple(backends) or (ON_A_CPU if chosen == "cpu" else ())
    path = check_path(plot) if plot else None
    found = dict(_size(part) for text in sizes for part in text.split(","))
    return Setting(chosen, dtype, found, threads, seconds, asked, known_rivals(against)), path


def _size(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not number.strip().isdecimal():
        raise DeriveError(f'--size {text}: a size is written "H=1024"')
    return name.strip(), int(number)


def told(
    results: Sequence[Result], setting: Setting, copy: float, style: str, color: bool | None
) -> str:
    """The table, or data; first on what was measured."""
    where = setting.device
    if where == "cuda":
        where = torch.cuda.get_device_name()
    if style == "json":
        head = {"device": where, "dtype": setting.dtype, "copy": copy}
        return json.dumps(head | {"results": as_data(results)}, indent=2)
    threads = "" if setting.device == "cuda" else f", threads: {setting.threads}"
    head_line = f"{setting.dtype} on {where}{threads}; a copy moves {copy / 1e9:.1f} GB/s"
    return f"{head_line}\n{report.table(HEADS, rows(results), color)}"
