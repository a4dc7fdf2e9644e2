"""`check`: does the output folder hold what `generate` would write? It writes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

from derive.emit import manifest
from derive.emit.header import digest, read_header
from derive.emit.tree import FOLDERS, link_in, present, refuse_names, text_at
from derive.emit.write import encoded, merged


@dataclass(frozen=True)
class Finding:
    """A path that is not as it should be: what is wrong, why, and the command that mends it."""

    path: str
    kind: str  # stale, missing, orphan, added, edited
    why: str
    remedy: str
    diff: str = ""


@dataclass(frozen=True)
class _Folder:
    """What is compared with what: the wanted texts, the records, and the folder itself."""

    out: Path
    wanted: Mapping[str, str]
    recorded: manifest.Manifest
    commands: Mapping[str, str]
    command: str
    whole: bool
    records: manifest.Manifest = field(default_factory=dict)  # the records that are wanted

    def text(self, path: str) -> str | None:
        return text_at(self.out, path)

    def remedy(self, path: str) -> str:
        return self.commands.get(path, self.command)

    def remove(self, path: str) -> str:
        return f"rm {shlex.quote((self.out / path).as_posix())}"


def check(
    wanted: Mapping[str, str],
    out: Path,
    whole: bool = True,
    *,
    folders: Sequence[str] = FOLDERS,
    commands: Mapping[str, str] | None = None,  # the command that makes each path
    command: str = "derive generate",  # the command that makes all of them
) -> tuple[Finding, ...]:
    """Every finding, by path. `whole`: what is wanted is all that the folders should hold."""
    refuse_names(wanted)
    recorded = manifest.read(text_at(out, manifest.NAME) or "")
    records = manifest.read(wanted[manifest.NAME])
    folder = _Folder(out, wanted, recorded, commands or {}, command, whole, records)
    found = [*_wanted(folder), *(_unwanted(folder, folders) if whole else ())]
    found += _record_keeping(folder, {f.path for f in found}, folders)
    return tuple(sorted(found, key=lambda finding: finding.path))


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
        remedy = f"{folder.remove(link or path)} && {folder.remedy(path)}"
        return Finding(path, "edited", what, remedy)
    return Finding(path, "missing", "not there", folder.remedy(path), _diff(folder, path, ""))


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
        if path in folder.recorded:
            yield _orphan(folder, path)
        else:
            why = "not made by derive; move it elsewhere, or remove it"
            yield Finding(path, "added", why, folder.remove(path))


def _orphan(folder: _Folder, path: str) -> Finding:
    actual = folder.text(path)
    if actual is not None and digest(encoded(actual)) == folder.recorded[path].sha256:
        return Finding(path, "orphan", "no op makes it", folder.command)
    why = "no op makes it; it was edited by hand, so derive leaves it"
    return Finding(path, "orphan", why, f"{folder.remove(path)} && {folder.command}")


def _record_keeping(folder: _Folder, known: set[str], folders: Sequence[str]) -> Iterator[Finding]:
    """The manifest itself, where no finding about a file accounts for it."""
    actual = folder.text(manifest.NAME)
    if actual is None:
        yield _absent(folder, manifest.NAME)
    elif actual != manifest.render(folder.recorded):
        why = "edited by hand: not as derive writes it"
        wanted = merged(folder.wanted, {} if folder.whole else folder.recorded)
        yield Finding(
            manifest.NAME,
            "edited",
            why,
            folder.command,
            _diff(folder, manifest.NAME, actual, wanted),
        )
    elif paths := sorted(_disagreeing(folder, folders) - known):
        why = f"its record of {', '.join(paths)} is out of date"
        yield Finding(manifest.NAME, "stale", why, folder.command)


def _disagreeing(folder: _Folder, folders: Sequence[str]) -> set[str]:
    """The paths whose record is not the wanted one."""
    mine = {p for p in folder.recorded if folder.whole and p.split("/")[0] in folders}
    paths = mine | set(folder.records)
    return {p for p in paths if folder.recorded.get(p) != folder.records.get(p)}


def _diff(folder: _Folder, path: str, actual: str, wanted: str | None = None) -> str:
    """What `generate` would change in a file."""
    name = (folder.out / path).as_posix()
    texts = (actual, folder.wanted[path] if wanted is None else wanted)
    before, after = (t.encode("utf-8", "replace").decode().splitlines(True) for t in texts)
    lines = unified_diff(before, after, name, f"{name} as derive makes it")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline\n" for line in lines)
