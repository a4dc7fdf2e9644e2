"""What a name may be: no reserved word, none that generated code needs, no gradient's."""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Iterable

from derive.notation.functions import WORDS

MOST_LETTERS = 40
_MOST_COMPARED = 50  # names that one is held against, letter by letter
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
REDUCTIONS = ("sum", "mean", "max", "min")
FUNCTION_WORDS = frozenset({*WORDS, *REDUCTIONS})
RESERVED = FUNCTION_WORDS | {"delta", "where", "solve", "op", "pi"}

# What generated files import, define or call; a tensor of this name would hide it.
CONSTANTS = frozenset({"BLOCK", "ACC"})  # of every kernel
HIDDEN = frozenset({
    *("torch", "triton", "tl", "np", "numpy", "math", "functools", "typing", "Any"),
    *("Tensor", "Function", "nn", "autograd", "library", "ctx", "self", "cls"),
    *("forward", "backward", "setup_context", "apply", "custom_op", "jit", "constexpr", "grad"),
    *("float", "int", "bool", "str", "bytes", "complex", "object", "type", "super", "property"),
    *("len", "range", "tuple", "list", "dict", "set", "zip", "map", "any", "all", "iter", "next"),
    *("sum", "max", "min", "abs", "pow", "round", "print", "repr", "open", "eval"),
    *("exec", "compile", "annotations", "once_differentiable", "isinstance", "staticmethod"),
    *("classmethod", "globals", "locals", "vars", "slice"),
    *("dtype", "device", "BLOCK", "num_warps", "num_stages", "pid", "pytest"),
})  # fmt: skip
_FILES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{p}{n}" for p in ("com", "lpt") for n in range(10))}
)


def fault(name: str) -> tuple[str, str, str] | None:
    """Why a tensor, a scalar or an index may not have this name: code, message, remedy."""
    if not _NAME.fullmatch(name):
        return (
            "E204",
            f"`{repr(name)[1:-1][:60]}` is no name",
            "a name is an ASCII letter, then letters, digits, `_`",
        )
    if len(name) > MOST_LETTERS:
        return "E407", f"a name of {len(name)} letters", f"{MOST_LETTERS} at most"
    if name in RESERVED:
        return "E203", f"`{name}` is a word of the language", _offer(name)
    if keyword.iskeyword(name):
        return "E204", f"`{name}` is a keyword of Python", _offer(name)
    if name in HIDDEN:
        return "E204", f"`{name}` would hide a name of the generated code", _offer(name)
    return None


def tensor_fault(name: str) -> tuple[str, str, str] | None:
    """The same for a tensor, whose gradient takes a name too."""
    found, gradient = fault(name), f"d{name}"
    if found is None and (keyword.iskeyword(gradient) or gradient in HIDDEN | RESERVED):
        return (
            "E205",
            f"the gradient of `{name}` would be called `{gradient}`, which is taken",
            _offer(name),
        )
    return found


def size_fault(index: str) -> tuple[str, str, str] | None:
    """Why the size of an index may not have its name."""
    if index.upper() in CONSTANTS:
        why = f"the size of `{index}`, {index.upper()}, would hide a name of the generated code"
        return "E204", why, _offer(index)
    return None


def op_fault(name: str) -> tuple[str, str, str] | None:
    """The same for an op, which names a Python function and a file."""
    if name in FUNCTION_WORDS - HIDDEN:
        return None  # an op may be called `relu`: it stands in no expression
    if name.lower() in _FILES or name.lower() == "init":
        return "E204", f"`{name}` cannot name a file everywhere", _offer(name)
    return fault(name)


def function_fault(name: str, op: str) -> tuple[str, str, str] | None:
    """Why a name may not stand inside an op: it, or its gradient's, is a function of the module."""
    ends = ("forward", "backward", "double_backward", "jvp", "backward_jvp")
    functions = tuple(f"{op}_{end}" for end in ends)
    for used in (name, f"d{name}"):
        if used in functions:
            whose = "" if used == name else f", the gradient of `{name}`,"
            return "E212", f"`{used}`{whose} is a function of the generated module", _offer(name)
    return None


def _offer(name: str) -> str:
    return f"call it `{name}_`, `{name}1` or the like" if name != "lambda" else "call it `lam`"


def _unlike(name: str, known: str) -> int:
    """How many letters of the longer one follow what they share where they begin."""
    differ = (k for k, pair in enumerate(zip(name, known, strict=False)) if pair[0] != pair[1])
    return max(len(name), len(known)) - next(differ, min(len(name), len(known)))


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy that names the known word most like this one."""
    names = sorted(known)
    if len(names) > _MOST_COMPARED:  # each comparison takes long, and a file has many names
        names = sorted(names, key=lambda k: _unlike(name, k))[:_MOST_COMPARED]
    close = difflib.get_close_matches(name, names, 1, 0.6) or [
        k for k in names if k.lower() == name.lower()
    ]
    return f"did you mean `{close[0]}`?" if close else ""


def clashes(tensors: Iterable[str], others: Iterable[str]) -> Iterable[tuple[str, str]]:
    """The pairs (name, tensor) in which the name is the one of the tensor's gradient."""
    known = list(tensors)
    names = {*known, *others}
    return [(f"d{tensor}", tensor) for tensor in known if f"d{tensor}" in names]
