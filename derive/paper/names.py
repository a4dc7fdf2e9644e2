"""Names in LaTeX where no op is known yet: every name may be a tensor, every letter an index."""

from __future__ import annotations

from collections.abc import Iterable

from derive.notation.spelling import Names, function

_SHORT = {"epsilon": "eps", "lambda": "lam"}


def short(name: str) -> str:
    """What code calls a name; in print it is Greek all the same."""
    return _SHORT.get(name, name)


class OpenNames(Names):
    """Each name means itself; a subscript is a list of letters, each with its digits."""

    def __init__(self) -> None:
        self.tensors = {}
        self.letters = frozenset()
        self.totals = {}

    def meant(self, spellings: Iterable[str]) -> list[str]:
        """The first spelling, unless the language has the word for a function or a delta."""
        name = next(iter(spellings))
        return [] if name == "delta" or function(name) else [short(name)]
