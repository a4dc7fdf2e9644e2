"""One gradient wanted and no other, differentiated again: others have no cotangent then."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from derive import parse
from derive.emit.module import build
from derive.verify.alone import CLOSE, one_at_a_time
from derive.verify.sample import SIZES, draw

LINEAR = {
    "a sum": "op f(x[b,h], c[h]) -> y[b,h]\ny[b,h] = x[b,h] + 1[b]*c[h]\n",
    "rows of two tables": """op f(w[v,h], u[v,h], t[b]: int[v]) -> y[b,h]
y[b,h] = w[t[b],h] + u[t[b],h]
""",
    "two outputs": """op f(x[b,h], c[b]) -> (y[b], z[b,h])
y[b] = 1[h]*x[b,h] + c[b]
z[b,h] = x[b,h] + 1[h]*c[b]
""",
    "sizes that the output has not": """op f(x[b,h], c[i,j]) -> y
y = 1[b,h]*x[b,h] + 1[i,j]*c[i,j]
""",
    "one input": "op f(w[v,h], t[b]: int[v]) -> y[b,h]\ny[b,h] = w[t[b],h]\n",
}


@pytest.mark.parametrize("text", LINEAR.values(), ids=LINEAR)
def test_no_cotangent_of_another_gradient_is_needed(text: str) -> None:
    """Nothing of a linear op is saved that tells shapes."""
    (op,) = parse(text)
    worst, allowed, _ = one_at_a_time(op, build(op, "torch"), draw(op, SIZES))
    assert worst <= allowed


def test_a_wrong_second_gradient_shows() -> None:
    """Second gradients are held against the equations; here, against those of another op."""
    first, second = (
        parse(f"op f(x[b,h]) -> y[b,h]\ny[b,h] = {text}\n")[0] for text in ("x[b,h]^2", "x[b,h]^3")
    )
    module, sample = build(second, "torch"), draw(first, SIZES)
    assert one_at_a_time(second, module, sample)[0] <= CLOSE
    same = SimpleNamespace(f=module.f)  # with no double backward to ask for
    assert one_at_a_time(first, same, sample)[0] <= CLOSE  # type: ignore[arg-type]
    assert one_at_a_time(first, module, sample)[0] > 1e-2
