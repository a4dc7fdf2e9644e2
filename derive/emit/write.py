"""Writing generated files: all of them or none, and nothing that a user wrote is touched."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from derive.emit import manifest
from derive.emit.header import digest
from derive.emit.tree import FOLDERS, present, refuse_unsafe, text_at

UNNAMED = "[tool.derive] does not name it"


@dataclass(frozen=True)
class Written:
    """Paths below the output folder, sorted. `kept` are edited orphans, left to their editor."""

    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    kept: tuple[str, ...]


def write(
    wanted: Mapping[str, str],
    out: Path,
    folders: Sequence[str] = FOLDERS,
    closed: Sequence[str] = (),
) -> Written:
    """Make the folder hold the files. In `folders`, those of an op that is gone are removed.

    In those of them that are `closed`, every recorded file is removed that is not wanted.

    Raises DeriveError, or OSError after the folder has been put back as it was.
    """
    recorded = manifest.read(text_at(out, manifest.NAME) or "")
    removed, kept = _orphans(wanted, out, recorded, folders, closed)
    staying = {path: r for path, r in recorded.items() if path not in removed}
    refuse_unsafe(out, [*wanted], staying)
    texts = {**wanted, manifest.NAME: merged(wanted, staying)}
    changed = tuple(path for path, text in texts.items() if text_at(out, path) != text)
    _replace(out, {path: texts[path] for path in changed}, removed)
    unchanged = tuple(path for path in texts if path not in changed)
    return Written(changed, unchanged, removed, kept)


def merged(wanted: Mapping[str, str], staying: manifest.Manifest) -> str:
    """The manifest: what is wanted now, and the records that stay of files of other ops."""
    return manifest.render({**staying, **manifest.read(wanted[manifest.NAME])})


def orphans(
    wanted: Mapping[str, str],
    out: Path,
    recorded: manifest.Manifest,
    folders: Sequence[str],
    closed: Sequence[str],
) -> dict[str, str]:
    """The recorded files that no op makes, sorted, and why. An op that is still there keeps its."""
    found = {}
    for path in sorted(recorded):
        folder = path.split("/")[0]
        if path not in wanted and folder in folders:
            unnamed = UNNAMED if folder in closed else ""
            if why := manifest.why_gone(path, recorded[path], out) or unnamed:
                found[path] = why
    return found


def _orphans(
    wanted: Mapping[str, str],
    out: Path,
    recorded: manifest.Manifest,
    folders: Sequence[str],
    closed: Sequence[str],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those to remove, and those that somebody edited."""
    there = set(present(out, folders))
    found = orphans(wanted, out, recorded, folders, closed)
    edited = {p for p in found if p in there and not as_recorded(out, p, recorded)}
    return tuple(p for p in found if p not in edited), tuple(sorted(edited))


def as_recorded(out: Path, path: str, recorded: manifest.Manifest) -> bool:
    """Is a file there as derive wrote it?"""
    text = text_at(out, path)
    return text is not None and digest(encoded(text)) == recorded[path].sha256


def encoded(text: str) -> bytes:
    """The bytes of a file, also of one that is not UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _replace(out: Path, texts: Mapping[str, str], removed: Sequence[str]) -> None:
    """Stage every text beside its target, then put them in place, the manifest last."""
    before = {path: text_at(out, path) for path in (*texts, *removed)}
    order = sorted(texts, key=lambda path: (path == manifest.NAME, path))
    folders = _make_folders({(out / path).parent for path in texts})
    staged: dict[str, Path] = {}
    try:
        for path in order:
            staged[path] = _stage(out / path, texts[path])
        for path in removed:
            (out / path).unlink(missing_ok=True)
        for path in order:
            staged[path].replace(out / path)
    except BaseException:  # also an interrupt: the folder is put back whatever came
        _restore(out, before, [*staged.values()], folders)
        raise


def _make_folders(wanted: set[Path]) -> list[Path]:
    """Make folders; return those that were not there, deepest first."""
    chains = {folder for last in wanted for folder in (last, *last.parents)}
    missing = sorted((f for f in chains if not f.exists()), key=lambda f: len(f.parts))
    for folder in missing:
        folder.mkdir()
    return missing[::-1]


def _stage(target: Path, text: str) -> Path:
    """A temporary file beside the target, its bytes on the disk, its mode that of a new file."""
    number, name = tempfile.mkstemp(prefix=".derive-", dir=target.parent)
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


def _restore(
    out: Path, before: Mapping[str, str | None], staged: Sequence[Path], folders: Sequence[Path]
) -> None:
    """Undo: what was there stands again, what was not is gone."""
    for file in staged:
        file.unlink(missing_ok=True)
    for path, text in before.items():
        if text is None:
            (out / path).unlink(missing_ok=True)
        elif text_at(out, path) != text:
            _stage(out / path, text).replace(out / path)
    for folder in folders:
        with suppress(OSError):  # somebody else's file may have come into it
            folder.rmdir()
