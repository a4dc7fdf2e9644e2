"""The Jacobian of one expression: ∂(expr)/∂t_pq, by the named rules of calculus.

`Differentiate(f, t_pq)` stands for ∂f/∂t_pq until a rule carries it out; each rule moves it inwards
by one node. Only components of `t` itself depend on it: every other named tensor is held fixed, as
the article does. The indices of `wrt` must occur nowhere in the expression.
"""

from __future__ import annotations

from collections.abc import Callable

from sympy import Add, Expr, Integer, Mul, Pow, S

from derive.notation.conditions import EQUAL, Iverson, iverson
from derive.notation.functions import Elementwise
from derive.notation.nodes import Component, Contraction, Differentiate, Extremum, delta
from derive.rewrite import Chain, Law

Rule = Callable[[Expr, Component], Expr | None]


def differentiate(chain: Chain) -> None:
    """Carry out the derivatives in a chain, a step for each rule."""
    while chain.expr.atoms(Differentiate):
        before = chain.expr
        for law in LAWS:
            chain.apply(law)
        if chain.expr == before:
            raise TypeError(f"no rule differentiates {before}")


def jacobian(expr: Expr, wrt: Component) -> Expr:
    """∂expr/∂wrt, with a Kronecker delta for each index of `wrt`; not simplified."""
    chain = Chain(wrt, Differentiate(expr, wrt))
    differentiate(chain)
    return chain.expr


def _depends(expr: Expr, wrt: Component) -> bool:
    """Does t stand in it, outside of conditions? Between its jumps a condition is constant."""
    if isinstance(expr, Component):
        return expr.tensor == wrt.tensor
    return not isinstance(expr, Iverson) and any(_depends(a, wrt) for a in expr.args)


def _linear(expr: Expr, wrt: Component) -> Expr | None:
    """Through sums, sums over indices and factors that are held fixed, to what is left."""
    if not _depends(expr, wrt):
        return S.Zero
    if isinstance(expr, Add):
        return Add(*(_inside(term, wrt) for term in expr.args))
    if isinstance(expr, Contraction):
        body, dummies = expr.open()
        return Contraction(_inside(body, wrt), *dummies)
    if isinstance(expr, Mul):
        moving = [f for f in expr.args if _depends(f, wrt)]
        fixed = [f for f in expr.args if f not in moving]
        return Mul(*fixed, _inside(Mul(*moving), wrt)) if fixed else None
    return None


def _inside(expr: Expr, wrt: Component) -> Expr:
    """What linearity makes of a part; the derivative of the part where it makes nothing."""
    found = _linear(expr, wrt)
    return Differentiate(expr, wrt) if found is None else found


def _product(expr: Expr, wrt: Component) -> Expr | None:
    if not isinstance(expr, Mul) or any(_is_divisor(f) for f in expr.args):
        return None
    args = expr.args
    return Add(*(Mul(*args[:k], Differentiate(a, wrt), *args[k + 1 :]) for k, a in enumerate(args)))


def _quotient(expr: Expr, wrt: Component) -> Expr | None:
    """(f/g)' = f'/g - f g'/g²; 1/g^n by itself is a matter of the power rule."""
    divisors = [f for f in Mul.make_args(expr) if _is_divisor(f)]
    if not divisors or (isinstance(expr, Pow) and expr.exp != -1):
        return None
    above = Mul(*(f for f in Mul.make_args(expr) if f not in divisors))
    below = Mul(*(1 / f for f in divisors))
    first = Differentiate(above, wrt) / below if _depends(above, wrt) else S.Zero
    return first - above * Differentiate(below, wrt) / below**2


def _is_divisor(factor: Expr) -> bool:
    return isinstance(factor, Pow) and bool(factor.exp.is_Integer and factor.exp < 0)


