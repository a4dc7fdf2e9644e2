"""`derive bench`: who takes part, what is measured, and who is refused. No time is asserted."""

from __future__ import annotations

import json
import sys
from math import isnan
from pathlib import Path
from types import ModuleType

import pytest
import torch

import derive
from derive import cli
from derive.bench.case import case
from derive.bench.clock import peak
from derive.bench.contestants import known_rivals
from derive.bench.run import Result, Setting, bench
from derive.bench.table import HEADS, as_data, rows
from derive.errors import DeriveError

SMALL = {"B": 8, "H": 16}
CPU = torch.device("cpu")


def setting(*against: str, sizes: dict[str, int] | None = None, dtype: str = "fp32") -> Setting:
    return Setting("cpu", dtype, SMALL if sizes is None else sizes, 1, 0.01, ("torch",), against)


def measured(*against: str) -> list[Result]:
    return bench(derive.load("layer_norm"), setting(*against), 1e9)


def test_everybody_is_measured_in_every_way() -> None:
    ours, composed = measured("composed")
    assert (ours.who, ours.ours, composed.who, composed.ours) == (
        "derive, torch", True, "composed", False,
    )  # fmt: skip
    for result in (ours, composed):
        assert result.forward > 0
        assert result.both > 0
        assert result.memory >= 2 * 8 * 16 * 4  # y and dx are there at once
        moved = 4 * (2 * 8 * 16 + 3 * 8 + 2 * 16)  # forward, below
        assert result.share_forward == pytest.approx(moved / result.forward / 1e9)


def test_memory_is_the_most_that_was_held_at_once() -> None:
    def run() -> None:
        for _ in range(3):
            torch.ones(1000, dtype=torch.float32)

    assert peak(run, CPU) == 4000


def test_what_must_move_is_counted() -> None:
    """Forward x, γ, β, y, m, σ, the mean taken off; backward x, γ, those, dy, dx, dγ, dβ."""
    found = case(derive.load("layer_norm"), SMALL, torch.float32, CPU)
    full, row, shared = 8 * 16, 8, 16
    assert found.moved == (
        4 * (2 * full + 3 * row + 2 * shared),
        4 * (3 * full + 3 * row + 3 * shared),
    )


def test_sizes_are_chosen_where_none_is_given() -> None:
    found = case(derive.load("layer_norm"), {"H": 32}, torch.float32, CPU)
    assert found.lengths == {"B": 4096, "H": 32}


def test_a_function_of_yours_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = ModuleType("mine")
    mine.right = lambda x, g, b, eps=1e-5: torch.nn.functional.layer_norm(x, g.shape, g, b, eps)
    mine.wrong = lambda x, g, b: x * g + b
    mine.broken = lambda _: None
    monkeypatch.setitem(sys.modules, "mine", mine)
    ours, right, wrong, broken = measured("mine:right", "mine:wrong", "mine:broken")
    assert not ours.error
    assert not right.error
    assert "computes something else" in wrong.error
    assert isnan(wrong.forward)
    assert "TypeError" in broken.error
    told = rows([ours, right, wrong, broken])
    assert {len(row) for row in told} == {len(HEADS)}
    assert as_data([wrong])[0]["forward"] is None


@pytest.mark.parametrize(
    ("name", "piece"),
    [
        ("tourch", "torch"),
        ("nobody", "there are torch"),
        ("no_such_module:f", "cannot be imported"),
    ],
)
def test_who_is_not_there_is_refused(name: str, piece: str) -> None:
    with pytest.raises(DeriveError, match=piece):
        bench(derive.load("layer_norm"), setting(*known_rivals([name])), 1e9)


@pytest.mark.parametrize("name", ["cross_entropy", "attention", "group_norm", "embedding", "rope"])
def test_ops_of_any_class_are_measured(name: str) -> None:
    op = derive.load(name)
    sizes = {i.size.name: 8 for i in op.letters} | {e.size.name: e.default for e in op.extents}
    results = bench(op, setting("composed", sizes=sizes), 1e9)
    assert [r.error for r in results] == ["", ""]


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    small = ("--size", "B=8,H=16", "--seconds", "0.01")
    picture = tmp_path / "norms.svg"
    assert cli.main(("bench", "layer_norm", *small, "--plot", str(picture))) == 0
    told = capsys.readouterr().out
    assert "derive, torch" in told
    assert {"torch", "composed"} <= set(told.split())
    assert picture.read_text("utf-8").startswith("<?xml")
    assert cli.main(("bench", "layer_norm", *small, "--output-format", "json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"] == "cpu"
    assert {r["op"] for r in found["results"]} == {"layer_norm"}


@pytest.mark.parametrize(
    ("options", "piece"),
    [
        (["--size", "H"], "H=1024"),
        (["--size", "K=3"], "B, H"),
        (["--against", "lige"], "liger"),
        (["--plot", "x.txt"], ".svg"),
        (["--dtype", "fp8"], "fp16"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    options: list[str], piece: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(("bench", "layer_norm", *options)) == 2
    assert piece in capsys.readouterr().err
