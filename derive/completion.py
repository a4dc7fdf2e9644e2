"""What the shell completes: ops, and what there is of each."""

from __future__ import annotations

from typing import Any

import click

from derive.errors import DeriveError


def ops(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[Any]:
    """Names of the catalogue; the shell itself completes paths."""
    from click.shell_completion import CompletionItem

    from derive.catalogue import catalogue

    names = [CompletionItem(n) for n in catalogue() if n.startswith(typed)]
    return names or [CompletionItem(typed, type="file")]


def tensors(ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    """The tensors of the op that stands before."""
    from derive.catalogue import load_all

    target = ctx.params.get("op") or next(iter(ctx.args), "")
    try:
        found = [name for op in load_all(target) for name in op.tensors]
    except (DeriveError, OSError):
        return []
    return [name for name in dict.fromkeys(found) if name.startswith(typed)]


def backends(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    from derive.emit.backends import BACKENDS

    return [name for name in BACKENDS if name.startswith(typed)]


def codes(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    from derive.errors import CODES

    return [code for code in CODES if code.startswith(typed.upper())]
