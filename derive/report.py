"""What commands print: tables for people, and lines for other programs."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from derive.errors import DeriveError, Diagnostic, SourceError

if TYPE_CHECKING:
    from derive.emit.check import Finding
    from derive.emit.write import Written
    from derive.verify.mutation.finding import Finding as Mutation
    from derive.verify.run import Row

FORMATS = ("full", "concise", "json", "github")
_PIPED = 10_000  # columns where nothing limits them: a line stays a line
_SHORTEST = 28  # columns of what is cut, while others can make room
_LONGEST_WORD = 16  # no shorter word is ever broken: rather, a table is wider than the terminal


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], color: bool | None, cut: str = ""
) -> str:
    """A table that fits the terminal, or COLUMNS; one line a row when it is piped without.

    `cut`: a column that is cut rather than folded. The last ones are left out to give it room.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(force_terminal=color, no_color=None if color is None else not color)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    cells = [[clean(cell) for cell in row] for row in rows]
    free = not console.is_terminal and not os.environ.get("COLUMNS", "").isdecimal()
    room = _PIPED if free else console.width
    if cut:
        heads, cells = _cut(heads, cells, room, heads.index(cut))
    widths = _widths([*zip(heads, *cells, strict=True)], room - 3 * len(heads))
    for head, width in zip(heads, widths, strict=True):
        grid.add_column(head, overflow="fold", width=width)
    for row in cells:
        grid.add_row(*map(Text, row))
    console.width = sum(widths) + 3 * len(heads)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip())


def _cut(
    heads: Sequence[str], rows: list[list[str]], room: int, at: int
) -> tuple[Sequence[str], list[list[str]]]:
    """One column as short as the others ask for, without the last of these while it has no room."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    count = len(heads)
    while True:
        left = room - 3 * count - sum(w for k, w in enumerate(widths[:count]) if k != at)
        if left >= min(_SHORTEST, widths[at]) or count <= at + 1:
            break
        count -= 1
    short = [[c if k != at else _ended(c, left) for k, c in enumerate(r[:count])] for r in rows]
    return heads[:count], short


def _ended(text: str, width: int) -> str:
    """The beginning of a text, cut behind a word where there is one."""
    if len(text) <= width:
        return text
    begun, whole = text[: max(width - 1, 0)], text[: max(width, 0)].rpartition(" ")[0]
    return (whole if len(whole) > width // 2 else begun).rstrip(" ,:") + "…"


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """The widths of columns: the widest is narrowed until all fit, or until a word would break."""
    least = [_least(column) for column in columns]
    widths = [max(map(len, column)) for column in columns]
    while sum(widths) > room and widths != least:
        spare = [w if w > few else 0 for w, few in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    return widths


def _least(column: Iterable[str]) -> int:
    """The least width of a column: that of its longest word, names of any length among them."""
    words = [word for cell in column for word in cell.split()]
    names = [len(word) for word in words if word.isidentifier()]
    return max([min(max(map(len, words), default=0), _LONGEST_WORD), *names])


def clean(text: str) -> str:
    """Text without what could command a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def findings(found: Sequence[Finding], out: Path, style: str, diff: bool) -> str:
    """What `derive check` found, in one of FORMATS."""
    if style == "json":
        keys = [_finding_row(finding, out, diff) for finding in found]
        return json.dumps(keys, indent=2)
    line = {"full": _full, "concise": _concise, "github": _github}[style]
    blocks = [line(finding, out) + _diff(finding, diff, style) for finding in found]
    return "\n".join(blocks)


def _at(finding: Finding, out: Path) -> str:
    return clean((out / finding.path).as_posix())


def _full(finding: Finding, out: Path) -> str:
    kind = click.style(finding.kind, fg="red", bold=True)
    head = f"{click.style(_at(finding, out), bold=True)}: {kind}: {clean(finding.why)}"
    return f"{head}\n  mend: {finding.remedy}"


