"""`derive new`: an op file to start from, commented, or made of the equations of a paper."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from derive.catalogue import parse
from derive.errors import DeriveError, SourceError
from derive.notation.displays import SUFFIXES
from derive.notation.names import MOST_LETTERS, op_fault

_MOST_BYTES = 1 << 23  # read at most; the reader itself allows less

_TEXT = """\
# How an op is written. An equation is one line; each name is defined above its first use.
#   x[b,h]        a component of a tensor        H            the size of the index h
#   1[h] * x[b,h] the sum over h (h is repeated, and not on the left)
#   1[h] * r[b]   r for every h (h is on the left)
# After `;` stand numbers with their defaults: they receive no gradient.
#
#   derive show NAME.op       the gradients, and how they were derived
#   derive generate NAME.op   the code
#   derive verify NAME.op     is it right?

# NAME: one line that says what it computes.  Author, year, source
op NAME(x[b,h], gamma[h]; eps = 1e-6) -> y[b,h]

q[b]   = 1/H * 1[h] * x[b,h]^2
r[b]   = sqrt(q[b] + eps)
y[b,h] = x[b,h] / r[b] * gamma[h]
"""


def new(name: str, folder: Path) -> Path:
    """Write NAME.op into a folder; never over a file that is there."""
    name = name.removesuffix(".op")
    if why := _fault(name) or _taken(name):
        raise DeriveError(f"{name!r} cannot name an op: {why}; try `derive new {_offer(name)}`")
    return _write(folder / f"{name}.op", _TEXT.replace("NAME", name))


def new_from(
    paper: str, name: str, folder: Path, outputs: Sequence[str] = ()
) -> tuple[Path, list[str]]:
    """Write NAME.op with the forward equations of a paper, and say what was taken for it."""
    from derive.paper.draft import draft

    name = name.removesuffix(".op")
    if why := _fault(name):
        raise DeriveError(f"{name!r} cannot name an op: {why}; try another name")
    path = folder / f"{name}.op"
    if path.exists():
        raise _there(path)
    made = draft(_read(paper), paper, name, outputs)
    return _write(path, made.text), made.notes


def _read(paper: str) -> str:
    if not paper.lower().endswith(SUFFIXES):
        raise DeriveError(f"{paper}: a paper is Markdown or TeX: {', '.join(SUFFIXES)}")
    with Path(paper).open("rb") as file:
        return decoded(file.read(_MOST_BYTES), paper)


def decoded(data: bytes, name: str) -> str:
    """The text of a file, its line ends made one."""
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DeriveError(f"{name}: not UTF-8 at byte {error.start}") from error


def _write(path: Path, text: str) -> Path:
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise _there(path) from error
    return path


def _there(path: Path) -> DeriveError:
    return DeriveError(f"{path}: is there already; nothing was written")


def _fault(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        return "a name is an ASCII letter, then letters, digits and `_`"
    fault = op_fault(name)
    return fault[1] if fault else ""


def _taken(name: str) -> str:
    try:
        parse(_TEXT.replace("NAME", name))
    except SourceError:
        return "the file to start from uses it for something else"
    return ""


def _offer(name: str) -> str:
    """A name like it that can."""
    word = re.sub(r"\W+", "_", Path(name).name, flags=re.ASCII).strip("_") or "my_op"
    word = (word if word[0].isalpha() else f"op_{word}")[:MOST_LETTERS]
    return f"{word[: MOST_LETTERS - 3]}_op" if _fault(word) or _taken(word) else word
