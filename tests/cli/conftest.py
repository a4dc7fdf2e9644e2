"""The command line run in this process, and a project with two op files and no engine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from derive import cli
from derive.emit import files

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
    monkeypatch.setenv("DERIVE_CACHE", "off")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    (tmp_path / "my/foo.op").write_text(OP.format("foo"))
    (tmp_path / "my/two.op").write_text(OP.format("one") + "\n" + OP.format("two"))
    return tmp_path
