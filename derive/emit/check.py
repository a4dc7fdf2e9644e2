"""`check`: does the output folder hold what `generate` would write? It writes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

from derive.emit import manifest
from derive.emit.header import digest, read_header
from derive.emit.staged import recorded
from derive.emit.tree import (
    FOLDERS,
    as_recorded,
    encoded,
    leftovers,
    link_in,
    present,
    refuse_names,
    text_at,
)
from derive.emit.write import merged, orphans

STOPPED = "left by a run of derive that was stopped"


@dataclass(frozen=True)
class Finding:
    """A path that is not as it should be: what is wrong, why, and the command that mends it."""

    path: str
    kind: str  # stale, missing, orphan, added, edited
    why: str
    remedy: str
    diff: str = ""
    removes: str = ""  # what the remedy removes, as an argument of `rm`


@dataclass(frozen=True)
class _Folder:
    """What is compared with what: the wanted texts, the records, and the folder itself."""

    out: Path
    wanted: Mapping[str, str]
    recorded: manifest.Manifest  # of every file that derive is known to have written
    commands: Mapping[str, str]
    command: str
    records: manifest.Manifest = field(default_factory=dict)  # the records that are wanted
    orphans: Mapping[str, str] = field(default_factory=dict)  # recorded files to go, and why

    def text(self, path: str) -> str | None:
        return text_at(self.out, path)

    def remedy(self, path: str) -> str:
        return self.commands.get(path, self.command)

    def place(self, path: str) -> str:
        """A path as an argument of `rm`."""
        place = self.out / path
        folder = "-r " if place.is_dir() and not place.is_symlink() else ""
        return folder + shlex.quote(place.as_posix())


def check(
    wanted: Mapping[str, str],
    out: Path,
    *,
    folders: Sequence[str] = FOLDERS,
    closed: Sequence[str] = (),
    commands: Mapping[str, str] | None = None,  # the command that makes each path
    command: str = "derive generate",  # the command that makes all of them
) -> tuple[Finding, ...]:
    """Every finding, by path. `folders` and `closed` are those of `write`."""
    refuse_names(wanted)
    known, records = recorded(out), manifest.read(wanted[manifest.NAME])
    gone = orphans(wanted, out, known, folders, closed)
    folder = _Folder(out, wanted, known, commands or {}, command, records, gone)
    left = leftovers(out) if folders else []
    found = [Finding(path, "orphan", STOPPED, command) for path in left]
    found += [*_wanted(folder), *_unwanted(folder, folders)]
    found += _record_keeping(folder, {f.path for f in found})
    return tuple(sorted(found, key=lambda finding: finding.path))


def remedy(found: Sequence[Finding], command: str) -> str:
    """One command that mends everything; `command` is the one that generates."""
    removed = [finding.removes for finding in found if finding.removes]
    first = [f"rm {' '.join(sorted(removed))}"] if removed else []
    return " && ".join([*first, *([command] if any(f.kind != "added" for f in found) else [])])


def _wanted(folder: _Folder) -> Iterator[Finding]:
    for path, text in folder.wanted.items():
        actual = folder.text(path)
        if path == manifest.NAME or actual == text:
            continue
        if actual is None:
            yield _absent(folder, path)
            continue
        edited = _edit(folder, path, actual)
        kind, why = ("edited", edited) if edited else ("stale", _cause(folder, path, actual))
        yield Finding(path, kind, why, folder.remedy(path), _diff(folder, path, actual))


def _absent(folder: _Folder, path: str) -> Finding:
    link = link_in(folder.out, path)
    if link or (folder.out / path).exists():
        what = f"{link} is a symbolic link" if link else "is not a regular file"
        return _removed_first(path, "edited", what, folder.place(link or path), folder.remedy(path))
    return Finding(path, "missing", "not there", folder.remedy(path), _diff(folder, path, ""))


def _removed_first(path: str, kind: str, why: str, place: str, command: str) -> Finding:
    return Finding(path, kind, why, f"rm {place} && {command}", removes=place)


def _edit(folder: _Folder, path: str, actual: str) -> str:
    """How the bytes differ from those that derive wrote; empty if they do not."""
    header, record = read_header(actual), folder.recorded.get(path)
    if actual.replace("\r\n", "\n") == folder.wanted.get(path):
        return "edited by hand: its line ends are CR LF"
    if record is not None and digest(encoded(actual)) != record.sha256:
        return "edited by hand: its hash is not the one in manifest.json"
    if header is None or not header.intact:
        return "edited by hand: its header does not fit its body"
    return ""


def _cause(folder: _Folder, path: str, actual: str) -> str:
    """Which input of a stale file changed."""
    record, header = folder.recorded.get(path), read_header(actual)
    now = read_header(folder.wanted[path])
    if record is not None:
        reasons = _changes(record.inputs, folder.records[path].inputs)
        return "; ".join(reasons) or "derive itself changed"
    if header is not None and now is not None and header.inputs != now.inputs:
        return f"one of {now.sources} changed"
    return "derive itself changed"


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for label in sorted({*before, *now}):
        if label not in now:
            yield f"no longer made from {label}"
        elif label not in before:
            yield f"now made from {label}"
        elif before[label] != now[label]:
            yield f"{label} changed"


def _unwanted(folder: _Folder, folders: Sequence[str]) -> Iterator[Finding]:
    for path in present(folder.out, folders):
        if path in folder.wanted or any(w.startswith(f"{path}/") for w in folder.wanted):
            continue
        if path in folder.orphans:
            yield _orphan(folder, path)
        elif path not in folder.recorded:
            why, place = "not made by derive; move it elsewhere, or remove it", folder.place(path)
            yield Finding(path, "added", why, f"rm {place}", removes=place)


def _orphan(folder: _Folder, path: str) -> Finding:
    if as_recorded(folder.out, path, folder.recorded):
        return Finding(path, "orphan", folder.orphans[path], folder.command)
    why = f"{folder.orphans[path]}; it was edited by hand, so derive leaves it"
    return _removed_first(path, "orphan", why, folder.place(path), folder.command)


def _record_keeping(folder: _Folder, known: set[str]) -> Iterator[Finding]:
    """The manifest itself, where no finding about a file accounts for it."""
    actual = folder.text(manifest.NAME)
    if actual is None:
        yield _absent(folder, manifest.NAME)
    elif actual != manifest.render(own := manifest.read(actual)):
        why = "edited by hand: not as derive writes it"
        wanted = merged(folder.wanted, _staying(folder))
        yield Finding(
            manifest.NAME,
            "edited",
            why,
            folder.command,
            _diff(folder, manifest.NAME, actual, wanted),
        )
    elif paths := sorted(_disagreeing(folder, own) - known):
        why = f"its record of {', '.join(paths)} is out of date"
        yield Finding(manifest.NAME, "stale", why, folder.command)


def _staying(folder: _Folder) -> manifest.Manifest:
    """The records that `generate` would keep: all but those of the orphans that it removes."""
    out, recorded = folder.out, folder.recorded
    there = [p for p in present(out) if p in folder.orphans]
    going = set(folder.orphans) - {p for p in there if not as_recorded(out, p, recorded)}
    return {path: record for path, record in recorded.items() if path not in going}


def _disagreeing(folder: _Folder, own: manifest.Manifest) -> set[str]:
    """The paths whose record in the manifest itself is not the wanted one."""
    paths = {*folder.orphans, *folder.records}
    return {p for p in paths if own.get(p) != folder.records.get(p)}


def _diff(folder: _Folder, path: str, actual: str, wanted: str | None = None) -> str:
    """What `generate` would change in a file."""
    name = (folder.out / path).as_posix()
    texts = (actual, folder.wanted[path] if wanted is None else wanted)
    before, after = (t.encode("utf-8", "replace").decode().splitlines(True) for t in texts)
    lines = unified_diff(before, after, name, f"{name} as derive makes it")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline\n" for line in lines)
