"""Forms of a gradient: all equal, each as it would be published, and counted rightly."""

from __future__ import annotations

import pytest
from sympy import Expr

from derive import differentiate, parse
from derive.derivation import Derivation
from derive.forms import FORMS, form, polynomial_text, together
from derive.forms.cost import operations
from derive.notation.nodes import Component
from derive.notation.op import Equation, Op
from derive.rewrite import everywhere, keeping_shape
from derive.simplify.identities import instantiate
from tests.samples import World, derived, different, every_op, name_of


def texts(derivation: Derivation, tensor: str, name: str) -> list[str]:
    return [e.text for e in form(derivation, tensor, name).equations]


# -- as it would be published ---------------------------------------------------------------------


def test_layer_norm_in_terms_of_what_is_normalized() -> None:
    """dx = (g - mean g - x̂ mean(g x̂))/σ with g = dy γ, x̂ = μ/σ."""
    assert texts(derived("layer_norm"), "x", "factored") == [
        "g[p,q] = dy[p,q]*gamma[q]",
        "mu_hat[p,q] = mu[p,q]/sigma[p]",
        "dx[p,q] = (g[p,q] - 1/H*1[q]*1[h]*g[p,h] - 1/H*g[p,h]*mu_hat[p,h]*mu_hat[p,q])/sigma[p]",
    ]


def test_layer_norm_as_the_article_concludes() -> None:
    (equation,) = texts(derived("layer_norm"), "x", "closed")
    assert equation.endswith("*(1[h]*1[q]/sigma[p] + mu[p,h]*mu[p,q]/sigma[p]^3)")


def test_softmax_in_terms_of_its_output() -> None:
    """dx = p (dp - Σ p dp)."""
    assert texts(derived("softmax"), "x", "factored") == [
        "dx[q,r] = p[q,r]*(dp[q,r] - dp[q,i]*1[r]*p[q,i])"
    ]


def test_cross_entropy_as_a_difference() -> None:
    """(p - t) dl for targets that sum to one, which the equations say by `log z` without them."""
    (op,) = parse(
        "op nll(x[b,c], t[b,c]) -> l[b]\n"
        "z[b] = 1[c]*exp(x[b,c])\nl[b] = log(z[b]) - t[b,c]*x[b,c]\n"
    )
    assert texts(differentiate(op), "x", "factored") == [
        "dx[p,q] = dl[p]*(exp(x[p,q])/z[p] - t[p,q])"
    ]


def test_attention_as_it_is_published() -> None:
    """dQ = dS K, dK = dSᵀ Q with dS = P (dP - Σ dP P): Dao et al. 2022, arXiv:2205.14135."""
    equations = together(derived("attention"), ["q", "k"], "factored")
    assert [e.text for e in equations] == [
        "dp[r,u] = do[r,c]*v[u,c]",
        "dq[r,t] = 1/sqrt(D)*k[j,t]*p[r,j]*(dp[r,j] - dp[r,s]*1[j]*p[r,s])",
        "dk[u,t] = 1/sqrt(D)*q[i,t]*p[i,u]*(dp[i,u] - dp[i,j]*1[u]*p[i,j])",
    ]


AS_PUBLISHED = [  # header, equations, gradient of x
    (
        "t[b]",
        "l[b] = t[b]*softplus(-x[b]) + (1 - t[b])*softplus(x[b])",
        "dl[p]*(sigmoid(x[p]) - t[p])",
    ),
    ("t[b]", "l[b] = softplus(-x[b])*t[b]", "-dl[p]*t[p]*sigmoid(-x[p])"),
    (
        "t[b]",
        "l[b] = where(x[b] > 0, x[b]*log(x[b]), 0)",
        "dl[p]*(1 + log(x[p]))*where(x[p] > 0, 1, 0)",
    ),
    ("t[b]", "l[b] = exp(x[b])/(1[c]*exp(x[c]))", "l[p]*(dl[p] - dl[b]*1[p]*l[b])"),
]


@pytest.mark.parametrize(("more", "equation", "gradient"), AS_PUBLISHED)
def test_short_forms(more: str, equation: str, gradient: str) -> None:
    (op,) = parse(f"op short(x[b], {more}) -> l[b], k\n{equation}\nk = t[b]*1[b]\n")
    assert texts(differentiate(op), "x", "factored") == [f"dx[p] = {gradient}"]


def test_what_two_gradients_share_has_one_name() -> None:
    (op,) = parse(
        "op two(x[b,h], u[b,h], w[h]) -> y[b,h]\n"
        "a[b] = x[b,h]*u[b,h]\ny[b,h] = w[h]*(x[b,h] - u[b,h])*a[b]\n"
    )
    equations = together(differentiate(op), ["x", "u"], "factored")
    names = [e.name for e in equations]
    assert len(names) == len(set(names))


