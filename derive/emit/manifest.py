"""`manifest.json`: which files derive wrote into a folder, and from which inputs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from derive.catalogue import FOLDER, in_catalogue, names_in, source_label
from derive.config import project_root
from derive.emit.header import Source, digest, source_digest
from derive.notation.op import Op

NAME = "manifest.json"
_PART = re.compile(r"[A-Za-z0-9_.-]+")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Record:
    """One file: the hash of its bytes, and the hash of each input by its label."""

    sha256: str
    inputs: dict[str, str]
    at: str = ""  # where its op file is, from the folder's project, if the label does not say so

    @property
    def label(self) -> str:
        """The op file among the inputs."""
        return next((label for label in self.inputs if label.endswith(".op")), "")


Manifest = Mapping[str, Record]


def record(text: str, sources: Sequence[Source], at: str = "") -> Record:
    """What is to be remembered of a generated file."""
    return Record(digest(text), {s.label: source_digest(s) for s in sources}, at)


def place_of(op: Op, out: Path) -> str:
    """`Record.at` of an op's files: empty where the label alone leads to the op file."""
    path, label = os.path.abspath(op.path), source_label(op)  # noqa: PTH100  # keeps links
    if not op.path or in_catalogue(op) or path == str(_base(out) / label):
        return ""
    return Path(os.path.relpath(path, _base(out))).as_posix()


def origin(record: Record, out: Path) -> Path:
    """The op file that a file was made from, be it there or not."""
    ours = Path(record.label).parent == Path("derive/ops") and not record.at
    file = _base(out) / (record.at or record.label)
    return FOLDER / Path(record.label).name if ours and not file.is_file() else file


def why_gone(path: str, record: Record, out: Path) -> str:
    """Why no op makes a recorded file any more; empty while one does, and if that is unknown."""
    if not record.label:
        return ""
    file, name = origin(record, out), Path(path).stem
    if record.at.startswith("../") and not file.parent.is_dir():
        return ""  # another project, which this machine may not have
    said = record.at or record.label
    if not file.exists():
        return f"{said} is gone"
    return "" if name in names_in(file) else f'{said} holds no op "{name}" any more'


def _base(out: Path) -> Path:
    """Where labels start: the project that holds the folder, else what the folder stands in."""
    folder = Path(os.path.abspath(out))  # noqa: PTH100  # resolve() would follow links
    return project_root(folder) or folder.parent


def render(manifest: Manifest) -> str:
    """The manifest as text, the same for the same records."""
    files = {path: _entry(manifest[path]) for path in sorted(manifest)}
    return json.dumps({"files": files}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _entry(record: Record) -> dict[str, object]:
    return {key: value for key, value in asdict(record).items() if key != "at" or value}


def read(text: str) -> dict[str, Record]:
    """The records of a manifest; none at all where it is not one that derive wrote."""
    try:
        files = json.loads(text)["files"]
        return {path: _record(path, entry) for path, entry in files.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _record(path: str, entry: dict[str, dict[str, str]]) -> Record:
    found = Record(**entry)  # type: ignore[arg-type]  # the lines below check it
    hashes = [found.sha256, *found.inputs.values()]
    clean = is_inside(path) and all(s.isprintable() for s in (*found.inputs, found.at))
    if not clean or not all(_HASH.fullmatch(h) for h in hashes):
        raise ValueError(path)
    return found


def is_inside(path: str) -> bool:
    """Does a path with forward slashes stay below its folder, on every system?"""
    parts = path.split("/")
    return len(parts) > 1 and all(_PART.fullmatch(p) and p.strip(".") for p in parts)
