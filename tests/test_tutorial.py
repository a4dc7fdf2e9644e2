"""The tutorial as it stands, in an empty folder: files, commands with what they print, Python."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from derive.cli import cli
from derive.console import GOOD

ROOT = Path(__file__).parent.parent
TUTORIAL = (ROOT / "docs/tutorial.md").read_text("utf-8")
PIPELINE = (ROOT / "docs/continuous_integration.md").read_text("utf-8")
HOOKS = (ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def derive(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", *command.split()]
    return subprocess.run(run, cwd=folder, capture_output=True, text=True)


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block with what it is said to print."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def pattern(output: str) -> str:
    """A line `…` stands for any lines, `…` in a line for any words."""
    text = re.escape(output).replace(re.escape("…\n"), "(?s:.*)", -1)
    return text.replace(re.escape("…"), ".*")


def test_a_newcomer_gets_from_a_formula_to_a_training_loop(tmp_path: Path) -> None:
    python: list[str] = []
    for language, name, text in BLOCK.findall(TUTORIAL):
        if language == "text":
            (tmp_path / name).write_text(text, "utf-8")
        elif language == "python":
            python.append(text)
        else:
            assert language == "console"
            for command, output in commands(text):
                done = derive(command, tmp_path)
                assert done.returncode in (0, 1), done.stderr
                assert (done.returncode == 1) == ("refuted" in output)
                assert re.fullmatch(pattern(output), done.stdout), (command, done.stdout)
    assert (tmp_path / "pages/layer_norm.html").is_file()
    script = tmp_path / "train.py"
    script.write_text("\n".join(python), "utf-8")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def examples() -> list[str]:
    """The command lines that help texts and the pipelines show."""
    found = [
        line
        for command in cli.commands.values()
        for line in re.findall(r"^ *(derive .*)", command.help or "", re.MULTILINE)
    ]
    found += re.findall(r"run: (derive .*)", PIPELINE) + re.findall(r"entry: (derive .*)", HOOKS)
    return [line.partition("  #")[0].strip() for line in found]


def test_every_command_shows_an_example() -> None:
    shown = {line.split()[1] for line in examples()}
    assert shown == set(cli.commands)


@pytest.mark.parametrize("line", examples())
def test_every_example_is_a_command_line_that_is_taken(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    import shlex

    words = shlex.split(line)
    for name in words:
        if name.endswith((".md", ".txt")):
            Path(name).write_text("")
    command = cli.commands[words[1]]
    with command.make_context(words[1], words[2:]) as context:
        assert context.params is not None


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("pa", "page"),
        ("show lay", "layer_norm"),
        ("show layer_norm --form fac", "factored"),
        ("show layer_norm --wrt ga", "gamma"),
        ("generate layer_norm --backend tri", "triton"),
        ("explain E10", "E101"),
    ],
)
def test_completion(typed: str, offered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = f"derive {typed}"
    environment = {
        "_DERIVE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-c", "from derive.cli import main; raise SystemExit(main())"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == GOOD
    assert f"plain,{offered}" in done.stdout.split("\n")
