"""`derive bench --tune`: what is measured becomes a table, and the table becomes generated code."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

import derive
from derive.bench import rivals
from derive.bench.tune import INTERPRETED, Grid, put, tune
from derive.emit import tuned
from derive.emit.environment import TEMPLATES
from derive.emit.tuned import TABLE, Setting, read, write
from derive.errors import DeriveError

FAST = Setting("NVIDIA H200", "_forward_row", 1024, 2, 4096, 16, 1.2)
OTHER = Setting("NVIDIA A100", "_backward_tiles", 65536, 4, 4096, 8, 1.1)


def test_a_table_keeps_what_was_measured_on_other_devices(tmp_path: Path) -> None:
    table = tmp_path / "tuned.json"
    write([OTHER], table)
    write([FAST], table)
    assert read(table) == [OTHER, FAST]


@pytest.mark.parametrize(
    ("field", "value"), [("kernel", "_other"), ("numbers", "4096"), ("warps", 3), ("device", 1)]
)
def test_what_is_no_setting_never_becomes_code(tmp_path: Path, field: str, value: object) -> None:
    table = tmp_path / "tuned.json"
    write([Setting(**{**vars(FAST), field: value})], table)
    with pytest.raises(DeriveError, match="this is no setting"):
        read(table)


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "tuned.json"
    table.write_text("{}", "utf-8")
    with pytest.raises(DeriveError, match="no table of settings"):
        read(table)


def like(device: str, bits: int) -> SimpleNamespace:
    return SimpleNamespace(is_cuda=True, device=device, itemsize=bits // 8)


def test_generated_code_goes_by_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """On that device, for that kernel, length and type; else, and deterministically, by rule."""
    monkeypatch.setenv("DERIVE_CACHE", "off")
    monkeypatch.setattr(tuned, "read", lambda: [FAST])
    module = derive.build(derive.load("rms_norm"), "triton")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: device)
    row, tiles = module._forward_row, module._forward_tiles

    def chosen(length: int, device: str = FAST.device, bits: int = 16) -> tuple[int, int, int]:
        return module._choose(length, 16384, row, tiles, 1, like(device, bits))[1:]

    assert chosen(1000) == (4, 1024, 16)
    by_rule = (2, 1024, 4)
    assert chosen(1000, "NVIDIA L4") == chosen(1000, bits=32) == by_rule
    assert chosen(512)[0] == 4
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert chosen(1000) == by_rule
    x, gamma = torch.randn(3, 8), torch.ones(8)
    torch.testing.assert_close(
        module.rms_norm(x, gamma), torch.nn.functional.rms_norm(x, (8,), gamma, 1e-6)
    )


def test_tuning_runs_without_a_gpu_and_says_so(tmp_path: Path) -> None:
    """Interpreted times say nothing, so none of them may go where generated code looks."""
    grid = Grid((8,), 32, ("fp32",), (16, 32), (1,))
    found = tune([derive.load("softmax"), derive.load("matmul")], 0.01, grid)
    assert all((s.device, s.columns, s.bytes) == (INTERPRETED, 8, 4) for s in found)
    put(found, tmp_path / "tuned.json")
    with pytest.raises(DeriveError, match="nothing was measured"):
        put([Setting(**{**vars(FAST), "device": INTERPRETED})], TEMPLATES / TABLE)
    with pytest.raises(DeriveError, match="none of these ops"):
        tune([derive.load("matmul")], 0.01, grid)


def test_the_table_in_the_repository_holds_measurements_alone() -> None:
    assert all(setting.device != INTERPRETED for setting in read())


def test_who_is_not_installed_does_not_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rivals.installed("quack", "matmul") is None
    monkeypatch.setattr(rivals.importlib.util, "find_spec", lambda name: None)
    assert rivals.installed("liger", "softmax") is None


def test_who_is_installed_does(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ModuleType("quack.softmax")
    there.softmax = lambda x: x.softmax(-1)
    monkeypatch.setattr(rivals.importlib.util, "find_spec", lambda name: there)
    monkeypatch.setattr(rivals, "import_module", lambda name: there)
    assert rivals.installed("quack", "softmax")(torch.zeros(1, 2), eps=1).tolist() == [[0.5, 0.5]]


def test_a_function_of_a_file_takes_part(tmp_path: Path) -> None:
    file = tmp_path / "tutorial.py"
    file.write_text("def softmax(x):\n    return x\n", "utf-8")
    assert rivals.imported(f"{file}:softmax")(1) == 1
    with pytest.raises(DeriveError, match="cannot be imported"):
        rivals.imported(f"{file}:other")
    assert "tutorial" not in sys.modules
