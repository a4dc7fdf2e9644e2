"""`manifest.json`: which files derive wrote into a folder, from which inputs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from derive.emit.header import Source, digest, source_digest

NAME = "manifest.json"
_PART = re.compile(r"[A-Za-z0-9_.-]+")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Record:
    """One file: the hash of its bytes, and the hash of each input by its label."""

    sha256: str
    inputs: dict[str, str]


Manifest = Mapping[str, Record]


def record(text: str, sources: Sequence[Source]) -> Record:
    """What is to be remembered of a generated file."""
    return Record(digest(text), {s.label: source_digest(s) for s in sources})


def render(manifest: Manifest) -> str:
    """The manifest as text, the same for the same records."""
    files = {path: asdict(manifest[path]) for path in sorted(manifest)}
    return json.dumps({"files": files}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


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
    clean = is_inside(path) and all(label.isprintable() for label in found.inputs)
    if not clean or not all(_HASH.fullmatch(h) for h in hashes):
        raise ValueError(path)
    return found


def is_inside(path: str) -> bool:
    """Does a path with forward slashes stay below its folder, on every system?"""
    parts = path.split("/")
    return len(parts) > 1 and all(_PART.fullmatch(p) and p.strip(".") for p in parts)
