"""The order of terms and factors in which a person would write, and code computes."""

from __future__ import annotations

from sympy import Expr, Pow, S

from derive.notation.nodes import Component, free_indices
from derive.notation.op import is_gradient


def is_divisor(factor: Expr) -> bool:
    """Is this a factor with a negative exponent?"""
    exponent = factor.as_base_exp()[1] if isinstance(factor, Pow) else S.One
    return bool(exponent.as_coeff_Mul()[0].is_negative)


def factor_order(factor: Expr) -> tuple[object, ...]:
    """Gradients and large tensors first, as a person writes a product."""
    base = factor.as_base_exp()[0] if isinstance(factor, Pow) else factor
    gradient = isinstance(base, Component) and is_gradient(base)
    rank = base.tensor.rank if isinstance(base, Component) else 10**9
    return (not gradient, -len(free_indices(factor)), rank, factor.sort_key())


def term_order(term: Expr) -> tuple[object, ...]:
    """Positive terms first, larger tensors first, the last defined last."""
    components = sorted(term.atoms(Component), key=lambda c: (-len(c.indices), c.tensor.rank))
    negative = bool(term.as_coeff_Mul()[0].is_negative)
    sizes = [-len(c.indices) for c in components] or [0]
    return (negative, sizes, [c.tensor.rank for c in components], term.sort_key())
