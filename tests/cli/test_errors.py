"""Each error as a user meets it: told with its place, explained, listed in the docs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from derive.errors import CODES, DeriveError

ROOT = Path(__file__).parents[2]
Runner = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(derive: Runner, folder: Path, code: str) -> Any:
    """What the command says that meets the example of a code."""
    row = CODES[code]
    (folder / "example.op").write_text(row.example, encoding="utf-8")
    if row.paper:
        (folder / "paper.md").write_text(row.paper, encoding="utf-8")
        return derive("prove", "example.op", "--from", "paper.md")
    if row.statement:
        return derive("prove", "example.op", row.statement)
    return derive("generate", "example.op")


@pytest.mark.parametrize("code", CODES)
def test_the_example_of_a_code_is_refused_with_it(derive: Runner, folder: Path, code: str) -> None:
    done = told(derive, folder, code)
    row = CODES[code]
    file = "paper.md" if row.paper else "<text>" if row.statement else "example.op"
    assert done.code == 2
    assert re.search(rf"^(error: )?{re.escape(file)}:\d+:\d+: {code} ", done.err, re.MULTILINE)
    assert not (folder / "generated").exists()


@pytest.mark.parametrize("code", CODES)
def test_explain_says_what_why_an_example_and_what_to_do(derive: Runner, code: str) -> None:
    row, done = CODES[code], derive("explain", code)
    assert done.code == 0
    head, why, *_ = done.out.split("\n\n")
    assert (head, why) == (f"{code} {row.title}", row.explanation)
    assert "Example:\n    " in done.out
    assert done.out.endswith(f"Remedy: {row.remedy}\n")


def test_the_page_of_the_language_lists_every_code() -> None:
    page = (ROOT / "docs/language.md").read_text("utf-8")
    listed = re.findall(r"^\| (E\d{3}) \| (.+) \| (.+) \|$", page, re.MULTILINE)
    assert listed == [(row.code, row.title, row.remedy) for row in CODES.values()]


def test_every_code_in_the_sources_has_a_row() -> None:
    given = {
        code
        for path in (ROOT / "derive").rglob("*.py")
        if "codes" not in path.name
        for code in re.findall(r'"(E\d{3})"', path.read_text("utf-8"))
    }
    assert given == set(CODES)


def test_all_errors_of_a_file_are_told_in_one_run(derive: Runner, folder: Path) -> None:
    text = "op f(x[b,h], z[b]) -> y[b]\nu[b] = x[b,h]\ny[b] = zz[b] + expp(z[b]) + u[b]\n"
    text += "op g(x[b]) -> y[b]\ny[b] = x[b] *\nop lambda(x[b]) -> y[b]\ny[b] = 2^99*x[b]\n"
    (folder / "a.op").write_text(text)
    done = derive("check", "a.op")
    found = re.findall(r"a\.op:(\d+):\d+: (E\d{3})", done.err)
    assert found == [
        ("2", "E301"), ("3", "E201"), ("3", "E202"), ("5", "E102"), ("6", "E204"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["show", "layer_nrom"], '"layer_norm"'),
        (["show", "mine.opp"], '"mine.op"'),
        (["show", "mien.op"], '"mine.op"'),
        (["show", "mine.op:ff"], '"f"'),
        (["generate", "mine.op", "--backend", "tritn"], '"triton"'),
        (["generate", "mine.op", "--bakend", "triton"], "'--backend'"),
        (["chekc"], "'check'"),
        (["explain", "F301"], '"e301"'),
        (["prove", "mine.op", "y[b] = 2*xx[b]"], "`x`"),
        (["prove", "mine.op", "y[b] = exq(x[b])"], "`exp`"),
        (["new", "p", "--from", "paper.md", "--output", "yy"], "`y`"),
        (["show", "mine.op", "--wrt", "xx"], '"x"'),
        (["show", "mine.op", "--form", "factord"], '"factored"'),
        (["show", "mine.op", "--tracee"], "'--trace'"),
        (["latex", "mien.op"], '"mine.op"'),
        (["latex", "mine.op", "--part", "step"], '"steps"'),
        (["latex", "mine.op", "--form", "chian"], '"chain"'),
        (["check", "--output-format", "jsno"], '"json"'),
    ],
)
def test_what_was_meant_is_asked(
    derive: Runner, folder: Path, arguments: list[str], meant: str
) -> None:
    (folder / "mine.op").write_text("op f(x[b]) -> y[b]\ny[b] = 2*x[b]\n")
    (folder / "paper.md").write_text("$$ y_b = 2 x_b $$\n")
    done = derive(*arguments)
    assert done.code == 2
    assert f"did you mean {meant}?" in done.err.lower()


def test_what_is_far_from_all_is_told_what_there_is(derive: Runner, folder: Path) -> None:
    (folder / "mine.op").write_text("op f(x[b]) -> y[b]\ny[b] = 2*x[b]\n")
    assert "it has x, y" in derive("show", "mine.op", "--wrt", "qqq").err
    assert "'chain', 'closed', 'factored'" in derive("show", "mine.op", "--form", "qqq").err
    done = derive("show", "mine.op", "--wrt", "y")
    assert (done.code, "dy is given, not derived" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("table", "meant"),
    [
        ("opss = ['mine.op']", "ops"),
        ("backends = ['torhc']", "torch"),
        ("ops = ['mien.op']", "mine.op"),
    ],
)
def test_what_was_meant_in_a_configuration(
    derive: Runner, folder: Path, table: str, meant: str
) -> None:
    (folder / "mine.op").write_text("op f(x[b]) -> y[b]\ny[b] = 2*x[b]\n")
    (folder / "pyproject.toml").write_text(f"[tool.derive]\n{table}\n")
    done = derive("check")
    assert done.code == 2
    assert f'did you mean "{meant}"?' in done.err


def test_a_message_keeps_its_lines_and_nothing_else_that_is_not_printed() -> None:
    error = DeriveError("a\nb\x1b[31m\r\u202e\u2028c")
    assert str(error) == "a\nb\\x1b[31m\\r\\u202e\\u2028c"
