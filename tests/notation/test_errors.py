"""Each row of the table of errors: its example gives its code, with a place and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from derive.code import Code
from derive.derivation import differentiate
from derive.errors import CODES, SourceError, render
from derive.notation.reader import read_equation, read_ops
from derive.notation.tex import read_document

ROOMS = Path(__file__).parents[2] / "derive"


def read(code: Code) -> None:
    op = read_ops(code.example, "example.op")[0]
    if code.derived:
        differentiate(op)
    elif code.paper:
        read_document(op, code.paper, "")
    else:
        read_equation(op, code.statement)


def refusals(row: str) -> SourceError:
    code = CODES[row]
    with pytest.raises(SourceError) as caught:
        read(code)
    return caught.value


@pytest.mark.parametrize("row", CODES)
def test_an_example_gives_its_code(row: str) -> None:
    error = refusals(row)
    found = [d for d in error.diagnostics if d.code == row]
    assert found, [d.code for d in error.diagnostics]
    lines = (CODES[row].paper or CODES[row].statement or CODES[row].example).split("\n")
    for d in found:
        assert 1 <= d.span.line <= len(lines)
        assert 1 <= d.span.column <= len(lines[d.span.line - 1]) + 1
        assert (d.span.end_line, d.span.end_column) >= d.span[:2]
        assert d.message
        assert d.help


ALONE = set(CODES) - {"E403", "E409", "E206"}


@pytest.mark.parametrize("row", sorted(ALONE))
def test_an_example_gives_no_other_code(row: str) -> None:
    assert {d.code for d in refusals(row).diagnostics} == {row}


def test_every_code_that_is_given_has_a_row() -> None:
    given = set()
    for path in [*ROOMS.glob("notation/*.py"), ROOMS / "errors.py"]:
        given |= set(re.findall(r'"(E\d{3})"', path.read_text("utf-8")))
    assert given == set(CODES)


def test_rows_are_in_order_and_say_what_to_do() -> None:
    assert list(CODES) == sorted(CODES)
    assert all(row.title and row.explanation and row.remedy for row in CODES.values())


def test_a_refusal_shows_place_line_carets_and_help() -> None:
    source = "op f(x[b,h]) -> v[b]\nv[b] = 1/H * x[b,h]^2\n"
    with pytest.raises(SourceError) as caught:
        read_ops(source, "my.op")
    assert str(caught.value) == (
        "my.op:2:18: E301 the index `h` is neither on the left nor repeated in a product\n"
        "2 | v[b] = 1/H * x[b,h]^2\n"
        "  |                  ^\n"
        "help: multiply by `1[h]` to sum over `h`"
    )


def test_a_long_line_is_clipped_around_the_mark() -> None:
    source = "op f(x[b]) -> y[b]\ny[b] = " + "x[b] + " * 1000 + "oops + x[b]\n"
    with pytest.raises(SourceError) as caught:
        read_ops(source)
    [diagnostic] = caught.value.diagnostics
    rows = render(diagnostic).split("\n")
    assert max(map(len, rows)) <= 120
    start = rows[2].index("^")
    assert rows[1][start : start + rows[2].count("^")] == "oops"
