"""Pages as files: each op's own, and beside several an index that can be searched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markupsafe import Markup

from derive.emit import workers
from derive.emit.backends import BACKENDS
from derive.emit.document import title
from derive.emit.environment import TEMPLATES, render
from derive.emit.files import sources_of
from derive.emit.header import Source
from derive.emit.remembered import remembered
from derive.emit.staged import alone, stage
from derive.errors import DeriveError
from derive.notation.op import Op
from derive.page.build import FONT, page
from derive.page.checks import Outcome
from derive.page.mathml import remark
from derive.plan.roles import kernel_class

INDEX = "index"
MARK = '<meta name="generator" content="derive">'  # by which derive knows its own pages
_HEAD = 4_096  # characters of a page among which it stands
_MANY = 3  # ops for which it is worth starting processes


@dataclass(frozen=True)
class Entry:
    """A line of the index."""

    name: str
    title: Markup
    kind: str
    header: str


def pages(
    ops: Sequence[Op],
    progress: Callable[[Sequence[Op]], Iterable[Op]] = iter,
    verified: Callable[[Op], Sequence[Outcome]] | None = None,
) -> dict[str, str]:
    """The text of every file by its name, the index among them if there are several ops.

    `verified` tells what the checks of an op's code found; without it pages tell what they are.
    """
    texts: dict[str, str] = {}
    made = (page(op, verified(op)) for op in ops) if verified else _made(ops)
    for op, text in zip(progress(ops), made, strict=True):
        if f"{op.name}.html" in texts:
            raise DeriveError(f'two ops are named "{op.name}"; a name makes one page')
        texts[f"{op.name}.html"] = text
    if len(ops) > 1:
        if f"{INDEX}.html" in texts:
            raise DeriveError(f'the page of the op "{INDEX}" would stand in place of the index')
        texts[f"{INDEX}.html"] = index(ops)
    _refuse_twins(texts)
    return texts


def _refuse_twins(names: Iterable[str]) -> None:
    """Two names that are one file where case does not count."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise DeriveError(f"{name} and {other} differ only in case; rename one of the ops")


def _made(ops: Sequence[Op]) -> Iterable[str]:
    """By as many processes as there are processors, if there are many."""
    if len(ops) < _MANY or not workers.available():
        yield from map(printed, ops)
        return
    with workers.each(printed, ops) as found:
        for op, text in zip(ops, found, strict=True):
            yield printed(op) if text is None else text


def printed(op: Op) -> str:
    """A page that was printed before is taken from the disk."""
    backends = (BACKENDS[name] for name in ("torch", "triton", "latex"))
    sources = dict.fromkeys((*(s for b in backends for s in sources_of(op, b)), *_own()))
    try:
        return remembered(op, "page", sources, lambda: page(op))
    except DeriveError:
        raise
    except Exception as error:
        error.add_note(f"while the page of {op.name} was made")
        raise


@cache
def _own() -> tuple[Source, ...]:
    """What pages are made from beside what generated files are."""
    files = sorted((TEMPLATES / "html").iterdir())
    texts = [Source(f"templates/html/{f.name}", f.read_text("utf-8")) for f in files]
    return (*texts, Source(FONT.name, FONT.read_bytes().hex()))


def index(ops: Sequence[Op]) -> str:
    """A page that leads to those of the ops."""
    entries = [Entry(op.name, remark(title(op)[0]), kernel_class(op), op.header) for op in ops]
    return render("html/index.html.jinja", entries=entries)


def write(texts: Mapping[str, str], out: Path) -> list[Path]:
    """Write what is new or changed, whole files only; over nothing that derive did not write."""
    if out.exists() and not out.is_dir():
        raise DeriveError(f"{out}: is not a folder")
    with alone(out):
        for name in texts:
            _refuse(out / name)
        changed = [out / n for n, text in texts.items() if _text(out / n) != text]
        for path in changed:
            stage(path, texts[path.name]).replace(path)
    return changed


def _refuse(path: Path) -> None:
    if path.is_symlink():
        raise DeriveError(f"{path}: is a symbolic link; derive does not write through it")
    if path.exists() and MARK not in (_text(path) or "")[:_HEAD]:
        raise DeriveError(f"{path}: not made by derive; move it, or choose another folder with -o")


def _text(path: Path) -> str | None:
    if not path.is_file():
        return None
    return path.read_bytes().decode("utf-8", "surrogateescape")
