"""What somebody meant who wrote a line that cannot be read, told by where the reading stopped.

Each rule looks at the word or sign that cannot stand there and at the text around it, and gives a
remedy or None. The first that gives one is heard; where none does, what may follow is listed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from derive.notation.functions import WORDS
from derive.notation.habits import ATTRIBUTES, MODULES, remedy_for
from derive.notation.names import REDUCTIONS

_NEAR = 200  # characters
_CALLABLE = (*WORDS, *REDUCTIONS)
_COMPARE = ("<=", ">=", "==", "!=", "<", ">")
_WHERE = "write `where(x[b,h] > 0, x[b,h], 0)`"
_NEST = "write one comparison in each `where`, and nest them: `where({}, where({}, u, v), v)`"
_BRACKETS = "indices stand in square brackets: `{}[b,h]`"
_TYPES = ("Tensor", "tensor", "float", "double", "int", "long", "Array", "array", "ndarray")
_BROADCAST = "write every index, as in `x[b,h]`; broadcast by `1[h]*m[b]`"


class Advice(NamedTuple):
    """What to write. The message is the usual one if there is none here; so is the place."""

    remedy: str
    message: str = ""
    code: str = ""
    marked: tuple[int, int] | None = None  # where in the line it stands, if not at the stop


class Stop:
    """A place in a line, and the word or sign there that cannot follow."""

    def __init__(self, rule: str, code: str, at: int, text: str) -> None:
        self.rule, self.code, self.at, self.text = rule, code, at, text
        self.before, self.after = code[:at], code[at + len(text) :]
        self.near = self.before[-_NEAR:]  # so that no search in it takes long

    @cached_property
    def opened(self) -> int:
        """Where the innermost bracket around it opens, or -1."""
        depth = 0
        for place in range(len(self.before) - 1, -1, -1):
            if self.code[place] in ")]":
                depth += 1
            elif self.code[place] in "([":
                if not depth:
                    return place
                depth -= 1
        return -1

    @property
    def bracket(self) -> str:
        return self.code[self.opened] if self.opened >= 0 else ""

    @property
    def opener(self) -> str:
        """The name in front of that bracket: `where` in `where(`."""
        match = re.search(
            r"(\w+)(\[[^\]]*\])?\s*$", self.code[max(self.opened - _NEAR, 0) : max(self.opened, 0)]
        )
        return match[1] if match else ""

    @property
    def argument(self) -> str:
        """What stands between it and the last comma of its bracket."""
        inner, depth = self.before[self.opened + 1 :], 0
        for place in range(len(inner) - 1, -1, -1):
            depth += (inner[place] in ")]") - (inner[place] in "([")
            if inner[place] == "," and not depth:
                return inner[place + 1 :]
        return inner

    @cached_property
    def word(self) -> str:
        """The word or sign right before it."""
        match = re.search(r"(\w+|[^\s\w])\s*$", self.near)
        return match[1] if match else ""

    @property
    def marks_word(self) -> tuple[int, int]:
        at = self.before.rstrip()
        return len(at) - len(self.word), len(at)

    @property
    def is_name(self) -> bool:
        return bool(re.match(r"[\w.]", self.text))


def advice(rule: str, code: str, at: int, text: str) -> Advice | None:
    """What the rules have to say of the place where the reading of a line stopped."""
    stop = Stop(rule, code, at, text)
    for told in _OF_A_HEAD if rule == "head" else _OF_AN_EQUATION:
        if found := told(stop):
            return found
    return None


# -- anywhere --------------------------------------------------------------------------------------


def _in_indices(s: Stop) -> Advice | None:
    if s.bracket != "[":
        return None
    if s.text in (":", "."):
        return Advice(_BROADCAST)
    if s.text == "=":
        return Advice("write the letter alone: an index runs over all of its axis")
    if s.text == "]" and s.word == ",":
        return Advice("remove the last `,`")
    return Advice("write `,` between indices") if s.is_name else None


def _doubled(s: Stop) -> Advice | None:
    """Signs of other languages: `//`, `<>`, `=<`, `===`, `++`."""
    if s.text == "/" and s.word == "/":
        return Advice("write `/` for a quotient, which is not rounded, and `#` for a comment")
    if s.text == ">" and s.word == "<":
        return Advice("write `!=`")
    if s.text == "=" and s.after[:1] in ("<", ">"):
        return Advice(f"write `{s.after[0]}=`")
    if s.text == "=" and s.word == "=":
        return Advice("write `==`")
    return None


def _ended(s: Stop) -> Advice | None:
    if s.text == ")" and s.word == ",":
        return Advice("remove the last `,`")
    if s.text == ";":
        return Advice("remove `;`: each equation has a line of its own")
    return None


# -- the head --------------------------------------------------------------------------------------


def _no_name(s: Stop) -> Advice | None:
    if re.fullmatch(r"\s*op\s*", s.before):
        return Advice("give the op a name: `op name(x[b,h]) -> y[b,h]`")
    if s.text == "-" and s.opened < 0 and "->" not in s.before:
        return Advice("a name has no `-`: write `_`")
    if s.is_name and s.opened < 0 and re.match(r"\s*\w+\s*\(", s.text + s.after):
        return Advice(f"a name is one word: `{s.word}_{s.text}`")
    if re.fullmatch(r"\s*op\s+\w+\s*", s.before) and s.text != "(":
        return Advice("put the inputs in brackets: `op name(x[b,h]) -> y[b,h]`")
    return None


def _no_arrow(s: Stop) -> Advice | None:
    if s.opened >= 0 or "->" in s.before or ")" not in s.before:
        return None
    message = "the line ends before the outputs" if not s.text else ""
    return Advice("write `->` and the outputs: `-> y[b,h]`", message)


def _parameters(s: Stop) -> Advice | None:
    if s.bracket != "(":
        return None
    if s.text == "=" and "->" not in s.before and ";" not in s.before:
        return Advice("parameters stand after a `;`: `op f(x[b,h]; eps = 1e-5) -> y[b,h]`")
    if s.text == ";":
        return Advice("write one `;`: parameters are separated by `,`")
    if s.text in ("*", "**"):
        return Advice("name each input: `op f(x[b,h], w[h]) -> y[b,h]`")
    if s.text == "-":
        return Advice("a name has no `-`: write `_`")
    if s.text == "(":
        return Advice(_BRACKETS.format(s.word))
    if s.is_name and s.word in _TYPES:
        return Advice(f"leave `{s.word}` out: write `{s.text}[b,h]`; integers are `t[b]: int[c]`")
    return Advice("write `,` between what is declared") if s.is_name else None


def _behind_outputs(s: Stop) -> Advice | None:
    if "->" not in s.before or s.opened >= 0:
        return None
    if s.text == "=" or (s.text == ":" and "=" in s.after):
        return Advice("write the equation in a line of its own below")
    if not s.text and s.word in (">", ","):
        last = "remove the last `,`" if s.word == "," else "write the outputs: `-> y[b,h]`"
        return Advice(last)
    if s.text == "[":
        return Advice("write outputs one after the other: `-> y[b,h], z[b]`")
    if s.text == "(":
        return Advice(_BRACKETS.format(s.word))
    if s.text == ":" or (not s.text and s.word == ":"):
        marked = s.marks_word if not s.text else None
        return Advice("remove `:`", "`:` is not expected here", "E101", marked)
    if s.text == "->":
        return Advice("write `->` once, and `,` between outputs")
    return Advice("write `,` between outputs") if s.is_name else None


# -- equations -------------------------------------------------------------------------------------


def _statement(s: Stop) -> Advice | None:
    """What is to be proved: `left = right for p`."""
    if s.rule != "statement":
        return None
    if s.text in _COMPARE and s.opened < 0:
        message = f"`{s.text}` is not expected here"
        return Advice("write one `=`: equalities are proved, and nothing else", message, "E101")
    if s.is_name and s.word == "all":
        return Advice(f"write `for {s.text}`")
    if not s.text and "=" not in s.before:
        return Advice("write both sides: `left = right`")
    return None


def _end(s: Stop) -> Advice | None:
    if s.text:
        return None
    if s.rule == "implicit" and "=" not in s.before:
        return Advice("write both sides of the relation: `solve y: A[i,k]*y[k] = b[i]`")
    return Advice("finish it, or put brackets around what goes on in the next line")


_DECLARE = ("let", "var", "val", "const", "auto", "set", "float", "double", "tensor", "Tensor")
_SOLVE = "write `solve {}: A[i,k]*{}[k] = b[i]`, the unknown without indices"


def _relation(s: Stop) -> Advice | None:
    """`solve y a*y = b`, `solve y[j]: …`, `solve y, z: …`, `sovle y: …`."""
    match = re.match(r"\s*(\w+)\s*[( ](?:\s*for\b)?\s*(\w+)", s.code[:_NEAR])
    if s.rule == "implicit" and ":" not in s.before:
        if s.text == ",":
            return Advice("a relation has one unknown: solve for one, or make one tensor of both")
        name = match[2] if match else "y"
        return Advice(_SOLVE.format(name, name))
    if s.rule == "equation" and match and re.match(r"\s*\w+\s+\w+\s*:", s.code):
        start = s.code.index(match[1])
        marked = start, start + len(match[1])
        message = f"`{match[1]}` is not expected here"
        return Advice(f"write `solve {match[2]}: …`", message, "E101", marked)
    return None


_ON_THE_LEFT = {
    "==": "write one `=`: a tensor is defined, not compared",
    ",": "write an equation for each: one line defines one tensor",
    ":": "leave the kind out: what is defined is a tensor of numbers",
    "[": "write all indices in one pair of brackets: `y[b,h]`",
} | dict.fromkeys(
    ("+", "-", "*", "/", "^", "**"),
    "name one tensor on the left: `y[b] = …`; a relation begins `solve y:`",
)


def _left(s: Stop) -> Advice | None:
    """What stands left of the `=`."""
    if s.rule != "equation" or "=" in s.before or s.opened >= 0:
        return None
    if s.text == "(" and s.word in _CALLABLE:
        return Advice(_ON_THE_LEFT["+"])
    if s.text == "(" or (s.text == "," and "_" in s.word):
        return Advice(f"indices stand in square brackets: `{s.word.partition('_')[0]}[b,h] = …`")
    if s.after.startswith("="):
        return Advice("write `=`: a name is defined once, so a changed value has a name of its own")
    if s.text == "<" and s.after.startswith("-"):
        return Advice("write `=`")
    if s.text in _ON_THE_LEFT:
        return Advice(_ON_THE_LEFT[s.text])
    if s.is_name and s.word in _DECLARE:
        return Advice(f"remove `{s.word}`: an equation begins with the name that it defines")
    if s.is_name and re.fullmatch(r"\s*\w+\s*", s.before):
        return Advice(f"write one name, its indices in square brackets: `{s.word}[b,h] = …`")
    return None


def _words(s: Stop) -> Advice | None:
    """Python's words between values."""
    if s.text == "and":
        return Advice(_NEST.format("a > 0", "b > 0"))
    if s.text == "or":
        return Advice("nest them: `where(a > 0, u, where(b > 0, u, v))`")
    if s.text in ("if", "else", "where"):
        return Advice("write `where(x[b,h] > 0, u, v)`: the condition first")
    if s.text in ("for", "in"):
        return Advice("leave loops out: an index stands for all its values; sum by `sum[h](…)`")
    if s.text == "is":
        return Advice("write `==`")
    if s.word in ("not", "lambda") and s.is_name:
        remedy = "turn the comparison round: `a <= b` for not `a > b`"
        return _at_word(s, remedy if s.word == "not" else "write the expression itself")
    return None


