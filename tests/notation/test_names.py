"""What a name may be inside an op: none that hides a function of the generated module."""

from __future__ import annotations

import pytest

from derive.emit.document import equation_row
from derive.errors import SourceError
from derive.notation.reader import read_ops


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("op f(f_forward[b]) -> y[b]\ny[b] = f_forward[b]\n", (1, 6), "`f_forward` is a"),
        ("op f(x[b]) -> y[b]\nf_backward[b] = x[b]\ny[b] = f_backward[b]\n", (2, 1), "is a"),
        ("op df(x[b]) -> f_backward[b]\nf_backward[b] = x[b]\n", (2, 1), "`df_backward`, the"),
    ],
)
def test_no_name_hides_a_function_of_the_module(
    text: str, place: tuple[int, int], message: str
) -> None:
    with pytest.raises(SourceError) as caught:
        read_ops(text)
    [refusal] = caught.value.diagnostics
    assert (refusal.code, refusal.span[:2]) == ("E212", place)
    assert message in refusal.message
    assert refusal.help.startswith("call it `")


def test_a_number_behind_a_letter_stands_below() -> None:
    (op,) = read_ops("op f(r1[b], mu2[b]) -> y[b]\ny[b] = r1[b]*mu2[b]\n")
    (row,) = (equation_row(op, e) for e in op.equations)
    assert row.right == r"{r_{\mathrm{1}}}_{b} \mathrm{mu2}_{b}"


def test_names_like_those_of_the_module_are_free() -> None:
    text = (
        "op f(forward_f[b], f_forwards[b]; ff = 1) -> F[b]\nF[b] = ff*forward_f[b]*f_forwards[b]\n"
    )
    assert read_ops(text)[0].name == "f"
    assert read_ops("op f(x[b]) -> f[b]\nf[b] = x[b]\n")[0].name == "f"
