"""The table of settings that were measured on GPUs: how much a program of a kernel takes at once.

A kernel, a length of rows and a size of numbers have one for each device that was measured. Where
there is none, generated code goes by a rule. `derive bench --tune` writes the table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from derive.emit.environment import TEMPLATES
from derive.errors import DeriveError

TABLE = "triton/tuned.json"  # below templates/
KERNELS = ("_forward_row", "_forward_tiles", "_backward_row", "_backward_tiles")


@dataclass(frozen=True, order=True)
class Setting:
    """The best for rows of up to so many columns: numbers that a program takes at once, and warps.

    `gain`: so many times faster than by rule, over the ops that were measured.
    """

    device: str
    kernel: str
    columns: int
    bytes: int
    numbers: int
    warps: int
    gain: float

    @property
    def line(self) -> str:
        """The entry in generated code."""
        key = (self.device, self.kernel, self.columns, self.bytes)
        shown = ", ".join(json.dumps(k, ensure_ascii=True) for k in key)
        return f"({shown}): ({self.numbers}, {self.warps}),"


def read(path: Path = TEMPLATES / TABLE) -> list[Setting]:
    """The settings of a table."""
    try:
        found = [Setting(**row) for row in json.loads(path.read_text("utf-8"))["settings"]]
    except (ValueError, TypeError, KeyError) as error:
        raise DeriveError(f"{path}: this is no table of settings: {error}") from error
    return [_checked(setting, path) for setting in found]


def _checked(setting: Setting, path: Path) -> Setting:
    """It becomes code, so it holds what it should and nothing else."""
    counts = (setting.columns, setting.bytes, setting.numbers, setting.warps)
    powers = all(type(n) is int and n > 0 and not n & (n - 1) for n in counts)
    if not powers or setting.kernel not in KERNELS or type(setting.device) is not str:
        raise DeriveError(f"{path}: this is no setting: {setting.line}")
    return setting


def write(settings: Iterable[Setting], path: Path) -> None:
    """Replaces the settings of the devices that were measured; those of others stay."""
    settings = list(settings)
    measured = {s.device for s in settings}
    others = [s for s in read(path) if s.device not in measured] if path.exists() else []
    rows = ",\n  ".join(json.dumps(asdict(s)) for s in sorted([*others, *settings]))
    text = f'{{\n "settings": [\n  {rows}\n ]\n}}\n' if rows else '{\n "settings": []\n}\n'
    path.write_text(text, "utf-8")
