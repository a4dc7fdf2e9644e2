"""Wrong versions of an equation in LaTeX: one sign, index, exponent or number changed."""

from __future__ import annotations

import re
from collections.abc import Iterator

ARTICLE_PAIRS = {"b": "p", "p": "b", "h": "q", "q": "h"}  # letters of one size
_INDEX = re.compile(r"(?<=_\{)[a-z](?: ?[a-z])*(?=\})|(?<=_)[a-z]")
_EXPONENT = re.compile(r"(?<=\^\{)-?[0-9.]+(?=\})")
_POWERLESS = re.compile(r"\\?[a-zA-Z]+_(?:\{[a-z ]+\}|[a-z])(?!\^)")
_NUMBER = re.compile(r"(?<=\{)[0-9]+(?= |\})(?!\}_)")


def signs(text: str) -> Iterator[str]:
    """Each sign turned; one put in front."""
    for m in re.finditer(r"(?<![{^])[+-]", text):
        yield text[: m.start()] + ("-" if m[0] == "+" else "+") + text[m.end() :]
    if not text.startswith("-"):
        yield "-" + text


def indices(text: str, pairs: dict[str, str]) -> Iterator[str]:
    """Each index of each component replaced by another of its size."""
    for m in _INDEX.finditer(text):
        for k in range(m.start(), m.end()):
            if text[k] in pairs:
                yield text[:k] + pairs[text[k]] + text[k + 1 :]


def exponents(text: str) -> Iterator[str]:
    """Each exponent raised by one; a square where there is none."""
    for m in _EXPONENT.finditer(text):
        yield f"{text[: m.start()]}{float(m[0]) + 1:g}{text[m.end() :]}"
    for m in _POWERLESS.finditer(text):
        if "\\partial" not in text[max(0, m.start() - 9) : m.start()]:
            yield text[: m.end()] + "^{2}" + text[m.end() :]


def numbers(text: str) -> Iterator[str]:
    """Each number of a fraction raised by one; the whole, or its first term, doubled."""
    for m in _NUMBER.finditer(text):
        if "mathbf" not in text[max(0, m.start() - 9) : m.start()]:
            yield f"{text[: m.start()]}{int(m[0]) + 1}{text[m.end() :]}"
    sign = "-" if text.startswith("-") else ""
    yield f"{sign}2 {text.removeprefix('-')}"


def mutants(text: str, pairs: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every mutant of a side, with what was done."""
    yield from (("sign", m) for m in signs(text))
    yield from (("index", m) for m in indices(text, pairs))
    yield from (("exponent", m) for m in exponents(text))
    yield from (("number", m) for m in numbers(text))
