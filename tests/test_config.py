"""`[tool.derive]`: found upwards, checked, and refused with the nearest key."""

from __future__ import annotations

from pathlib import Path

import pytest

from derive.config import nearest, project_root, read_config
from derive.errors import DeriveError


def configured(folder: Path, table: str) -> Path:
    (folder / "pyproject.toml").write_text(table, encoding="utf-8")
    return folder


def test_without_a_table_relative_paths_start_here(tmp_path: Path) -> None:
    below = configured(tmp_path, "[project]\nname = 'x'\n") / "below"
    below.mkdir()
    config = read_config(below)
    assert (config.root, config.ops, config.out, config.backends) == (below, (), "generated", ())


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    configured(tmp_path, "[tool.derive]\nout = 'far'\n")
    near = tmp_path / "near"
    (near / "below").mkdir(parents=True)
    configured(near, "[tool.derive]\nout = 'gen'\nops = ['a.op', 'ops']\nbackends = ['torch']\n")
    config = read_config(near / "below")
    assert (config.root, config.out) == (near, "gen")
    assert (config.ops, config.backends) == (("a.op", "ops"), ("torch",))
    assert project_root(near / "below") == near


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[tool.derive]\nopps = ['a']\n", 'unknown key "opps"; did you mean "ops"'),
        ("[tool.derive]\nzzz = 1\n", 'unknown key "zzz"; there are ops, out, backends$'),
        ("[tool.derive]\nops = 'a.op'\n", "ops: expected a list of strings, got 'a.op'"),
        ("[tool.derive]\nops = []\n", "ops: expected a list of strings"),
        ("[tool.derive]\nbackends = [1]\n", "backends: expected a string, got 1"),
        ("[tool.derive]\nout = 3\n", "out: expected a string, got 3"),
        ("[tool]\nderive = 3\n", "must be a table"),
        ("[tool.derive\n", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, table: str, message: str) -> None:
    configured(tmp_path, table)
    with pytest.raises(DeriveError, match=message) as caught:
        read_config(tmp_path)
    assert str(tmp_path / "pyproject.toml") in str(caught.value)


def test_nearest() -> None:
    assert nearest("layer_nrom", ["softmax", "layer_norm"]) == '; did you mean "layer_norm"?'
    assert nearest("qqqq", ["softmax"]) == ""
