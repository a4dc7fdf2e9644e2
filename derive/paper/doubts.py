"""What looks like index notation and may mean something else: refused, for nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from derive.errors import Report, Span
from derive.notation import tree as t
from derive.notation.grow import clipped
from derive.notation.lines import Line
from derive.notation.spelling import MACROS, function
from derive.paper.names import short

_LABEL = re.compile(r"\^\s*\{\s*[(\[]\s*[A-Za-z0-9]+\s*[)\]]\s*\}")
_TRANSPOSED = re.compile(
    r"\^\s*(?:\{\s*)?(?:\\(?:top|intercal)(?![A-Za-z])|T(?![A-Za-z])|\\[a-z]+\s*\{\s*T\s*\})"
)
_OPENS = re.compile(r"(?:\s|~|\\[,;:! ])*(?:[(\[]|\\\{)")
_NEAR = 200  # characters behind a name in which a bracket is looked for
_FACTORS = {"alpha", "beta", "eps", "eta", "kappa", "lam", "tau"}  # what papers call numbers
_GREEK = {short(name) for name in MACROS}


def doubts(tree: t.Node, report: Report) -> None:
    """Note functions that the language does not have."""
    for node in t.walk(tree):
        if isinstance(node, t.Reference):
            _function(node, report)


def labels(line: Line, report: Report) -> None:
    """Note superscripts that are no powers: in print `W^{(2)}` may be a second W, `W^T` another."""
    for match in _LABEL.finditer(line.code):
        remedy = r"a label stands below: `W_{\text{2} i j}`; a power is written `W_{i j}^{2}`"
        report.add("E705", _span(line, match), "this can be a label or a power", remedy)
    for match in _TRANSPOSED.finditer(line.code):
        remedy = "swap the indices instead"
        report.add("E705", _span(line, match), "this can be a transpose or a power", remedy)


def _function(node: t.Reference, report: Report) -> None:
    written = report.quote(node.span)
    if node.name in ("max", "min"):
        message = f"the reduction `{clipped(written)}` is read in op files, not in papers"
        report.add(
            "E202", node.span, message, f"give it a name, and write `{node.name}[h](…)` later"
        )
    elif function(node.name):
        message = f"`{node.name}` is a function, and carries no index"
        report.add("E202", node.span, message, "")
    elif written.startswith("\\operatorname"):
        message = f"there is no function `{clipped(node.name)}`"
        report.add("E202", node.span, message, "write out what it computes")


def applied(tree: t.Node, line: Line) -> Iterator[t.Reference]:
    """The names that stand before a bracket as a function would: bare letters, and words."""
    rows = [*line.code.split("\n"), ""]
    for node in t.walk(tree):
        if not isinstance(node, t.Reference) or not _may_apply(node):
            continue
        row, column = node.span.end_line - line.first, node.span.end_column - 1
        behind = f"{rows[row][column : column + _NEAR]}\n{rows[row + 1][:_NEAR]}"
        if _OPENS.match(behind):
            yield node


def refuse_applied(node: t.Reference, report: Report) -> None:
    """Note a name that is a function, or else a factor that occurs nowhere else."""
    message = f"`{clipped(node.name)}` can be a function here, or a factor"
    remedy = r"write a function out, or as `\operatorname{sigmoid}(…)`; a factor with `\cdot`"
    report.add("E705", node.span, message, remedy)


def _may_apply(node: t.Reference) -> bool:
    stem = node.name.partition("_")[0]
    is_word = len(stem) > 1 and stem not in _GREEK
    return is_word or (not node.letters and stem not in _FACTORS)


def _span(line: Line, match: re.Match[str]) -> Span:
    before = line.code[: match.start()]
    row, column = before.count("\n"), match.start() - before.rfind("\n")
    first = line.first + row
    return Span(first, column, first, column + len(match[0].split("\n")[0]))
