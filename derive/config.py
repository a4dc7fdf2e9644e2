"""`[tool.derive]` of the nearest pyproject.toml: which ops, for which backends, to which folder."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from derive.errors import DeriveError

DEFAULT_OUT = "generated"
_HEAD = re.compile(r"\s*\[tool\.derive\b")


@dataclass(frozen=True)
class Config:
    """What `[tool.derive]` says. Without the table: the catalogue, every backend, ./generated."""

    root: Path  # relative paths of the table start here
    ops: tuple[str, ...] = ()  # empty: the catalogue
    out: str = DEFAULT_OUT
    backends: tuple[str, ...] = ()  # empty: every backend
    given: bool = False  # is there such a table?


def nearest(word: str, known: Iterable[str]) -> str:
    """A question to append to a refusal: `; did you mean "my_op"?`, or nothing."""
    close = get_close_matches(word, sorted(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def project_root(start: Path) -> Path | None:
    """The folder of the nearest pyproject.toml, from `start` upwards."""
    for folder in (start, *start.parents):
        if (folder / "pyproject.toml").is_file():
            return folder
    return None


def read_config(start: Path | None = None) -> Config:
    """The configuration that holds in a folder (default: the current one)."""
    start = Path.cwd() if start is None else start.absolute()
    root = project_root(start)
    table = _table(root / "pyproject.toml") if root else None
    if root is None or table is None:
        return Config(start)
    return _checked(table, root)


def _table(path: Path) -> dict[str, Any] | None:
    try:
        tool = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        line = re.search(r"at line (\d+)", str(error))
        raise _refusal(path, f"not valid TOML: {error}", int(line[1]) if line else 0) from error
    table = tool.get("derive")
    if table is not None and not isinstance(table, dict):
        raise _refusal(path, "[tool.derive] must be a table", _line(path, "derive"))
    return table


def _checked(table: dict[str, Any], root: Path) -> Config:
    path = root / "pyproject.toml"
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _READERS:
            hint = nearest(key, _READERS) or f"; there are {', '.join(_READERS)}"
            raise _refusal(path, f'[tool.derive]: unknown key "{key}"{hint}', _line(path, key))
        try:
            values[key] = _READERS[key](value)
        except ValueError as error:
            raise _refusal(path, f"[tool.derive]: {key}: {error}", _line(path, key)) from error
    return Config(root, **values, given=True)


def _refusal(path: Path, message: str, line: int) -> DeriveError:
    return DeriveError(f"{path}: {message}", Path(os.path.relpath(path)).as_posix(), line)


def _line(path: Path, key: str) -> int:
    """The first line from the table's head on, or of the file, that gives a key; 0 for none."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next((k for k, line in enumerate(lines) if _HEAD.match(line)), 0)
    gives = re.compile(rf"""\s*(\[tool\.derive\.)?["']?{re.escape(key)}["']?\s*[=\]]""")
    return next((k + 1 for k, line in enumerate(lines) if k >= first and gives.match(line)), 0)


def _string(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"expected a string, got {value!r}")
    if not value.isprintable():  # it names a file, or something in a message
        raise ValueError(f"expected no control characters, got {value!r}")
    return value


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"expected a list of strings, got {value!r}")
    return tuple(_string(item) for item in value)


_READERS = {"ops": _strings, "out": _string, "backends": _strings}
