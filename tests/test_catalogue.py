"""Ops are found by name, in files, in folders; a source has one name on every machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from derive.catalogue import FOLDER, catalogue, in_catalogue, load, load_all, parse, source_label
from derive.errors import DeriveError

OP = "op {0}(x[i]) -> y[i]\ny[i] = exp(x[i])\n"


def test_every_file_of_the_catalogue_loads_by_its_name() -> None:
    assert catalogue() == sorted(path.stem for path in FOLDER.glob("*.op"))
    for name in catalogue():
        op = load(name)
        assert (op.name, in_catalogue(op)) == (name, True)
        assert source_label(op) == f"derive/ops/{name}.op"


def test_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.op").write_text(OP.format("one") + OP.format("two"))
    (tmp_path / "b.op").write_text(OP.format("three"))
    monkeypatch.chdir(tmp_path)
    assert load("b.op").name == load(Path("b.op")).name == load("./b.op").name == "three"
    assert [op.name for op in load_all("a.op")] == ["one", "two"]
    assert [op.name for op in load_all(tmp_path)] == ["one", "two", "three"]
    assert load("a.op:two").name == "two"
    with pytest.raises(DeriveError, match=r"holds 2 ops \(one, two\)"):
        load("a.op")
    with pytest.raises(DeriveError, match="did you mean the file b.op"):
        load("b")


def test_a_folder_does_not_hide_an_op(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "layer_norm").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load("layer_norm").name == "layer_norm"
    with pytest.raises(DeriveError, match="no .op file"):
        load("./layer_norm")


def test_labels_start_at_the_nearest_project(tmp_path: Path) -> None:
    (tmp_path / "sub/ops").mkdir(parents=True)
    file = tmp_path / "sub/ops/a.op"
    file.write_text(OP.format("one"))
    assert source_label(load(file)) == "a.op"
    (tmp_path / "pyproject.toml").touch()
    assert source_label(load(file)) == "sub/ops/a.op"
    (tmp_path / "sub/pyproject.toml").touch()
    assert source_label(load(file)) == "ops/a.op"


def test_labels_do_not_depend_on_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "a.op").write_text(OP.format("one"))
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert source_label(load("../a.op")) == "a.op"


def test_text_has_no_file() -> None:
    (op,) = parse(OP.format("one"))
    assert source_label(op) == "<text>"
    with pytest.raises(DeriveError, match="control characters"):
        source_label(replace(op, path="a\nimport os.op"))


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(DeriveError, match="is not a file"):
        load(Path("/dev/null"))
