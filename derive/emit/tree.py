"""The output folder as it is: what stands in it, and what must not be written through or over."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from derive.emit.header import digest, read_header
from derive.emit.manifest import NAME, Manifest, is_inside
from derive.errors import DeriveError

FOLDERS = ("torch", "triton", "dtensor", "latex")  # all that derive looks at, besides the manifest
PREFIX, SUFFIX = ".derive-", ".tmp"  # of the temporary files that a writer makes
_TEMPORARY = re.compile(r"\.derive-[a-z0-9_]{8}\.tmp")


def text_at(out: Path, path: str) -> str | None:
    """A file's text, its bytes kept; None where there is no regular file."""
    place = out / path
    if link_in(out, path) or not place.is_file():
        return None
    return place.read_bytes().decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    """The bytes of a file, also of one that is not UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def as_recorded(out: Path, path: str, recorded: Manifest) -> bool:
    """Is a file there as derive wrote it?"""
    text = text_at(out, path)
    return text is not None and digest(encoded(text)) == recorded[path].sha256


def link_in(out: Path, path: str) -> str | None:
    """The first symbolic link on the way from the output folder to a path."""
    parts = path.split("/")
    ways = ("/".join(parts[: n + 1]) for n in range(len(parts)))
    return next((way for way in ways if (out / way).is_symlink()), None)


def present(out: Path, folders: Sequence[str] = FOLDERS) -> list[str]:
    """Every file (and link) below the folders, sorted; links are not followed.

    The temporary files that a writer makes do not count.
    """
    found = [folder for folder in folders if (out / folder).is_symlink()]
    for folder in folders:
        for where, below, files in os.walk(out / folder) if folder not in found else ():
            below[:] = [name for name in below if name != "__pycache__"]
            links = [name for name in below if (Path(where) / name).is_symlink()]
            paths = (Path(where) / name for name in [*files, *links])
            found.extend(p.relative_to(out).as_posix() for p in paths if not is_temporary(p))
    return sorted(found)


def leftovers(out: Path) -> list[str]:
    """The temporary files of a writer that was killed (or is at work), sorted."""
    places = (out, *(out / folder for folder in FOLDERS))
    return sorted(
        path.relative_to(out).as_posix()
        for place in places
        if place.is_dir() and (place == out or not place.is_symlink())
        for path in place.iterdir()
        if is_temporary(path)
    )


def is_temporary(path: Path) -> bool:
    """Is this a file that a writer made on its way to another? No user's file has such a name."""
    return bool(_TEMPORARY.fullmatch(path.name)) and path.is_file() and not path.is_symlink()


def refuse_unsafe(out: Path, paths: Sequence[str], recorded: Manifest) -> None:
    """Refuse to write where a path leaves the folder, or what derive did not write stands."""
    if out.exists() and not out.is_dir():
        raise DeriveError(f"{out}: is not a folder")
    refuse_names([*paths, *recorded])
    for path in paths:
        if link := link_in(out, path):
            raise DeriveError(f"{out / link}: is a symbolic link; derive does not write through it")
        if (out / path).exists() and path != NAME and not _is_ours(out, path, recorded):
            raise DeriveError(f"{out / path}: not made by derive; move it, or choose another --out")


def refuse_names(paths: Iterable[str]) -> None:
    """Refuse paths that leave the folder, and two that are one file where case does not count."""
    seen: dict[str, str] = {}
    for path in paths:
        if path != NAME and not is_inside(path):
            raise DeriveError(f"{path!r}: not a path below the output folder")
        other = seen.setdefault(path.casefold(), path)
        if other != path:
            raise DeriveError(f"{path} and {other} differ only in case; rename one of the ops")


def _is_ours(out: Path, path: str, recorded: Manifest) -> bool:
    text = text_at(out, path)
    return text is not None and (path in recorded or read_header(text) is not None)
