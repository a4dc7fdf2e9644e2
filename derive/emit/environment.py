"""The one Jinja environment: an undefined name is an error, blocks leave no white space."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

TEMPLATES = Path(__file__).parent.parent / "templates"


@cache
def environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=select_autoescape(("html.jinja",), default=False),  # the rest is source code
    )


def render(template: str, **values: object) -> str:
    """A template filled in."""
    return environment().get_template(template).render(**values)