def _concise(finding: Finding, out: Path) -> str:
    return f"{_at(finding, out)}: {finding.kind}: {clean(finding.why)}: {finding.remedy}"


def _github(finding: Finding, out: Path) -> str:
    text = f"{finding.kind}: {clean(finding.why)}; mend: {finding.remedy}"
    return github("error", text, file=_at(finding, out), title="derive check")


def _finding_row(finding: Finding, out: Path, diff: bool) -> dict[str, str]:
    row = asdict(finding) | {"path": (out / finding.path).as_posix()}
    hidden = ("removes",) if diff else ("removes", "diff")
    return {key: value for key, value in row.items() if key not in hidden}


def _diff(finding: Finding, wanted: bool, style: str) -> str:
    if not wanted or not finding.diff or style == "github":
        return ""
    return "\n\n" + "".join(map(_painted, finding.diff.splitlines(keepends=True)))


def _painted(line: str) -> str:
    colors = {"+": "green", "-": "red", "@": "cyan"}
    return click.style(clean(line.rstrip("\n")), fg=colors.get(line[:1])) + "\n"


def github(level: str, text: str, **places: str) -> str:
    """A workflow command of GitHub Actions, its special characters escaped."""
    escapes = {"%": "%25", "\r": "%0D", "\n": "%0A"}
    inside = escapes | {":": "%3A", ",": "%2C"}
    keys = ",".join(f"{key}={_escaped(value, inside)}" for key, value in places.items())
    return f"::{level} {keys}::{_escaped(text, escapes)}"


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(c, c) for c in text)


def written(done: Written, out: Path) -> list[str]:
    """What `derive generate` did, a line each."""
    lines = [f"wrote {(out / path).as_posix()}" for path in done.changed]
    lines += [f"removed {(out / path).as_posix()}" for path in done.removed]
    count = len(done.unchanged)
    same = "1 file was up to date" if count == 1 else f"{count} files were up to date"
    return [*lines, same] if count else lines


def refusal(error: DeriveError, style: str) -> str:
    """What is refused of op files and configuration, in one of FORMATS but the full one."""
    found = error.diagnostics if isinstance(error, SourceError) else ()
    if style == "json":
        rows = [_refusal_row(d) for d in found] or [_unplaced_row(error)]
        return json.dumps(rows, indent=2)
    if style == "github":
        lines = [_refusal_github(d) for d in found] or [_unplaced_github(error)]
    else:
        lines = [_refusal_line(d) for d in found] or [str(error)]
    return "\n".join(lines)


def _refusal_line(d: Diagnostic) -> str:
    return clean(f"{d.path or '<text>'}:{d.span.line}:{d.span.column}: {d.code} {d.message}")


def _refusal_github(d: Diagnostic) -> str:
    """The place as GitHub takes it: columns only within one line."""
    line, column, end_line, end_column = map(str, d.span)
    within = {"col": column, "endColumn": end_column}
    places = {"line": line} | (within if line == end_line else {"endLine": end_line})
    text = clean(d.message) + (f"\nhelp: {clean(d.help)}" if d.help else "")
    return github("error", text, file=clean(d.path), **places, title=d.code)


def _unplaced_github(error: DeriveError) -> str:
    places = {"file": clean(error.path)} if error.path else {}
    places |= {"line": str(error.line)} if error.line else {}
    return github("error", str(error), **places, title="derive")


def _refusal_row(d: Diagnostic) -> dict[str, Any]:
    """Lines and columns count from 1; the end is the place behind the last character."""
    return {
        "file": d.path or None,
        "line": d.span.line,
        "column": d.span.column,
        "end": {"line": d.span.end_line, "column": d.span.end_column},
        "code": d.code,
        "message": d.message,
        "help": d.help or None,
    }


def _unplaced_row(error: DeriveError) -> dict[str, Any]:
    """A refusal without a code; what is not known of its place is null."""
    nothing = dict.fromkeys(("file", "line", "column", "end", "code", "message", "help"))
    known = {"file": error.path or None, "line": error.line or None, "message": str(error)}
    return nothing | known


