"""A list of equations as input: one a line, those behind `#` left out."""

from __future__ import annotations

from derive.errors import Report, SourceError, Span
from derive.notation.op import Op
from derive.notation.statement import Statement, read_equation

MOST_CHARACTERS = 1_048_576
MOST_EQUATIONS = 2000


def read_listing(op: Op, text: str, path: str) -> list[Statement]:
    """Its statements in order; `SourceError` with every line that cannot be read."""
    lines = text.split("\n")
    report = Report(lines, path)
    if len(text) > MOST_CHARACTERS:
        report.add("E401", Span(1, 1, 1, 2), "a file of more than 1 MiB", "split it")
        raise report.error()
    numbers = [n for n, line in enumerate(lines, 1) if _is_equation(line)]
    if len(numbers) > MOST_EQUATIONS:
        beyond = numbers[MOST_EQUATIONS]
        place = Span(beyond, 1, beyond, len(lines[beyond - 1]) + 1)
        report.add("E403", place, f"more than {MOST_EQUATIONS} equations", "split the file")
        raise report.error()
    read = [_statement(op, number, report) for number in numbers]
    report.check()
    return [statement for statement in read if statement is not None]


def _is_equation(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _statement(op: Op, number: int, report: Report) -> Statement | None:
    """The statement of a line; what is refused of it is noted where it stands in the file."""
    line = report.lines[number - 1]
    indent = len(line) - len(line.lstrip())
    try:
        return read_equation(op, line.strip())
    except SourceError as error:
        for d in error.diagnostics:
            place = Span(number, d.span.column + indent, number, d.span.end_column + indent)
            report.add(d.code, place, d.message, d.help)
        return None
