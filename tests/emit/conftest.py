"""A project of two ops and three backends whose files depend on every input, without the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from derive.emit import files
from derive.emit.check import Finding, check
from derive.emit.write import Written, write
from derive.notation.op import Op

TEMPLATES = {
    "torch/op.py.jinja": "torch",
    "triton/op.py.jinja": "triton",
    "latex/op.tex.jinja": "%",
}


@dataclass
class Project:
    """A folder with op files, templates and an output folder."""

    root: Path
    ops: dict[str, str]
    engine: str = "1"  # stands for derive's own code
    backends: list[Any] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.root / "generated"

    def op(self, name: str) -> Op:
        text = self.ops[name]
        path = str(self.root / "ops" / f"{name}.op")
        return Op(name, (), (), (), (), (), title=(name,), text=text, path=path)

    def wanted(self, *names: str, backends: Iterable[Any] | None = None) -> dict[str, str]:
        ops = [self.op(name) for name in names or self.ops]
        rows = self.backends if backends is None else list(backends)
        return files.generate(ops, rows, lambda op: op.text)

    def write(self, *names: str) -> Written:
        options: dict[str, Any] = {"folders": ()} if names else {}
        return write(self.wanted(*names), self.out, **options)

    def check(self, *names: str, **options: Any) -> tuple[Finding, ...]:
        options |= {"folders": ()} if names else {}
        return check(self.wanted(*names), self.out, **options)

    def kinds(self, *names: str) -> dict[str, str]:
        return {finding.path: finding.kind for finding in self.check(*names)}

    def snapshot(self) -> dict[str, bytes]:
        paths = sorted(self.root.rglob("*"))
        return {str(path): path.read_bytes() if path.is_file() else b"" for path in paths}


def backend(name: str, suffix: str, comment: str, render: Callable[[Op, Any], str]) -> Any:
    template = next(key for key in TEMPLATES if key.startswith(name))
    return SimpleNamespace(
        name=name,
        folder=name,
        suffix=suffix,
        templates=lambda op: (template,),
        comment=comment,
        render=render,
    )


def made(root: Path) -> Project:
    """The project in a folder that is there; `files.TEMPLATES` is to be `root / "templates"`."""
    (root / "ops").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    for name, text in TEMPLATES.items():
        (root / "templates" / name).parent.mkdir(parents=True)
        (root / "templates" / name).write_text(text)
    project = Project(root, {"cosh": "op cosh(x) -> y\ny = exp(x)\n", "norm": "op norm(x) -> y\n"})

    def python(op: Op, derivation: Any) -> str:
        return f'"""{op.name}"""\n\nSOURCE = {derivation!r}\nENGINE = {project.engine!r}\n'

    project.backends = [
        backend("torch", ".py", "#", python),
        backend("triton", ".py", "# ", python),
        backend("latex", ".tex", "%", lambda op, derivation: f"{op.name} {project.engine}\n"),
    ]
    return project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DERIVE_CACHE", "off")
    monkeypatch.setattr(files, "TEMPLATES", tmp_path / "project" / "templates")
    return made(tmp_path / "project")
