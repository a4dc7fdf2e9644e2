"""The command line: exit codes, streams, formats, and which ops a command is about."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest

from derive import __version__, cli, commands, report
from derive.catalogue import catalogue
from derive.emit import files
from derive.emit.check import Finding
from derive.errors import DeriveError

OP = "# {0}: a title [b]\nop {0}(x[i]) -> y[i]\n\ny[i] = exp(x[i])\n"


@dataclass
class Run:
    code: int
    out: str
    err: str


Runner = Callable[..., Run]


@pytest.fixture
def derive(capsys: pytest.CaptureFixture[str]) -> Runner:
    def run(*arguments: str) -> Run:
        code = cli.main(arguments)
        return Run(code, *capsys.readouterr())

    return run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two op files, as a user has one; the engine prints the op's own lines."""

    def render(op: Any, derivation: Any) -> str:
        return f"SOURCE = {op.text!r}\n"

    def row(name: str, suffix: str, comment: str) -> SimpleNamespace:
        kept = {"name": name, "folder": name, "suffix": suffix, "comment": comment}
        return SimpleNamespace(**kept, templates=lambda op: (), render=render)

    rows = [row("torch", ".py", "#"), row("triton", ".py", "#"), row("latex", ".tex", "%")]
    backends = ModuleType("derive.emit.backends")
    backends.BACKENDS = {r.name: r for r in rows}  # type: ignore[attr-defined]  # a fake module
    monkeypatch.setitem(sys.modules, "derive.emit.backends", backends)
    monkeypatch.setattr(files, "_differentiate", lambda op: op)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    (tmp_path / "my/foo.op").write_text(OP.format("foo"))
    (tmp_path / "my/two.op").write_text(OP.format("one") + "\n" + OP.format("two"))
    return tmp_path


def configure(folder: Path, table: str) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.derive]\n{table}\n")


def test_generate_then_check(derive: Runner, project: Path) -> None:
    done = derive("generate", "my/foo.op", "--out", "gen")
    assert (done.code, done.out) == (0, "")
    assert "wrote gen/torch/foo.py" in done.err
    assert sorted(p.name for p in (project / "gen").rglob("*.*")) == [
        "foo.py", "foo.py", "foo.tex", "manifest.json",
    ]  # fmt: skip
    done = derive("check", "my/foo.op", "--out", "gen")
    assert (done.code, done.out, done.err) == (0, "", "3 files up to date\n")


def test_check_says_what_why_and_how_to_mend(derive: Runner, project: Path) -> None:
    derive("generate", "my/foo.op", "--out", "gen")
    (project / "my/foo.op").write_text(OP.format("foo").replace("exp", "sin"))
    done = derive("check", "my/foo.op", "--out", "gen")
    assert done.code == 1
    assert "gen/torch/foo.py: stale: foo.op changed\n" in done.out
    assert "  mend: derive generate my/foo.op --out gen\n" in done.out
    assert done.err == "3 to mend; all: derive generate my/foo.op --out gen\n"
    assert derive("generate", "my/foo.op", "--out", "gen").code == 0
    assert derive("check", "my/foo.op", "--out", "gen").code == 0


