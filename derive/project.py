"""What a command is about: the ops that were asked for, their backends, the output folder.

With no op named: those that [tool.derive] lists; else the ops that the manifest of the output
folder records, as far as they are still there, and the catalogue if there is such a table or if
nothing is recorded.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from derive.catalogue import FOLDER, catalogue, load_all, names_in, source_label
from derive.config import DEFAULT_OUT, Config, nearest, read_config
from derive.emit import manifest
from derive.emit.staged import recorded
from derive.errors import DeriveError, all_of, printable
from derive.notation.op import Op

if TYPE_CHECKING:
    from derive.emit.backends import Backend


@dataclass(frozen=True)
class Target:
    """An op, and the argument that names it on the command line."""

    op: Op
    argument: str


@dataclass(frozen=True)
class Request:
    """What `generate` and `check` work on."""

    targets: tuple[Target, ...]
    backends: tuple[Backend, ...]
    out: Path
    whole: bool  # no op was named, so all of them
    folders: tuple[str, ...]  # those it answers for; `--backend` leaves the others out
    closed: tuple[str, ...] = ()  # those that hold what [tool.derive] names, and nothing else
    options: str = ""  # the options that were given, to repeat in remedies

    @property
    def ops(self) -> tuple[Op, ...]:
        return tuple(target.op for target in self.targets)

    @property
    def command(self) -> str:
        """The command that makes everything of this request."""
        named = () if self.whole else (shlex.quote(target.argument) for target in self.targets)
        return " ".join(dict.fromkeys(("derive generate", *named))) + self.options

    @property
    def commands(self) -> dict[str, str]:
        """For each file, the command that makes it."""
        from derive.emit.files import path_of

        return {
            path_of(t.op, backend): f"derive generate {shlex.quote(t.argument)}{self.options}"
            for t in self.targets
            for backend in self.backends
        }


def request(names: Sequence[str], out: str | None, backends: Sequence[str]) -> Request:
    """The request that arguments and options make, the configuration filling what they leave."""
    config = read_config()
    given = "".join(f" --backend {name}" for name in backends)
    given += f" --out {shlex.quote(out)}" if out else ""
    folder = Path(out) if out else configured_out(config)
    found = targets(names, config, folder)
    made = () if names or config.given else _recorded_backends(folder)
    chosen = choose_backends(backends or made, config)
    folders = () if names else _folders(backends)
    return Request(found, chosen, folder, not names, folders, _closed(config, folder), given)


def targets(
    names: Sequence[str], config: Config | None = None, out: Path | None = None
) -> tuple[Target, ...]:
    """The ops that are named; without names, all that the output folder is to hold."""
    config = read_config() if config is None else config
    entries = list(names) or [_from_here(entry, config) for entry in config.ops]
    if entries:
        return _loaded(entries)
    folder = configured_out(config) if out is None else out
    made = _recorded(folder)
    if recorded(folder) and not config.given:
        return _loaded(made)
    ours = catalogue()
    besides = _loaded(entry for entry in made if entry not in ours)
    return _distinct([*_loaded(ours), *(t for t in besides if t.op.name not in ours)])


def _loaded(entries: Iterable[str]) -> tuple[Target, ...]:
    return _distinct(all_of(partial(_targets_of, entry) for entry in entries))


def _targets_of(entry: str) -> list[Target]:
    return [Target(op, entry) for op in load_all(entry)]


def _recorded(out: Path) -> list[str]:
    """What to type for the ops whose files a folder records, of those that are still there.

    Of a file from which an op is gone every op counts: it may have been renamed.
    """
    made: dict[Path, set[str]] = {}
    for path, record in recorded(out).items():
        if record.label:
            made.setdefault(manifest.origin(record, out), set()).add(Path(path).stem)
    return [name for file in sorted(made) for name in _arguments(file, made[file])]


def _arguments(file: Path, made: set[str]) -> list[str]:
    there = names_in(file)
    if file.parent.resolve() == FOLDER.resolve():
        return sorted(made & set(there))
    place = Path(os.path.relpath(file)).as_posix()
    if made < set(there):
        return [f"{place}:{name}" for name in there if name in made]
    return [place] if there else []


def _recorded_backends(out: Path) -> tuple[str, ...]:
    """The backends whose files a folder records, of op files that are still there."""
    from derive.emit.backends import BACKENDS

    there = (path for path, r in recorded(out).items() if manifest.origin(r, out).is_file())
    folders = {path.split("/")[0] for path in there}
    return tuple(name for name, row in BACKENDS.items() if row.folder in folders)


def _closed(config: Config, out: Path) -> tuple[str, ...]:
    """The folders of which [tool.derive] tells all that is in them."""
    if not config.given or out.resolve() != configured_out(config).resolve():
        return ()
    named = _folders(config.backends)
    return _folders(()) if config.ops else tuple(f for f in _folders(()) if f not in named)


ASKED_FOR = ("dtensor",)  # written where it is named, and nowhere else


def choose_backends(names: Sequence[str], config: Config) -> tuple[Backend, ...]:
    """Rows of the table of backends, in its order."""
    from derive.emit.backends import BACKENDS

    wanted = tuple(names) or config.backends or tuple(n for n in BACKENDS if n not in ASKED_FOR)
    for name in wanted:
        if name not in BACKENDS:
            hint = nearest(name, BACKENDS) or f"; there are {', '.join(BACKENDS)}"
            raise DeriveError(f'no backend "{printable(name)}"{hint}')
    return tuple(row for name, row in BACKENDS.items() if name in wanted)


def _folders(backends: Sequence[str]) -> tuple[str, ...]:
    from derive.emit.backends import BACKENDS

    return tuple(BACKENDS[name].folder for name in backends or BACKENDS)


def _distinct(found: Iterable[Target]) -> tuple[Target, ...]:
    """An op that was named twice counts once; the first name stands."""
    kept: dict[tuple[str, str], Target] = {}
    for target in found:
        kept.setdefault((source_label(target.op), target.op.name), target)
    return tuple(kept.values())


def _from_here(entry: str, config: Config) -> str:
    """An entry of `ops` as it is typed in the current folder."""
    if entry in catalogue() or not (config.root / entry).exists():
        return entry
    return Path(os.path.relpath(config.root / entry)).as_posix()


def configured_out(config: Config) -> Path:
    """The folder of the configuration, as seen from here. It may not leave the project."""
    folder = config.root / (config.out or DEFAULT_OUT)
    if not folder.resolve().is_relative_to(config.root.resolve()):
        raise DeriveError(f"{folder}: the output folder leaves {config.root}; name it with --out")
    return Path(os.path.relpath(folder))
