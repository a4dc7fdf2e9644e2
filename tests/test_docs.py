"""What the documentation shows is what derive reads and prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from derive.errors import SourceError
from derive.notation.reader import read_ops

ROOT = Path(__file__).parent.parent
LANGUAGE = (ROOT / "docs/language.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")


def blocks(text: str) -> list[str]:
    return re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_op_that_is_shown_is_the_one_of_the_catalogue() -> None:
    op = (ROOT / "derive/ops/layer_norm.op").read_text("utf-8")
    assert op in blocks(LANGUAGE)
    assert op in blocks(README)


def test_the_refusals_that_are_shown_are_those_that_are_printed() -> None:
    source, shown = blocks(LANGUAGE)[1:]
    with pytest.raises(SourceError) as caught:
        read_ops(source, "my.op")
    assert str(caught.value) + "\n" == shown


def in_an_op(right: str) -> str:
    return f"op f(x[b], bias; eps = 1) -> y[b]\ny[b] = {right} + 0*eps + 0*1[b]*bias\n"


@pytest.mark.parametrize("right", ["x[b] + 1[b]*bias", "x[b] + eps", "x[b] + B", "x[b] + 2*eps/B"])
def test_what_may_be_added(right: str) -> None:
    assert read_ops(in_an_op(right))


@pytest.mark.parametrize("right", ["x[b] + bias", "max(x[b], bias)", "x[b] + eps*bias"])
def test_what_may_not_be_added(right: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_ops(in_an_op(right))
    assert [d.code for d in caught.value.diagnostics] == ["E302"]
