"""The output folder as it is: what stands in it, and what must not be written through or over."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from derive.emit.header import read_header
from derive.emit.manifest import NAME, Manifest, is_inside
from derive.errors import DeriveError

FOLDERS = ("torch", "triton", "latex")  # all that derive looks at, besides the manifest


def text_at(out: Path, path: str) -> str | None:
    """A file's text, its bytes kept; None where there is no regular file."""
    place = out / path
    if link_in(out, path) or not place.is_file():
        return None
    return place.read_bytes().decode("utf-8", "surrogateescape")


def link_in(out: Path, path: str) -> str | None:
    """The first symbolic link on the way from the output folder to a path."""
    parts = path.split("/")
    ways = ("/".join(parts[: n + 1]) for n in range(len(parts)))
    return next((way for way in ways if (out / way).is_symlink()), None)


def present(out: Path, folders: Sequence[str] = FOLDERS) -> list[str]:
    """Every file (and link) below the folders, sorted; links are not followed."""
    found = [folder for folder in folders if (out / folder).is_symlink()]
    for folder in folders:
        for where, below, files in os.walk(out / folder) if folder not in found else ():
            below[:] = [name for name in below if name != "__pycache__"]
            links = [name for name in below if (Path(where) / name).is_symlink()]
            paths = ((Path(where) / name).relative_to(out) for name in [*files, *links])
            found.extend(path.as_posix() for path in paths)
    return sorted(found)


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
