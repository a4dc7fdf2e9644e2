"""Options of this test-suite, and who decides whether Triton interprets."""

from __future__ import annotations

import pytest

from derive.emit.module import ready_triton


def pytest_configure() -> None:
    """Triton decides on its import, and a compiler of another test would import it undecided."""
    ready_triton()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-traces", action="store_true", help="write tests/traces anew, from what is derived"
    )
    parser.addoption(
        "--update-features",
        action="store_true",
        help="write docs/features.md anew, from what works",
    )
