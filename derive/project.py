"""What a command is about: the ops that were asked for, their backends, the output folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from derive.catalogue import catalogue, load_all, source_label
from derive.config import DEFAULT_OUT, Config, nearest, read_config
from derive.errors import DeriveError
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
    """What `generate` and `check` work on. `whole`: no op was named, so all of them."""

    targets: tuple[Target, ...]
    backends: tuple[Backend, ...]
    out: Path
    whole: bool
    folders: tuple[str, ...]  # those it answers for; `--backend` leaves the others out
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
    found = targets(names, config)
    chosen = choose_backends(backends, config)
    given = "".join(f" --backend {name}" for name in backends)
    given += f" --out {shlex.quote(out)}" if out else ""
    folder = Path(out) if out else _configured_out(config)
    return Request(found, chosen, folder, not names, _folders(backends), given)


def targets(names: Sequence[str], config: Config | None = None) -> tuple[Target, ...]:
    """The ops that are named; without names those of the configuration, else the catalogue."""
    if names:
        return _distinct(Target(op, name) for name in names for op in load_all(name))
    config = read_config() if config is None else config
    entries = [_from_here(entry, config) for entry in config.ops] or catalogue()
    return _distinct(Target(op, entry) for entry in entries for op in load_all(entry))


def choose_backends(names: Sequence[str], config: Config) -> tuple[Backend, ...]:
    """Rows of the table of backends, in its order."""
    from derive.emit.backends import BACKENDS

    wanted = tuple(names) or config.backends or tuple(BACKENDS)
    for name in wanted:
        if name not in BACKENDS:
            hint = nearest(name, BACKENDS) or f"; there are {', '.join(BACKENDS)}"
            raise DeriveError(f'no backend "{name}"{hint}')
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


def _configured_out(config: Config) -> Path:
    """The folder of the configuration, as seen from here. It may not leave the project."""
    folder = config.root / (config.out or DEFAULT_OUT)
    if not folder.resolve().is_relative_to(config.root.resolve()):
        raise DeriveError(f"{folder}: the output folder leaves {config.root}; name it with --out")
    return Path(os.path.relpath(folder))
