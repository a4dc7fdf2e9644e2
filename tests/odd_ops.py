"""Ops that were generated wrong once, each the shortest that showed it."""

from __future__ import annotations

from derive.emit.module import build
from derive.verify.reference import composed
from derive.verify.sample import draw, errors, results, sizes_for
from tests.notation.reading import read
from tests.running import EXACT

ODD = {
    "a sum that a label picks stands in brackets": """
op f(x[b], w[c], t[b]: int[c]) -> y[b]
y[b] = x[b]/(2 + sum[c](where(t[b] == c, where(t[b] == c, 2, 3), 0))^2 + w[t[b]]^2)
""",
    "a label is a value and is not": """
op f(x[b,k], w[k], t[b]: int[k]) -> z
z = 1[b]*1[k]*where(t[b] == k, x[b,k], 1[b]*w[k])^2
""",
    "branches squared": """
op f(x[b,c], w[k], t[b]: int[k]) -> z[b,k]
z[b,k] = where(t[b] == k, 1[k]*w[t[b]], 1[k]*x[b,0])^2
""",
    "a value below itself": """
op f(x[b,c], t[b]: int) -> y[b]
y[b] = sum[c](where(t[b] < c, where(t[b] == c, x[b,c], 0), 0))
""",
    "a letter that only a condition has, in what is shared": """
op f(x[b,c], w[k], s) -> y[c,k]
y[c,k] = sum[b](sigmoid(x[b,c]*where(k <= 1, 1, 0)))*w[k]*s
""",
    "the same beside a label": """
op f(x[b,c], w[k], t: int) -> y[b]
y[b] = sum[k](sigmoid(x[b,0]*where(t < k, 2, 1)))*sum[j](w[j])
""",
    "a sum of conditions alone": """
op f(x[b,c], w[c], t[b]: int, u[b]: int) -> y[b]
y[b] = sum[c](where(t[b] == c, x[b,c], where(u[b] == c, 1[b]*w[c], 0)))
""",
    "the largest of numbers": """
op f(u[b], w[k], t[b]: int) -> y[b]
y[b] = u[b]*max[k](where(t[b] == k, 2, 3))*w[0]
""",
    "a target's letter that only a condition has": """
op f(v[c], w[k], t[b]: int, x[b,c], u[b]) -> (y[b,c,k], q)
y[b,c,k] = 1[k]*sum[l](where(t[b] < l, 1[l]*where(t[b] == c, 1, 0), 1[b,c]*w[l]))
q = x[b,c]*u[b]*v[c]*1[k]*w[k]
""",
    "a sum over rows of some of the columns": """
op f(x[b,c], u[b], v[c], w[k]) -> (y[b,c,k], q)
y[b,c,k] = 1[k]*v[c]*u[b]*x[b,0]
q = x[b,c]*u[b]*v[c]*1[k]*w[k]
""",
    "what is picked on the right of a relation": """
op f(A[i,j], b[i], x[i,k]) -> y[i]
solve y: A[i,j]*y[j] + y[i] = b[i]*x[i,0]
""",
    "an input that changes nothing, whose size does": """
op f(x[b], w[k]) -> y[k]
y[k] = w[k]*B + 0*w[k]*x[0]
""",
}


def check(kind: str, backend: str) -> None:
    """Outputs and gradients are those of the equations by autograd."""
    op = read(ODD[kind])
    sample = draw(op, sizes_for(op))
    got = results(build(op, backend=backend).f, sample)
    assert errors(got, results(composed(op), sample)) < EXACT
