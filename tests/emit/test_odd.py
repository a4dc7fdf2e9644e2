"""Ops that were generated wrong once: torch modules against autograd of the equations."""

from __future__ import annotations

import pytest

from tests.odd_ops import ODD, check


@pytest.mark.parametrize("kind", ODD)
def test_gradients(kind: str) -> None:
    check(kind, "torch")
