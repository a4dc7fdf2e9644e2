"""A command run on hostile input: it ends in time, says what is wrong, and executes nothing."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, settings

from derive import cli

LONG = int(os.environ.get("DERIVE_FUZZ", "1"))  # how many times more examples, drawn at random
SECONDS = 6.0  # of the processor, where other work does not count; a fast one takes 2
_PLACE = re.compile(r"^(?:error: )?[^\n]*:\d+:\d+: E\d{3} |^  \w+: line \d+$", re.MULTILINE)
_FORBIDDEN = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "os.remove"}
_FORBIDDEN |= {"socket.connect", "socket.bind", "ftplib.connect", "webbrowser.open", "pty.spawn"}


def fuzzed(examples: int) -> settings:
    """The settings of a fuzz test: the same examples each time, unless DERIVE_FUZZ is set."""
    return settings(
        max_examples=examples * LONG,
        derandomize=LONG == 1,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],  # to explain is to trace, which takes long
        suppress_health_check=list(HealthCheck),
    )


class Armed:
    """While armed, a call that could do harm is noted."""

    on = False
    seen: list[str] = []  # noqa: RUF012  # one for the process, as the hook is

    @classmethod
    def hear(cls, event: str, arguments: tuple[Any, ...]) -> None:
        if cls.on and event in _FORBIDDEN:
            cls.seen.append(f"{event} {arguments}"[:200])
            raise PermissionError(event)


sys.addaudithook(Armed.hear)


class TooSlow(BaseException):
    """The limit of processor time is reached; no `except Exception` hides it."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TooSlow where the process has computed for so long."""

    def stop(_signal: int, frame: FrameType | None) -> None:
        raise TooSlow(f"more than {seconds} s in {frame and frame.f_code.co_qualname}")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def command(*arguments: str, seconds: float = SECONDS) -> Done:
    """Run a command in a folder of its own; fail if it is slow, crashes, or does harm."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    Armed.on, Armed.seen = True, []
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), limited(seconds):
            code = cli.main(arguments)
    finally:
        Armed.on = False
    done = Done(code, *(_text(stream) for stream in (out, err)))
    assert Armed.seen == []
    assert "Traceback" not in done.err
    assert code in {0, 1, 2}, done.err
    return done


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    data = stream.buffer.getvalue()  # type: ignore[attr-defined]  # a BytesIO
    return data.decode("utf-8", "surrogateescape")


def judged(done: Done) -> Done:
    """A refusal says its place or its reason, in characters that cannot mislead a terminal."""
    if done.code == 2:
        assert done.err.startswith("error: ")
        assert _PLACE.search(done.err) or "\n" not in done.err.strip()
    shown = done.out + done.err
    assert all(c.isprintable() or c == "\n" for c in shown), repr(shown)[:200]
    return done


@contextlib.contextmanager
def folder(**files: str | bytes) -> Iterator[Path]:
    """A folder of its own to work in, with files (`paper__md` is paper.md); nothing else comes."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            for key, text in files.items():
                data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
                Path(key.replace("__", ".")).write_bytes(data)
            yield Path(name)
        finally:
            os.chdir(here)
