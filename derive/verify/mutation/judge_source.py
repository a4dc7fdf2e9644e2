"""Which of the checks of `derive verify` fails first on a mutated module."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from types import ModuleType

from derive.derivation import differentiate
from derive.emit.backends import BACKENDS
from derive.emit.files import path_of, source
from derive.errors import DeriveError
from derive.notation.op import Op
from derive.verify.memory import OutOfBounds, watched
from derive.verify.mutation.alike import (
    ALIKE,
    EQUAL,
    EVEN,
    are_alike,
    are_one_gradient,
    is_even,
)
from derive.verify.mutation.edits import Edit, edits
from derive.verify.mutation.finding import EQUIVALENT, KILLED, LIVE, Finding
from derive.verify.mutation.kinds import kinds
from derive.verify.mutation.load import loaded
from derive.verify.mutation.polynomial import POLYNOMIAL, are_same_polynomial
from derive.verify.mutation.reach import lines_run
from derive.verify.mutation.screen import JUDGES, LONG, QUICK
from derive.verify.mutation.slips import SUFFICIENT
from derive.verify.run import Check, Row, _applies, _checked

_TIMES = 5  # how much longer than all checks of the module as it is a mutant may take
_LAID_OUT = {".reshape", ".numel", ".to", ".contiguous", ".dtype"}
UNREACHED = "no check runs these lines"
ONE_ROW = "the kernel takes one row at a time: either axis has length 1"


@dataclass
class Source:
    """The mutants of one generated module, and which check runs which of its lines."""

    op: Op
    backend: str
    checks: tuple[tuple[str, Check], ...] = JUDGES
    patience: float = 20.0  # seconds of work after which a mutant does not end
    at_once: int = 1  # it may write where it must not

    @cached_property
    def text(self) -> str:
        return source(self.op, BACKENDS[self.backend], differentiate(self.op))

    @cached_property
    def edits(self) -> list[Edit]:
        return edits(self.text, kinds(self.op))

    @cached_property
    def reached(self) -> dict[str, frozenset[int]]:
        """The lines that each check runs of the module as it is; `DeriveError` if one fails."""
        found: dict[str, frozenset[int]] = {}
        with loaded(self.text) as module:
            for name, _ in self.checks:
                if _applies(name, self.op, module):
                    failure, found[name] = lines_run(
                        module.__file__ or "", partial(self._fails, name, module)
                    )
                    if failure:
                        what = f"{self.op.name} for {self.backend} fails as it is"
                        raise DeriveError(f"{what}, so that mutants tell nothing: {failure}")
        return found

    def __len__(self) -> int:
        return len(self.edits)

    def prepare(self) -> None:
        """Work out what all mutants share."""
        start = time.process_time()
        _ = self.edits, self.reached
        self.patience = max(self.patience, _TIMES * (time.process_time() - start))

    def judge(self, number: int) -> Finding:
        """What becomes of a mutant."""
        edit = self.edits[number]
        seeing = self._seeing(edit)
        if not seeing:
            return self.finding(number, LIVE, UNREACHED)
        if failure := self._failure(edit, [name for name in seeing if name in QUICK]):
            return self.finding(number, KILLED, failure)
        if edit.reason in SUFFICIENT and self._reaches_nothing(edit, seeing):
            return self.finding(number, EQUIVALENT, edit.reason)  # without a run of all checks
        if failure := self._failure(edit, [name for name in seeing if name not in QUICK]):
            return self.finding(number, KILLED, failure)
        short = [name for name in seeing if name not in LONG]
        if short and self._reaches_nothing(edit, short):
            return self.finding(number, EQUIVALENT, edit.reason)
        if edit.kind.startswith("exchanged") and (reason := self._why_exchanged(edit)):
            return self.finding(number, EQUIVALENT, reason)
        if edit.kind == "broadcast axis" and self._takes_one_row(edit.function):
            return self.finding(number, EQUIVALENT, ONE_ROW)
        if edit.negated and is_even(self.op, edit.negated, "backward" in edit.function):
            return self.finding(number, EQUIVALENT, EVEN)
        return self.finding(number, LIVE, "no check fails on it")

    def _why_exchanged(self, edit: Edit) -> str:
        """Why two that change places are the same, if that can be proved."""
        two = self._exchanged(edit)
        if are_alike(self.op, two):
            return ALIKE
        if are_one_gradient(self.op, two):
            return EQUAL
        return POLYNOMIAL if self._is_same_polynomial(edit) else ""

    def _reaches_nothing(self, edit: Edit, seeing: Sequence[str]) -> bool:
        """Does the probe go unnoticed, although other choices are made?"""
        if edit.probe is None or (edit.met is not None and not self._failure(edit.met, seeing)):
            return False
        return not self._failure(edit.probe, seeing)

    def _takes_one_row(self, kernel: str) -> bool:
        """Is that how it is launched? Then what there is for each row is one number."""
        return re.search(rf"\b{kernel},\s*1\b", self.text) is not None

    def _is_same_polynomial(self, edit: Edit) -> bool:
        with loaded(self.text) as right, loaded(edit.applied(self.text)) as wrong:
            return are_same_polynomial(self.op, right, wrong)

    def _exchanged(self, edit: Edit) -> set[str]:
        """The tensors that stand elsewhere than before; none if more is done to them than laid out.

        Then it is not they that are exchanged, but what is computed of them.
        """
        before, after = (
            re.findall(r"\.?\w+", s) for s in (self.text[edit.start : edit.end], edit.new)
        )
        moved = {w for pair in zip(before, after, strict=False) if pair[0] != pair[1] for w in pair}
        if not {w for w in moved if w.startswith(".")} <= _LAID_OUT:
            return set()
        return {w for w in moved if kinds(self.op)[w] is not None}

    def _seeing(self, edit: Edit) -> list[str]:
        """The checks that run what was edited."""
        lines = range(edit.first, edit.last + 1)
        return [name for name, reached in self.reached.items() if not reached.isdisjoint(lines)]

    def _failure(self, edit: Edit, seeing: Sequence[str]) -> str:
        """Which check fails on the edited module, and how; nothing if none does."""
        try:
            with loaded(edit.applied(self.text)) as module:
                failures = (self._fails(name, module) for name in seeing)
                return next(filter(None, failures), "")
        except Exception as failure:  # noqa: BLE001  # a mutant may be no module at all
            return f"no module: {type(failure).__name__}: {failure}"[:200]

    def _fails(self, name: str, module: ModuleType) -> str:
        try:
            row = self._row(name, dict(self.checks)[name], module)
        except OutOfBounds as failure:
            return f"{name}: {failure}"
        return "" if row.passed else f"{name}: {row.note or f'{row.worst:.1e}'}"

    def finding(self, number: int, fate: str, why: str) -> Finding:
        edit = self.edits[number]
        line = self.text.count("\n", 0, edit.start) + 1
        place = f"{path_of(self.op, BACKENDS[self.backend])}:{line}"
        return Finding(
            self.op.name, self.backend, place, edit.kind, _diff(self.text, edit), fate, why
        )

    def _row(self, name: str, check: Check, module: ModuleType) -> Row:
        with watched(module):
            return _checked(name, check, self.op, module)


def _diff(text: str, edit: Edit) -> str:
    """The lines that change, before and after."""
    start = text.rfind("\n", 0, edit.start) + 1
    end = text.find("\n", edit.end)
    old, new = text[start:end], text[start : edit.start] + edit.new + text[edit.end : end]
    gone = [f"- {line.strip()}" for line in old.splitlines()]
    return "\n".join([*gone, *(f"+ {line.strip()}" for line in new.splitlines())])
