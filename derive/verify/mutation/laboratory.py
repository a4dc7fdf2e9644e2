"""Mutants of several ops, judged in a process apart: no GPU, Triton interpreted, memory of its own.

Kernels are interpreted even where there is a GPU: thousands of mutants would take hours to compile,
and one that writes out of bounds would take the device with it.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

from derive.errors import DeriveError
from derive.notation.op import Op
from derive.notation.reader import read_ops
from derive.verify.mutation.finding import FORMULAS, KILLED, Finding
from derive.verify.mutation.interpreter import keep_exchanged
from derive.verify.mutation.isolated import Died, Isolated

_APART = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "TRITON_INTERPRET": "1"}


@dataclass(frozen=True)
class Subject:
    """What is mutated: the formulas of an op, or the source that a backend generates for it."""

    op: Op
    of: str


class Judge(Protocol):
    """The mutants of a subject by their numbers."""

    @property
    def patience(self) -> float: ...  # seconds after which a mutant does not end

    @property
    def at_once(self) -> int: ...  # mutants that one process may judge, since none harms another

    def __len__(self) -> int: ...

    def prepare(self) -> None: ...

    def judge(self, number: int) -> Finding: ...

    def finding(self, number: int, fate: str, why: str) -> Finding: ...


def judged(subjects: Sequence[Subject]) -> Iterator[list[Finding]]:
    """The findings of one subject after the other."""
    if not hasattr(os, "fork"):
        raise DeriveError("a mutant runs in a process of its own, which this system cannot fork")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    texts = [(s.op.text, s.op.path, s.op.name, s.of) for s in subjects]  # a tree is not sent
    process = context.Process(target=_serve, args=(texts, there), daemon=True)
    process.start()
    there.close()
    try:
        for _ in subjects:
            yield _received(here)
    finally:
        process.terminate()
        process.join()


def _received(pipe: Connection) -> list[Finding]:
    try:
        message = pipe.recv()
    except EOFError:
        raise RuntimeError("the process that judges mutants ended") from None
    if isinstance(message, Exception):
        raise message
    found: list[Finding] = message
    return found


def _serve(texts: Sequence[tuple[str, str, str, str]], pipe: Connection) -> None:
    """What the process apart does."""
    os.environ.update(_APART)
    import torch

    torch.set_num_threads(1)  # a process with threads must not be forked
    _quicken()
    for text, path, name, of in texts:
        try:
            op = next(op for op in read_ops(text, path) if op.name == name)
            pipe.send(findings(judge_of(op, of)))
        except Exception as error:  # noqa: BLE001  # raised again where somebody sees it
            error.add_note(f"while mutants of {name} ({of}) were judged")
            pipe.send(error)
            return


def _quicken() -> None:
    """Kernels are what takes the time, if there are any."""
    with suppress(ImportError):
        from triton.runtime import interpreter

        keep_exchanged(interpreter)


def judge_of(op: Op, of: str) -> Judge:
    """The judge of an op's formulas, or of what a backend generates for it."""
    if of == FORMULAS:
        from derive.verify.mutation.judge_formulas import Formulas

        return Formulas(op)
    from derive.verify.mutation.judge_source import Source

    return Source(op, of)


def findings(judge: Judge) -> list[Finding]:
    """What becomes of each mutant, in their order."""
    judge.prepare()
    gc.collect()
    gc.freeze()  # what is prepared stays where it is, shared by all processes
    numbers = range(len(judge))
    found = dict(_answers(judge, numbers, judge.at_once))
    died = [n for n, answer in found.items() if isinstance(answer, Died)]
    if judge.at_once > 1:  # which of them was it?
        found |= _answers(judge, died, 1)
    return [_finding(judge, n, found[n]) for n in numbers]


def _answers(
    judge: Judge, numbers: Sequence[int], at_once: int
) -> Iterator[tuple[int, Finding | Died]]:
    """What becomes of each, so many in one process; all of them have died if it has."""
    parts = [numbers[k : k + at_once] for k in range(0, len(numbers), at_once)]
    isolated: Isolated[list[Finding]] = Isolated(
        lambda part: [judge.judge(n) for n in parts[part]],
        os.cpu_count() or 1,
        judge.patience * at_once,
    )
    parent = os.getppid()
    for part, answer in isolated.run(range(len(parts))):
        if os.getppid() != parent:
            raise SystemExit  # whoever asked is gone
        several = [answer] * len(parts[part]) if isinstance(answer, Died) else answer
        yield from zip(parts[part], several, strict=True)


def _finding(judge: Judge, number: int, answer: Finding | Died) -> Finding:
    return judge.finding(number, KILLED, str(answer)) if isinstance(answer, Died) else answer
