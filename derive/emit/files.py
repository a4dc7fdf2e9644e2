"""`generate`: ops and backends in, every file as text out. Nothing is read but templates."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from derive.catalogue import in_catalogue, source_label
from derive.emit import manifest, workers
from derive.emit.fold import folded
from derive.emit.header import Source, headed
from derive.emit.remembered import remembered
from derive.emit.tree import refuse_names
from derive.errors import DeriveError
from derive.notation.op import Op

if TYPE_CHECKING:
    from derive.emit.backends import Backend

File: TypeAlias = tuple[str, str, tuple[Source, ...]]  # path, text, what it is made from
_MANY = 6  # ops for which it is worth starting processes

TEMPLATES = Path(__file__).parent.parent / "templates"


def generate(
    ops: Iterable[Op],
    backends: Sequence[Backend],
    derived: Callable[[Op], Any] | None = None,  # default: derive.differentiate
    out: Path | None = None,  # the folder they are for: the manifest says where ops are from there
    progress: Callable[[Sequence[Op]], Iterable[Op]] = iter,
) -> dict[str, str]:
    """Every file by its path below the output folder, sorted, and the manifest."""
    texts: dict[str, str] = {}
    records: dict[str, manifest.Record] = {}
    ops = list(ops)
    for op, made in zip(progress(ops), _made(ops, backends, derived), strict=True):
        at = manifest.place_of(op, out) if out else ""
        for path, text, sources in made:
            if path in texts:
                raise DeriveError(f'two ops are named "{op.name}"; a name makes one file')
            texts[path], records[path] = text, manifest.record(text, sources, at)
    refuse_names(texts)
    texts[manifest.NAME] = manifest.render(records)
    return dict(sorted(texts.items()))


def _made(
    ops: Sequence[Op], backends: Sequence[Backend], derived: Callable[[Op], Any] | None
) -> Iterator[Iterable[File]]:
    """The files of each op, made by as many processes as there are processors."""
    if derived is None and len(ops) >= _MANY and workers.available():
        with workers.each(lambda op: list(_files_of(op, backends, None)), ops) as found:
            for op, files in zip(ops, found, strict=True):
                yield _files_of(op, backends, None) if files is None else files
    else:
        yield from (_files_of(op, backends, derived) for op in ops)


def _files_of(
    op: Op, backends: Sequence[Backend], derived: Callable[[Op], Any] | None
) -> Iterator[File]:
    try:
        derivation = derived(op) if derived is not None else None
        for backend in backends:
            text = source(op, backend, derivation)
            yield path_of(op, backend), text, sources_of(op, backend)
    except DeriveError:
        raise
    except Exception as error:
        error.add_note(f"while {op.name} was generated")
        raise


def source(op: Op, backend: Backend, derivation: Any = None) -> str:
    """One generated file; of a derivation that is given, nothing is remembered."""
    sources = sources_of(op, backend)
    if derivation is None:
        make = lambda: backend.render(op, _differentiate(op))  # noqa: E731  # asked for or not
        body = remembered(op, backend.name, sources, make)
    else:
        body = backend.render(op, derivation)
    is_python = backend.suffix == ".py"
    body = folded(body) if is_python else body
    text = headed(backend.comment, command_of(op), sources, body)
    if is_python:
        _compile(text, path_of(op, backend))
    return text


def path_of(op: Op, backend: Backend) -> str:
    """Where an op's file stands below the output folder."""
    return f"{backend.folder}/{op.name}{backend.suffix}"


def command_of(op: Op) -> str:
    """The command that makes an op's files, said the same on every machine."""
    target = op.name if in_catalogue(op) else source_label(op)
    return f"derive generate {shlex.quote(target)}"


def sources_of(op: Op, backend: Backend) -> tuple[Source, ...]:
    """What a file is made from: the op's own lines, and the templates."""
    names = backend.templates(op)
    templates = (Source(f"templates/{n}", (TEMPLATES / n).read_text("utf-8")) for n in names)
    return (Source(source_label(op), op.text), *templates)


@lru_cache(maxsize=1)
def _differentiate(op: Op) -> Any:
    """Every backend asks for the same derivation."""
    from derive.derivation import differentiate

    return differentiate(op)


def _compile(text: str, path: str) -> None:
    """What is not clean Python is a bug of derive, and is never written."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile(text, path, "exec", dont_inherit=True)
