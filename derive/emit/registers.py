"""How much of a long row fits into registers, by the values that must be there at once.

A thread holds 32 numbers of the longest row, in 128 registers: so many values of four bytes as
`_FEW`, less what addresses and sums take. What holds more takes shorter rows and smaller tiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from sympy import Expr, Integer, Pow

from derive.notation.functions import Elementwise
from derive.notation.nodes import Component, Tensor
from derive.plan.calls import form_of
from derive.plan.rows import Schedule
from derive.plan.work import FULL, ROW, SHARED, Work

_FEW = 4
_MANY = 11  # of which a quarter of the row spills: the double backward of layer norm in bf16

Span = tuple[int, int]  # the statements from which and to which a value lives


@dataclass(frozen=True)
class Registers:
    """The values of a kernel that are as long as its row.

    `held` are there throughout: sums over rows that keep the column.
    """

    schedule: Schedule
    live: Sequence[Work]
    used: Sequence[Component]
    results: Sequence[Component]
    held: int

    @property
    def share(self) -> int:
        """The part of the longest row, and of the largest tile, that is taken: one n-th."""
        most = self._most()
        if most <= _FEW:
            return 1 if self._around_sums <= _FEW else 2
        return 2 if most < 2 * _FEW else 4 if most < _MANY else 8

    def _most(self) -> int:
        """Those that are there at once."""
        spans = [*self._spans.values(), *self._spans_of_parts()]
        steps = range(len(self.live) + 1)
        return self.held + max(sum(a <= k <= b for a, b in spans) for k in steps)

    @property
    def _around_sums(self) -> int:
        """What is loaded before a sum and needed after it, and the results that come after it.

        Nothing but registers has them while the sum is taken. Measured: five spill, four do not.
        """
        sums = [k for k, w in enumerate(self.live) if w.sums]
        born = {w.target.tensor: k for k, w in enumerate(self.live)}
        loaded = [b for t, (_, b) in self._spans.items() if t not in born]
        made = [born[c.tensor] for c in self.results if self.schedule.kind(c) == FULL]
        after = (sum(k < b for b in loaded) + sum(k < b for b in made) for k in sums)
        return self.held + max(after, default=0)

    @cached_property
    def _spans(self) -> dict[Tensor, Span]:
        end = len(self.live)
        born = {w.target.tensor: k for k, w in enumerate(self.live)}
        last = {t: k for k, w in enumerate(self.live) for t in w.uses}
        last |= dict.fromkeys(tensors_of(self.schedule.live_sums), end)
        last |= {c.tensor: end for c in self.results if c.tensor not in last}
        long = [c.tensor for c in (*self.used, *(w.target for w in self.live)) if self._is_long(c)]
        return {t: (born.get(t, 0), last.get(t, 0)) for t in long}

    def _spans_of_parts(self) -> list[Span]:
        """Of parts without a name: what several statements hold is kept.

        Powers and functions of a row; what is no short product nor exp, one instruction, needs
        values beside.
        """
        where: dict[Expr, list[int]] = {}
        sums = [(0, body) for body in self.schedule.live_sums]
        texts = [(k, e) for k, w in enumerate(self.live) for e in (w.expr, *_bodies(w))]
        for k, expr in (*sums, *texts):
            for part in _parts(expr):
                if tensors_of([part]) & self.schedule.vectors:
                    where.setdefault(form_of(part).part, []).append(k)
        return [(p[0], p[-1]) for e, p in where.items() if p[0] < p[-1] or _needs_more(e)]

    def _is_long(self, component: Component) -> bool:
        """Is there one for each number that a program takes? Without columns, rows are numbers."""
        long = (FULL, SHARED) if self.schedule.columns else (ROW,)
        return self.schedule.kind(component) in long


def _bodies(work: Work) -> Iterable[Expr]:
    return (total.body for total in work.sums)


def _parts(expr: Expr) -> Iterator[Expr]:
    """Functions and powers; a whole power is multiplied up from those below it."""
    for part in expr.atoms(Pow, Elementwise):
        yield part
        if isinstance(part, Pow) and isinstance(part.exp, Integer):
            yield from (part.base**n for n in range(2, int(part.exp)))


def _needs_more(part: Expr) -> bool:
    """Are there values beside it while it is computed?"""
    if isinstance(part, Elementwise):
        return part.row.name != "exp"
    return not part.exp.is_number or abs(part.exp) > 3


def tensors_of(expressions: Iterable[Expr]) -> set[Tensor]:
    return {c.tensor for e in expressions for c in e.atoms(Component)}