# -- all equal ------------------------------------------------------------------------------------


def put_together(equations: tuple[Equation, ...]) -> Expr:
    """The last equation with the others put in."""
    known = {e.target.tensor: e for e in equations}

    def opened(expr: Expr) -> Expr | None:
        if isinstance(expr, Component) and expr.tensor in known:
            return instantiate(known[expr.tensor], expr)
        return None

    expr = equations[-1].expr
    for _ in equations:
        expr = everywhere(opened, expr)
    return expr


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_the_forms_of_a_gradient_are_equal(op: Op) -> None:
    derivation = derived(op.name)
    world = World(op, (2, 3, 2, 2, 3), 3, 0.3, 1.4)
    for tensor in (c.tensor.name for c in op.differentiable):
        free = derivation.stage[tensor].component.indices
        with keeping_shape():
            closed, factored = (
                put_together(form(derivation, tensor, name).equations)
                for name in ("closed", "factored")
            )
        assert not different(world.values(factored, free), world.values(closed, free)), tensor


@pytest.mark.parametrize("op", every_op(), ids=name_of)
def test_factoring_does_not_cost_more(op: Op) -> None:
    """Where every size is 64."""
    derivation = derived(op.name)
    for tensor in (c.tensor.name for c in op.differentiable):
        closed, factored = (
            form(derivation, tensor, name).operations for name in ("closed", "factored")
        )
        sizes = dict.fromkeys(closed.free_symbols | factored.free_symbols, 64)
        assert factored.subs(sizes) <= closed.subs(sizes), tensor


# -- counting -------------------------------------------------------------------------------------

COUNTS = [  # an op's right side over x, y [b h], w [h]; how many operations it takes
    ("b,h", "x[b,h]*y[b,h]", "B*H"),
    ("b,h", "x[b,h]*w[h] + y[b,h]", "2*B*H"),
    ("b,h", "3*x[b,h]*w[h]", "B*H + H"),
    ("b", "x[b,h]*w[h]", "2*B*H"),
    ("b", "1/H*1[h]*x[b,h]", "B*H + B"),
    ("b,h", "exp(x[b,h])", "B*H"),
    ("b,h", "-x[b,h]", "0"),
    ("b,h", "x[b,h]/sqrt(y[b,h])", "2*B*H"),
    ("b,h", "exp(x[b,h])*y[b,h] + exp(x[b,h])", "3*B*H"),
]


@pytest.mark.parametrize(("free", "text", "count"), COUNTS)
def test_operations(free: str, text: str, count: str) -> None:
    (op,) = parse(
        f"op count(x[b,h], y[b,h], w[h]) -> u[{free}], k\n"
        f"u[{free}] = {text}\nk = x[b,h]*y[b,h]*w[h]\n"
    )
    assert polynomial_text(operations(op.equations[0].expr)) == count


@pytest.mark.parametrize(
    ("head", "right", "count"),
    [
        ("op f(w[v,h], t[b]: int[v]) -> y[b,h]", "w[t[b],h]", "0"),
        ("op f(x[b,h], t[b]: int[v], g[v]) -> y[v,h]", "g[v]*delta[v,t[b]]*x[b,h]", "B*H + H*V"),
        ("op f(x[b,h], w[k]) -> y[b,h]", "x[b,h-k]*w[k]", "2*B*H*K"),
        ("op f(x[b,h]) -> y[b,h]", "x[b,H-1-h]", "0"),
    ],
)
def test_what_only_says_where_a_number_is_costs_nothing(head: str, right: str, count: str) -> None:
    (op,) = parse(f"{head}\n{head.split('-> ')[1]} = {right}\n")
    assert polynomial_text(operations(op.equations[0].expr)) == count


def test_a_product_is_taken_in_the_order_that_costs_least() -> None:
    """The scalar first, then the vector, the matrix last."""
    (op,) = parse("op order(a, w[h], x[b,h]) -> y[b,h]\ny[b,h] = x[b,h]*w[h]*a\n")
    assert polynomial_text(operations(op.equations[0].expr)) == "H*B + H"


def test_the_article_s_form_is_quadratic_in_the_row() -> None:
    derivation = derived("layer_norm")
    costs = {name: polynomial_text(form(derivation, "x", name).operations) for name in FORMS}
    assert costs["closed"].startswith("4*B*H^2")
    assert "H^2" not in costs["chain"] + costs["factored"]


@pytest.mark.parametrize("name", ["layer_norm", "softmax"])
def test_what_is_shown_is_the_form(name: str) -> None:
    shown = derived(name).show(form="factored")
    assert all(text in shown for text in texts(derived(name), "x", "factored"))
