"""Ops that were generated wrong once: torch modules against autograd of the equations."""

from __future__ import annotations

import pytest

from derive.emit.module import build
from derive.verify.reference import composed
from derive.verify.sample import draw, errors, results, sizes_for
from tests.notation.reading import read
from tests.odd_ops import ODD
from tests.running import EXACT


@pytest.mark.parametrize("kind", ODD)
def test_gradients(kind: str) -> None:
    op = read(ODD[kind])
    sample = draw(op, sizes_for(op))
    got = results(build(op, backend="torch").f, sample)
    assert errors(got, results(composed(op), sample)) < EXACT
