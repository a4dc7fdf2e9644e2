"""An equation between two quantities read backwards: from σ = (v + ε)^½, v = σ² - ε."""

from __future__ import annotations

from collections.abc import Iterator

from sympy import Add, Expr, Mul, Pow

from derive.notation.known import operations_in
from derive.notation.nodes import Component, Contraction, Tensor, free_indices, rename
from derive.notation.op import Equation, Op
from derive.rewrite import everywhere
from derive.simplify.identities import Fold
from derive.simplify.matching import match
from derive.simplify.normal import normal


def inverted(op: Op, expr: Expr) -> Expr:
    """What a root was taken of, in terms of the root, where that leaves fewer tensors or terms."""
    best = expr
    for inverse in _inverses(op):
        tried = normal(everywhere(lambda e, i=inverse: _put_in(e, i), best))  # type: ignore[misc]  # bound now
        if _size(tried) < _size(best):
            best = tried
    return best


def _inverses(op: Op) -> Iterator[Fold]:
    """u from t, for each t = (k u + rest)^a in which u, a tensor or a sum, has the indices of t."""
    for equation in op.equations:
        if isinstance(equation.expr, Pow) and not equation.expr.exp.atoms(Component):
            base, exponent = equation.expr.args
            for term in Add.make_args(base):
                *factors, pattern = sorted(Mul.make_args(term), key=_is_quantity)
                if _is_quantity(pattern) and _is_whole(pattern, equation):
                    value = (Pow(equation.target, 1 / exponent) - (base - term)) / Mul(*factors)
                    yield Fold(pattern, tuple(free_indices(pattern)), value, equation.name)


def _is_quantity(expr: Expr) -> bool:
    return isinstance(expr, (Component, Contraction))


def _is_whole(pattern: Expr, equation: Equation) -> bool:
    """Does knowing t tell u at every place? Nothing else in the equation but numbers and sizes."""
    quantities = [e for e in equation.expr.atoms(Component) if e not in pattern.atoms(Component)]
    return not quantities and set(free_indices(pattern)) == set(equation.target.indices)


def _put_in(expr: Expr, inverse: Fold) -> Expr | None:
    mapping = match(inverse.pattern, inverse.letters, expr) if _is_quantity(expr) else None
    return None if mapping is None else rename(inverse.value, mapping)


def _size(expr: Expr) -> tuple[int, int]:
    return len(expr.atoms(Tensor)), operations_in(expr)
