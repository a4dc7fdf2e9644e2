"""A paper to the text of an op file: `derive new NAME --from paper.md`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from derive.errors import Report
from derive.notation import tree as t
from derive.notation.displays import Source
from derive.notation.reader import read_ops
from derive.notation.resolve import Resolver
from derive.notation.tex import in_tex
from derive.paper.broadcast import broadcast
from derive.paper.choose import choose, ordered
from derive.paper.forward import Forward, Reading
from derive.paper.head import header, header_text
from derive.paper.outputs import check_read, outputs
from derive.paper.powers import called
from derive.paper.read import read
from derive.paper.spell import Spelling, check_ranks, spelled, spelling
from derive.paper.title import title
from derive.paper.tree_text import component_text, expression_text
from derive.paper.words import lines_text, printable

_WIDTH = 100


@dataclass(frozen=True)
class Draft:
    """The text of an op file, and what of the paper was taken for it."""

    text: str
    notes: list[str]


def draft(text: str, path: str, name: str, asked: Sequence[str] = ()) -> Draft:
    """The op file that a paper's forward equations make; a `SourceError` points into the paper."""
    source = Source(text.removeprefix("\ufeff").replace("\r\n", "\n"), path)
    reading = read(source)
    choice = choose(reading.forward)
    wanted = outputs(reading, choice, asked, path)
    taken = ordered(choice.chosen, wanted)
    check_read(reading, taken)
    meant = spelling(taken, reading.bounds)
    _check_ranks(taken, meant, source)
    spelt = [spelled(e, meant) for e in taken]
    equations, ones = broadcast(spelt, meant.letters, source.lines)
    targets = [meant.name(choice.chosen[output].target) for output in wanted]
    made = header(name, equations, targets, meant, source)
    _resolve(made.head, equations, source)
    checks = [*_renamed(meant, taken, reading), *made.checks, *_related(made.head, reading), *ones]
    written = _file(_origin(source, taken), made.head, checks, equations)
    read_ops(written, f"{name}.op, which was not written")
    return Draft(written, [*_taken(taken, wanted, asked, reading), *made.found, *checks])


def _check_ranks(taken: Iterable[Forward], meant: Spelling, source: Source) -> None:
    report = Report(source.lines, source.path)
    check_ranks(taken, meant, report)
    report.check()


def _resolve(head: t.Head, equations: Sequence[t.Equality], source: Source) -> None:
    """The rules of the op language, so that what breaks them is shown in the paper."""
    own, report = (Report(source.lines, source.path) for _ in range(2))
    Resolver(head, equations, own).resolve(())
    for d in own.found:
        report.add(d.code, d.span, in_tex(d.message), in_tex(d.help))
    report.check()


# -- what is written -------------------------------------------------------------------------------


def _origin(source: Source, taken: Iterable[Forward]) -> list[str]:
    """The paper's title; its file and its lines."""
    called = title(source)
    where = f"{printable(PurePath(source.path).name)}, {lines_text(e.line for e in taken)}"
    stop = "" if called.endswith((".", "?", "!")) else "."
    whole = f"{called}{stop}  {where}" if called else f"From {where}"
    return [whole] if len(whole) <= _WIDTH - 2 else [f"{called}{stop}", where]


def _file(
    origin: Iterable[str], head: t.Head, checks: Iterable[str], equations: Sequence[t.Equality]
) -> str:
    """Title, header, what is to be checked, equations."""
    lefts = [component_text(e.target.name, e.target.letters) for e in equations]
    width = max(map(len, lefts))
    rows = [
        f"{left.ljust(width)} = {expression_text(e.right)}"
        for left, e in zip(lefts, equations, strict=True)
    ]
    above = [line for check in checks for line in _comment(f"check: {check}", "#   ")]
    named = [line for part in origin for line in _comment(part, "# ")]
    return "\n".join([*named, header_text(head), *above, "", *rows, ""])


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


# -- what is said ----------------------------------------------------------------------------------


def _renamed(meant: Spelling, taken: Iterable[Forward], reading: Reading) -> list[str]:
    names = {e.name for e in taken}
    roots = [
        f"the paper's {name}^{n} is called {called(name, n)} here, and {name} is its positive root"
        for name, n in reading.powers.items()
        if called(name, n) in names
    ]
    return roots + [
        f"the paper's {name} is called {other} here, for {name} is the size of the index {other}"
        for name, other in meant.renamed.items()
    ]


def _related(head: t.Head, reading: Reading) -> list[str]:
    """What is said of an input by an equation that defines no component."""
    return [
        f"{d.name} is an input; what line {line} says of it is not used"
        for d in head.inputs
        for line, names in reading.relations
        if d.name in names
    ]


def _taken(
    taken: Sequence[Forward], wanted: Sequence[str], asked: Sequence[str], reading: Reading
) -> list[str]:
    notes = [f"taken: {_listed(taken)}"]
    if left := [e for e in reading.forward if e not in taken]:
        notes.append(f"not taken: {_listed(left)}")
    notes += [f"not read: {u.diagnostics[0].message} (line {u.line})" for u in reading.unread]
    if len(wanted) > 1 and not asked:
        remedy = f"`--output {wanted[0]}` takes that one alone"
        notes.append(f"the outputs are {', '.join(wanted)}, which no equation uses; {remedy}")
    return notes


def _listed(equations: Iterable[Forward]) -> str:
    """`m, v, y (lines 34-36)`."""
    found = list(equations)
    return f"{', '.join(e.name for e in found)} ({lines_text(e.line for e in found)})"
