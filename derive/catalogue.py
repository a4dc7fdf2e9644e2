"""Finding ops, by a name of the catalogue or in a file, and naming where an op comes from."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

from derive.config import nearest, project_root
from derive.errors import DeriveError, all_of, printable
from derive.notation.op import Op

FOLDER = Path(__file__).parent / "ops"
_HEADER = re.compile(r"^\s*op\s+(\w+)\s*\(", re.MULTILINE)
_SELECTED = re.compile(r"(?P<path>.+\.op):(?P<name>\w+)")
_MOST_BYTES = 1 << 20  # read at most; the reader itself allows less


def load(target: str | os.PathLike[str]) -> Op:
    """The one op of that name or in that file; `FILE.op:NAME` picks one of several."""
    ops = load_all(target)
    if len(ops) != 1:
        names = ", ".join(op.name for op in ops) or "none"
        shown = printable(str(target))
        raise DeriveError(f"{shown} holds {len(ops)} ops ({names}); name one: FILE.op:NAME")
    return ops[0]


def load_all(target: str | os.PathLike[str]) -> tuple[Op, ...]:
    """The ops of a catalogue name, a file, `FILE.op:NAME`, or every file of a folder."""
    if isinstance(target, str) and not _is_path(target):
        return (_pick(_read(_catalogue_file(target)), target, target),)
    path = Path(target)
    if path.is_dir():
        return _folder(path)
    selected = _SELECTED.fullmatch(str(target))
    if selected and not path.exists():
        return (_pick(_read(Path(selected["path"])), selected["name"], str(target)),)
    return _read(path)


def parse(text: str) -> list[Op]:
    """The ops of a text."""
    from derive.notation.reader import read_ops

    return list(read_ops(text, ""))


def catalogue() -> list[str]:
    """The names of the ops that derive ships, sorted."""
    return sorted(_catalogue_files())


def in_catalogue(op: Op) -> bool:
    """Did this op come from derive's own folder?"""
    return bool(op.path) and Path(op.path).resolve().parent == FOLDER.resolve()


def source_label(op: Op) -> str:
    """The op's file as headers name it: from its project's root, the same on every machine."""
    if not op.path:
        return "<text>"
    path = Path(os.path.abspath(op.path))  # noqa: PTH100  # resolve() would follow links
    if in_catalogue(op):
        return f"derive/ops/{path.name}"
    label = path.relative_to(project_root(path.parent) or path.parent).as_posix()
    if not label.isprintable():  # a line break would end the comment that a header is
        raise DeriveError(f"{label!r}: a path must not hold control characters")
    return label


def names_in(path: Path) -> list[str]:
    """The ops of a file by its header lines alone; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        return _HEADER.findall(file.read(_MOST_BYTES).decode("utf-8", "replace"))


def _is_path(target: str) -> bool:
    looks = "/" in target or os.sep in target or target.endswith(".op")
    return looks or ".op:" in target or (target not in _catalogue_files() and Path(target).is_dir())


def _catalogue_files() -> dict[str, Path]:
    """Each name and its file, found by the header lines alone."""
    files = sorted(FOLDER.glob("*.op"))
    return {name: f for f in files for name in names_in(f)}


def _catalogue_file(name: str) -> Path:
    files = _catalogue_files()
    if name in files:
        return files[name]
    if Path(f"{name}.op").is_file():
        called = printable(name)
        raise DeriveError(f'no op "{called}" in the catalogue; did you mean the file {called}.op?')
    hint = nearest(name, [*files, *_op_files(Path())]) or "; `derive list` shows them all"
    raise DeriveError(f'no op "{printable(name)}" in the catalogue{hint}')


def _pick(ops: tuple[Op, ...], name: str, target: str) -> Op:
    for op in ops:
        if op.name == name:
            return op
    hint = nearest(name, [op.name for op in ops])
    raise DeriveError(f'{printable(target)}: no op "{name}" there{hint}')


def _op_files(folder: Path) -> list[str]:
    """The names of the op files of a folder; none where there is no such folder."""
    return [file.name for file in sorted(folder.glob("*.op"))]


def _folder(path: Path) -> tuple[Op, ...]:
    files = sorted(path.glob("*.op"))
    if not files:
        raise DeriveError(f"{printable(str(path))}: no .op file in this folder")
    return tuple(all_of(partial(_read, file) for file in files))


def _read(path: Path) -> tuple[Op, ...]:
    from derive.notation.reader import read_ops

    if not path.is_file():
        hint = nearest(path.name, _op_files(path.parent))
        problem = "is not a file" if path.exists() else f"no such file{hint}"
        raise DeriveError(f"{printable(str(path))}: {problem}", str(path))
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES)
    cut = len(data) == _MOST_BYTES  # maybe within a letter; the reader refuses so long a text
    try:
        return read_ops(data.decode("utf-8", "ignore" if cut else "strict"), str(path))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"not UTF-8 at byte {error.start}, in line {line}; save it as UTF-8"
        raise DeriveError(f"{printable(str(path))}: {what}", str(path), line) from error
