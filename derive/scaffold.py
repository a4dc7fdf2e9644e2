"""`derive new`: a commented op file to start from."""

from __future__ import annotations

from pathlib import Path

from derive.catalogue import parse
from derive.errors import DeriveError

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
    text = _TEXT.replace("NAME", name)
    parse(text)  # a name that the language refuses is refused here, in its words
    path = folder / f"{name}.op"
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise DeriveError(f"{path}: is there already; nothing was written") from error
    return path
