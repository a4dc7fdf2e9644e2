"""What was meant by what stands for an index, or for a kind of tensor, and is none."""

from __future__ import annotations

import re

from derive.notation import tree as t

INDEX = re.compile(r"[a-z][a-z0-9]*")
CONNECTIVES = ("and", "or", "not", "logical_and", "logical_or", "logical_not", "all", "any")


def kind_meant(name: str, letters: tuple[t.Letter, ...]) -> str:
    """What to write for `: Tensor[b,h]`, `: float`, `: long[c]`."""
    if name.lower().startswith(("int", "long", "label", "index")):
        return f"integers that index `{letters[0].name if letters else 'c'}` are `: int[c]`"
    if letters:
        axes = ",".join(k.name for k in letters)
        return f"a tensor of numbers has no kind: write `x[{axes}]`; integers are `: int[c]`"
    return "leave it out: a tensor holds numbers; integers that index `c` are `: int[c]`"


def index_meant(node: t.Node) -> str:
    """What to write for what is no index."""
    if isinstance(node, t.Reference) and node.axes:
        return "an integer picked by an integer is no index: pass it as an input `v[b]: int[c]`"
    if isinstance(node, t.Reference) and INDEX.fullmatch(node.name.lower()):
        small = node.name.lower()
        return f"an index is a small letter: write `{small}`; its size is `{small.upper()}`"
    if isinstance(node, t.Product) or any(isinstance(part, t.Product) for part in node.parts):
        return "an axis of several indices is written `g*S+s`, S the size of `s`"
    if isinstance(node, t.Sum):
        return "letters alone stand here: what is shifted is a component on the right, `x[b,s-1]`"
    if isinstance(node, t.Number):
        return "name the axis by a small letter: its size is that of the tensor that is passed"
    return "an index is a small letter, then small letters and digits: `h`, `i1`"
