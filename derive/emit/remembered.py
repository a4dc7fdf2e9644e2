"""Bodies of generated files that were rendered before, kept on the disk.

A body depends on the op, the templates, the engine, and the libraries that it computes with; the
name of its entry is the hash of them all, so none is ever out of date, only no longer asked for.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from derive.emit.header import Source, digest, source_digest
from derive.notation.op import Op

VARIABLE = "DERIVE_CACHE"  # a folder, or `off`
_PACKAGE = Path(__file__).parent.parent
_MATTERS = ("*.py", "*.lark")
_LIBRARIES = ("sympy", "opt_einsum", "jinja2", "lark", "math-core", "pygments")
_KEPT = 30 * 24 * 3600.0  # seconds for which the entries of another engine stay


def remembered(op: Op, backend: str, sources: Iterable[Source], make: Callable[[], str]) -> str:
    """What `make` gives, which is asked only if the disk does not know it."""
    folder = _folder()
    if folder is None:
        return make()
    letters = [(i, i.size) for i in op.letters]
    entry = folder / digest(f"{backend} {op!r} {letters} {[source_digest(s) for s in sources]}")
    found = _read(entry)
    if found is None:
        found = make()
        _write(entry, found)
    return found


def _read(entry: Path) -> str | None:
    """The body, if the entry is whole: its first line is the hash of the rest."""
    try:
        expected, _, body = entry.read_bytes().decode().partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return body if digest(body) == expected else None


def _write(entry: Path, body: str) -> None:
    """Keep it if that can be done; whoever reads meanwhile sees all of it or nothing."""
    with suppress(OSError):
        if not entry.parent.is_dir():
            entry.parent.mkdir(parents=True)
            _forget(entry.parent)
        number, name = tempfile.mkstemp(dir=entry.parent)
        with os.fdopen(number, "wb") as file:
            file.write(f"{digest(body)}\n{body}".encode())
        Path(name).replace(entry)


def _forget(own: Path) -> None:
    """Remove what other engines left, if it is old."""
    for folder in own.parent.iterdir():
        if folder != own and time.time() - folder.stat().st_mtime > _KEPT:
            shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path | None:
    """Where the entries of this engine are."""
    asked = os.environ.get(VARIABLE, "")
    if asked == "off":
        return None
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(asked) if asked else Path(home) / "derive") / _engine()


@cache
def _engine() -> str:
    """The hash of all that decides what is rendered, the ops aside."""
    files = sorted(path for pattern in _MATTERS for path in _PACKAGE.rglob(pattern))
    texts = [
        f"{path.relative_to(_PACKAGE).as_posix()} {digest(path.read_bytes())}" for path in files
    ]
    return digest("\n".join([*texts, *(f"{name} {version(name)}" for name in _LIBRARIES)]))[:32]
