"""Files on their way: one writer at a time, whole files only, and what a stopped writer left.

A file is written beside its target and then takes its place, so whoever looks sees the old file or
the new one. A writer that was killed leaves temporary files. Among them is the manifest that it
was to put in place last: of the files that are there already, this tells who wrote them.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from derive.emit import manifest
from derive.emit.tree import PREFIX, SUFFIX, as_recorded, encoded, leftovers, text_at
from derive.errors import DeriveError

try:
    import fcntl
except ImportError:  # Windows: the last writer wins, with whole files
    fcntl = None  # type: ignore[assignment]  # asked for before each use

_PATIENCE, _PAUSE = 30.0, 0.02  # seconds


def stage(target: Path, text: str) -> Path:
    """A temporary file beside the target, its bytes on the disk, its mode that of a new file."""
    number, name = tempfile.mkstemp(prefix=PREFIX, suffix=SUFFIX, dir=target.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(encoded(text))
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
    except BaseException:
        Path(name).unlink()
        raise
    return Path(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def recorded(out: Path) -> dict[str, manifest.Record]:
    """The records of the manifest, and those of a stopped writer for what it did put in place."""
    found = manifest.read(text_at(out, manifest.NAME) or "")
    for path in leftovers(out):
        staged = {} if "/" in path else manifest.read(text_at(out, path) or "")
        found |= {name: r for name, r in staged.items() if as_recorded(out, name, staged)}
    return found


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the output folder, made if it is not there, while no other derive writes into it.

    If that fails, the folders that were made for it are gone again.
    """
    made = make_folder(out)
    lock = None
    try:
        lock = _locked(out)
        yield
    except BaseException:
        remove_empty(made)
        raise
    finally:
        if lock is not None:
            os.close(lock)


def make_folder(path: Path) -> list[Path]:
    """Make a folder and those above it; return those that were not there, deepest first."""
    made: list[Path] = []
    try:
        for folder in reversed((path, *path.parents)):
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                made.insert(0, folder)
    except BaseException:
        remove_empty(made)
        raise
    return made


def remove_empty(folders: list[Path]) -> None:
    """Remove folders; one that somebody else's file came into stays."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _locked(out: Path) -> int | None:
    """A lock on the folder, which ends with the process; None where the system has none."""
    end = time.monotonic() + _PATIENCE
    while fcntl is not None:
        if not out.is_dir():  # whoever held it took it away
            out.mkdir(exist_ok=True)
        number = os.open(out, os.O_RDONLY)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(number, out):
                return number
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(number)
                raise DeriveError(f"{out}: another derive is writing into it") from None
        except OSError:  # a file system without locks
            os.close(number)
            return None
        os.close(number)
        time.sleep(_PAUSE)
    return None


def _is_at(number: int, out: Path) -> bool:
    """Is the open folder still the one at the path?"""
    try:
        return os.path.samestat(os.fstat(number), out.stat())
    except FileNotFoundError:
        return False