def test_the_label_of_a_source_starts_at_its_project(derive: Runner, project: Path) -> None:
    configure(project, "")
    derive("generate", "my/foo.op")
    text = (project / "generated/torch/foo.py").read_text()
    assert "# source: my/foo.op\n" in text
    assert "`derive generate my/foo.op`" in text
    assert str(project) not in text


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
    assert "gen/latex/one.tex: orphan: no op makes it\n  mend: derive generate\n" in done.out
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "layer_nrom"], 'in the catalogue; did you mean "layer_norm"'),
        (["generate", "no/such.op"], "no/such.op: no such file"),
        (["generate", "foo"], 'no op "foo" in the catalogue'),
        (["generate", "my/foo.op", "--backend", "tritn"], 'did you mean "triton"'),
        (["generat"], "Did you mean 'generate'"),
        (["check", "--dif"], "Did you mean '--diff'"),
        (["check", "--output-format", "xml"], "is not one of"),
        (["latex"], "Missing argument 'OP'"),
        (["prove", "my/foo.op"], "an equation to prove is wanted"),
        (["explain", "X999"], 'no error has the code "X999"'),
        (["new", "no good"], "E"),
    ],
)  # fmt: skip
def test_what_is_refused(derive: Runner, project: Path, arguments: list[str], message: str) -> None:
    done = derive(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_an_error_in_an_op_file_shows_its_place(derive: Runner, project: Path) -> None:
    (project / "my/foo.op").write_text("op foo(x[i]) -> y[i]\ny[i] = expp(x[i])\n")
    done = derive("generate", "my/foo.op")
    assert done.code == 2
    assert "my/foo.op:2:8" in done.err
    assert not (project / "generated").exists()


def test_a_file_that_is_no_text(derive: Runner, project: Path) -> None:
    (project / "my/foo.op").write_bytes(b"op foo\xff")
    done = derive("generate", "my/foo.op")
    assert (done.code, "not UTF-8 at byte 6" in done.err) == (2, True)


def test_a_bug_is_said_to_be_one(
    derive: Runner, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(op: Any) -> Any:
        raise ZeroDivisionError("engine")

    monkeypatch.setattr(files, "_differentiate", broken)
    done = derive("generate", "my/foo.op")
    assert (done.code, done.out) == (3, "")
    assert "a bug in derive: ZeroDivisionError: engine" in done.err
    assert "Please report it" in done.err
    assert "Traceback" not in done.err
    assert "Traceback" in derive("generate", "my/foo.op", "-v").err
    assert "Traceback" in derive("-v", "generate", "my/foo.op").err


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (OSError("full"), 2), (DeriveError("no"), 2)]
)
def test_exit_codes_of_what_goes_wrong(
    derive: Runner,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
) -> None:
    def broken(op: Any) -> Any:
        raise error

    monkeypatch.setattr(files, "_differentiate", broken)
    assert derive("generate", "my/foo.op").code == code


def test_new_writes_an_op_that_reads_and_never_writes_over(derive: Runner, project: Path) -> None:
    done = derive("new", "my_norm")
    assert (done.code, done.out) == (0, "my_norm.op\n")
    text = (project / "my_norm.op").read_text()
    assert derive("generate", "my_norm.op").code == 0
    (project / "my_norm.op").write_text(text + "# mine\n")
    done = derive("new", "my_norm")
    assert done.code == 2
    assert "nothing was written" in done.err
    assert (project / "my_norm.op").read_text() == text + "# mine\n"


@pytest.mark.parametrize("name", ["../up", "a/b", "lambda", "1st", "a\nb", ""])
def test_new_refuses_what_is_no_name(derive: Runner, project: Path, name: str) -> None:
    before = sorted(project.rglob("*"))
    assert derive("new", name).code == 2
    assert sorted(project.rglob("*")) == before


