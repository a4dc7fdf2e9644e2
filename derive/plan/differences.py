"""Differences that sum to zero get a name: x - m in (x - m)/sigma, where m is the mean of x.

What has a name can be re-centred. The name then stands wherever the difference stands, in whatever
letters, in the forward and the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable

from sympy import Add, Expr

from derive.notation.nodes import Component, Extremum, Index, Tensor, free_indices
from derive.rewrite import everywhere


class Differences:
    """The differences of one op that have a name."""

    def __init__(self) -> None:
        self._known: dict[Expr, Component] = {}  # in places for indices, as `_form` has them
        self._kinds: set[type] = set()

    def add(self, expr: Expr, name: Component) -> None:
        """From now on the expression is called by this name."""
        form, order = _form(expr)
        if set(order) == set(name.indices):
            self._known[form] = name.xreplace(_places(order))
            self._kinds.add(type(expr))

    def name(self, expr: Expr) -> Expr:
        """The expression with the names of all differences in it that have one."""
        return everywhere(self._called, expr)

    def introduce(self, expr: Expr, define: Callable[[Expr], Component | None]) -> Expr:
        """The right side of a definition, each difference in it named, by `define` if need be.

        The whole of the right side is no difference in it: it has a name, that of the left side.
        """

        def called(part: Expr) -> Expr | None:
            found = self._called(part)
            if found is None and _is_difference(part) and (name := define(part)) is not None:
                self.add(part, name)
                found = name
            return found

        if isinstance(expr, Add):
            return expr.func(*(everywhere(called, a) for a in expr.args))
        return everywhere(called, expr)

    def maximised(self, expr: Expr, define: Callable[[Expr], Component]) -> Expr:
        """What an extremum is taken of has a name: computed twice, it might differ in the last bit.

        The gradient goes to those that are equal to the extremum.
        """

        def called(part: Expr) -> Expr | None:
            if not isinstance(part, Extremum) or isinstance(part.body, Component):
                return None
            body, dummies = part.open()
            name = define(body)
            self.add(body, name)
            return part.func(name, *dummies)

        return everywhere(called, expr)

    def _called(self, expr: Expr) -> Expr | None:
        if type(expr) not in self._kinds:
            return None
        form, order = _form(expr)
        name = self._known.get(form)
        return None if name is None else name.xreplace({p: i for i, p in _places(order).items()})


def _is_difference(expr: Expr) -> bool:
    signs = [a.as_coeff_Mul()[0].is_negative for a in Add.make_args(expr) if a.atoms(Component)]
    return isinstance(expr, Add) and len(signs) > 1 and any(signs)


def carried(expr: Expr) -> tuple[Tensor, tuple[Index, ...]]:
    """The largest tensor of an expression, and the free indices, those of that tensor first."""
    every = free_indices(expr)
    free = set(every)
    own = {c: [i for i in c.indices if i in free] for c in expr.atoms(Component)}
    ordered = sorted(own, key=lambda c: (-len(own[c]), c.tensor.rank, [i.rank for i in own[c]]))
    shown = (i for c in ordered for i in own[c])
    return ordered[0].tensor, tuple(dict.fromkeys([*shown, *every]))  # a condition may have more


def _form(expr: Expr) -> tuple[Expr, tuple[Index, ...]]:
    """The expression up to the names of its indices, and these in the order of their places."""
    order = carried(expr)[1] if expr.atoms(Component) else ()
    return expr.xreplace(_places(order)), order


def _places(order: tuple[Index, ...]) -> dict[Index, Index]:
    return {i: Index(f"k{n}", i.size, 3_000_000 + n) for n, i in enumerate(order)}
