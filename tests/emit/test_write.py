"""Writing is all or nothing, and what a user wrote stays."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from derive.emit import write as module
from derive.emit.header import digest
from derive.errors import DeriveError


def test_what_is_written_is_what_is_wanted(project: Any) -> None:
    done = project.write()
    assert sorted(done.changed) == sorted(project.wanted())
    for path, text in project.wanted().items():
        assert (project.out / path).read_bytes() == text.encode()


def test_a_file_that_is_unchanged_keeps_its_time(project: Any) -> None:
    project.write()
    paths = [p for p in project.out.rglob("*") if p.is_file()]
    for path in paths:
        os.utime(path, (1, 1))
    done = project.write()
    assert done.changed == ()
    assert {path.stat().st_mtime for path in paths} == {1}
    project.ops["cosh"] += "# more\n"
    done = project.write()
    assert "torch/cosh.py" in done.changed
    assert "torch/norm.py" in done.unchanged
    assert (project.out / "torch/norm.py").stat().st_mtime == 1


def test_files_have_the_mode_of_new_files(project: Any) -> None:
    mask = os.umask(0o022)
    try:
        project.write()
    finally:
        os.umask(mask)
    assert (project.out / "torch/cosh.py").stat().st_mode & 0o777 == 0o644


def test_no_temporary_file_stays(project: Any) -> None:
    project.write()
    assert not list(project.root.rglob(".derive-*"))


def test_one_op_keeps_the_records_of_the_others(project: Any) -> None:
    project.write()
    project.ops["cosh"] += "# more\n"
    project.write("cosh")
    assert project.check() == ()


def test_ops_generated_one_by_one_make_the_whole(project: Any) -> None:
    project.write("norm")
    project.write("cosh")
    assert project.check() == ()


def test_orphans_go_unless_edited(project: Any) -> None:
    project.write()
    del project.ops["norm"]
    (project.out / "torch/norm.py").write_text("mine\n")
    (project.out / "torch/mine.py").write_text("mine\n")
    done = project.write()
    assert done.removed == ("latex/norm.tex", "triton/norm.py")
    assert done.kept == ("torch/norm.py",)
    assert (project.out / "torch/norm.py").read_text() == "mine\n"
    assert (project.out / "torch/mine.py").read_text() == "mine\n"
    assert not (project.out / "triton/norm.py").exists()


def test_one_backend_leaves_the_files_of_the_others(project: Any) -> None:
    project.write()
    del project.ops["norm"]
    wanted = project.wanted(backends=project.backends[:1])
    done = module.write(wanted, project.out, ["torch"])
    assert done.removed == ("torch/norm.py",)
    assert (project.out / "triton/norm.py").exists()


def test_a_file_of_the_user_is_not_written_over(project: Any) -> None:
    (project.out / "torch").mkdir(parents=True)
    (project.out / "torch/cosh.py").write_text("mine\n")
    before = project.snapshot()
    with pytest.raises(DeriveError, match="not made by derive"):
        project.write()
    assert project.snapshot() == before


def test_an_edited_file_is_made_again(project: Any) -> None:
    project.write()
    (project.out / "torch/cosh.py").write_text("mine\n")
    project.write()
    assert project.check() == ()


@pytest.mark.parametrize("link", ["torch", "torch/cosh.py", "manifest.json"])
def test_nothing_is_written_through_a_link(project: Any, tmp_path: Path, link: str) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    project.out.mkdir()
    (project.out / link).parent.mkdir(exist_ok=True)
    (project.out / link).symlink_to(target)
    with pytest.raises(DeriveError, match="symbolic link"):
        project.write()
    assert list(target.iterdir()) == []
    assert not (project.out / "triton").exists()


@pytest.mark.parametrize("path", ["../x.py", "torch/../../x.py", "/tmp/x.py", "torch\\..\\x.py"])
def test_a_path_that_leaves_the_folder_is_refused(project: Any, path: str) -> None:
    with pytest.raises(DeriveError, match="not a path below"):
        module.write({path: "x", "manifest.json": "{}"}, project.out)


def test_a_manifest_cannot_make_derive_remove_a_file_elsewhere(project: Any) -> None:
    project.write()
    victim = project.root / "victim.py"
    victim.write_text("precious")
    manifest = project.out / "manifest.json"
    records = json.loads(manifest.read_text())
    for path in ("../victim.py", "torch/../../victim.py", str(victim)):
        records["files"][path] = {"sha256": digest("precious"), "inputs": {}}
        manifest.write_text(json.dumps(records))
        project.write()
        assert victim.exists()


def test_the_output_folder_must_be_one(project: Any) -> None:
    project.out.write_text("a file")
    with pytest.raises(DeriveError, match="is not a folder"):
        project.write()


def test_a_record_may_not_differ_from_a_new_name_in_case_only(project: Any) -> None:
    project.write()
    project.ops["Cosh"] = project.ops["cosh"]
    with pytest.raises(DeriveError, match="differ only in case"):
        project.write("Cosh")
    del project.ops["cosh"]
    project.write()
    assert project.check() == ()


@pytest.mark.parametrize("fails_at", range(8))
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_write_leaves_everything_as_it_was(
    project: Any, monkeypatch: pytest.MonkeyPatch, fails_at: int, error: type[BaseException]
) -> None:
    project.write()
    project.ops["cosh"] += "# more\n"
    project.ops["tanh"] = "op tanh(x) -> y\n"
    del project.ops["norm"]
    before, real, calls = project.snapshot(), Path.replace, iter(range(99))

    def replace(self: Path, target: Path) -> Path:
        if next(calls) == fails_at:
            raise error("no space left")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    if fails_at == 7:  # six files and the manifest: nothing fails
        project.write()
        return
    with pytest.raises(error):
        project.write()
    monkeypatch.undo()
    assert project.snapshot() == before


def test_a_first_write_that_fails_leaves_no_folder(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = project.snapshot()

    def fsync(number: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fsync)
    wanted = project.wanted()
    with pytest.raises(OSError, match="no space"):
        module.write(wanted, project.out)
    assert project.snapshot() == before
