"""Names for what generated code needs besides the user's own: never one that the user took."""

from __future__ import annotations

from derive.plan.program import Program

# How many rows leading axes have. `numel()` of a torch.Size is a plain number: what is compiled
# with it is compiled anew for each batch size.
ROWS = "_prod"


class Namer:
    """Gives each helper its name, with underscores added until it is free."""

    def __init__(self, program: Program) -> None:
        statements = (*program.forward, *program.backward)
        self._taken = {*program.op.tensors, *(s.target.tensor.name for s in statements)}
        self._taken |= {c.tensor.name for c in (*program.cotangents, *program.gradients)}
        self._taken |= {p.symbol.name for p in program.op.parameters}
        self._taken |= {i.size.name for i in program.op.letters}

    def __call__(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        return name


def class_name(op_name: str) -> str:
    """layer_norm → _LayerNorm."""
    return "_" + "".join(part.capitalize() for part in op_name.split("_") if part)
