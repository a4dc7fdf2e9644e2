"""The Jacobian of one expression: ∂(expr)/∂t_pq by the rules for sums, products, powers, functions.

Only components of `t` itself depend on it: every other named tensor is held fixed, as the article
does. The indices of `wrt` must occur nowhere in the expression.
"""

from __future__ import annotations

from sympy import Add, Expr, Integer, Mul, Pow, S

from derive.notation.functions import Elementwise
from derive.notation.nodes import Component, Contraction, delta


def jacobian(expr: Expr, wrt: Component) -> Expr:
    """∂expr/∂wrt, with a Kronecker delta for each index of `wrt`; not simplified."""
    if not any(c.tensor == wrt.tensor for c in expr.atoms(Component)):
        return S.Zero
    for node, rule in RULES:
        if isinstance(expr, node):
            return rule(expr, wrt)
    raise TypeError(f"no rule differentiates {type(expr).__name__}")


def _component(expr: Component, wrt: Component) -> Expr:
    """∂t_ij/∂t_pq = δ_ip δ_jq."""
    return Mul(*(delta(mine, its) for mine, its in zip(expr.indices, wrt.indices, strict=True)))


def _sum(expr: Add, wrt: Component) -> Expr:
    """(f + g)' = f' + g'."""
    return Add(*(jacobian(term, wrt) for term in expr.args))


def _product(expr: Mul, wrt: Component) -> Expr:
    """(f g)' = f' g + f g'."""
    args = expr.args
    return Add(*(Mul(*args[:k], jacobian(a, wrt), *args[k + 1 :]) for k, a in enumerate(args)))


def _power(expr: Pow, wrt: Component) -> Expr:
    """(f^n)' = n f^(n-1) f'."""
    base, exponent = expr.args
    return Mul(exponent, Pow(base, exponent - Integer(1)), jacobian(base, wrt))


def _function(expr: Elementwise, wrt: Component) -> Expr:
    """f(g)' = f'(g) g', for each argument."""
    rules = expr.row.derivatives
    return Add(
        *(Mul(d(*expr.args, expr), jacobian(a, wrt)) for d, a in zip(rules, expr.args, strict=True))
    )


def _contraction(expr: Contraction, wrt: Component) -> Expr:
    """The derivative of a sum over an index is the sum of the derivatives."""
    body, dummies = expr.open()
    return Contraction(jacobian(body, wrt), *dummies)


RULES = (
    (Component, _component),
    (Add, _sum),
    (Mul, _product),
    (Pow, _power),
    (Elementwise, _function),
    (Contraction, _contraction),
)