def test_explain_prints_a_row(derive: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    row = SimpleNamespace(
        code="E101", title="title", explanation="because", example="a\nb", remedy="do"
    )
    monkeypatch.setattr(commands.errors, "CODES", {"E101": row}, raising=False)
    expected = "E101 title\n\nbecause\n\nExample:\n    a\n    b\n\nRemedy: do\n"
    assert derive("explain", "e101").out == expected
    assert 'did you mean "E101"' in derive("explain", "E1O1").err


def test_prove_by_its_exit_code(
    derive: Runner, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fake(str):
        __slots__ = ()

        def __bool__(self) -> bool:
            return self.startswith("proved")

        def latex(self) -> str:
            return f"\\text{{{self}}}"

    module = ModuleType("derive.prove")
    module.prove = lambda op, text: Fake(text)  # type: ignore[attr-defined]  # a fake module
    monkeypatch.setitem(sys.modules, "derive.prove", module)
    assert derive("prove", "my/foo.op", "proved").code == 0
    assert derive("prove", "my/foo.op", "no").code == 1
    assert derive("prove", "my/foo.op", "proved", "--latex").out == "\\text{proved}\n"
    (project / "claims").write_text("# a comment\nproved a\n\nproved b\n")
    done = derive("prove", "my/foo.op", "--from", "claims")
    assert (done.code, done.out) == (0, "proved a\n\nproved b\n")
    assert derive("prove", "my/foo.op", "no", "--from", "claims").code == 1


def test_verify_prints_a_row_for_each_op_and_backend(
    derive: Runner, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(check: str, passed: bool, worst: float) -> SimpleNamespace:
        return SimpleNamespace(check=check, passed=passed, worst=worst, tolerance=1e-9, note="fp64")

    module = ModuleType("derive.verify.run")
    module.verify = lambda op, backend: [  # type: ignore[attr-defined]  # a fake module
        row("autograd", True, 1e-12),
        row("gradcheck", backend == "torch", float("nan") if backend == "triton" else 1e-13),
    ]
    monkeypatch.setitem(sys.modules, "derive.verify.run", module)
    done = derive("verify", "my/foo.op")
    assert done.code == 1
    lines = [line.split() for line in done.out.splitlines()]
    assert ["foo", "torch", "2", "checks", "ok", "1.0e-12", "1.0e-09", "autograd"] in lines
    assert ["foo", "triton", "gradcheck", "FAILED", "nan", "1.0e-09", "fp64"] in lines
    assert derive("verify", "my/foo.op", "--backend", "torch").code == 0
    rows = json.loads(derive("verify", "my/foo.op", "--output-format", "json").out)
    assert [r["worst"] for r in rows] == [1e-12, 1e-13, 1e-12, "nan"]
    github = derive("verify", "my/foo.op", "--output-format", "github").out
    assert github.count("::error title=derive verify::foo triton: gradcheck: FAILED") == 1
    assert derive("verify", "my/foo.op", "--backend", "latex").code == 2


def test_the_table_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("layer_norm", "Layer normalization of each row [b] " * 3, "row-wise")]
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    wide = report.table(("op", "title", "class"), rows, color=None)
    assert len(wide.splitlines()) == 3  # piped: one line a row
    narrow = click.unstyle(report.table(("op", "title", "class"), rows, color=True))
    assert max(map(len, narrow.splitlines())) <= 40
    assert "[b]" in narrow


def test_what_could_command_a_terminal_is_spelt_out(derive: Runner, project: Path) -> None:
    derive("generate", "my/foo.op")
    configure(project, "ops = ['my/foo.op']")
    (project / "generated/torch/\x1b[31mred").touch()
    done = derive("check")
    assert "\x1b" not in done.out
    assert "\\x1b[31mred: added" in done.out


def test_colour_is_asked_for(derive: Runner, project: Path) -> None:
    assert "\x1b[" in derive("check", "my/foo.op", "--color").out
    assert "\x1b[" not in derive("--no-color", "check", "my/foo.op").out
    assert "\x1b[" not in derive("check", "my/foo.op").out


def run(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "derive", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, **options)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))


@pytest.mark.usefixtures("path")
def test_the_command_itself(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, __version__ in done.stdout) == (0, True)
    assert run("-h", cwd=tmp_path).stdout.startswith("Usage: derive ")
    done = run("check", "no.op", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: no.op: no such file\n")
    done = run("new", "cosh", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "cosh.op\n")


@pytest.mark.usefixtures("path")
def test_a_closed_pipe_is_no_failure(tmp_path: Path) -> None:
    command = f"{sys.executable} -m derive --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("path")
def test_an_interrupt_ends_with_130(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from derive import cli, scaffold
scaffold.new = lambda *_: os.kill(os.getpid(), signal.SIGINT)
sys.exit(cli.main(["new", "x"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == 128 + signal.SIGINT
    assert b"Traceback" not in done.stderr
