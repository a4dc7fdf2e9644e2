"""Which ops a command is about, and which files an output folder is to hold."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from derive.catalogue import catalogue

OP = "# {0}: a title [b]\nop {0}(x[i]) -> y[i]\n\ny[i] = exp(x[i])\n"
Runner = Callable[..., Any]


def configure(folder: Path, table: str) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.derive]\n{table}\n")


def test_the_label_of_a_source_starts_at_its_project(derive: Runner, project: Path) -> None:
    configure(project, "")
    derive("generate", "my/foo.op")
    text = (project / "generated/torch/foo.py").read_text()
    assert "# source: my/foo.op\n" in text
    assert "`derive generate my/foo.op`" in text
    assert str(project) not in text


def test_the_configuration_names_ops_out_and_backends(derive: Runner, project: Path) -> None:
    configure(project, "ops = ['my']\nout = 'gen'\nbackends = ['latex']")
    assert derive("generate").code == 0
    assert sorted(p.name for p in (project / "gen/latex").iterdir()) == [
        "foo.tex", "one.tex", "two.tex",
    ]  # fmt: skip
    assert not (project / "gen/torch").exists()
    assert derive("check").code == 0
    (project / "my/two.op").unlink()
    done = derive("check")
    assert done.code == 1
    assert "gen/latex/one.tex: orphan: my/two.op is gone\n  mend: derive generate\n" in done.out
    assert "removed gen/latex/one.tex" in derive("generate").err
    assert derive("check").code == 0


def test_the_configuration_holds_in_folders_below(
    derive: Runner, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(project, "ops = ['my/foo.op']\nout = 'gen'")
    assert derive("generate").code == 0
    monkeypatch.chdir(project / "my")
    assert derive("check").code == 0
    (project / "gen/torch/foo.py").unlink()
    assert "../gen/torch/foo.py: missing" in derive("check").out
    assert "mend: derive generate foo.op\n" in derive("check").out


def test_a_configured_folder_may_not_leave_the_project(derive: Runner, project: Path) -> None:
    configure(project, "ops = ['my']\nout = '../elsewhere'")
    done = derive("generate")
    assert done.code == 2
    assert "leaves" in done.err
    assert not (project.parent / "elsewhere").exists()


def test_without_ops_the_catalogue(derive: Runner, project: Path) -> None:
    assert derive("generate").code == 0
    stems = [path.stem for path in (project / "generated/torch").iterdir()]
    assert sorted(stems) == catalogue()
    text = (project / "generated/torch/layer_norm.py").read_text()
    assert "# source: derive/ops/layer_norm.op" in text
    assert "`derive generate layer_norm`" in text


def test_one_op_of_several(derive: Runner, project: Path) -> None:
    assert derive("generate", "my/two.op:two").code == 0
    assert [p.stem for p in (project / "generated/torch").iterdir()] == ["two"]
    assert 'did you mean "two"' in derive("generate", "my/two.op:tow").err
    assert "name one" in derive("prove", "my/two.op", "y[i] = y[i]").err


def test_the_whole_of_a_folder_without_a_configuration_is_what_was_made_there(
    derive: Runner, project: Path
) -> None:
    derive("generate", "my/foo.op")
    derive("generate", "my/two.op:two")
    made = sorted(p.name for p in (project / "generated/torch").iterdir())
    assert made == ["foo.py", "two.py"]
    assert derive("check").err == "6 files up to date\n"
    assert derive("generate").err == "7 files were up to date\n"
    (project / "my/two.op").write_text(OP.format("one") + OP.format("two").replace("exp", "sin"))
    done = derive("check")
    assert (done.code, done.err) == (1, "3 to mend; all: derive generate\n")
    assert (
        "torch/two.py: stale: two.op changed\n  mend: derive generate my/two.op:two\n" in done.out
    )
    assert "removed" not in derive("generate").err
    assert derive("check").code == 0


def test_only_the_backends_that_were_made_count(derive: Runner, project: Path) -> None:
    derive("generate", "my/foo.op", "--backend", "latex")
    assert derive("check").err == "1 file up to date\n"
    assert derive("generate").code == 0
    assert not (project / "generated/torch").exists()


def test_after_a_rename_one_command_mends_all(derive: Runner, project: Path) -> None:
    derive("generate", "my/foo.op")
    (project / "my/foo.op").write_text(OP.format("bar"))
    (project / "generated/torch/foo.py").write_text("mine\n")
    (project / "generated/torch/bar.py").mkdir()
    done = derive("check")
    assert 'latex/foo.tex: orphan: my/foo.op holds no op "foo" any more\n' in done.out
    removed = "rm -r generated/torch/bar.py generated/torch/foo.py"
    assert done.err == f"6 to mend; all: {removed} && derive generate\n"
    subprocess.run(removed.split(), check=True)
    assert "removed generated/triton/foo.py" in derive("generate").err
    assert derive("check").err == "3 files up to date\n"


def test_files_whose_source_is_gone_go_and_nothing_comes_instead(
    derive: Runner, project: Path
) -> None:
    derive("generate", "my/foo.op")
    (project / "my/foo.op").unlink()
    assert derive("check").err == "3 to mend; all: derive generate\n"
    assert "to verify: the ops that the manifest records are gone" in derive("verify").err
    derive("generate")
    assert [p.name for p in (project / "generated").rglob("*.*")] == ["manifest.json"]


def test_a_source_is_found_wherever_it_was(
    derive: Runner, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "other").mkdir()
    (project / "other/pyproject.toml").touch()
    derive("generate", "my/foo.op", "--out", "other/gen")
    monkeypatch.chdir(project / "other")
    assert derive("check", "--out", "gen").err == "3 files up to date\n"
    (project / "my/foo.op").rename(project / "my/foo.txt")
    assert "orphan: ../my/foo.op is gone" in derive("check", "--out", "gen").out
    (project / "my").rename(project / "elsewhere")  # another machine: who knows?
    assert derive("check", "--out", "gen").err == "0 files up to date\n"
    assert "removed" not in derive("generate", "--out", "gen").err


def test_a_table_without_ops_leaves_those_that_were_made_besides(
    derive: Runner, project: Path
) -> None:
    configure(project, "")
    derive("generate")
    derive("generate", "my/foo.op")
    assert derive("check").code == 0
    assert "removed" not in derive("generate").err
    (project / "my/foo.op").unlink()
    assert derive("check").err == "3 to mend; all: derive generate\n"
    assert derive("generate").err.count("removed") == 3


def test_a_table_with_ops_or_backends_says_all_that_is_in_its_folder(
    derive: Runner, project: Path
) -> None:
    derive("generate", "my/foo.op")
    derive("generate", "my/foo.op", "--out", "besides")
    configure(project, "ops = ['my/two.op']")
    found = derive("check", "--output-format", "concise").out
    assert "torch/foo.py: orphan: [tool.derive] does not name it: derive generate\n" in found
    assert "orphan" not in derive("check", "--out", "besides").out
    assert "removed generated/torch/foo.py" in derive("generate").err
    assert "removed" not in derive("generate", "--out", "besides").err
    configure(project, "backends = ['torch']")
    assert "latex/one.tex: orphan: [tool.derive] does not name it" in derive("check").out
    assert "torch/one.py" not in derive("check").out
