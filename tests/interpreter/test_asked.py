"""Kernels of integers of which nobody says what they are values of: picked where they are."""

from __future__ import annotations

import os

import pytest

if os.environ.get("TRITON_INTERPRET") != "1":
    reason = "Triton decides on its import whether to interpret: set TRITON_INTERPRET=1"
    pytest.skip(reason, allow_module_level=True)

import torch

from derive.emit.module import build
from tests.notation.reading import read
from tests.notation.test_asked import GIVEN, INTEGERS, NAMES, PICKED, numbers
from tests.running import EXACT, run
from tests.samples import named


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_value_picks_nothing(name: str, dtype: torch.dtype) -> None:
    want, inputs = GIVEN[name]
    given = [i if i.is_floating_point() else i.to(dtype) for i in inputs]
    call = getattr(build(named(name), backend="triton"), name)
    torch.testing.assert_close(run(call, given), run(want, inputs), rtol=EXACT, atol=1e-14)


def test_what_indexes_is_refused_where_it_is_no_value() -> None:
    with pytest.raises(IndexError, match="a label is none of 4"):
        build(read(PICKED), backend="triton").f(numbers(7, 4), INTEGERS)
