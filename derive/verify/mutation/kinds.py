"""Of which kind is a name of generated code? Names of one kind could be taken for one another."""

from __future__ import annotations

import re

from derive.derivation import differentiate
from derive.notation.op import Op
from derive.plan.program import plan

Kind = tuple[str, ...]  # what it is, then its axes

_DERIVED = re.compile(r"(?P<tensor>\w+?)(?P<kind>_partial(_\d+)?_ptr|_ptr|_parts|_partial(_\d+)?)")


class Kinds:
    """The kinds of names: a tensor by its axes, pointers, partial sums."""

    def __init__(self, axes: dict[str, Kind]) -> None:
        self.axes = axes

    def __getitem__(self, name: str) -> Kind | None:
        """The kind of a name; None for one that is no tensor's."""
        if name in self.axes:
            return ("tensor", *self.axes[name])
        found = _DERIVED.fullmatch(name)
        if found is None or found["tensor"] not in self.axes:
            return None
        return (found["kind"].rstrip("0123456789_"), *self.axes[found["tensor"]])


def kinds(op: Op) -> Kinds:
    """The kinds of the names in the code of an op."""
    program = plan(op, differentiate(op))
    statements = (s.target for s in (*program.forward, *program.backward))
    given = (*op.inputs, *op.outputs, *program.cotangents, *program.gradients)
    components = (*given, *statements)
    return Kinds({c.tensor.name: tuple(i.size.name for i in c.indices) for c in components})