class Verdict(NamedTuple):
    """The checks of one op for one backend."""

    op: str
    backend: str
    rows: Sequence[Row]

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if not row.passed]


def verdicts(found: Sequence[Verdict], style: str, verbose: bool, color: bool | None) -> str:
    """What `derive verify` found, in one of FORMATS."""
    if style == "full":
        return _verdict_table(found, verbose, color)
    rows = [(verdict, row) for verdict in found for row in verdict.rows]
    if style == "json":
        return json.dumps([_verdict_row(verdict, row) for verdict, row in rows], indent=2)
    if style == "concise":
        return "\n".join(_verdict_line(verdict, row) for verdict, row in rows)
    failed = ((verdict, row) for verdict, row in rows if not row.passed)
    return "\n".join(github("error", _verdict_line(v, r), title="derive verify") for v, r in failed)


def _verdict_row(verdict: Verdict, row: Row) -> dict[str, Any]:
    return {
        "op": verdict.op,
        "backend": verdict.backend,
        "check": row.check,
        "passed": row.passed,
        "worst": _finite(row.worst),
        "tolerance": _finite(row.tolerance),
        "catches": row.catches,
        "note": row.note,
    }


def _finite(number: float) -> float | str:
    """JSON has no word for infinity or not-a-number."""
    return number if abs(number) < float("inf") else str(number)


def _verdict_line(verdict: Verdict, row: Row) -> str:
    outcome = "ok" if row.passed else "FAILED"
    figures = f"{row.worst:.1e} (at most {row.tolerance:.1e})"
    return f"{verdict.op} {verdict.backend}: {row.check}: {outcome}: {figures} {row.note}".rstrip()


def _verdict_table(found: Sequence[Verdict], verbose: bool, color: bool | None) -> str:
    """For each op and backend what failed, else the exact check; every check if verbose."""
    heads = ("op", "backend", "check", "verdict", "worst", "at most", "catches", "note")
    rows: list[tuple[str, ...]] = []
    for verdict in found:
        shown = verdict.rows if verbose else verdict.failed or _exact(verdict)
        cells = [_cells(row) for row in shown]
        if not verbose and not verdict.failed and len(verdict.rows) > 1:
            cells = [(*cells[0][:-1], f"{len(verdict.rows) - 1} more checks ok")]
        rows += [(verdict.op, verdict.backend, *row) for row in cells]
    return table(heads, rows, color)


def _cells(row: Row) -> tuple[str, ...]:
    catches = "" if row.catches is None else f"{row.catches:.0e}"
    figures = (f"{row.worst:.1e}", f"{row.tolerance:.1e}", catches)
    return (row.check, "ok" if row.passed else "FAILED", *figures, row.note)


def _exact(verdict: Verdict) -> Sequence[Row]:
    """The check in double precision, where nothing but the formulas can be off."""
    exact = [row for row in verdict.rows if row.check.startswith("fp64")]
    return (exact or verdict.rows)[:1]


def mutations(found: Sequence[Mutation], style: str, verbose: bool, color: bool | None) -> str:
    """What `derive verify --mutate` found, in one of FORMATS."""
    if style == "json":
        return json.dumps([asdict(mutant) for mutant in found], indent=2)
    live = [mutant for mutant in found if mutant.is_live]
    if style == "github":
        return "\n".join(
            github("error", _mutant_line(m), title="derive verify --mutate") for m in live
        )
    shown = list(map(_mutant, found if verbose else live))
    if style == "concise":
        counts = [": ".join((" ".join(row[:2]), ", ".join(row[2:]))) for row in _fates(found, True)]
        return "\n".join([*counts, *map(_mutant_line, found if verbose else live)])
    heads = ("op", "of", "mutants", "killed", "equivalent", "live")
    noticed = _noticed(found)
    tables = [table(heads, _fates(found, False), color)]
    if noticed:
        tables.append(table(*noticed, color))
    return "\n\n".join([*tables, *shown])


