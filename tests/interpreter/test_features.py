"""The same table for the kernels; what differentiates by differences is in `test_triton.py`."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module

import pytest

if os.environ.get("TRITON_INTERPRET") != "1":
    reason = "Triton decides on its import whether to interpret: set TRITON_INTERPRET=1"
    pytest.skip(reason, allow_module_level=True)

import torch
from torch.library import opcheck

from derive.catalogue import catalogue, load
from derive.emit.triton_file import has_groups
from derive.emit.triton_module import has_kernels
from tests.features import FEATURES, Subject, cells, check_cell, compiled_by_inductor, result, write

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore")  # torch deprecates parts of its own compiler

BACKEND = "triton"
SHOWN = [f for f in FEATURES if f not in ("gradcheck", "gradgradcheck")]
OPS = [load(name) for name in catalogue()]
NAMES = [op.name for op in OPS if has_kernels(op) or has_groups(op)]


@cache
def subject(name: str) -> Subject:
    module = import_module(f"derive.generated.{BACKEND}.{name}")
    return Subject(load(name), getattr(module, name))


@pytest.mark.parametrize("feature", SHOWN)
@pytest.mark.parametrize("name", NAMES)
def test_a_cell_of_the_table(name: str, feature: str) -> None:
    check_cell(BACKEND, feature, subject(name))


def test_the_table_has_no_other_cells(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-features"):
        pairs = ((n, f) for n in NAMES for f in SHOWN)
        write(BACKEND, {(n, f): result(FEATURES[f], subject(n)) for n, f in pairs})
    assert set(cells(BACKEND)) == {(n, f) for n in NAMES for f in SHOWN}


def test_inductor() -> None:
    compiled_by_inductor(subject("layer_norm"))


def test_kernels_are_operations_of_torch() -> None:
    module = import_module("derive.generated.triton.layer_norm")
    x, gamma, beta = (t.clone() for t in subject("layer_norm").sample.inputs)
    opcheck(module._launch_forward, (x, gamma, beta, 1e-5))
    _, m, sigma, mu_mean = module._launch_forward(x, gamma, beta, 1e-5)
    for needs in ((True, True, True), (False, True, False)):
        opcheck(module._launch_backward, (x.cos(), x, gamma, m, sigma, mu_mean, needs))
