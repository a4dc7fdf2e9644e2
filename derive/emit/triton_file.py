"""The triton backend: which kind of file an op has, and what is in it.

An op about one row at a time is kernels alone; one that multiplies matrices has torch's products
and kernels between them; where no kernel is worth it, the file is that of the torch backend.
"""

from __future__ import annotations

from functools import lru_cache

from derive.catalogue import source_label
from derive.derivation import Derivation
from derive.emit import tuned
from derive.emit.fused_module import FusedModule, grouped_by, groups_of
from derive.emit.header import Source
from derive.emit.remembered import remembered
from derive.emit.torch_module import TEMPLATE as TORCH_TEMPLATE
from derive.emit.torch_module import plain
from derive.emit.triton_module import ROW_TEMPLATE, TritonModule, has_kernels
from derive.notation.op import Op
from derive.plan.program import plan
from derive.rewrite import keeping_shape

_SOME, _NONE = "kernels between products", "products alone"


@lru_cache(maxsize=256)
def has_groups(op: Op) -> bool:
    """Has it kernels between its matrix products?"""
    if has_kernels(op):
        return False
    source = Source(source_label(op), op.text)
    found = remembered(op, "groups", [source], lambda: _SOME if groups_of(op) else _NONE)
    return found == _SOME


def template_for(op: Op) -> tuple[str, ...]:
    """The template that an op's file is made from."""
    kernels = has_kernels(op) or has_groups(op)
    return (ROW_TEMPLATE, tuned.TABLE) if kernels else (TORCH_TEMPLATE,)


def triton_module(op: Op, derivation: Derivation) -> str:
    """The body of `triton/<op>.py`."""
    with keeping_shape():
        if has_kernels(op):
            return TritonModule(plan(op, derivation, shared=False), derivation).render()
        made = grouped_by(op, derivation) if has_groups(op) else None
        if made is not None:
            return FusedModule(made, derivation).render()
        return plain(op, derivation).render()