def _power(expr: Expr, wrt: Component) -> Expr | None:
    if not isinstance(expr, Pow):
        return None
    base, exponent = expr.args
    return Mul(exponent, Pow(base, exponent - Integer(1)), Differentiate(base, wrt))


def _chain(expr: Expr, wrt: Component) -> Expr | None:
    """For each argument that depends on t."""
    if not isinstance(expr, Elementwise):
        return None
    pairs = zip(expr.row.derivatives, expr.args, strict=True)
    return Add(
        *(Mul(d(*expr.args, expr), Differentiate(a, wrt)) for d, a in pairs if _depends(a, wrt))
    )


def _extremum(expr: Expr, wrt: Component) -> Expr | None:
    """Those that attain the maximum share its gradient evenly, as `torch.amax` has it."""
    if not isinstance(expr, Extremum):
        return None
    body, dummies = expr.open()
    attained = iverson(EQUAL, body, expr)
    return Contraction(
        Mul(attained, Pow(Contraction(attained, *dummies), -1), _inside(body, wrt)), *dummies
    )


def _component(expr: Expr, wrt: Component) -> Expr | None:
    if not isinstance(expr, Component):
        return None
    return Mul(*(delta(mine, its) for mine, its in zip(expr.indices, wrt.indices, strict=True)))


def _law(name: str, statement: str, rule: Rule, *example: str) -> Law:
    """The rule as a law on the operator; the example is an expression and its ∂/∂x_p."""

    def apply(expr: Expr) -> Expr | None:
        return rule(expr.expr, expr.wrt) if isinstance(expr, Differentiate) else None

    return Law(name, statement, apply, (example[0], example[1]), about=Differentiate)


LAWS = (
    _law(
        "the derivative is linear",
        r"(a\,f + b\,g)' = a\,f' + b\,g'",
        _linear,
        "3*x[b]^2 + z[b]*x[b] + z[b]",
        "3*d/d(x[p])(x[b]^2) + z[b]*d(x[b])/d(x[p])",
    ),
    _law(
        "product rule",
        r"(f g)' = f' g + f g'",
        _product,
        "x[b]*exp(x[b])",
        "exp(x[b])*d(x[b])/d(x[p]) + x[b]*d/d(x[p])(exp(x[b]))",
    ),
    _law(
        "quotient rule",
        r"\left(\frac{f}{g}\right)' = \frac{f'}{g} - \frac{f\,g'}{g^2}",
        _quotient,
        "exp(x[b])/(2 + x[b])^2",
        "d/d(x[p])(exp(x[b]))/(2 + x[b])^2 - exp(x[b])*d/d(x[p])((2 + x[b])^2)/(2 + x[b])^4",
    ),
    _law(
        "power rule",
        r"(f^n)' = n f^{n-1} f'",
        _power,
        "(3 + x[b])^(1/3)",
        "1/3*d/d(x[p])(3 + x[b])/(3 + x[b])^(2/3)",
    ),
    _law(
        "chain rule", r"f(g)' = f'(g)\,g'", _chain, "sin(x[b]^2)", "cos(x[b]^2)*d/d(x[p])(x[b]^2)"
    ),
    _law(
        "an extremum's gradient goes to those that attain it, in equal parts",
        r"\left(\max_h f_h\right)' = \frac{\mathbf{1}_{h} [f_h = m]\, f_h'}"
        r"{\mathbf{1}_{k} [f_k = m]}, \quad m = \max_h f_h",
        _extremum,
        "max[c](x[c]*z[b])",
        "z[b]*d(x[c])/d(x[p])*where(x[c]*z[b] == max[t](x[t]*z[b]), 1, 0)"
        "/(1[r]*where(x[r]*z[b] == max[s](x[s]*z[b]), 1, 0))",
    ),
    _law(
        "components are independent",
        r"\frac{\partial t_{i j}}{\partial t_{p q}} = \delta_{i p} \delta_{j q}",
        _component,
        "x[b]",
        "delta[b,p]",
    ),
)
