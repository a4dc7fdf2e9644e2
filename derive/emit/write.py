"""Writing generated files: all of them or none, and nothing that a user wrote is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from derive.emit import manifest
from derive.emit.staged import alone, make_folder, recorded, remove_empty, stage
from derive.emit.tree import (
    FOLDERS,
    as_recorded,
    leftovers,
    present,
    refuse_names,
    refuse_unsafe,
    text_at,
)
from derive.errors import DeriveError, reason

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

    One writer works at a time, and one that is killed leaves nothing but whole files. Raises
    DeriveError, or OSError after the folder has been put back as it was.
    """
    refuse_names(wanted)
    if out.exists() and not out.is_dir():
        raise DeriveError(f"{out}: is not a folder")
    with alone(out):
        return _written(wanted, out, folders, closed)


def _written(
    wanted: Mapping[str, str], out: Path, folders: Sequence[str], closed: Sequence[str]
) -> Written:
    known, left = recorded(out), leftovers(out)
    gone, kept = _orphans(wanted, out, known, folders, closed)
    staying = {path: r for path, r in known.items() if path not in gone}
    refuse_unsafe(out, [*wanted], staying)
    texts = {**wanted, manifest.NAME: merged(wanted, staying)}
    changed = tuple(path for path, text in texts.items() if text_at(out, path) != text)
    removed = tuple(path for path in gone if text_at(out, path) is not None)
    _replace(out, {path: texts[path] for path in changed}, removed)
    for path in left:  # by now no record hangs on them
        (out / path).unlink(missing_ok=True)
    unchanged = tuple(path for path in texts if path not in changed)
    return Written(changed, unchanged, removed, kept)


def merged(wanted: Mapping[str, str], staying: manifest.Manifest) -> str:
    """The manifest: what is wanted now, and the records that stay of files of other ops."""
    return manifest.render({**staying, **manifest.read(wanted[manifest.NAME])})


def orphans(
    wanted: Mapping[str, str],
    out: Path,
    known: manifest.Manifest,
    folders: Sequence[str],
    closed: Sequence[str],
) -> dict[str, str]:
    """The recorded files that no op makes, sorted, and why. An op that is still there keeps its."""
    found = {}
    for path in sorted(known):
        folder = path.split("/")[0]
        if path not in wanted and folder in folders:
            unnamed = UNNAMED if folder in closed else ""
            if why := manifest.why_gone(path, known[path], out) or unnamed:
                found[path] = why
    return found


def _orphans(
    wanted: Mapping[str, str],
    out: Path,
    known: manifest.Manifest,
    folders: Sequence[str],
    closed: Sequence[str],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those to remove, and those that somebody edited."""
    there = set(present(out, folders))
    found = orphans(wanted, out, known, folders, closed)
    edited = {p for p in found if p in there and not as_recorded(out, p, known)}
    return tuple(p for p in found if p not in edited), tuple(sorted(edited))


def _replace(out: Path, texts: Mapping[str, str], removed: Sequence[str]) -> None:
    """Stage every text beside its target, then put them in place, the manifest last."""
    before = {path: text_at(out, path) for path in (*texts, *removed)}
    order = sorted(texts, key=lambda path: (path == manifest.NAME, path))
    staged: dict[str, Path] = {}
    folders: list[Path] = []
    try:
        for folder in sorted({(out / path).parent for path in texts} - {out}):
            folders += make_folder(folder)
        for path in order:
            staged[path] = stage(out / path, texts[path])
        for path in removed:
            (out / path).unlink(missing_ok=True)
        for path in order:
            staged[path].replace(out / path)
    except BaseException as error:  # also an interrupt: the folder is put back whatever came
        _restore(out, before, [*staged.values()], error)
        remove_empty(folders)
        raise


def _restore(
    out: Path, before: Mapping[str, str | None], staged: Sequence[Path], error: BaseException
) -> None:
    """Undo: what was there stands again, what was not is gone; DeriveError if that fails too."""
    lost = []
    for file in staged:
        with suppress(OSError):
            file.unlink(missing_ok=True)
    for path, text in before.items():
        try:
            _put_back(out / path, text, there=text_at(out, path))
        except OSError:
            lost.append(path)
    if lost:
        why = reason(error) if isinstance(error, OSError) else "interrupted"
        told = "`derive check` tells what is there, `derive generate` mends it"
        raise DeriveError(f"{out}: {why}; not put back: {', '.join(lost)}; {told}") from error


def _put_back(target: Path, text: str | None, there: str | None) -> None:
    if text is None:
        target.unlink(missing_ok=True)
    elif there != text:
        file = stage(target, text)
        try:
            file.replace(target)
        except OSError:
            file.unlink(missing_ok=True)
            raise
