"""Products of two tensors as `@`, and the letters of an einsum."""

from __future__ import annotations

from string import ascii_letters

from derive.emit.scalar import ATOM, Code, bracket
from derive.errors import DeriveError
from derive.notation.nodes import Index

Space = tuple[Index, ...]


def matmul(
    a: tuple[Code, Space], b: tuple[Code, Space], dummies: Space, result: Space
) -> tuple[Code, Code] | None:
    """`a` and `b` for a @ b, transposed as needed.

    Both must share the one dummy, and what leads the result.
    """
    if len(dummies) != 1 or any(len(set(x[1])) != len(x[1]) for x in (a, b)):
        return None
    (dummy,) = dummies
    batch = tuple(i for i in result if i in a[1] and i in b[1])
    own = [tuple(i for i in x[1] if i not in (*batch, dummy)) for x in (a, b)]
    if any(dummy not in x[1] or x[1][: len(batch)] != batch for x in (a, b)):
        return None
    if any(len(letters) > 1 for letters in own) or (batch and not all(own)):
        return None
    if result[len(batch) :] == (*own[1], *own[0]) and all(own):
        a, b = b, a
    elif result != (*batch, *own[0], *own[1]):
        return None
    left = a[0] if a[1][-1] == dummy else _transposed(a)
    right = b[0] if b[1][len(batch)] == dummy else _transposed(b)
    return left, right


def _transposed(tensor: tuple[Code, Space]) -> Code:
    return f"{bracket(tensor[0], ATOM)}.{'T' if len(tensor[1]) == 2 else 'mT'}", ATOM


def einsum_letters(result: Space, dummies: Space) -> dict[Index, str]:
    """One letter an index: its own where that is one letter and free, else another.

    DeriveError beyond the letters that torch has.
    """
    if (indices := len(result) + len(dummies)) > len(ascii_letters):
        most = f"torch.einsum has letters for {len(ascii_letters)}"
        raise DeriveError(f"a sum with {indices} indices: {most}; give parts of it equations")
    letters: dict[Index, str] = {}
    spare = iter(ascii_letters)
    for index in (*result, *dummies):
        name = index.name if len(index.name) == 1 and index.name not in letters.values() else ""
        while not name or name in letters.values():
            name = next(spare)
        letters[index] = name
    return letters
