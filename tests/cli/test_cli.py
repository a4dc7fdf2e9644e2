"""The command line: exit codes, streams, formats, and which ops a command is about."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from derive import __version__, commands, derivation
from derive.emit import files
from derive.errors import DeriveError

OP = "# {0}: a title [b]\nop {0}(x[i]) -> y[i]\n\ny[i] = exp(x[i])\n"
Runner = Callable[..., Any]


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
        (["new", "no good"], "'no good' cannot name an op: a name is an ASCII letter"),
        (["list", "my/no.op"], "my/no.op: no such file"),
        (["verify", "my/foo.op", "--backend", "latex"], "backend latex cannot be run; these can: "),
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
    monkeypatch.setenv("DERIVE_CACHE", "off")
    done = derive("generate", "my/foo.op")
    assert (done.code, done.out) == (3, "")
    assert "while foo was generated: a bug in derive: ZeroDivisionError: engine" in done.err
    assert "Please report it" in done.err
    assert "Traceback" not in done.err
    assert "Traceback" in derive("generate", "my/foo.op", "-v").err
    assert "Traceback" in derive("-v", "generate", "my/foo.op").err


def test_an_error_of_the_system_is_a_sentence_with_its_path(
    derive: Runner, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = derive("generate", "my/foo.op", "--out", "/proc/x")
    said = "error: cannot write into /proc/x: no such file or directory\n"
    assert (done.code, done.err) == (2, said)

    def full(self: Path, *_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "open", full)
    done = derive("new", "mine")
    assert (done.code, done.err) == (2, "error: mine.op: no space left on device\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (OSError("full"), 2),
        (DeriveError("no"), 2),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2),
        (ModuleNotFoundError("No module named 'derive.x'", name="derive.x"), 3),
    ],
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
    monkeypatch.setenv("DERIVE_CACHE", "off")
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


@pytest.mark.parametrize(
    ("name", "why", "other"),
    [
        ("../up", "a name is an ASCII letter", "up"),
        ("a/b", "a name is an ASCII letter", "b"),
        ("1st", "a name is an ASCII letter", "op_1st"),
        ("a\nb", "a name is an ASCII letter", "a_b"),
        ("é", "a name is an ASCII letter", "my_op"),
        ("", "a name is an ASCII letter", "my_op"),
        ("lambda", "`lambda` is a keyword of Python", "lambda_op"),
        ("sum", "`sum` is a word of the language", "sum_op"),
        ("con", "`con` cannot name a file everywhere", "con_op"),
        ("n" * 41, "a name of 41 letters", "n" * 40),
    ],
)
def test_new_refuses_what_is_no_name(
    derive: Runner, project: Path, name: str, why: str, other: str
) -> None:
    before = sorted(project.rglob("*"))
    done = derive("new", name)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {name!r} cannot name an op: ")
    assert why in done.err
    assert done.err.endswith(f"; try `derive new {other}`\n")
    assert sorted(project.rglob("*")) == before
    assert derive("new", other).out == f"{other}.op\n"


def test_explain_prints_a_row(derive: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    row = SimpleNamespace(
        code="E101", title="title", explanation="because", example="a\nb", remedy="do"
    )
    monkeypatch.setattr(commands.errors, "CODES", {"E101": row}, raising=False)
    expected = "E101 title\n\nbecause\n\nExample:\n    a\n    b\n\nRemedy: do\n"
    assert derive("explain", "e101").out == expected
    assert 'did you mean "E101"' in derive("explain", "E1O1").err


TRUE, WRONG = "y[i] = exp(x[i])", "y[i] = x[i]"


def test_prove_by_its_exit_code(derive: Runner, project: Path) -> None:
    assert derive("prove", "my/foo.op", TRUE).code == 0
    assert derive("prove", "my/foo.op", WRONG).code == 1
    assert derive("prove", "my/foo.op", TRUE, "--latex").out.startswith("\\begin{align*}\n")
    (project / "claims").write_text(f"# a comment\n{TRUE}\n\n  dx[i] = dy[i]*y[i]\n")
    done = derive("prove", "my/foo.op", "--from", "claims")
    assert done.code == 0
    assert re.findall(r"^(\w+): (.*)$", done.out, re.MULTILINE) == [
        ("proved", TRUE), ("proved", "dx[i] = dy[i]*y[i]"),
    ]  # fmt: skip
    assert derive("prove", "my/foo.op", WRONG, "--from", "claims").code == 1


def test_lines_to_prove_share_one_derivation(
    derive: Runner, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    engine = derivation.differentiate
    monkeypatch.setattr(derivation, "differentiate", lambda op: calls.append(op) or engine(op))
    (project / "claims").write_text(f"{TRUE}\n" * 3)
    assert derive("prove", "my/foo.op", TRUE, "--from", "claims").out.count("proved") == 4
    assert len(calls) == 1


def test_lines_that_cannot_be_read_are_told_with_their_places(
    derive: Runner, project: Path
) -> None:
    (project / "claims").write_text(f"{TRUE}\n\n# z[i]\n   y[i] = zz[i]\ny[i] = \n")
    done = derive("prove", "my/foo.op", "--from", "claims")
    assert (done.code, done.out) == (2, "")
    places = re.findall(r"(claims:\d+:\d+): (E\d+)", done.err)
    assert places == [("claims:4:11", "E201"), ("claims:5:7", "E102")]
    assert "4 |    y[i] = zz[i]\n  |           ^^^^^\n" in done.err


def test_there_are_2000_equations_at_most(derive: Runner, project: Path) -> None:
    (project / "claims").write_text("# title\n\n" + f"{WRONG}\n" * 2001)
    done = derive("prove", "my/foo.op", "--from", "claims")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: claims:2003:1: E403 more than 2000 equations\n")
    assert "help: split the file" in done.err
    (project / "claims").write_text("#" * (1 << 20) + f"\n{TRUE}\n")
    assert "E401" in derive("prove", "my/foo.op", "--from", "claims").err


def run(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "derive", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, **options)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


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
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
scaffold.new = lambda *_: os.kill(os.getpid(), signal.SIGINT)
sys.exit(cli.main(["new", "x"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == 128 + signal.SIGINT
    assert b"Traceback" not in done.stderr
