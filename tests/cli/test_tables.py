"""What is printed: tables, findings and verdicts, for people and for programs."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest

from derive import report
from derive.emit.check import Finding

OP = "# {0}: a title [b]\nop {0}(x[i]) -> y[i]\n\ny[i] = exp(x[i])\n"
Runner = Callable[..., Any]


def test_the_formats_of_check(derive: Runner, project: Path) -> None:
    derive("generate", "my/foo.op", "--backend", "torch")
    (project / "generated/torch/foo.py").write_text("mine\n")
    check = ("check", "my/foo.op", "--backend", "torch", "-q", "--output-format")
    mend = "derive generate my/foo.op --backend torch"
    why = "edited by hand: its hash is not the one in manifest.json"
    assert derive(*check, "concise").out == f"generated/torch/foo.py: edited: {why}: {mend}\n"
    assert json.loads(derive(*check, "json").out) == [
        {"path": "generated/torch/foo.py", "kind": "edited", "why": why, "remedy": mend}
    ]
    assert "-mine" in json.loads(derive(*check, "json", "--diff").out)[0]["diff"]
    assert derive(*check, "github").out == (
        f"::error file=generated/torch/foo.py,title=derive check::edited: {why}; mend: {mend}\n"
    )
    assert "\n-mine\n+# Code generated" in derive(*check, "full", "--diff").out
    derive("generate", "my/foo.op", "--backend", "torch")
    done = derive(*check, "json")
    assert (done.code, done.out, done.err) == (0, "[]\n", "")


def test_github_escapes_what_could_end_a_command() -> None:
    finding = Finding("a,b:c%\n.py", "added", "why\n::error::x", "rm")
    line = report.findings([finding], Path(), "github", diff=False)
    assert line == (
        "::error file=a%2Cb%3Ac%25\\n.py,title=derive check::added: why\\n::error::x; mend: rm"
    )


def test_verify_prints_a_row_for_each_op_and_backend(
    derive: Runner, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(check: str, passed: bool, worst: float) -> SimpleNamespace:
        return SimpleNamespace(
            check=check, passed=passed, worst=worst, tolerance=1e-9, note="why", catches=None
        )

    module = ModuleType("derive.verify.run")
    module.verify = lambda op, backend: [  # type: ignore[attr-defined]  # a fake module
        row("gradcheck", backend == "torch", float("nan") if backend == "triton" else 1e-13),
        row("fp64", True, 1e-12),
    ]
    monkeypatch.setitem(sys.modules, "derive.verify.run", module)
    monkeypatch.setenv("COLUMNS", "200")
    done = derive("verify", "my/foo.op")
    assert done.code == 1
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[2:] == [
        ["foo", "torch", "fp64", "ok", "1.0e-12", "1.0e-09", "1", "more", "checks", "ok"],
        ["foo", "triton", "gradcheck", "FAILED", "nan", "1.0e-09", "why"],
    ]
    lines = [line.split() for line in derive("verify", "my/foo.op", "-v").out.splitlines()]
    assert [line[1:4] for line in lines[2:]] == [
        ["torch", "gradcheck", "ok"],
        ["torch", "fp64", "ok"],
        ["triton", "gradcheck", "FAILED"],
        ["triton", "fp64", "ok"],
    ]
    assert derive("verify", "my/foo.op", "--backend", "torch").code == 0
    rows = json.loads(derive("verify", "my/foo.op", "--output-format", "json").out)
    assert [r["worst"] for r in rows] == [1e-13, 1e-12, "nan", 1e-12]
    github = derive("verify", "my/foo.op", "--output-format", "github").out
    assert github.count("::error title=derive verify::foo triton: gradcheck: FAILED") == 1


def test_an_exception_while_verifying_names_op_and_backend(
    derive: Runner, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(op: Any, backend: str) -> Any:
        raise TypeError("two arguments")

    module = ModuleType("derive.verify.run")
    module.verify = broken  # type: ignore[attr-defined]  # a fake module
    monkeypatch.setitem(sys.modules, "derive.verify.run", module)
    done = derive("verify", "my/foo.op", "--backend", "torch")
    assert (done.code, done.out) == (3, "")
    said = "error: while foo was verified for torch: a bug in derive: TypeError: two arguments\n"
    assert done.err.startswith(said)


def test_the_table_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    title = "Layer normalization of each row [b] " * 3
    rows = [("layer_norm", title, "matrix product"), ("a_name_that_is_longer_than_most", "", "")]
    heads = ("op", "title", "class")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    assert len(report.table(heads, rows, color=None).splitlines()) == 4  # piped: one line a row
    for columns, color in itertools.product((70, 40, 20, 1), (True, None)):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = click.unstyle(report.table(heads, rows, color)).splitlines()
        assert max(map(len, lines)) <= max(columns, 67)
        words = {word for line in lines for word in line.split()}
        assert {"layer_norm", "a_name_that_is_longer_than_most", "normalization", "[b]"} <= words
        assert {"matrix", "product"} <= words


@pytest.mark.parametrize(("columns", "heads"), [(120, 3), (80, 2), (40, 2), (20, 2)])
def test_a_column_is_cut_and_others_make_room(
    monkeypatch: pytest.MonkeyPatch, columns: int, heads: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [("norm", "Layer normalization of each row, as of a batch of rows", "x " * 20)]
    lines = report.table(("op", "title", "class"), rows, color=None, cut="title").splitlines()
    assert len(lines) == 3  # one line a row
    assert lines[0].split() == ["op", "title", "class"][:heads]
    assert max(map(len, lines)) <= columns
    shown = lines[2].removeprefix(" norm").split("   ")[-1 if heads == 2 else -2].strip()
    assert rows[0][1].startswith(shown.removesuffix("…"))
    assert len(shown) > min(columns // 4, 20)


def test_list_shows_the_ops_that_are_named(
    derive: Runner, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    lines = derive("list", "my/two.op", "layer_norm").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["one", "two", "layer_norm"]
    assert len(derive("list", "my").out.splitlines()) == 5
    assert "one: a title" not in derive("list").out


def test_list_tells_costs(derive: Runner, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    head, _, row = derive("list", "matmul", "--costs").out.splitlines()
    assert head.split()[:2] == ["op", "saved"]
    assert row.split()[:3] == ["matmul", "a", "b"]
    assert "I*K + K*J " in row


def test_what_could_command_a_terminal_is_spelt_out(derive: Runner, project: Path) -> None:
    derive("generate", "my/foo.op")
    (project / "generated/torch/\x1b[31mred").touch()
    done = derive("check")
    assert "\x1b" not in done.out
    assert "\\x1b[31mred: added" in done.out


def test_colour_is_asked_for(derive: Runner, project: Path) -> None:
    assert "\x1b[" in derive("check", "my/foo.op", "--color").out
    assert "\x1b[" not in derive("--no-color", "check", "my/foo.op").out
    assert "\x1b[" not in derive("check", "my/foo.op").out
