"""The only engine that applies laws: it, and no law, records what was before, after, and which law.

A law is a row of data with a local function `Expr -> Expr | None`. The engine walks an expression
from the leaves up, opens every sum on its way down (so a law never sees a dummy that could be
captured), and writes one `Step` for each law that changed something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from sympy import Expr
from sympy.core.parameters import distribute, global_parameters

from derive.notation.effort import spend
from derive.notation.known import kinds_in, work_on
from derive.notation.nodes import Bound, Index

_MOST_ROUNDS = 100


@dataclass(frozen=True)
class Law:
    """A named equality, read from left to right."""

    name: str
    statement: str  # LaTeX
    apply: Callable[[Expr], Expr | None]
    example: tuple[str, str] = ("", "")  # before and after in the op language; sampled by a test
    given: str = ""  # equations that the example relies on
    about: Any = None  # a kind of node, without which there is nothing to do
    silent: bool = False  # changes the tree, but not what stands on paper: part of the step before


@dataclass(frozen=True)
class Step:
    """One equality of a derivation; `proof` holds the steps of a lemma that was used."""

    law: str
    statement: str
    before: Expr
    after: Expr
    proof: tuple[Step, ...] = ()


@dataclass
class Chain:
    """`subject = start = … = expr`, each equality a step."""

    subject: Expr
    start: Expr
    steps: list[Step] = field(default_factory=list)

    @property
    def expr(self) -> Expr:
        return self.steps[-1].after if self.steps else self.start

    def record(self, law: str, statement: str, after: Expr, proof: Iterable[Step] = ()) -> bool:
        """Add the step, unless nothing changed."""
        if after == self.expr:
            return False
        spend(work_on(after))
        self.steps.append(Step(law, statement, self.expr, after, tuple(proof)))
        return True

    def apply(self, law: Law) -> bool:
        """Apply a law everywhere; did anything change?"""
        after = _applied(law.apply, law.about, self.expr, global_parameters.distribute)
        if law.silent and after != self.expr:
            self._amend(after)
            return True
        return self.record(law.name, law.statement, after)

    def _amend(self, after: Expr) -> None:
        spend(work_on(after))
        if self.steps:
            self.steps[-1] = replace(self.steps[-1], after=after)
        else:
            self.start = after

    def run(self, laws: Iterable[Law]) -> None:
        """Apply the laws in order, again and again, until none applies or they chase each other."""
        laws = tuple(laws)
        for _ in range(_MOST_ROUNDS):
            before = self.expr
            for law in laws:
                self.apply(law)
            if self.expr == before:
                break


def everywhere(local: Callable[[Expr], Expr | None], expr: Expr) -> Expr:
    """`local` applied to each subexpression once, from the leaves up; to equal ones, once."""
    done: dict[Expr, Expr] = {}

    def visit(part: Expr) -> Expr:
        if part not in done:
            done[part] = _visited(local, part, visit)
        return done[part]

    return visit(expr)


@lru_cache(maxsize=1 << 16)
def _applied(law: Callable[[Expr], Expr | None], about: Any, expr: Expr, distributes: bool) -> Expr:
    """A law applied everywhere: to what many steps have in common, once for all of them."""
    if about is not None and about not in kinds_in(expr):
        return expr
    return _visited(law, expr, lambda part: _applied(law, about, part, distributes))


def _visited(
    local: Callable[[Expr], Expr | None], expr: Expr, visit: Callable[[Expr], Expr]
) -> Expr:
    if isinstance(expr, Bound):
        body, dummies = opened(expr)
        after = visit(body)
        expr = expr if after is body else expr.func(after, *dummies)
    elif expr.args and not getattr(expr, "is_leaf", False):
        args = [visit(a) for a in expr.args]
        if any(new is not old for new, old in zip(args, expr.args, strict=True)):
            expr = expr.func(*args)
    result = local(expr)
    return expr if result is None else result


@lru_cache(maxsize=4096)
def opened(total: Bound) -> tuple[Expr, tuple[Index, ...]]:
    """A sum opened once for all walks: each walk closes it again before it goes on."""
    return total.open()


@contextmanager
def keeping_shape() -> Iterator[None]:
    """SymPy does not multiply numbers into brackets here: 2(a+b) stays what a person wrote."""
    with distribute(False):
        yield