def _at_word(s: Stop, remedy: str) -> Advice:
    return Advice(remedy, f"`{s.word}` is not expected here", "E101", s.marks_word)


def _comparison(s: Stop) -> Advice | None:
    if s.text not in _COMPARE:
        return None
    if s.bracket == "(" and s.opener == "where" and re.search(r"[<>]|[=!]=", s.argument):
        return Advice(_NEST.format("0 < u", "u < 1"), "one condition has one comparison", "E502")
    message = "a comparison is the condition of a `where`"
    return Advice(_WHERE, message, "E502")


def _equals(s: Stop) -> Advice | None:
    if s.text != "=":
        return None
    if s.bracket == "(" and s.word in ("axis", "dim", "axes", "keepdim", "keepdims", "dims"):
        name = s.opener if s.opener in REDUCTIONS else "sum"
        return Advice(f"write `{name}[h](…)`: the index says which axis")
    if s.bracket == "(" and s.opener == "where":
        return Advice("compare by `==`")
    if s.bracket == "(":
        return Advice("give the values alone: no argument has a name")
    if s.rule != "statement":
        return Advice("write two equations: each has one `=`")
    return Advice("an equation has one `=`")


def _missing_bracket(s: Stop) -> Advice | None:
    """`exp x`, `sum_h x`, `x[b][h]`."""
    if s.text == "[" and s.word == "]":
        return Advice("write all indices in one pair of brackets: `x[b,h]`")
    if s.text == "[" and not re.match(r"\w", s.word):
        return Advice("write a condition as `where(j <= i, 1, 0)`, and brackets as `(` and `)`")
    if not s.is_name:
        return None
    if s.before[-1:].isdigit() and s.text.startswith("_"):
        return Advice("write the digits alone: `1000`")
    if s.before[-1:].isdigit() and s.text == "j" and not s.after.startswith("["):
        return Advice("numbers are real: pass the parts of a complex one as two tensors")
    if match := re.search(r"\b(sum|mean|max|min)\s*(\[[^\]]*\])\s*$", s.near):
        return Advice(f"put the argument in brackets: `{match[1]}{match[2]}(…)`")
    if s.word in _CALLABLE:
        return _at_word(s, f"put the argument in brackets: `{s.word}(…)`")
    match = re.fullmatch(r"(sum|max|min|mean|prod)_(\w+)", s.word)
    if match and match[1] != "prod":
        return _at_word(s, f"write `{match[1]}[{match[2]}](…)`")
    return None


