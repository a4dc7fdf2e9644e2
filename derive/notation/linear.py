"""Is a relation linear in its unknown? Asked of what is written, so that the place is known."""

from __future__ import annotations

from derive.notation import tree as t


def not_linear(node: t.Node, name: str) -> t.Node | None:
    """The smallest part in which the unknown stands otherwise than once in a product."""
    if not _holds(node, name) or isinstance(node, t.Leaf):
        return None
    for part in node.parts:
        if (found := not_linear(part, name)) is not None:
            return found
    holding = [p for p in node.parts if _holds(p, name)]
    if isinstance(node, t.Sum) or (isinstance(node, t.Product) and len(holding) == 1):
        return None
    if isinstance(node, t.Reduction) and node.name in ("sum", "mean"):
        return None
    if isinstance(node, t.Where) and node.parts[0] not in holding:
        return None
    if isinstance(node, t.Power) and isinstance(node.exponent, t.Number):
        return None if node.exponent.value in (0, 1) else node
    return node.parts[0] if isinstance(node, t.Where) else node


def _holds(node: t.Node, name: str) -> bool:
    return any(isinstance(p, t.Reference) and p.name == name for p in t.walk(node))
