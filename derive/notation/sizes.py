"""Which letters have the same size: sets of them, joined by `delta` and by the axes they share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from derive.notation.nodes import Index, Size


class Sizes:
    """Letters in order of appearance, in sets of equal size; the first letter names a set."""

    def __init__(self, letters: Iterable[str], declared: Collection[str]) -> None:
        self.rank: dict[str, int] = {letter: k for k, letter in enumerate(dict.fromkeys(letters))}
        self.declared = frozenset(declared)  # the letters of inputs: theirs are the sizes there are
        self._first = {letter: letter for letter in self.rank}

    def first(self, letter: str) -> str:
        """The letter that names the size of this one."""
        while (up := self._first[letter]) != letter:
            letter = up
        return letter

    def equate(self, one: str, other: str) -> None:
        """Declare two sizes equal."""
        low, high = sorted((self.first(one), self.first(other)), key=self.rank.__getitem__)
        self._first[high] = low

    def agree(self, one: str, other: str) -> bool:
        """Make them equal unless both are sizes of inputs that nothing declared equal."""
        if self.first(one) == self.first(other):
            return True
        if self.is_known(one) and self.is_known(other):
            return False
        self.equate(one, other)
        return True

    def is_known(self, letter: str) -> bool:
        """Is its size that of an input's axis?"""
        return self.first(letter) in self.declared

    def indices(self) -> dict[str, Index]:
        """Each letter as an index, ranked by its first appearance."""
        return {letter: Index(letter, self.size(letter), k) for letter, k in self.rank.items()}

    def size(self, letter: str) -> Size:
        """The size of a letter by the name that its set has now."""
        first = self.first(letter)
        return Size(first.upper(), self.rank[first])

    def named(self, name: str) -> str | None:
        """The letter whose size is called `name`."""
        letter = name.lower()
        return letter if letter in self.rank and letter.upper() == name else None


def of_indices(indices: Mapping[str, Index], more: Iterable[str]) -> Sizes:
    """The sizes an op has settled, with room for the letters of a statement about it."""
    sizes = Sizes([*indices, *more], indices)
    firsts: dict[Size, str] = {}
    for letter, index in indices.items():
        sizes.equate(firsts.setdefault(index.size, letter), letter)
    return sizes
