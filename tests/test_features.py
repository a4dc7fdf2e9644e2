"""Every op of the catalogue in every mode of PyTorch; `docs/features.md` says what is found."""

from __future__ import annotations

from functools import cache
from importlib import import_module

import pytest
import torch

from derive.catalogue import catalogue, load
from tests.features import FEATURES, Subject, cells, check_cell, compiled_by_inductor, result, write

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore")  # torch deprecates parts of its own compiler

BACKEND = "torch"


@cache
def subject(name: str) -> Subject:
    """What is checked in, which `derive check` holds equal to what is derived."""
    module = import_module(f"derive.generated.{BACKEND}.{name}")
    return Subject(load(name), getattr(module, name))


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("name", catalogue())
def test_a_cell_of_the_table(name: str, feature: str) -> None:
    check_cell(BACKEND, feature, subject(name))


def test_the_table_has_no_other_cells(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-features"):
        pairs = ((n, f) for n in catalogue() for f in FEATURES)
        write(BACKEND, {(n, f): result(FEATURES[f], subject(n)) for n, f in pairs})
    assert set(cells(BACKEND)) == {(n, f) for n in catalogue() for f in FEATURES}


@pytest.mark.parametrize("name", ["layer_norm", "gelu"])
def test_a_tangent_of_a_tangent_is_refused(name: str) -> None:
    """torch holds the inner one fixed, and gives nothing; one of the two may be reverse."""
    whole = subject(name)
    loss = whole.loss(whole.function)
    for inner in (loss, torch.func.grad(loss)):
        with pytest.raises(NotImplementedError, match="forward mode within forward mode"):
            torch.func.jacfwd(torch.func.jacfwd(inner))(*whole.real)


@pytest.mark.parametrize("name", ["layer_norm", "attention"])
def test_inductor(name: str) -> None:
    compiled_by_inductor(subject(name))
