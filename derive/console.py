"""What a command says, and how it ends: results on stdout, all else on stderr, an exit code."""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import click

from derive import __version__, report
from derive.errors import DeriveError, reason
from derive.options import settings

if TYPE_CHECKING:
    from derive.derivation import Derivation
    from derive.emit.terminal import Terminal
    from derive.notation.op import Op

GOOD, WRONG, USAGE, BUG, INTERRUPTED = 0, 1, 2, 3, 130

T = TypeVar("T")


def put(text: str) -> None:
    """A result, unless it is empty."""
    if text:
        click.echo(text)


def say(text: str) -> None:
    """What is no result goes to stderr, and not at all with -q."""
    if not settings.quiet:
        click.echo(report.clean(text), err=True)


def warn(text: str) -> None:
    click.echo(f"{click.style('warning', fg='yellow')}: {report.clean(text)}", err=True)


def progress(label: str) -> Callable[[Iterable[T]], Iterable[T]]:
    """What iterates with a progress bar, on a terminal only."""
    hidden = settings.quiet or settings.no_progress or not sys.stderr.isatty()

    def wrap(items: Iterable[T]) -> Iterable[T]:
        if hidden:
            yield from items
            return
        with click.progressbar(items, label=label, file=sys.stderr) as bar:
            yield from bar

    return wrap


_COLORS = {
    "input": "cyan", "output": "yellow", "gradient": "magenta", "number": "green",
    "law": "bright_black",
}  # fmt: skip


def paint(text: str, role: str) -> str:
    """Text in the colour of its role; headings are bold."""
    if role == "heading":
        return click.style(text, bold=True)
    return click.style(text, fg=_COLORS[role]) if role in _COLORS else text


def for_reader(op: Op, text: str) -> str:
    """The text of an op: on a terminal in its signs, width and colours; piped, as it is."""
    return _terminal(op).shown(text) if _is_read() else text


def _is_read() -> bool:
    return settings.color or sys.stdout.isatty()


def _terminal(op: Op) -> Terminal:
    from derive.emit.terminal import Terminal

    return Terminal(op, shutil.get_terminal_size().columns, paint)


def walk(moves: Iterable[tuple[Derivation, str, list[str]]]) -> None:
    """Show a hint, wait for Enter, show the step; the end of the input ends it."""
    for derivation, hint, lines in moves:
        click.echo(paint(f"{hint} ? ", "heading"), nl=False)
        if not sys.stdin.readline():
            click.echo()
            return
        if not sys.stdin.isatty():  # whose Enter is not seen
            click.echo()
        shown = _terminal(derivation.op).lines(lines) if _is_read() else lines
        click.echo("\n".join(shown))


def exit_code(run: Callable[[], int | None]) -> int:
    """Of what a command does; nothing is raised."""
    settings.__init__()  # type: ignore[misc]  # a process may run more than one
    for stream in (sys.stdout, sys.stderr):  # Greek letters on a terminal that has none
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a text stream
    try:
        return run() or GOOD
    except SystemExit:  # click's answer to a closed pipe: `derive list | head` has what it wanted
        return GOOD
    except (click.Abort, KeyboardInterrupt):
        _refuse("interrupted")
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return USAGE
    except DeriveError as error:
        return _refuse_input(error)
    except OSError as error:
        path = str(error.filename or "")
        place = f"{report.clean(path)}: " if path else ""
        return _refuse_input(DeriveError(place + reason(error), path))
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "")
        return _refuse_input(_absent(str(error.name), extra)) if extra else _bug(error)
    except Exception as error:  # noqa: BLE001  # whatever is left is a bug
        return _bug(error)


_EXTRAS = {"torch": "torch", "numpy": "torch", "triton": "torch,triton"}  # what installs them


def _absent(name: str, extra: str) -> DeriveError:
    other = "; or choose --backend torch" if name == "triton" else ""
    return DeriveError(f"this needs {name}: pip install 'derive-kernels[{extra}]'{other}")


def _refuse(text: str) -> None:
    if settings.verbose:
        traceback.print_exc()
    click.echo(
        f"{click.style('error', fg='red', bold=True)}: {text}", err=True, color=settings.color
    )


def _refuse_input(error: DeriveError) -> int:
    """To a person on stderr; to a program on stdout, where it looks for results."""
    if settings.style == "full":
        _refuse(str(error))
    else:
        click.echo(report.refusal(error, settings.style))
    return USAGE


def _bug(error: Exception) -> int:
    what = f"{type(error).__name__}: {error}"
    about = "".join(f"{note}: " for note in getattr(error, "__notes__", ()))
    _refuse(f"{about}a bug in derive: {what}")
    versions = f"derive {__version__}, Python {sys.version.split()[0]}"
    where = "" if settings.verbose else "; -v prints where it happened"
    click.echo(f"Please report it with the op file and this line ({versions}){where}.", err=True)
    return BUG
