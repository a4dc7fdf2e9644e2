"""What reading a paper gives: its forward equations, and what of it cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

from derive.errors import Diagnostic
from derive.notation import tree as t


@dataclass(frozen=True, eq=False)
class Forward:
    """One equation: the tensor it defines, and the expression it is defined by."""

    target: t.Declaration
    right: t.Node

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def line(self) -> int:
        return self.target.span.line

    @cached_property
    def references(self) -> list[t.Reference]:
        """The names on the right in the order of the source."""
        return references(self.right)

    @cached_property
    def uses(self) -> list[str]:
        return list(dict.fromkeys(r.name for r in self.references))


@dataclass(frozen=True)
class Unread:
    """What cannot be read; `name` is what it would define, empty if even that is not known."""

    name: str
    diagnostics: tuple[Diagnostic, ...]

    @property
    def line(self) -> int:
        return self.diagnostics[0].span.line


@dataclass
class Reading:
    """The forward equations in order, what is not read, and what else is known of names."""

    forward: list[Forward] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    bounds: dict[str, str] = field(default_factory=dict)  # `N` in `\\sum_{i=1}^{N}` to `i`
    powers: dict[str, int] = field(default_factory=dict)  # of what only a power is defined: `σ²`
    relations: list[tuple[int, frozenset[str]]] = field(default_factory=list)  # lines and names


def references(node: t.Node) -> list[t.Reference]:
    """The names in an expression in the order of the source."""
    return [p for p in t.walk(node) if isinstance(p, t.Reference) and p.name != "pi"]


def has_letters(node: t.Node) -> bool:
    """Does anything in it carry an index?"""
    return any(getattr(part, "letters", ()) for part in t.walk(node))


def mapped(node: t.Node, rewrite: Callable[[t.Node, t.Node], t.Node]) -> t.Node:
    """A tree rewritten from the leaves up: `rewrite` takes a node as it was, and as it is now."""
    parts = tuple(mapped(part, rewrite) for part in node.parts)
    return rewrite(node, replace(node, parts=parts) if parts else node)
