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
    answers: Isolated[Finding] = Isolated(judge.judge, os.cpu_count() or 1, judge.patience)
    found: dict[int, Finding] = {}
    parent = os.getppid()
    for number, answer in answers.run(range(len(judge))):
        if os.getppid() != parent:
            raise SystemExit  # whoever asked is gone
        found[number] = (
            judge.finding(number, KILLED, str(answer)) if isinstance(answer, Died) else answer
        )
    return [found[number] for number in sorted(found)]
