"""Options of this test-suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-traces", action="store_true", help="write tests/traces anew, from what is derived"
    )
    parser.addoption(
        "--update-features",
        action="store_true",
        help="write docs/features.md anew, from what works",
    )
