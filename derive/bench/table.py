"""Results as rows of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from typing import Any

from derive.bench.run import Result

HEADS = (
    "op", "sizes", "who", "forward, ms", "×", "and backward, ms", "×", "MB", "of a copy", "both",
)  # fmt: skip


def rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """A row for each contestant; × is against the first that is not ours."""
    found = []
    for result in results:
        rivals = [r for r in results if r.op == result.op and not r.ours and not r.error]
        first = rivals[0] if rivals else None
        head = (result.op, result.sizes, result.who)
        if result.error:
            found.append((*head, result.error, *[""] * 6))
            continue
        found.append(
            (
                *head,
                f"{result.forward * 1e3:.3g}",
                f"{result.forward / first.forward:.2f}" if first else "",
                f"{result.both * 1e3:.3g}",
                f"{result.both / first.both:.2f}" if first else "",
                f"{result.memory / 1e6:.1f}",
                f"{result.share_forward:.0%}",
                f"{result.share_both:.0%}",
            )
        )
    return found


def as_data(results: Sequence[Result]) -> list[dict[str, Any]]:
    """For other programs; what was not measured is null."""
    return [
        {k: None if isinstance(v, float) and isnan(v) else v for k, v in asdict(r).items()}
        for r in results
    ]
