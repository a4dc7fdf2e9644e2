"""The examples run, and what they say agrees does; how fast they are is not asserted."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest
import torch
from click.testing import CliRunner

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str) -> ModuleType:
    """A script as a module: `examples` is no package, and others have one of that name."""
    spec = spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gpt() -> ModuleType:
    return example("train_gpt")


@pytest.fixture(scope="module")
def penalty() -> ModuleType:
    return example("gradient_penalty")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_gpt_trains_alike(gpt: ModuleType) -> None:
    native, generated = gpt.train(gpt.QUICK_STEPS, seed=1)
    assert max(gpt.differences(native, generated)) < 1e-5
    assert native.losses[-1] < native.losses[0] - 0.5  # it learns
    assert min(native.saved, generated.saved) > 1e6


def test_a_gpt_that_is_a_little_wrong_does_not(
    gpt: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gradient of layer norm that forgets the mean: the losses part within a few steps."""

    def forgetful(x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
        mean = x.mean(-1, keepdim=True).detach()
        spread = torch.sqrt(((x - mean) ** 2).mean(-1, keepdim=True) + 1e-5)
        return (x - mean) / spread * gamma + beta

    monkeypatch.setattr(gpt, "GENERATED", replace(gpt.GENERATED, layer_norm=forgetful))
    assert max(gpt.differences(*gpt.train(gpt.QUICK_STEPS, seed=1))) > 1e-4


def test_the_picture_and_the_table_of_a_gpt(gpt: ModuleType, tmp_path: Path) -> None:
    done = CliRunner().invoke(gpt.main, ["--quick", "--steps", "3", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "| final loss |" in done.output
    svg = (tmp_path / "train_gpt.svg").read_text("utf-8")
    curves = ET.fromstring(svg).findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(curve.attrib["points"].split()) for curve in curves] == [3, 3, 3]
    with (tmp_path / "train_gpt.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert all(abs(float(row["native"]) - float(row["generated"])) < 1e-4 for row in rows)


def test_a_gradient_penalty_agrees_with_autograd(penalty: ModuleType) -> None:
    errors = penalty.errors(penalty.GENERATED, seed=1)
    assert len(errors) == 10
    assert max(errors.values()) < 1e-10
    ours, theirs = (
        penalty.train(ops, penalty.QUICK_STEPS, seed=1)
        for ops in (penalty.GENERATED, penalty.COMPOSED)
    )
    assert ours == [pytest.approx(step, abs=1e-10) for step in theirs]


def test_a_layer_that_is_differentiable_once_is_refused_or_wrong(penalty: ModuleType) -> None:
    assert "once_differentiable" in penalty.refusal(seed=1)
    assert max(penalty.errors(penalty.ONCE, seed=1).values()) > 0.1


def test_the_text_of_the_gradient_penalty(penalty: ModuleType) -> None:
    done = CliRunner().invoke(penalty.main, ["--quick", "--steps", "2"])
    assert done.exit_code == 0, done.output
    assert "`loss.backward()`\nraises" in done.output
