"""Rendered Python with no line too long, where comments, docstrings and brackets can be broken.

Nothing that is computed changes: a comment goes on behind `#`, a docstring of one line becomes one
of several, and what the last long bracket of a statement holds stands an item a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import wrap

from derive.emit.source import WIDTH, broken

_QUOTES = '"""'
_KEPT = "\0"  # a space at which no line is broken


def folded(text: str) -> str:
    """The same module, its long lines broken."""
    return "\n".join(_lines(text.split("\n")))


def _lines(lines: list[str]) -> Iterator[str]:
    inside = False  # a string of several lines, which is left as it is
    for line in lines:
        ends = line.count(_QUOTES) % 2 == 1
        if inside or ends or len(line) <= WIDTH:
            yield line
        else:
            yield from _folded(line)
        inside ^= ends


def _folded(line: str) -> list[str]:
    code = line.strip()
    margin = line[: len(line) - len(line.lstrip())]
    if code.startswith("# "):
        return _wrapped(code, margin, f"{margin}#     ")
    if code.startswith(_QUOTES) and code.endswith(_QUOTES):
        return [*_wrapped(code.removesuffix(_QUOTES), margin, margin), margin + _QUOTES]
    return [line] if _QUOTES in code or "'" in code else broken(code, len(margin))


def _wrapped(text: str, first: str, later: str) -> list[str]:
    """A sign stays with the term behind it, and a tensor with its axes."""
    whole = re.sub(r" (?=\[)|(?<= [-+]) ", _KEPT, text)
    lines = wrap(
        whole,
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_KEPT, " ") for line in lines]