def _attribute(s: Stop) -> Advice | None:
    """`np.maximum(…)`, `x.sum(…)`, `x[b,h].T`."""
    match = re.match(r"\s*(\w+)", s.after)
    if s.text != "." or not match or match[1][0].isdigit():
        return None
    chain = re.search(r"((?:\w+\s*\.\s*)*)$", s.near + ".")
    name = re.split(r"\W+", s.code[s.at :])[1]
    if s.word in MODULES:
        last = re.match(r"(?:\s*\.\s*\w+)+", s.code[s.at :])
        name = re.split(r"\W+", last[0])[-1] if last else name
        start = s.at - len(chain[1].rstrip(". ")) if chain else s.at
        remedy = remedy_for(name, _CALLABLE) or f"`{s.word}` is not known here: write it out"
        stop = s.at + len(last[0]) if last else s.at + 1
        told = "".join(s.code[start:stop].split())
        return Advice(remedy, f"there is no `{told}`", "E202", (start, stop))
    if name in REDUCTIONS:
        return Advice(f"write `{name}[h](…)`")
    if name in _CALLABLE:
        return Advice(f"write `{name}(…)`")
    return Advice(ATTRIBUTES.get(name) or remedy_for(name) or "a tensor has no parts but x[b,h]")


def _arrow(s: Stop) -> Advice | None:
    if s.text in ("->", "-") and s.code[s.at : s.at + 2] == "->":
        return Advice("an op begins with `op`: `op name(x[b,h]) -> y[b,h]`")
    return None


_OF_A_HEAD: tuple[Callable[[Stop], Advice | None], ...] = (
    _in_indices, _no_name, _behind_outputs, _no_arrow, _parameters, _ended,
)  # fmt: skip
_OF_AN_EQUATION: tuple[Callable[[Stop], Advice | None], ...] = (
    _statement, _end, _relation, _in_indices, _doubled, _left, _words, _attribute, _comparison,
    _equals, _missing_bracket, _ended, _arrow,
)  # fmt: skip
