"""`\\sigma_b^2 = …` defines a tensor too: it is called `sigma2`, and σ is its positive root."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from derive.notation import tree as t
from derive.paper.forward import mapped
from derive.paper.tree_text import constant


def power_of_component(node: t.Node) -> tuple[t.Reference, int] | None:
    """The component and the exponent, a whole number from 2 to 9."""
    if not isinstance(node, t.Power) or not isinstance(node.base, t.Reference):
        return None
    exponent = constant(node.exponent)
    if exponent is None or exponent.denominator != 1 or not 2 <= exponent <= 9:
        return None
    return node.base, int(exponent)


def called(name: str, exponent: int) -> str:
    """The name of the power of a tensor."""
    return f"{name}{exponent}"


def without_powers(tree: t.Node, powers: Mapping[str, int]) -> t.Node:
    """The tree with the powers that are defined by their names, and the roots of these."""

    def rewrite(old: t.Node, new: t.Node) -> t.Node:
        found = power_of_component(old)
        if found and powers.get(found[0].name) == found[1]:
            return _component(found[0], found[1])
        if isinstance(old, t.Reference) and old.name in powers:
            return _root(_component(old, powers[old.name]), powers[old.name])
        return new

    return mapped(tree, rewrite) if powers else tree


def _component(base: t.Reference, exponent: int) -> t.Reference:
    return t.Reference(base.span, called(base.name, exponent), base.letters)


def _root(node: t.Reference, exponent: int) -> t.Node:
    if exponent == 2:
        return t.Call(node.span, "sqrt", parts=(node,), height=1)
    degree = t.Number(node.span, Fraction(1, exponent))
    return t.Power(node.span, parts=(node, degree), height=1)
