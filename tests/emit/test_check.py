"""Every way in which a generated file can be wrong has its name, its reason and its remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from derive.emit import files


@pytest.fixture
def clean(project: Any) -> Any:
    project.write()
    assert project.check() == ()
    return project


def only(project: Any, *names: str) -> Any:
    (finding,) = project.check(*names)
    return finding


def test_a_changed_op_makes_its_files_stale_and_is_named(clean: Any) -> None:
    clean.ops["cosh"] += "# more\n"
    found = clean.check()
    assert [f.path for f in found] == ["latex/cosh.tex", "torch/cosh.py", "triton/cosh.py"]
    assert {(f.kind, f.why) for f in found} == {("stale", "ops/cosh.op changed")}


def test_a_changed_template_is_named(clean: Any) -> None:
    (files.TEMPLATES / "torch/op.py.jinja").write_text("changed")
    found = clean.check()
    assert [f.path for f in found] == ["torch/cosh.py", "torch/norm.py"]
    assert {f.why for f in found} == {"templates/torch/op.py.jinja changed"}


def test_both_are_named(clean: Any) -> None:
    clean.ops["cosh"] += "# more\n"
    (files.TEMPLATES / "torch/op.py.jinja").write_text("changed")
    reasons = {f.path: f.why for f in clean.check()}
    assert reasons["torch/cosh.py"] == "ops/cosh.op changed; templates/torch/op.py.jinja changed"


def test_a_change_of_derive_itself_is_said(clean: Any) -> None:
    clean.engine = "2"
    assert {(f.kind, f.why) for f in clean.check()} == {("stale", "derive itself changed")}


def test_without_a_manifest_the_header_tells(clean: Any) -> None:
    (clean.out / "manifest.json").unlink()
    assert clean.kinds() == {"manifest.json": "missing"}
    clean.ops["cosh"] += "# more\n"
    reasons = {f.path: f.why for f in clean.check()}
    assert reasons["torch/cosh.py"] == "one of ops/cosh.op, templates/torch/op.py.jinja changed"
    path = clean.out / "torch/cosh.py"
    path.write_text(path.read_text() + "\n")
    assert clean.kinds()["torch/cosh.py"] == "edited"


def test_any_changed_byte_is_an_edit(clean: Any) -> None:
    path = clean.out / "torch/cosh.py"
    text = path.read_bytes()
    for place in range(len(text)):
        path.write_bytes(text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :])
        assert only(clean, "cosh").kind == "edited", text[place : place + 10]
    for changed in (text + b"\n", text[:-1], b"", b"\xff\xfe", text.replace(b"\n", b"\r\n")):
        path.write_bytes(changed)
        assert only(clean).kind == "edited"


def test_an_edit_whose_hash_was_put_into_the_manifest_is_an_edit(clean: Any) -> None:
    path, manifest = clean.out / "torch/cosh.py", clean.out / "manifest.json"
    before = clean.wanted()["torch/cosh.py"]
    path.write_text(before + "x = 1\n")
    records = json.loads(manifest.read_text())
    from derive.emit.header import digest

    records["files"]["torch/cosh.py"]["sha256"] = digest(path.read_bytes())
    manifest.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")
    assert only(clean).why == "edited by hand: its header does not fit its body"


def test_an_edit_of_a_stale_file_is_an_edit(clean: Any) -> None:
    clean.ops["cosh"] += "# more\n"
    (clean.out / "torch/cosh.py").write_text("mine\n")
    assert clean.kinds()["torch/cosh.py"] == "edited"


def test_missing(clean: Any) -> None:
    (clean.out / "torch/cosh.py").unlink()
    assert (only(clean).path, only(clean).kind) == ("torch/cosh.py", "missing")


def test_nothing_there_at_all(project: Any) -> None:
    assert set(project.kinds().values()) == {"missing"}
    assert len(project.check()) == 7


def test_orphan_and_added(clean: Any) -> None:
    del clean.ops["norm"]
    (clean.out / "torch/mine.py").write_text("x = 1\n")
    found = {f.path: f for f in clean.check()}
    assert {path: f.kind for path, f in found.items()} == {
        "latex/norm.tex": "orphan",
        "torch/mine.py": "added",
        "torch/norm.py": "orphan",
        "triton/norm.py": "orphan",
    }
    assert found["torch/norm.py"].remedy == "derive generate"
    assert found["torch/mine.py"].remedy == f"rm {clean.out}/torch/mine.py"


def test_an_edited_orphan_is_left_to_its_editor(clean: Any) -> None:
    del clean.ops["norm"]
    (clean.out / "torch/norm.py").write_text("mine\n")
    finding = next(f for f in clean.check() if f.path == "torch/norm.py")
    assert finding.kind == "orphan"
    assert "edited by hand" in finding.why
    assert finding.remedy.startswith("rm ")


def test_with_ops_given_only_their_files_count(clean: Any) -> None:
    (clean.out / "torch/mine.py").write_text("x = 1\n")
    (clean.out / "torch/norm.py").unlink()
    assert clean.check("cosh") == ()
    assert clean.kinds("norm") == {"torch/norm.py": "missing"}


def test_files_outside_the_folders_and_caches_do_not_count(clean: Any) -> None:
    (clean.out / "notes.txt").touch()
    (clean.out / "torch/__pycache__").mkdir()
    (clean.out / "torch/__pycache__/cosh.pyc").touch()
    assert clean.check() == ()


def test_an_edited_manifest(clean: Any) -> None:
    path = clean.out / "manifest.json"
    text = path.read_text()
    for changed in (text + "\n", "", "{}", "[]", "[" * 100_000, text.replace("sha256", "sha")):
        path.write_text(changed)
        assert only(clean).path == "manifest.json", changed[:20]
        assert only(clean).kind == "edited", changed[:20]


def test_a_record_that_lags_behind_its_file(clean: Any) -> None:
    old = (clean.out / "manifest.json").read_text()
    clean.ops["cosh"] += "# more\n"
    clean.write()
    (clean.out / "manifest.json").write_text(old)
    assert only(clean).kind == "stale"
    assert "torch/cosh.py" in only(clean).why
    clean.write()
    assert clean.check() == ()


def test_links_are_neither_followed_nor_good(clean: Any, tmp_path: Path) -> None:
    path = clean.out / "torch/cosh.py"
    elsewhere = path.rename(tmp_path / "cosh.py")
    path.symlink_to(elsewhere)
    assert only(clean).kind == "edited"
    assert only(clean).why == "torch/cosh.py is a symbolic link"
    path.unlink()
    elsewhere.rename(path)
    (clean.out / "torch/more").symlink_to(tmp_path)
    assert clean.kinds() == {"torch/more": "added"}


def test_the_remedy_mends_what_the_diff_shows(clean: Any) -> None:
    path = clean.out / "torch/cosh.py"
    path.write_text(path.read_text().replace("ENGINE", "EDITED"))
    commands = {"torch/cosh.py": "derive generate cosh --out gen"}
    (finding,) = clean.check(commands=commands)
    assert finding.remedy == "derive generate cosh --out gen"
    assert "-EDITED = '1'\n+ENGINE = '1'\n" in finding.diff
    clean.write("cosh")
    assert clean.check() == ()


def test_it_writes_nothing(clean: Any) -> None:
    clean.ops["cosh"] += "# more\n"
    before = clean.snapshot()
    clean.check()
    clean.check("norm")
    assert clean.snapshot() == before
