"""Why an equation is wrong: the line of the recorded derivation that is nearest to it, and by what
terms the two differ. For people whose gradient is off by one term.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain as chain_of
from itertools import permutations

from sympy import Add, Expr, Mul, S

from derive.derivation import Derivation, Stage, total_gradient
from derive.notation.effort import Exhausted, bounded
from derive.notation.known import parts_of, size_of
from derive.notation.nodes import (
    Component,
    Contraction,
    Differentiate,
    Index,
    Partial,
    Tensor,
    free_indices,
    rename,
)
from derive.notation.op import is_gradient
from derive.notation.solution import Solution
from derive.notation.statement import Statement
from derive.notation.text import to_text
from derive.rewrite import Chain, everywhere, keeping_shape
from derive.simplify.identities import instantiate
from derive.simplify.normal import TooLarge, normal

_MOST_TERMS = 3  # in which a line may differ, to be told term by term
_MOST_WORK = 100_000


@dataclass(frozen=True)
class Difference:
    """What a line of the derivation has and the equation has not, and the reverse."""

    line: Expr
    missing: tuple[Expr, ...]
    surplus: tuple[Expr, ...]
    off: tuple[tuple[Expr, Expr], ...]  # a term as it should be and as it is, and by what factor
    kept: int  # terms that are right

    @property
    def size(self) -> int:
        return len(self.missing) + len(self.surplus) + len(self.off)

    @property
    def is_near(self) -> bool:
        return self.size <= _MOST_TERMS and bool(self.kept or self.off)


def diagnose(derivation: Derivation, statement: Statement) -> tuple[str, ...]:
    """Lines of text; none if neither side is a tensor or a Jacobian that is derived."""
    with keeping_shape(), bounded(_MOST_WORK, within=False), suppress(Exhausted, TooLarge):
        for target, given in (
            (statement.lhs, statement.rhs),
            (statement.rhs, statement.lhs),
        ):
            if isinstance(target, Component | Partial):
                told = tuple(_Diagnosis(derivation, statement, target, given).lines())
                if told:
                    return told
    return ()


def recall(derivation: Derivation, statement: Statement) -> tuple[str, ...]:
    """The theorem whose left side the equation has, in its letters: what it should have said."""
    asked = tuple(free_indices(statement.lhs))
    with keeping_shape(), bounded(_MOST_WORK, within=False), suppress(Exhausted, TooLarge):
        for identity in derivation.identities:
            own = free_indices(identity.left)
            for letters in permutations(asked, len(own)):
                pairs = dict(zip(own, letters, strict=True))
                if any(a.size != b.size for a, b in pairs.items()):
                    continue
                sides = [rename(side, pairs) for side in (identity.left, identity.right)]
                if normal(sides[0] - statement.lhs) == 0:
                    shown = (to_text(side, asked, derivation.op.letters) for side in sides)
                    return (f"theorem: {' = '.join(shown)}",)
    return ()


class _Diagnosis:
    def __init__(
        self,
        derivation: Derivation,
        statement: Statement,
        target: Component | Partial,
        given: Expr,
    ) -> None:
        self.derivation, self.op = derivation, derivation.op
        self.free, self.target, self.given = statement.free, target, given
        self.stage = None if isinstance(target, Partial) else self._stage(target.tensor)

    def _stage(self, tensor: Tensor) -> Stage | None:
        stages = self.derivation.stages
        own = (s for s in stages if total_gradient(self.op, s.component).tensor == tensor)
        return next(own, None)

    def lines(self) -> Iterator[str]:
        candidates = list(self._candidates())
        if not candidates:
            return
        near = self._nearest(candidates)
        if not near.is_near:
            self.given = self._unfolded(candidates)
            near = self._nearest(candidates)
        if not near.is_near:
            yield f"derived: {self._text(self.target)} = {self._text(self._final(candidates))}"
            return
        yield f"nearest line of the derivation: {self._text(self.target)} = {self._text(near.line)}"
        yield from self._told(near)

    def _nearest(self, candidates: Sequence[Expr]) -> Difference:
        """Of lines that are equally near the shortest, which has no delta left to carry out."""

        def distance(found: Difference) -> tuple[int, int, int]:
            return found.size, self._foreign(found), size_of(found.line)

        return min(map(self._difference, candidates), key=distance)

    def _unfolded(self, candidates: Sequence[Expr]) -> Expr:
        """What is given, in tensors that the derivation speaks of: others by their definitions."""
        spoken = {c.tensor for line in candidates for c in parts_of(line, Component)}

        def defined(part: Expr) -> Expr | None:
            if not isinstance(part, Component) or part.tensor in spoken:
                return None
            equation = self.op.definitions.get(part.tensor)
            return instantiate(equation, part) if equation else None

        given, before = self.given, None
        while given != before:
            before = given
            given = everywhere(defined, given)
        return given

    def _final(self, candidates: Sequence[Expr]) -> Expr:
        """The closed form, or the equation of the op."""
        if isinstance(self.target, Partial):
            return candidates[-1]
        if self.stage is None or isinstance(self.stage.closed, Solution):
            return candidates[0]
        return rename(self.stage.closed, self._letters(self.stage))

    def _letters(self, stage: Stage) -> dict[Index, Index]:
        """Those of the derivation, each with that of the equation."""
        assert isinstance(self.target, Component)
        return dict(zip(stage.component.indices, self.target.indices, strict=True))

    def _candidates(self) -> Iterator[Expr]:
        """Every line that the derivation has for the target."""
        if isinstance(self.target, Partial):
            yield from self._jacobians(self.target)
            return
        equation = self.op.definitions.get(self.target.tensor)
        if equation is not None and not isinstance(equation.expr, Solution):
            yield instantiate(equation, self.target)
        if self.stage is None or isinstance(self.stage.computed, Solution):
            return
        letters = self._letters(self.stage)
        for line in dict.fromkeys(_lines(self.stage.gradient, self.stage.closing)):
            yield rename(line, letters)

    def _jacobians(self, target: Partial) -> Iterator[Expr]:
        """Every line of the Jacobian's own derivation."""
        for chain in (c for stage in self.derivation.stages for c in stage.jacobians):
            subject = chain.subject
            if not isinstance(subject, Partial):
                continue
            ends = ((subject.of, target.of), (subject.wrt, target.wrt))
            if all(known.tensor == asked.tensor for known, asked in ends):
                pairs = (zip(known.indices, asked.indices, strict=True) for known, asked in ends)
                letters = dict(chain_of(*pairs))
                yield from (rename(line, letters) for line in _lines(chain))

    def _difference(self, line: Expr) -> Difference:
        wanted, given = (list(Add.make_args(normal(e))) for e in (line, self.given))
        missing = [t for t in wanted if t not in given and t != 0]
        surplus = [t for t in given if t not in wanted and t != 0]
        kept, off = len(wanted) - len(missing), []
        for term in list(missing):
            other = next((t for t in surplus if _ratio(term, t) is not None), None)
            if other is not None:
                missing.remove(term)
                surplus.remove(other)
                off.append((term, other))
        return Difference(line, tuple(missing), tuple(surplus), tuple(off), kept)

    def _foreign(self, found: Difference) -> int:
        """How many tensors a line speaks of that the equation does not."""
        own = {c.tensor for c in parts_of(self.given, Component)}
        return len({c.tensor for c in parts_of(found.line, Component)} - own)

    # -- in words ---------------------------------------------------------------------------------

    def _told(self, near: Difference) -> Iterator[str]:
        for wanted, given in near.off:
            yield self._off_by(wanted, given)
        for term in near.missing:
            through = self._through(term)
            where = f", which comes back through {through}" if through else ""
            yield f"missing: {self._text(term)}{where}"
        for term in near.surplus:
            yield f"too much: {self._text(term)}"

    def _off_by(self, wanted: Expr, given: Expr) -> str:
        ratio, dummies = _ratio(wanted, given) or (S.One, ())
        if ratio == -1:
            return f"wrong sign: {self._text(given)}"
        if set(free_indices(ratio)) & set(dummies):
            return f"wrong factor: {self._text(given)} is to be {self._text(wanted)}"
        factor = to_text(ratio, tuple(free_indices(ratio)), self.op.letters)
        return f"wrong factor: {self._text(given)} is to be multiplied by {factor}"

    def _through(self, term: Expr) -> str:
        """The tensor through which a contribution comes back, if it is one of the chain rule's."""
        if self.stage is None:
            return ""
        letters = self._letters(self.stage)
        for part in Add.make_args(rename(self.stage.gradient.expr, letters)):
            names = self._sources(part)
            written = (*Add.make_args(normal(part)), *Add.make_args(normal(self._closed(part))))
            if len(names) == 1 and term in written:
                return names[0]
        return ""

    def _sources(self, part: Expr) -> list[str]:
        """The tensors whose gradients stand in a term."""
        found = {c.tensor for c in parts_of(part, Component) if is_gradient(c)}
        names = [c.tensor.name.removeprefix("d") for c in parts_of(part, Component)]
        return [n for n in self.op.tensors if n in names and any(t.name == f"d{n}" for t in found)]

    def _closed(self, part: Expr) -> Expr:
        """A term with the gradients in it put in."""

        def closed(component: Expr) -> Expr | None:
            stage = self._stage(component.tensor) if isinstance(component, Component) else None
            if stage is None or not isinstance(component, Component):
                return None
            letters = dict(zip(stage.component.indices, component.indices, strict=True))
            return rename(stage.closed, letters)

        return everywhere(closed, part)

    def _text(self, expr: Expr) -> str:
        return to_text(expr, self.free, self.op.letters)


