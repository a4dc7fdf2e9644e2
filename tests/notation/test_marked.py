"""What a step changed is marked, what it left is not; a loss has a letter of its own."""

from __future__ import annotations

import re

import pytest

import derive
from derive.catalogue import catalogue, load
from derive.derivation import differentiate
from derive.emit.document import chapters, latex
from derive.notation.latex import changed_latex, to_latex

SHOWN = "op f(x[b,h], g[h]; eps = 1) -> y[b,h]\ny[b,h] = {} + 0*eps*x[b,h]*g[h]\n"


def changed(before: str, after: str) -> str:
    ops = [derive.parse(SHOWN.format(side))[0] for side in (before, after)]
    one, other = (op.equations[0] for op in ops)
    return changed_latex(one.expr, other.expr, one.target.indices, ops[0].letters)


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("x[b,h]*g[h]", "x[b,h]*g[h]", r"x_{b h} g_{h}"),
        ("x[b,h]*g[h]", "x[b,h]*g[h]^2", r"x_{b h} \textcolor{red}{g_{h}^{2}}"),
        ("x[b,h] + x[b,h]^3", "x[b,h] + x[b,h]^2", r"x_{b h}+\textcolor{red}{x_{b h}^{2}}"),
        ("x[b,h]*g[h]", "2*x[b,h]*g[h]", r"\textcolor{red}{2 x_{b h} g_{h}}"),
        ("x[b,h]*g[h]", "-x[b,h]*g[h]", r"-\textcolor{red}{x_{b h} g_{h}}"),
    ],
)
def test_what_is_new_is_marked(before: str, after: str, shown: str) -> None:
    assert changed(before, after) == shown


def unmarked(text: str) -> str:
    """The text without \\textcolor{red}{…}, whose braces are its last."""
    while (start := text.find(r"\textcolor{red}{")) >= 0:
        depth, end = 1, start + 16
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        text = text[:start] + text[start + 16 : end - 1] + text[end:]
    return text


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_marks_change_nothing_else(name: str) -> None:
    derivation = differentiate(load(name))
    pairs = zip(chapters(derivation), chapters(derivation, marked=True), strict=True)
    for plain, marked in pairs:
        for one, other in zip(plain.displays, marked.displays, strict=True):
            assert [r.right for r in one.rows] == [unmarked(r.right) for r in other.rows]


def test_a_loss_is_not_called_by_the_name_of_a_tensor() -> None:
    for name in catalogue():
        op = load(name)
        losses = set(re.findall(r"partial (\S+)\}\{\\partial", latex(differentiate(op))))
        losses = {letter for letter in losses if letter in ("l", "L", "J")}
        assert not losses & {*op.tensors, *op.sizes}, name
    assert r"\frac{\partial l}{\partial x_{p q}}" in latex(differentiate(load("layer_norm")))
    assert r"\frac{\partial L}{\partial x_{p q}}" in latex(differentiate(load("huber")))


def test_the_letter_holds_for_one_document() -> None:
    latex(differentiate(load("huber")))
    d = differentiate(load("layer_norm"))
    assert r"\partial l}" in to_latex(d.gradients["beta"], d.stage["beta"].component.indices, ())
