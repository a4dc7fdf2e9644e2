"""The options that every command takes, and words of which one is chosen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import click


@dataclass
class Settings:
    """The options that every command takes, before or after its name."""

    quiet: bool = False
    verbose: bool = False
    no_progress: bool = False
    color: bool | None = None  # None: colour on a terminal
    style: str = "full"  # in which errors are told too


settings = Settings()


def _set(_ctx: click.Context, option: click.Parameter, value: bool | None) -> None:
    if value and option.name:
        setattr(settings, option.name, True)


def _set_color(ctx: click.Context, _option: click.Parameter, value: bool | None) -> None:
    if value is None and os.environ.get("NO_COLOR") and settings.color is None:
        value = False
    if value is not None:
        settings.color = ctx.find_root().color = ctx.color = value


def set_style(_ctx: click.Context, _option: click.Parameter, value: str) -> str:
    settings.style = value
    return value


class Choice(click.Choice[str]):
    """One of several words; of another it is asked which was meant."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        from derive.config import nearest

        refused = super().get_invalid_choice_message(value, ctx)
        hint = nearest(str(value), self.choices)
        return refused.removesuffix(".") + hint if hint else refused


def common_options() -> list[click.Parameter]:
    def flag(*names: str, text: str) -> click.Option:
        return click.Option(names, is_flag=True, expose_value=False, callback=_set, help=text)

    return [
        flag("-q", "--quiet", text="Print results only."),
        flag("-v", "--verbose", text="Print more; a traceback with an error."),
        flag("--no-progress", text="No progress bar."),
        click.Option(
            ["--color/--no-color"],
            default=None,
            expose_value=False,
            callback=_set_color,
            help="Colour; the default is colour on a terminal, unless NO_COLOR is set.",
        ),
    ]


class Command(click.Command):
    """A command that takes the common options too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(common_options())


class Group(click.Group):
    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order in which a user meets them
