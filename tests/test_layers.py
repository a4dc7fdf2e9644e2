"""Imports point one way: a module knows those before it, and nothing of those after it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "derive"

# Modules of one row do not import each other.
ROWS: tuple[tuple[str, ...], ...] = (
    ("code",),
    ("codes_paper",),
    ("codes",),
    ("errors",),
    ("notation",),
    ("rewrite",),
    ("calculus", "simplify"),
    ("derivation",),
    ("higher", "plan", "forms", "specialize"),
    ("config",),
    ("catalogue",),
    ("emit",),
    ("diagnosis", "nn"),
    ("prove",),
    ("theorems",),
    ("verify", "article", "listing", "page", "paper", "costs"),
    ("report", "scaffold", "project"),
    ("bench",),
    ("commands", "completion", "options"),
    ("console",),
    ("cli",),
    ("__main__",),
)
# The exceptions, each inside a function: a convenience that a user calls, not what a room rests on.
UPWARD = {
    ("derivation", "emit"),  # `Derivation.latex()` and `.show()`
    ("derivation", "forms"),  # `Derivation.form()`
    ("derivation", "theorems"),  # `Derivation.identities`
}
RANK = {room: rank for rank, row in enumerate(ROWS) for room in row}
MODULES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] not in ("__init__.py", "templates", "generated")
)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """The rooms that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for parts in (name.split(".") for name in names):
            if parts[0] == "derive" and len(parts) > 1 and parts[1] in RANK:
                yield parts[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    here = room(path)
    assert here in RANK, f"{here} has no place in ROWS"
    for other in imported(path):
        allowed = other == here or (here, other) in UPWARD
        assert allowed or RANK[other] < RANK[here], f"{here} imports {other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_tells_its_purpose_and_is_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith('"""')
    assert len(lines) <= 400


def test_the_picture_of_the_house_has_real_rooms_in_their_order() -> None:
    """A room that stands higher may import what stands lower, never the reverse."""
    picture = (PACKAGE.parent / "docs/images/house.svg").read_text("utf-8")
    drawn = re.findall(r'class="room" x="\d+" y="(\d+)">(\w+)<', picture)
    assert {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/__init__.py")} <= {
        *(name for _, name in drawn),
        "nn",
        "generated",
        "templates",
    }
    storeys: dict[int, list[int]] = {}
    for height, name in drawn:
        storeys.setdefault(int(height), []).append(RANK[name])
    ranks = [ranks for _, ranks in sorted(storeys.items(), reverse=True)]
    assert all(max(below) < min(above) for below, above in pairwise(ranks))
