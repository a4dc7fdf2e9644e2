"""How lines of a paper are spoken of, and what of its words may be printed."""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str) -> str:
    """Without control and format characters, which could make a text look like another."""
    return "".join(c for c in text if c.isprintable())


def lines_text(numbers: Iterable[int]) -> str:
    """`line 3`, `lines 3-5, 9`."""
    ordered_numbers = sorted(set(numbers))
    runs: list[list[int]] = []
    for number in ordered_numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
    return f"line {shown}" if len(ordered_numbers) == 1 else f"lines {shown}"
