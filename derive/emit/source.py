"""Lines of Python source: long statements are broken where a person would break them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
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
    """`target = code`, if it is too long broken at + and -, else at *, else before methods that
    write in place, else inside brackets.
    """
    line = f"{target} = {code}"
    if indent + len(line) <= WIDTH:
        return line
    for operators in (("+", "-"), ("*", "/")):
        parts = split_top(code, operators)
        if len(parts) > 1:
            lines = [
                line
                for part in fill(parts, WIDTH - indent - 4)
                for line in broken(part, indent + 4)
            ]
            return "\n".join([f"{target} = (", *lines, " " * indent + ")"])
    calls = _calls(code)
    if len(calls) > 2:
        lines = [line for part in calls for line in broken(part, indent + 4)]
        return "\n".join([f"{target} = (", *lines, " " * indent + ")"])
    return "\n".join(broken(line, indent)).lstrip()


def _calls(code: str) -> list[str]:
    """A chain of methods that write in place, and what changes the type of that, each by itself."""
    parts: list[str] = []
    depth = start = 0
    for place, sign in _signs(code):
        method = re.match(r"\.\w+_\(", code[place:]) or (parts and code.startswith(".to(", place))
        if depth == 0 and method and code[:place].strip():
            parts.append(code[start:place])
            start = place
        depth += (sign in "([") - (sign in ")]")
    return [*parts, code[start:]]


def broken(code: str, indent: int) -> list[str]:
    """Code in lines: if it is too long, what the last long bracket holds stands by itself."""
    margin = " " * indent
    if indent + len(code) <= WIDTH:
        return [margin + code]
    found = max(_brackets(code), key=lambda pair: pair[1] - pair[0], default=(0, 0))
    inside = code[found[0] + 1 : found[1]]
    if not inside:
        return [margin + code]
    items = split_commas(inside)
    comma = "," if len(items) > 1 else ""
    lines = [margin + code[: found[0] + 1]]
    for item in filter(None, items):  # behind the comma of one item nothing stands
        made = broken(item, indent + 4)
        lines += [*made[:-1], made[-1] + comma]
    return [*lines, margin + code[found[1] :]]


def _brackets(code: str) -> list[tuple[int, int]]:
    """Where the outermost brackets open and close."""
    found, depth, start = [], 0, 0
    for place, sign in _signs(code):
        if sign in "([":
            start, depth = (place, 1) if depth == 0 else (start, depth + 1)
        elif sign in ")]":
            depth -= 1
            if depth == 0:
                found.append((start, place))
    return found


def _signs(code: str) -> Iterator[tuple[int, str]]:
    """The characters that stand in no string, with their places."""
    quoted = False
    for place, sign in enumerate(code):
        quoted ^= sign == '"'
        if not quoted:
            yield place, sign


def split_commas(code: str) -> list[str]:
    """The code cut at each comma that stands outside all brackets."""
    parts, depth, start = [], 0, 0
    for place, sign in _signs(code):
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and depth == 0:
            parts.append(code[start:place].strip())
            start = place + 1
    return [*parts, code[start:].strip()]


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

    A single item may end in a comma, which makes a tuple of it; so does an empty one behind it.
    """
    items = list(items)
    line = f"{opening}{', '.join(items)}{closing}"
    if indent + len(line) <= WIDTH:
        return line
    inner = "".join(f"{' ' * (indent + 4)}{item.removesuffix(',')},\n" for item in items if item)
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
