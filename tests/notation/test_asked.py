"""Integers of which nobody says what they are values of: they pick where they are, else nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from derive import differentiate, prove
from derive.errors import SourceError
from derive.higher import backward
from derive.verify.exact import exact
from tests.notation.reading import again, check_means_the_same, marking, read, refusals, shown
from tests.running import EXACT, function, made, run
from tests.samples import named

INTEGERS = torch.tensor([-2, -1, 0, 1, 2, 3, 9])
ASKED = "op f(x[b,c], t[b]: int) -> y[b]\ny[b] = sum[c](where(t[b] == c, x[b,c], 0))\n"
PICKED = "op f(x[b,c], t[b]: int) -> y[b]\ny[b] = x[b,t[b]]\n"


def one_hot(labels: Tensor, length: int) -> Tensor:
    """[t = c], zero where t is no c."""
    return (labels[..., None] == torch.arange(length)).double()


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_what_indexes_is_a_value() -> None:
    t = read(PICKED).inputs[1].tensor
    assert t.values == read(PICKED).letters[1].size
    assert read(ASKED).inputs[1].tensor.values is None
    check_means_the_same(read(PICKED), read(PICKED.replace("int", "int[c]")))


def test_what_indexes_axes_of_two_sizes_is_refused() -> None:
    text = "op f(x[b,c], w[k], t[b]: int) -> y[b]\ny[b] = x[b,t[b]]*w[{t[b]}]\n"
    text, wanted = marking(text, "E305")
    assert refusals(text) == [wanted]


BESIDE = "op f(x[b,c], t[b]: int) -> y[b]\ny[b] = sum[k](where(t[b] == k, 1, 0)*x[b,k])*x[b,0]\n"


@pytest.mark.parametrize("text", [ASKED, BESIDE])
def test_it_is_shown_as_what_is_asked(text: str) -> None:
    """`x[b,t[b]]` would say that t is a value."""
    assert " == t[b], 1, 0)" in shown(read(text))[0]
    check_means_the_same(read(text), again(read(text)))


def test_a_gradient_may_be_nothing() -> None:
    """Σ_c dx_bc = dy_b needs that t is a value."""
    assert prove(read(PICKED), "1[c]*dx[b,c] = dy[b]")
    assert not prove(read(ASKED), "1[c]*dx[b,c] = dy[b]")
    asked = "1[c]*dx[b,c] = dy[b]*where(t[b] < C, 1, 0)*where(t[b] >= 0, 1, 0)"
    assert prove(read(ASKED), asked)


NAMES = ["asked", "asked_twice", "only_asked"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_exact(name: str) -> None:
    assert differentiate(named(name)).gradients
    report = exact(named(name))
    assert report.components
    assert report.mismatch is None


def asked(x: Tensor, t: Tensor, w: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    y = (one_hot(t, len(w)) * x[..., None]).sum(1) * w
    return y, (x**2 * (one_hot(t, len(v)) @ v)).sum(1)


def asked_twice(x: Tensor, w: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    rows, others = one_hot(t, x.shape[1]), one_hot(t, len(w))
    return (rows * x)[:, :, None] * (others * w)[:, None], others.sum(1) * (x**2).sum(1)


def only_asked(x: Tensor, t: Tensor) -> Tensor:
    return torch.where((t < x.shape[1])[:, None], x**2, x**3)


GIVEN = {
    "asked": (asked, [numbers(7, 5), INTEGERS[torch.arange(35) % 7].reshape(7, 5).T.reshape(7, 5)]),
    "asked_twice": (asked_twice, [numbers(7, 4), numbers(3), INTEGERS]),
    "only_asked": (only_asked, [numbers(7, 4), INTEGERS]),
}
GIVEN["asked"][1].extend((numbers(4), numbers(3)))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_value_picks_nothing(name: str, dtype: torch.dtype) -> None:
    want, inputs = GIVEN[name]
    given = [i if i.is_floating_point() else i.to(dtype) for i in inputs]
    torch.testing.assert_close(
        run(function(name), given), run(want, inputs), rtol=EXACT, atol=1e-14
    )


def test_what_indexes_is_refused_where_it_is_no_value() -> None:
    with pytest.raises((IndexError, RuntimeError), match="out of|index"):
        made(PICKED)(numbers(7, 4), INTEGERS)


SHOWN_AGAIN = [
    "op f(x[b,c], z[b,c], t[b]: int[c]) -> y\ny = 1[b]*x[b,t[b]]*z[b,t[b]]\n",
    "op f(x[b,c]) -> y[b,c]\ny[b,c] = x[b,c]*(x[b,c] + 1[c]*where(x[b,0] > 0, 1, 2))\n",
    "op f(x[b]; a = 2) -> y[b]\ny[b] = x[b]*where(a > 1, 3, 2) + 1[b]*where(a > 0, 1, 2)\n",
]


@pytest.mark.parametrize("text", SHOWN_AGAIN)
def test_what_is_shown_is_read_again(text: str) -> None:
    check_means_the_same(read(text), again(read(text)))


def test_the_header_of_a_backward_pass_tells_what_labels_are() -> None:
    assert "t[b]: int[c], " in backward(read(PICKED)).header
    assert "t[b]: int, " in backward(read(ASKED)).header


@pytest.mark.parametrize("picked", ["x[p,t[p]]", "x[p,0]"])
def test_a_jacobian_is_of_components_with_letters(picked: str) -> None:
    with pytest.raises(SourceError, match="E111"):
        prove(read(PICKED), f"d(y[b])/d({picked}) = delta[b,p]")
