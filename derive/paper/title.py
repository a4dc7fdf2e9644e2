"""What a paper is called: its front matter, its `\\title`, or its first heading."""

from __future__ import annotations

import re

from derive.notation.displays import Source
from derive.paper.words import printable

_MOST = 200
_FRONT = re.compile(r"\A---[ \t]*\n(?P<body>.*?)\n---[ \t]*$", re.DOTALL | re.MULTILINE)
_KEY = re.compile(r"^title:[ \t]*(?P<line>[^\n]*)(?P<more>(?:\n[ \t]+[^\n]*)*)", re.MULTILINE)
_HEADING = re.compile(r"^#[ \t]+(?P<title>[^\n]+?)[ \t#]*$", re.MULTILINE)
_TITLE = re.compile(r"(?<!\\)\\title\s*(?:\[[^\]\n]*\])?\s*\{")
_THANKS = re.compile(r"\\(?:thanks|footnote)\s*\{[^{}]*\}")
_MARKUP = re.compile(r"\\(?:\\|[A-Za-z]+\*?)\s*|[{}$`]|\*\*")


def title(source: Source) -> str:
    """The title on one line, in letters that may stand in a comment; empty if there is none."""
    found = _tex(source.text) if source.is_tex else _markdown(source.text)
    words = " ".join(_MARKUP.sub("", _THANKS.sub("", found.replace("~", " "))).split())
    return printable(words)[:_MOST]


def _markdown(text: str) -> str:
    front = _FRONT.match(text)
    key = _KEY.search(front["body"]) if front else None
    if key is not None:
        return _scalar(key["line"].strip(), key["more"])
    heading = _HEADING.search(text, front.end() if front else 0)
    return heading["title"] if heading else ""


def _scalar(line: str, more: str) -> str:
    """A scalar of YAML: plain, quoted, or a block."""
    if re.fullmatch(r"[>|][-+]?", line):
        return more
    whole = line + more
    quoted = len(whole) > 1 and whole[0] in "\"'" and whole.endswith(whole[0])
    return whole[1:-1] if quoted else whole


def _tex(text: str) -> str:
    opened = _TITLE.search(text)
    if opened is None:
        return ""
    depth = 1
    for brace in re.finditer(r"\\.|[{}]", text[opened.end() : opened.end() + 10 * _MOST]):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return text[opened.end() : opened.end() + brace.start()]
    return ""
