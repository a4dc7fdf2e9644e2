"""Refused op files and configurations as other programs read them: on stdout, exit code 2."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Runner = Callable[..., Any]
TWO_ERRORS = "op f(x[i]) -> y[i]\nu[i] = xx[i]\ny[i] = expp(u[i]) + x[i]\n"
SPREAD = "op g(x[b,h], z[b]) -> y[b,h]\ny[b,h] = x[b,h] + exp(\n  z[b]\n)\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    (tmp_path / "my/a.op").write_text(TWO_ERRORS)
    (tmp_path / "my/b.op").write_text("op h(x[i]) -> y[i]\ny[i] = x[i] *\n")
    return tmp_path


commands = pytest.mark.parametrize("command", ["check", "verify"])


@commands
def test_json_is_one_document_with_a_row_for_each_error(
    derive: Runner, folder: Path, command: str
) -> None:
    done = derive(command, "my/a.op", "--output-format", "json")
    assert (done.code, done.err) == (2, "")
    first, second = json.loads(done.out)
    assert first == {
        "file": "my/a.op",
        "line": 2,
        "column": 8,
        "end": {"line": 2, "column": 13},
        "code": "E201",
        "message": "`xx` is not defined",
        "help": "did you mean `x`?",
    }
    assert (second["line"], second["code"]) == (3, "E202")


@commands
def test_github_is_a_line_for_each_error(derive: Runner, folder: Path, command: str) -> None:
    done = derive(command, "my/a.op", "--output-format", "github")
    assert (done.code, done.err) == (2, "")
    first, second = done.out.splitlines()
    assert first == (
        "::error file=my/a.op,line=2,col=8,endColumn=13,title=E201::"
        "`xx` is not defined%0Ahelp: did you mean `x`?"
    )
    assert second.startswith("::error file=my/a.op,line=3,col=8,endColumn=18,title=E202::")


@commands
def test_concise_is_a_place_a_code_and_a_message(
    derive: Runner, folder: Path, command: str
) -> None:
    done = derive(command, "my/a.op", "--output-format", "concise")
    assert (done.code, done.err) == (2, "")
    assert done.out.splitlines()[0] == "my/a.op:2:8: E201 `xx` is not defined"


def test_full_stays_on_stderr(derive: Runner, folder: Path) -> None:
    done = derive("check", "my/a.op")
    assert (done.code, done.out) == (2, "")
    assert "my/a.op:2:8: E201" in done.err


def test_a_name_is_escaped_as_github_demands(derive: Runner, folder: Path) -> None:
    (folder / "a,b:100%.op").write_text(TWO_ERRORS)
    done = derive("check", "a,b:100%.op", "--output-format", "github")
    assert done.out.startswith("::error file=a%2Cb%3A100%25.op,line=2,")


def test_over_several_lines_github_takes_no_columns(derive: Runner, folder: Path) -> None:
    (folder / "my/a.op").write_text(SPREAD)
    done = derive("check", "my/a.op", "--output-format", "github")
    assert "::error file=my/a.op,line=2,endLine=4,title=E" in done.out
    assert all("col" not in x for x in done.out.splitlines() if "endLine" in x)


def test_errors_of_several_files_are_told_at_once(derive: Runner, folder: Path) -> None:
    for named in (["my"], ["my/a.op", "my/b.op"], ["my/a.op:f", "my"]):
        done = derive("check", *named, "--output-format", "concise")
        found = re.findall(r"^(my/.\.op:\d+):", done.out, re.MULTILINE)
        assert found == ["my/a.op:2", "my/a.op:3", "my/b.op:2"]


CONFIGURED = [
    ("[tool.derive]\nopps = ['a']\n", 2, 'unknown key "opps"; did you mean "ops"?'),
    ("[tool.x]\nout = 1\n[tool.derive]\n'out' = 3\n", 4, "out: expected a string, got 3"),
    ("[tool]\nderive = 3\n", 2, "[tool.derive] must be a table"),
    ("[tool.derive.zzz]\na = 1\n", 1, 'unknown key "zzz"; there are ops, out, backends'),
    ("[tool.derive]\nops = [\n", None, "not valid TOML"),
    ("[tool.derive]\nops = 1 2\n", 2, "not valid TOML"),
    ("[tool.derive]\nbackends = ['torhc']\n", None, 'did you mean "torch"?'),
]


@commands
@pytest.mark.parametrize(("table", "line", "message"), CONFIGURED)
def test_a_configuration_that_is_refused(
    derive: Runner, folder: Path, command: str, table: str, line: int | None, message: str
) -> None:
    (folder / "pyproject.toml").write_text(table)
    done = derive(command, "--output-format", "json")
    assert (done.code, done.err) == (2, "")
    [row] = json.loads(done.out)
    assert message in row["message"]
    assert row["file"] in ("pyproject.toml", None)
    assert row["line"] == line or line is None
    done = derive(command, "--output-format", "github")
    place = f"file=pyproject.toml,line={line}," if line else ""
    assert done.out.startswith(f"::error {place}")
    assert done.out.count("\n") == 1


@commands
def test_a_file_that_is_none(derive: Runner, folder: Path, command: str) -> None:
    done = derive(command, "my/c.op", "--output-format", "json")
    [row] = json.loads(done.out)
    assert (done.code, row["file"], row["line"]) == (2, "my/c.op", None)
    (folder / "my/c.op").write_bytes(b"op \xff")
    done = derive(command, "my/c.op", "--output-format", "concise")
    said = "my/c.op: not UTF-8 at byte 3, in line 1; save it as UTF-8\n"
    assert (done.code, done.out) == (2, said)
