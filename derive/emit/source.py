"""Lines of Python source: long statements are broken where a person would break them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

WIDTH = 100


@dataclass(frozen=True)
class Line:
    """A statement, maybe of several physical lines, and the comment above it."""

    note: str
    code: str


@dataclass(frozen=True)
class Block:
    """Lines that run under one condition, or always if it is empty."""

    condition: str
    lines: tuple[Line, ...]


def assign(target: str, code: str, indent: int) -> str:
    """`target = code`, broken at + and -, else at *, if it is too long for a line."""
    line = f"{target} = {code}"
    if indent + len(line) <= WIDTH:
        return line
    for operators in (("+", "-"), ("*", "/")):
        parts = split_top(code, operators)
        if len(parts) > 1:
            inner = "\n".join(" " * (indent + 4) + p for p in fill(parts, WIDTH - indent - 4))
            return f"{target} = (\n{inner}\n{' ' * indent})"
    return line


def split_top(code: str, operators: tuple[str, ...]) -> list[str]:
    """The code cut before each of the operators that stands outside all brackets."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(r"[()\[\]]| ([-+*/]) ", code):
        text = match.group()
        depth += (text in "([") - (text in ")]")
        if depth == 0 and match.group(1) in operators and match.group(1):
            parts.append(code[start : match.start()])
            start = match.start() + 1
    return [*parts, code[start:]]


def fill(parts: Iterable[str], width: int) -> list[str]:
    """Parts joined into lines no longer than `width`."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 1 + len(part) <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return lines


def bracketed(opening: str, items: Iterable[str], closing: str, indent: int) -> str:
    """`opening item, item closing` on one line, or an item a line.

    A single item may end in a comma, which makes a tuple of it.
    """
    items = list(items)
    line = f"{opening}{', '.join(items)}{closing}"
    if indent + len(line) <= WIDTH:
        return line
    inner = "".join(f"{' ' * (indent + 4)}{item.removesuffix(',')},\n" for item in items)
    return f"{opening}\n{inner}{' ' * indent}{closing}"


def comma(items: Iterable[str]) -> str:
    """`a, b` or `a,`: a tuple without brackets."""
    items = list(items)
    return f"{items[0]}," if len(items) == 1 else ", ".join(items)


def unpacked(items: Iterable[str]) -> str:
    """`a, b` or `(a,)`, to stand left of a sign or after `return`."""
    items = list(items)
    return f"({items[0]},)" if len(items) == 1 else ", ".join(items)


def as_docstring(text: str) -> str:
    """Text made safe inside triple quotes."""
    return text.replace("\\", "\\\\").replace('"""', r"\"\"\"")
