"""`derive.build` imports what `generate` would write, in a way that Triton and tracebacks read."""

from __future__ import annotations

import inspect
import linecache
import subprocess
import sys
import traceback
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from derive.catalogue import parse
from derive.emit import files
from derive.emit.module import build
from derive.errors import DeriveError

TEXT = "op cosh(x[i]) -> y[i]\ny[i] = exp(x[i])\n"
BODY = '''"""cosh"""


def cosh(x):
    return 1 / x
'''


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    def row(name: str, suffix: str) -> SimpleNamespace:
        kept = {"name": name, "folder": name, "suffix": suffix, "comment": "#"}
        return SimpleNamespace(**kept, templates=lambda op: (), render=lambda op, _: BODY)

    table = {"torch": row("torch", ".py"), "latex": row("latex", ".tex")}
    module = ModuleType("derive.emit.backends")
    module.BACKENDS = table  # type: ignore[attr-defined]  # a fake module
    monkeypatch.setitem(sys.modules, "derive.emit.backends", module)
    monkeypatch.setattr(files, "_differentiate", lambda op: op)
    monkeypatch.setenv("DERIVE_CACHE", "off")
    return table


def test_the_module_is_the_file(backends: dict[str, Any]) -> None:
    (op,) = parse(TEXT)
    module = build(op, backend="torch")
    assert module.cosh(2) == 0.5
    assert sys.modules[module.__name__] is module
    assert inspect.getsource(module) == files.source(op, backends["torch"])
    assert "def cosh(x):" in inspect.getsource(module.cosh)


def test_one_source_is_one_module(backends: dict[str, Any]) -> None:
    (op,) = parse(TEXT)
    first = build(op, backend="torch")
    assert build(op, backend="torch") is first
    backends["torch"].render = lambda op, _: BODY.replace("1 /", "2 /")
    second = build(op, backend="torch")
    assert second.__name__ != first.__name__
    assert (first.cosh(1), second.cosh(1)) == (1, 2)


def test_a_traceback_shows_the_line(backends: dict[str, Any]) -> None:
    module = build(parse(TEXT)[0], backend="torch")
    linecache.checkcache()
    with pytest.raises(ZeroDivisionError) as caught:
        module.cosh(0)
    assert "    return 1 / x" in "".join(traceback.format_exception(caught.value))


def test_a_path_or_a_name_will_do(backends: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.op").write_text(TEXT)
    assert build(tmp_path / "a.op", backend="torch").cosh(4) == 0.25


def test_what_cannot_be_imported_is_refused(backends: dict[str, Any]) -> None:
    with pytest.raises(DeriveError, match='no backend "latex" that can be imported'):
        build(parse(TEXT)[0], backend="latex")
    with pytest.raises(DeriveError, match='did you mean "torch"'):
        build(parse(TEXT)[0], backend="troch")


TRITON = """
import {first}
from derive.emit.module import ready_triton
from derive.errors import DeriveError
try:
    ready_triton()
except DeriveError as error:
    print(error)
else:
    import triton.language
    print(type(triton.language.zeros).__name__)
"""


@pytest.mark.parametrize(
    ("first", "said"),
    [("sys", "InterpretedFunction"), ("triton.language", "set TRITON_INTERPRET=1")],
)
def test_triton_interprets_where_there_is_no_gpu(
    first: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    code = TRITON.format(first=first)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said in done.stdout, done.stderr
