"""What reads, derives and writes text never imports torch; help does not even import SymPy."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import derive

_RUN = """
import sys
from derive.cli import main
code = main(sys.argv[1:])
print("".join(f" {name}" for name in ("torch", "triton", "sympy") if name in sys.modules))
print(code)
"""


def heavy(*arguments: str) -> tuple[set[str], int]:
    """What of the heavy packages a command imports, and its exit code."""
    command = [sys.executable, "-c", _RUN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names, code = done.stdout.splitlines()[-2:]
    return set(names.split()), int(code)


@pytest.mark.parametrize("arguments", [["--help"], ["show", "--help"], ["--version"], ["lst"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert heavy(*arguments)[0] == set()


def test_import_derive_imports_nothing() -> None:
    code = "import sys, derive; print(sorted(n for n in sys.modules if n.startswith('derive')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['derive']"


needs_engine = pytest.mark.skipif(
    not (find_spec("derive.emit.backends") and find_spec("derive.prove")), reason="no engine yet"
)
COMMANDS = [
    "list", "show layer_norm", "latex layer_norm", "page layer_norm -o OUT",
    "generate layer_norm --out OUT",
]  # fmt: skip


@needs_engine
@pytest.mark.parametrize("command", [*COMMANDS, "check layer_norm --out OUT"])
def test_commands_that_need_no_torch_do_not_import_it(command: str, tmp_path: Path) -> None:
    arguments = command.replace("OUT", str(tmp_path / "gen")).split()
    names, code = heavy(*arguments)
    assert code == (1 if arguments[0] == "check" else 0)
    assert not names & {"torch", "triton"}


@needs_engine
def test_public_names_stay_what_they_are() -> None:
    import importlib

    importlib.import_module("derive.prove")  # a module of the name of a function
    assert not isinstance(derive.prove, type(derive))
    for name in derive.__all__:
        assert getattr(derive, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        derive.nonsense  # noqa: B018  # reading it is the test
