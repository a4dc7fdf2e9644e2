"""Is an equation true of an op? Proved by normal form, or refuted with numbers.

Gradients and Jacobians stand for what was derived. Definitions are put in one after the other,
last first, until the two sides have one normal form. If they never do, both sides are computed at
random points: a difference refutes. Where there is none, all laws are tried; if they too end at no
proof, the equation is undecided, and says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import mpmath
from sympy import Add, Expr, Mul, S

from derive.calculus.jacobian import jacobian
from derive.derivation import Derivation, differentiate, total_gradient
from derive.diagnosis import diagnose, recall
from derive.notation.effort import Exhausted, bounded, spend
from derive.notation.known import size_of, work_on
from derive.notation.latex import loss_beside, to_latex
from derive.notation.nodes import (
    Component,
    Contraction,
    Differentiate,
    Index,
    Partial,
    Tensor,
    delta,
    fresh_index,
    rename,
)
from derive.notation.op import Op, is_gradient
from derive.notation.point import Sample
from derive.notation.statement import Statement, read_equation
from derive.notation.text import to_text
from derive.rewrite import everywhere, keeping_shape
from derive.simplify.identities import Identities, Identity, instantiate
from derive.simplify.normal import TooLarge, normal
from derive.simplify.zero import is_plainly_zero, is_zero_by_laws

_DIGITS = 40
_CLOSE = mpmath.mpf(10) ** -25
_MOST_DERIVED = 200_000  # nodes of the statement once gradients are put in
_MOST_WORK = 200_000  # steps of a plain attempt at a proof
_MOST_BY_LAWS = 100_000  # steps of one by all laws, which take longer
_MOST_NUMBERS = 200_000  # nodes that are evaluated, looking for a point that refutes
_MOST_PUT_IN = 100  # nodes of a line that shows a definition put in, before it is multiplied out
_MOST_INSERTED = 200  # of one that shows gradients
_CANCEL, _LAWS = "the terms cancel", "the laws of functions, sums and divisors"
_LENGTHS = ((2, 3, 4, 2), (3, 2, 5, 4), (4, 5, 3, 2))  # of the indices, in the samples


@dataclass(frozen=True)
class Proof:
    """left - right, by which definitions, down to 0."""

    op: Op
    statement: Statement
    steps: tuple[tuple[str, Expr], ...]  # what was done, and what is left then

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        lines = [f"proved: {self.statement.text}", "  left - right"]
        for reason, expr in self.steps:
            shown = to_text(expr, self.statement.free, self.op.letters)
            lines.append(f"    = {shown}" + (f"  # {reason}" if reason else ""))
        return "\n".join(lines)

    def latex(self) -> str:
        """The steps as an aligned display."""
        free, letters = self.statement.free, self.op.letters
        with loss_beside(self.op):
            sides = self.statement.lhs, self.statement.rhs
            left, right = (to_latex(side, free, letters) for side in sides)
            shown = [(to_latex(e, free, letters), _plain(r)) for r, e in self.steps]
        rows = [f"&= {expr} && \\text{{{reason}}}" for expr, reason in shown]
        body = " \\\\\n".join(
            [f"\\left({left}\\right) - \\left({right}\\right) {rows[0]}", *rows[1:]]
        )
        return f"\\begin{{align*}}\n{body}\n\\end{{align*}}"


@dataclass(frozen=True)
class Refutation:
    """A point where the two sides differ."""

    op: Op
    statement: Statement
    sizes: dict[str, int]
    inputs: dict[str, Any]
    at: dict[str, int]
    left: float
    right: float
    why: tuple[str, ...] = ()  # what the derivation has instead

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        where = ", ".join(f"{k} = {v}" for k, v in self.at.items())
        sizes = ", ".join(f"{k} = {v}" for k, v in self.sizes.items())
        lines = [
            f"refuted: {self.statement.text}",
            f"  left  = {self.left:.10g}",
            f"  right = {self.right:.10g}" + (f"   at {where} (counting from 0)" if where else ""),
            f"  with {sizes}".rstrip(),
        ]
        lines += [f"    {name} = {value}" for name, value in self.inputs.items()]
        lines += [f"  {line}" for line in self.why]
        return "\n".join(lines)

    def latex(self) -> str:
        """The two values, unequal."""
        return f"{self.left:.10g} \\neq {self.right:.10g}"


@dataclass(frozen=True)
class Undecided:
    """No proof was found, and no counterexample."""

    op: Op
    statement: Statement
    samples: int

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        found = f"it holds to 25 digits at {self.samples} random points, but no proof was found"
        if not self.samples:
            found = "it is too long to be decided: no proof was found, and no point was tried"
        return f"not proved: {self.statement.text}\n  {found}"

    def latex(self) -> str:
        """What is known."""
        return r"\text{not proved}"


Verdict = Proof | Refutation | Undecided


def prove(op: Op, text: str) -> Verdict:
    """Decide an equation such as `1[h]*mu[b,h] = 0`; `SourceError` if it cannot be read."""
    with keeping_shape():
        return answer(differentiate(op), read_equation(op, text))


def answer(derivation: Derivation, statement: Statement) -> Verdict:
    """The verdict for a person: beside numbers the theorem that the statement misses, if any.

    Theorems are proved by `prove_statement`, which therefore cannot ask for them.
    """
    verdict = prove_statement(derivation, statement)
    if isinstance(verdict, Refutation) and not verdict.why:
        return replace(verdict, why=recall(derivation, statement))
    return verdict


def prove_statement(derivation: Derivation, statement: Statement) -> Verdict:
    """Decide a statement about an op that is differentiated already."""
    with keeping_shape():
        try:
            with bounded(_MOST_DERIVED):
                prover = _Prover(derivation.op, derivation, statement)
        except Exhausted:
            return Undecided(derivation.op, statement, 0)
        return prover.run()


class _Prover:
    def __init__(self, op: Op, derivation: Derivation, statement: Statement) -> None:
        self.op, self.derivation, self.statement = op, derivation, statement
        self.identities = Identities(op)
        self.totals: dict[tuple[Tensor, Component], tuple[tuple[Index, ...], Expr]] = {}
        self.left, self.right = self._derived(statement.lhs), self._derived(statement.rhs)

    def run(self) -> Verdict:
        """A plain proof, or numbers that refute, or a proof by all laws of what they do not."""
        plain = self._attempt(thorough=False)
        if plain is not None:
            return plain
        found = self._refute()
        if isinstance(found, Refutation):
            return replace(found, why=diagnose(self.derivation, self.statement))
        return self._attempt(thorough=True) or found

    # -- proof ----------------------------------------------------------------------------------

    def _attempt(self, thorough: bool) -> Proof | None:
        start = self.statement.lhs - self.statement.rhs
        try:
            with bounded(_MOST_BY_LAWS if thorough else _MOST_WORK):
                steps = [("", normal(start)), *self._levels(start, thorough)]
        except (TooLarge, Exhausted):
            return None
        if steps[-1][1] != 0:
            return None
        kept = [s for s, before in zip(steps[1:], steps, strict=False) if s[1] != before[1]]
        return Proof(self.op, self.statement, (steps[0], *kept))

    def _levels(self, start: Expr, thorough: bool) -> Iterator[tuple[str, Expr]]:
        """left - right as definitions are put in, last first, until nothing is left."""
        decide, enough = (is_zero_by_laws, _LAWS) if thorough else (is_plainly_zero, _CANCEL)
        rest = self.left - self.right
        terms = map(self._derived, Add.make_args(start))
        inserted = rest or Add(*terms, evaluate=False)  # as on paper before anything cancels
        yield from _put_in(_inserted(start), start, inserted, _MOST_INSERTED)
        known, law = self._by_identities(rest)
        yield law, normal(known)
        rest = known
        if decide(rest):
            yield enough, S.Zero
            return
        gone: set[Tensor] = set()
        for equation in reversed(self.op.equations):
            gone.add(equation.target.tensor)
            opened = everywhere(lambda e, q=equation: _opened(e, q), rest)  # type: ignore[misc]  # bound now
            if opened == rest:
                continue
            spend(size_of(opened))
            after, law = self._by_identities(opened, gone) if thorough else (opened, "")
            done, definition = decide(after), f"definition of {equation.name}"
            if done and work_on(opened) > _MOST_PUT_IN:
                yield definition, S.Zero
                return
            yield from _put_in(definition, rest, opened, _MOST_PUT_IN)
            yield law, normal(after)
            if done:
                yield enough, S.Zero
                return
            rest = after

    def _by_identities(self, rest: Expr, gone: Collection[Tensor] = ()) -> tuple[Expr, str]:
        """Sums that the definitions are known to give; no tensor that is `gone` comes back."""
        used: list[Identity] = []

        def known(expr: Expr) -> Expr | None:
            found = None
            if isinstance(expr, Contraction):
                spend(size_of(expr))
                found = self.identities.simplify(expr)
            if found is None or any(_occurs(t, found[0]) for t in gone):
                return None
            used.append(found[1])
            return found[0]

        after = everywhere(known, normal(rest))
        laws = (s.law for identity in used for s in identity.steps)
        return after, ", ".join(dict.fromkeys(n for n in laws if n.startswith("definition of ")))

    def _derived(self, expr: Expr) -> Expr:
        """Jacobians and gradients replaced by what was derived for them; ∂/∂t carried out."""
        expr = everywhere(self._differentiated, expr)
        for _ in self.op.tensors:
            after = everywhere(self._gradient, expr)
            if after == expr:
                break
            spend(size_of(after))
            expr = after
        return expr

    def _differentiated(self, expr: Expr) -> Expr | None:
        if isinstance(expr, Partial):
            return self._jacobian(expr.of, expr.wrt)
        if isinstance(expr, Differentiate):  # a leaf, so what stands in it is still to be done
            return _separate_jacobian(everywhere(self._differentiated, expr.expr), expr.wrt)
        return None

    def _gradient(self, expr: Expr) -> Expr | None:
        """∂l/∂t in cotangents; a cotangent stays."""
        if not isinstance(expr, Component) or not is_gradient(expr):
            return None
        for stage in self.derivation.stages:
            if total_gradient(self.op, stage.component).tensor == expr.tensor:
                return rename(
                    stage.closed, dict(zip(stage.component.indices, expr.indices, strict=True))
                )
        return None

    def _jacobian(self, of: Component, wrt: Component) -> Expr:
        """∂u/∂t of the equation of u where t occurs in it; otherwise the total derivative."""
        equation = self.op.definitions.get(of.tensor)
        if equation is not None and _occurs(wrt.tensor, equation.expr):
            return _separate_jacobian(instantiate(equation, of), wrt)
        return self._total(of, wrt)

    def _total(self, of: Component, wrt: Component) -> Expr:
        """du/dt = ∂u/∂t + Σ over the other tensors w in the equation of u of ∂u/∂w dw/dt."""
        if of.tensor == wrt.tensor:
            return Mul(*(delta(i, j) for i, j in zip(of.indices, wrt.indices, strict=True)))
        equation = self.op.definitions.get(of.tensor)
        if equation is None:
            return S.Zero
        if (of.tensor, wrt) not in self.totals:
            letters = tuple(map(fresh_index, of.indices))
            inside = instantiate(equation, Component(of.tensor, *letters))
            found = Add(*self._paths(inside, wrt))
            spend(work_on(found))
            self.totals[of.tensor, wrt] = letters, found
        letters, found = self.totals[of.tensor, wrt]
        return rename(found, dict(zip(letters, of.indices, strict=True)))

    def _paths(self, inside: Expr, wrt: Component) -> Iterator[Expr]:
        for tensor in sorted({c.tensor for c in inside.atoms(Component)}, key=lambda t: t.rank):
            letters = tuple(fresh_index(i) for i in self.op.tensors[tensor.name].indices)
            middle = Component(tensor, *letters)
            inner = self._total(middle, wrt)
            if inner != 0:
                yield Contraction(Mul(_separate_jacobian(inside, middle), inner), *letters)

    # -- numbers --------------------------------------------------------------------------------

    def _refute(self) -> Refutation | Undecided:
        """A point at which the sides differ, of as many as are worth the work."""
        points = 0
        with bounded(_MOST_NUMBERS), suppress(Exhausted):
            for at in self._points():
                if isinstance(at, Refutation):
                    return at
                points += 1
        return Undecided(self.op, self.statement, points)

    def _points(self) -> Iterator[Refutation | None]:
        """For each point nothing, or how it refutes."""
        for seed, lengths in enumerate(_LENGTHS):
            for positive in (False, True):
                sample = Sample(self.op, lengths, seed, positive)
                for at, left, right in self._values(sample):
                    differs = abs(left - right) > _CLOSE * max(1, abs(left), abs(right))
                    yield self._refutation(sample, at, left, right) if differs else None

    def _values(self, sample: Sample) -> Iterator[tuple[dict[Index, int], Any, Any]]:
        free = self.statement.free
        with mpmath.workdps(_DIGITS):
            for values in product(*(range(sample.sizes[i.size]) for i in free)):
                at = dict(zip(free, values, strict=True))
                try:
                    left = sample.evaluator.value(self.left, at)
                    right = sample.evaluator.value(self.right, at)
                except (ValueError, ZeroDivisionError, OverflowError):
                    return
                if isinstance(left, mpmath.mpc) or isinstance(right, mpmath.mpc):
                    return
                if mpmath.isfinite(left) and mpmath.isfinite(right):
                    yield at, left, right

    def _refutation(
        self, sample: Sample, at: dict[Index, int], left: Any, right: Any
    ) -> Refutation:
        sizes = {s.name: n for s, n in sample.sizes.items()}
        named = {i.name: n for i, n in at.items()}
        return Refutation(
            self.op, self.statement, sizes, sample.shown(), named, float(left), float(right)
        )


def _inserted(statement: Expr) -> str:
    """What stands for the gradients and Jacobians of a statement is put in first."""
    has_gradient = any(is_gradient(c) for c in statement.atoms(Component))
    return "insert the gradient" if has_gradient else "insert the Jacobian"


def _put_in(law: str, before: Expr, after: Expr, most: int) -> Iterator[tuple[str, Expr]]:
    """What a step puts in, as it stands, if that is not too long; then multiplied out."""
    settled = normal(after)
    if after == before or work_on(after) > most:
        yield law, settled
        return
    yield law, after
    yield _CANCEL if settled == 0 else "multiply out", settled


def _occurs(tensor: Tensor, expr: Expr) -> bool:
    return any(c.tensor == tensor for c in expr.atoms(Component))


def _opened(expr: Expr, equation: Any) -> Expr | None:
    if isinstance(expr, Component) and expr.tensor == equation.target.tensor:
        return instantiate(equation, expr)
    return None


def _separate_jacobian(expr: Expr, wrt: Component) -> Expr:
    """The Jacobian where `wrt` may share letters with the expression: they are told apart first."""
    own = tuple(fresh_index(i) for i in wrt.indices)
    return rename(
        jacobian(expr, Component(wrt.tensor, *own)), dict(zip(own, wrt.indices, strict=True))
    )


def _plain(text: str) -> str:
    return text.replace("_", r"\_")
