"""Each call in a process of its own, several at a time: a mutant may write where it must not.

The processes are forked from this one, so that what is prepared here is there at once.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_IDLE = 4  # how much longer than it works a call may last


@dataclass(frozen=True)
class _Child:
    number: int
    pid: int
    pipe: int
    deadline: float

    @property
    def has_stood_still(self) -> bool:
        """Has it lasted too long, without the work that would have ended it?"""
        return self.deadline <= time.monotonic()


@dataclass(frozen=True)
class _Raised:
    """What a call raised: no verdict, but a mistake of ours."""

    text: str


@dataclass(frozen=True)
class Died:
    """A call that gave no answer: its process crashed, or took too long."""

    how: str

    def __str__(self) -> str:
        return f"its process ended: {self.how}"


@dataclass
class Isolated(Generic[T]):
    """`call(k)` for each number k; an answer, or what became of the process."""

    call: Callable[[int], T]
    at_a_time: int
    patience: float = 60.0  # seconds of work that a call may take

    def run(self, numbers: Iterable[int]) -> Iterator[tuple[int, T | Died]]:
        """Answers, in the order in which they come.

        A process that stands still is asked again: it may have been forked at a bad moment.
        """
        waiting, children, still = iter(numbers), dict[int, _Child](), set[int]()
        try:
            while True:
                for number in islice(waiting, self.at_a_time - len(children)):
                    child = self._fork(number)
                    children[child.pipe] = child
                if not children:
                    return
                for pipe in self._ready(children):
                    child = children.pop(pipe)
                    answer = _answer(child)
                    if child.has_stood_still and child.number not in still:
                        still.add(child.number)
                        waiting = chain([child.number], waiting)
                    else:
                        yield child.number, answer
        finally:
            for child in children.values():  # where nobody waits for the rest
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)

    def _fork(self, number: int) -> _Child:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            _answering(writing, lambda: self.call(number), self.patience)
        os.close(writing)
        return _Child(number, pid, reading, time.monotonic() + _IDLE * self.patience)

    def _ready(self, children: dict[int, _Child]) -> list[int]:
        """Those that have answered or ended; what takes too long is ended."""
        while True:
            first = min(c.deadline for c in children.values())
            ready = wait(list(children), max(0.0, first - time.monotonic()))
            if ready:
                return [p for p in ready if isinstance(p, int)]
            for child in children.values():
                if child.deadline <= time.monotonic():
                    os.kill(child.pid, signal.SIGKILL)
                    return [child.pipe]


def _answering(pipe: int, call: Callable[[], object], seconds: float) -> None:
    """Answer in the child, which then ends as it is, whatever its memory looks like by now."""
    _work_at_most(seconds)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # a crash is reported, not printed
    gc.disable()
    code = 1
    try:
        try:
            answer = call()
        except Exception:  # noqa: BLE001  # the parent raises it
            answer = _Raised(traceback.format_exc())
        with os.fdopen(pipe, "wb") as file:
            pickle.dump(answer, file)
        code = 0
    finally:
        os._exit(code)


def _work_at_most(seconds: float) -> None:
    """Ended by the system after so much work: a machine that is busy otherwise is no verdict."""
    import resource  # where processes fork, there is one

    limit = max(1, round(seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))


def _answer(child: _Child) -> Any:
    with os.fdopen(child.pipe, "rb") as file:
        data = file.read()
    _, status = os.waitpid(child.pid, 0)
    if status == 0:
        answer = pickle.loads(data)  # noqa: S301  # our own child's
        if isinstance(answer, _Raised):
            raise RuntimeError(answer.text)
        return answer
    number = os.waitstatus_to_exitcode(status)
    return Died(signal.Signals(-number).name if number < 0 else f"ended with {number}")