def _fates(found: Sequence[Mutation], named: bool) -> list[tuple[str, ...]]:
    """For each op, and what is mutated of it: how many mutants, and how many came to which end."""
    counts = Counter((m.op, m.of, m.fate) for m in found)
    rows = []
    for op, of in dict.fromkeys((m.op, m.of) for m in found):
        ends = {fate: counts[op, of, fate] for fate in ("killed", "equivalent", "live")}
        numbers = {"mutants": sum(ends.values()), **ends}
        rows.append((op, of, *(f"{n} {word}" if named else str(n) for word, n in numbers.items())))
    return rows


def _noticed(
    found: Sequence[Mutation],
) -> tuple[tuple[str, ...], list[tuple[str, ...]]] | None:
    """Of the wrong formulas: what share all checks notice, each by itself, other ways to test."""
    wrong = [m for m in found if m.notices]
    if not wrong:
        return None
    ways = list(wrong[0].notices)
    rows = []
    for op in [*dict.fromkeys(m.op for m in wrong), "all"]:
        own = [m for m in wrong if op in ("all", m.op)]
        killed = _share(sum(not m.is_live for m in own), len(own))
        shares = (_share(sum(m.notices[way] for m in own), len(own)) for way in ways)
        rows.append((op, str(len(own)), killed, *shares))
    return ("op", "wrong formulas", "derive verify", *ways), rows


def _share(part: int, whole: int) -> str:
    """Per cent, rounded down: what is not all is not 100 %."""
    return f"{100 * part // whole} %"


def _mutant(mutant: Mutation) -> str:
    head = click.style(clean(f"{mutant.op} {mutant.place}"), bold=True)
    fate = click.style(mutant.fate, fg="red" if mutant.is_live else None)
    lines = (f"  {clean(line)}" for line in mutant.text.splitlines())
    return "\n".join([f"{head}: {clean(mutant.change)}: {fate}: {clean(mutant.why)}", *lines])


def _mutant_line(mutant: Mutation) -> str:
    text = " | ".join(mutant.text.splitlines())
    head = f"{mutant.op} {mutant.of}: {mutant.place}: {mutant.change}"
    return clean(f"{head}: {mutant.fate}: {mutant.why}: {text}")


def proofs(found: Sequence[Any], as_latex: bool) -> str:
    """What became of each equation; behind those of a paper, how many of each kind."""
    read = [f for f in found if not getattr(f, "refusal", None)]
    words = [f.word for f in found if hasattr(f, "word")]
    if as_latex or not words:
        texts = [f.latex() if as_latex else str(f) for f in read]
        return "\n\n".join([*texts, *([] if as_latex else _first_failing(read))])
    return "\n".join([*map(str, read), "", _counted(words)])


def _first_failing(found: Sequence[Any]) -> list[str]:
    """Of several equations the first that is not proved: what follows from it may be right."""
    failing = [f for f in found if not f]
    if len(found) < 2 or not failing:
        return []
    place = found.index(failing[0]) + 1
    head = f"{len(found) - len(failing)} of {len(found)} proved"
    return [f"{head}; the first that fails is number {place}: {failing[0].statement.text}"]


def _counted(words: Sequence[str]) -> str:
    count = Counter(words)
    count["definitions"] = count.pop("definition", 0)
    order = ("proved", "definitions", "refuted", "undecided", "outside", "unreadable")
    return ", ".join(f"{count[word]} {word}" for word in order if count[word])


def explained(row: Any) -> str:
    """An error in full: what, why, an example, the remedy."""
    head = click.style(f"{row.code} {row.title}", bold=True)
    example = _indented(row.example + getattr(row, "paper", ""))
    parts = (row.explanation, f"Example:\n{example}", f"Remedy: {row.remedy}")
    return "\n\n".join((head, *parts))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())
