"""What of generated code is not mutated, and why: it decides no number, or no interpreter sees it.

Everything else in the functions of a module is: kernels, the passes, the plumbing between them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

FUNCTIONS = {  # by name
    "_expect": "refuses arguments that do not fit",
    "_expect_axes": "refuses arguments that do not fit",
    "_expect_labels": "refuses arguments that do not fit",
    "_expect_one_tangent": "refuses a mode, which the judge does not run",
    "_once": "refuses a mode, which the judge does not run",
    "_work_dtype": "chooses a type, and refuses what has none",
    "_product_dtype": "chooses a type",
    "_unrounded": "of types: the judge runs one, in which it is `@`; what it is told is mutated",
    "_whole": "refuses what is no integer",
    "_choose": "how large a block is: speed",
    "_warps": "how a kernel is launched: speed",
    "_programs": "how rows are shared among programs: speed",
    "_lines": "what is copied, and how a kernel walks: speed",
    "_is_fake": "for compilers, which the judge does not run",
    "_dense": "lays memory out: what the judge runs lies so already",
    "_library": "a name",
    "_operation": "for compilers and vmap, which the judge does not run",
    "_by_rows": "the same formulas on a few rows at a time: speed; what it is told is mutated",
    "_added": "for a few rows at a time: speed",
    "_is_plain": "for a few rows at a time: speed",
    "_in_place": "for vmap and autograd, which the judge does not run",
    "_is_unseen": "for vmap and autograd, which the judge does not run",
    "_is_last": "for autograd, which the judge does not run",
    "_as_written": "for autocast, which the judge does not turn on",
    "_is_autocast": "for autocast, which the judge does not turn on",
    "_under_autocast": "for autocast, which the judge does not turn on",
}
CALLS = {  # by the name that is called, without what it belongs to
    "_expect": "refuses arguments that do not fit",
    "_expect_axes": "refuses arguments that do not fit",
    "_expect_labels": "refuses arguments that do not fit",
    "_work_dtype": "takes a set of tensors, in any order",
    "_product_dtype": "takes a set of tensors, in any order",
    "_programs": "how rows are shared among programs: speed",
    "_lines": "what is copied, and how a kernel walks: speed",
    "next_power_of_2": "how large a block is: speed",
    "_is_fake": "for compilers, which the judge does not run",
    "_is_unseen": "for vmap and autograd, which the judge does not run",
    "_under_autocast": "for autocast, which the judge does not turn on",
    "mark_non_differentiable": "takes a set of tensors, in any order",
    "device_of": "where, not what",
    "save_for_forward": "for forward mode, which the judge does not run",
    "num_programs": "how rows are shared among programs: speed",
    "empty": "memory that a kernel fills by address: only how much of it counts",
}
KEYWORDS = {  # of any call
    "BLOCK": "speed",
    "ROWS": "speed",
    "EVEN": "speed: a mask that always holds is left out",
    "num_warps": "speed",
    "enable_fp_fusion": "speed",
    "ACC": "a type",
    "dtype": "a type",
    "device": "where, not what",
}
METADATA = {
    "dtype",
    "device",
    "shape",
    "dim",
    "new_zeros",
    "new_tensor",
}  # the same for tensors of one kind


TOLD = {"_choose": 4}  # so many arguments, then how many rows and numbers are taken at once: speed
TUNED = {"_LONGEST_ROW", "_TILE"}  # how much a program holds: parts of it are speed


def called(node: ast.expr) -> str:
    """The name that is called: `sum` in `x.sum(1)`, nothing in `kernel[grid](x)`."""
    function = node.func if isinstance(node, ast.Call) else node
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def arguments(call: ast.Call) -> list[ast.expr]:
    """Those by place, that decide more than speed."""
    return call.args[: TOLD.get(called(call))]


def is_docstring(node: ast.stmt) -> bool:
    """A statement that is text only."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def unread(function: ast.FunctionDef) -> set[str]:
    """The names that are given a value and never asked for it."""
    names = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
    stored = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    return stored - {n.id for n in names if isinstance(n.ctx, ast.Load)}


def is_exempt(node: ast.AST) -> bool:
    """Is nothing of a node to be mutated?"""
    if isinstance(node, ast.stmt) and is_docstring(node):
        return True
    if isinstance(node, ast.FunctionDef):
        return node.name in FUNCTIONS
    if isinstance(node, ast.BinOp) and isinstance(node.left, ast.Name) and node.left.id in TUNED:
        return True
    refuses = isinstance(node, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom)
    return refuses or (isinstance(node, ast.Call) and called(node) in CALLS)


def children(node: ast.AST) -> Iterator[ast.AST]:
    """What is inside a node and may be mutated: no annotation, default or decorator."""
    if isinstance(node, ast.FunctionDef):
        yield from node.body
    elif isinstance(node, ast.Call):
        yield from (node.func, *arguments(node))
        yield from (k.value for k in node.keywords if k.arg not in KEYWORDS)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield node.left  # the right side tells a compiler when this holds anyway
    else:
        yield from ast.iter_child_nodes(node)


_MORE = ("double_backward", "jvp")  # in the names of functions
_CLASSES = ("Backward",)  # at the ends of names


def first_order(tree: ast.Module) -> Iterator[ast.AST]:
    """What the two passes consist of; the judge runs no other mode.

    What differentiates twice or forward is held by gradgradcheck, and by tests of each mode.
    """
    asked = _asked(tree)
    for node in tree.body:
        second = isinstance(node, ast.FunctionDef) and any(m in node.name for m in _MORE)
        other = isinstance(node, ast.ClassDef) and node.name.endswith(_CLASSES)
        within = isinstance(node, ast.FunctionDef) and node.name in FUNCTIONS
        within |= isinstance(node, ast.FunctionDef) and node.name not in asked
        if not second and not other and not within:
            yield from (n for n in ast.walk(node) if getattr(n, "name", "") != "jvp")


def _asked(tree: ast.Module) -> set[str]:
    """The names of functions, without those that only the other modes ask for."""
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    asks = {id(n): _names(n) & functions.keys() for n in tree.body}
    everywhere: set[str] = set().union(*asks.values())
    found = {n for n in functions if not n.startswith("_") or n not in everywhere}
    todo: list[ast.stmt] = [n for n in tree.body if not isinstance(n, ast.FunctionDef)]
    todo += [functions[n] for n in found]
    while todo:
        node = todo.pop()
        if not any(m in getattr(node, "name", "") for m in (*_MORE, *_CLASSES)):
            todo += [functions[n] for n in asks[id(node)] - found]
            found |= asks[id(node)]
    return found


def _names(node: ast.stmt) -> set[str]:
    """The names that stand in a statement."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