def _lines(*chains: Chain) -> Iterator[Expr]:
    """The lines in which every derivative is carried out."""
    for line in chain_of(*([c.start, *(s.after for s in c.steps)] for c in chains)):
        if not (parts_of(line, Partial) or parts_of(line, Differentiate)):
            yield line


def _ratio(wanted: Expr, given: Expr) -> tuple[Expr, tuple[Index, ...]] | None:
    """By what factor a term is off, and the dummies of both; none if they share no tensor."""
    above, below = (_opened(t) for t in (wanted, given))
    if above is None or below is None or above[1] != below[1]:
        return None
    shared = parts_of(above[0], Component) & parts_of(below[0], Component)
    ratio = Mul(above[0], below[0] ** S.NegativeOne)
    is_short = len(Mul.make_args(ratio)) <= 2
    return (ratio, above[1]) if shared and is_short else None


def _opened(term: Expr) -> tuple[Expr, tuple[Index, ...]] | None:
    """A term as a product and its dummies, of which one sum is open."""
    sums = [f for f in Mul.make_args(term) if isinstance(f, Contraction)]
    if len(sums) > 1:
        return None
    if not sums:
        return term, ()
    rest: Iterable[Expr] = (f for f in Mul.make_args(term) if f is not sums[0])
    body, dummies = sums[0].body, sums[0].dummies
    return Mul(*rest, body), tuple(dummies)
