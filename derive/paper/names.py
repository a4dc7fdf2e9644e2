"""Names in LaTeX where no op is known yet: every name may be a tensor, every letter an index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from derive.notation.spelling import Names, function

_BELOW = re.compile(r"_\s*(\{[^{}]*\}|[a-z])")
_LETTER = re.compile(r"[a-z][0-9]*")
_SHORT = {"epsilon": "eps", "lambda": "lam"}


def short(name: str) -> str:
    """What code calls a name; in print it is Greek all the same."""
    return _SHORT.get(name, name)


class _AllBut(Mapping[str, bool]):
    """Names without indices that hold no integers: all but the letters of indices."""

    def __init__(self, letters: Iterable[str]) -> None:
        self.letters = frozenset(letters)

    def __getitem__(self, name: str) -> bool:
        if name in self.letters:
            raise KeyError(name)
        return False

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class OpenNames(Names):
    """Each name means itself; a subscript is a list of letters, each with its digits.

    In a condition a bare letter is an index if it stands as one somewhere in the text.
    """

    def __init__(self, text: str) -> None:
        self.tensors = {}
        self.letters = frozenset()
        self.totals = {}
        below = (re.sub(r"\\[A-Za-z]+", " ", found) for found in _BELOW.findall(text))
        self.bare = _AllBut(letter for found in below for letter in _LETTER.findall(found))

    def meant(self, spellings: Iterable[str]) -> list[str]:
        """The first spelling, unless the language has the word for a function or a delta."""
        name = next(iter(spellings))
        return [] if name == "delta" or function(name) else [short(name)]
