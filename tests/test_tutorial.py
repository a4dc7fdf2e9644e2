"""The documentation as it stands, in an empty folder: files, commands with what they print."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from derive.cli import cli, main
from derive.console import GOOD
from derive.scaffold import _TEXT

ROOT = Path(__file__).parent.parent
PIPELINE = (ROOT / "docs/continuous_integration.md").read_text("utf-8")
HOOKS = (ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")
FIRST = (ROOT / "docs/first_kernel.md").read_text("utf-8")
BLOCK = re.compile(r'^```(\w+)(?: title="(\S+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


Printed = tuple[int, str, str]


def apart(words: list[str]) -> Printed:
    """In a process of its own: torch and Triton read the environment when they are imported."""
    command = [sys.executable, "-m", "derive", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def here(words: list[str]) -> Printed:
    out, err = io.StringIO(), io.StringIO()
    out.reconfigure = err.reconfigure = lambda **_: None  # type: ignore[attr-defined]
    with redirect_stdout(out), redirect_stderr(err):
        code = main(words)
    return code, out.getvalue(), err.getvalue()


def commands(block: str) -> Iterator[tuple[list[str], str]]:
    """The words of each command of a console block, and what it is said to print."""
    for part in re.split(r"^\$ derive ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield shlex.split(command), output


def pattern(output: str) -> str:
    """A line `…` stands for any lines, `…` in a line for any words."""
    text = re.escape(output).replace(re.escape("…\n"), "(?s:.*)", -1)
    return text.replace(re.escape("…"), ".*")


def follow(page: str, folder: Path) -> None:
    """A page in an empty folder: files are written, commands print what it says, Python runs."""
    python: list[str] = []
    for language, name, text in BLOCK.findall(page):
        if name:
            (folder / name).write_text(text, "utf-8")
        elif language == "python":
            python.append(text)
        elif language == "console":
            for words, output in commands(text):
                _check(words, output)
    script = folder / "script.py"
    script.write_text("\n".join(python), "utf-8")
    done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _check(words: list[str], output: str) -> None:
    code, out, err = (apart if words[0] in ("verify", "bench") else here)(words)
    fails = 2 if output.startswith("error:") else int("refuted:" in output or "mend:" in output)
    assert code == fails, (words, out, err)
    assert any(re.fullmatch(pattern(output), said) for said in (out, err)), (words, out, err)


@pytest.mark.parametrize("page", ["first_kernel", "tutorial", "commands"])
def test_a_newcomer_who_follows_a_page_sees_what_it_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    follow((ROOT / f"docs/{page}.md").read_text("utf-8"), tmp_path)


def test_there_is_a_guide_for_each_command() -> None:
    guide = (ROOT / "docs/commands.md").read_text("utf-8")
    assert set(re.findall(r"^## (\w+)$", guide, re.MULTILINE)) >= set(cli.commands)


def test_the_file_that_the_first_page_shows_is_the_one_that_is_written() -> None:
    shown = next(t for lang, _, t in BLOCK.findall(FIRST) if lang == "text")
    assert _TEXT.replace("NAME", "my_norm").endswith(shown)


def test_the_site_has_every_page_of_the_documentation() -> None:
    listed = re.findall(r"(\w+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(p.name for p in (ROOT / "docs").glob("*.md"))


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
