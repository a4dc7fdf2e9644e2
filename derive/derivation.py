"""The derivation of an op: for each tensor Jacobians, chain rule, substitution, closed form.

The graph is walked from the outputs back. First come the inputs that only outputs use (the easy
ones), then the intermediates, last consumer first, then the other inputs. Everything shown, printed
or generated is read off the chains of steps recorded here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sympy import Add, Expr, Mul, S

from derive.calculus.jacobian import differentiate as carry_out
from derive.notation.nodes import (
    Component,
    Contraction,
    Differentiate,
    Index,
    Partial,
    Tensor,
    rename,
)
from derive.notation.op import Equation, Op, gradient, is_gradient, total
from derive.rewrite import Chain, Step, everywhere, keeping_shape
from derive.simplify.collect import COLLECT
from derive.simplify.identities import Identities, Identity, outer_sums
from derive.simplify.laws import COLLECTING, CONTRACTING

if TYPE_CHECKING:
    from derive.forms import Form

_MOST_ROUNDS = 1000
_FEW_ROUNDS = 4  # for an intermediate: enough to see what cancels
_MOST_OPERATIONS = 120  # a closed form beyond this is none: gradients of intermediates stay named
_LETTERS = "pqrstuwijklmnzbcdefghaovxy"


@dataclass(frozen=True)
class Stage:
    """How the gradient of one tensor comes about."""

    component: Component  # t_P, in letters of its own
    jacobians: tuple[Chain, ...]  # one for each equation that uses t
    gradient: Chain  # the chain rule, to the gradients of the equations that use t
    closing: Chain  # from there to the cotangents of the outputs
    computed: Expr  # the form that is computed: cheapest of those on the way

    @property
    def name(self) -> str:
        return self.component.tensor.name

    @property
    def closed(self) -> Expr:
        return self.closing.expr


@dataclass(frozen=True)
class Derivation:
    """All stages of an op, in the order in which a person would derive them."""

    op: Op
    stages: tuple[Stage, ...]
    used: tuple[Identity, ...]  # the identities that some step relies on

    @cached_property
    def stage(self) -> dict[str, Stage]:
        return {s.name: s for s in self.stages}

    @cached_property
    def gradients(self) -> dict[str, Expr]:
        """The closed form of each input's gradient, by the input's name."""
        return {c.tensor.name: self.stage[c.tensor.name].closed for c in self.op.inputs}

    @cached_property
    def chain(self) -> dict[str, Expr]:
        """The gradient of every tensor in terms of the gradients computed before it."""
        return {s.name: s.computed for s in self.stages}

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Every step, in order."""
        chains = (c for s in self.stages for c in (*s.jacobians, s.gradient, s.closing))
        return tuple(step for chain in chains for step in chain.steps)

    @cached_property
    def identities(self) -> tuple[Identity, ...]:
        """What the op implies, with proofs: the identities used, other sums, relations."""
        from derive.theorems import theorems

        return theorems(self)

    def form(self, wrt: str, name: str = "closed") -> Form:
        """The gradient of a tensor as its `chain`, `closed` or `factored`, and what that costs."""
        from derive.forms import form

        return form(self, wrt, name)

    def latex(self, part: str = "all", standalone: bool = False, form: str = "closed") -> str:
        """The derivation as LaTeX: `forward`, `steps`, `result` or `all`, the result in a form."""
        from derive.emit.document import latex

        return latex(self, part, standalone, form)

    def show(self, wrt: str | None = None, trace: bool = False, form: str = "closed") -> str:
        """The derivation as text for a terminal, its result in a form."""
        from derive.emit.document import text

        return text(self, wrt, trace, form)


def differentiate(op: Op) -> Derivation:
    """Derive the gradient of every tensor of the op."""
    with keeping_shape():
        return _Deriver(op).run()


class _Deriver:
    """The walk from the outputs back."""

    def __init__(self, op: Op) -> None:
        self.op = op
        self.identities = Identities(op)
        self.used: dict[Expr, Identity] = {}
        self.prime = primes(op)
        self.inputs = {c.tensor for c in op.inputs}
        self.stages: dict[Tensor, Stage] = {}  # keyed by the gradient's tensor
        self.depth: dict[Tensor, int] = {}  # sums nested on the way to a gradient

    def run(self) -> Derivation:
        stages = tuple(self._stage(t) for t in self._order())
        return Derivation(self.op, stages, tuple(self.used.values()))

    def _order(self) -> list[Component]:
        ends = {c.tensor for c in self.op.outputs if not consumers(self.op, c)}
        inner = [e.target for e in reversed(self.op.equations) if e.target.tensor not in ends]
        easy = [
            c for c in self.op.inputs if all(e.target.tensor in ends for e in consumers(self.op, c))
        ]
        hard = [c for c in self.op.inputs if c not in easy]
        return [*easy, *inner, *hard]

    def _stage(self, declared: Component) -> Stage:
        component = self._primed(declared)
        uses = consumers(self.op, declared)
        jacobians = tuple(self._jacobian(e, component) for e in uses)
        chain = self._chain_rule(declared, component, uses, jacobians)
        rounds = _MOST_ROUNDS if declared.tensor in self.inputs else _FEW_ROUNDS
        closing, computed = self._close(chain, rounds)
        stage = Stage(component, jacobians, chain, closing, computed)
        key = total_gradient(self.op, component).tensor
        self.stages[key] = stage
        self.depth[key] = self._depth(computed)
        return stage

    def _primed(self, declared: Component) -> Component:
        """The component in letters of its own, one an axis (a square matrix repeats its letter)."""
        letters: list[Index] = []
        for index in declared.indices:
            prime = self.prime[index]
            spare = (p for p in self.prime.values() if p.size == prime.size and p not in letters)
            letters.append(
                prime if prime not in letters else next(spare, fresh_letter(prime, letters))
            )
        return Component(declared.tensor, *letters)

    def _jacobian(self, equation: Equation, wrt: Component) -> Chain:
        chain = Chain(Partial(equation.target, wrt), Differentiate(equation.expr, wrt))
        carry_out(chain)
        chain.run((*self.identities.folds, *CONTRACTING))
        return chain

    def _chain_rule(
        self,
        declared: Component,
        wrt: Component,
        uses: list[Equation],
        jacobians: tuple[Chain, ...],
    ) -> Chain:
        """∂l/∂t_P = Σ ∂l/∂u_F ∂u_F/∂t_P, over the equations u that use t and their indices F."""
        products = [
            Contraction(
                Mul(total_gradient(self.op, e.target), Partial(e.target, wrt)), *e.target.indices
            )
            for e in uses
        ]
        given = [gradient(wrt)] if declared.tensor in {c.tensor for c in self.op.outputs} else []
        chain = Chain(total_gradient(self.op, wrt), Add(*given, *products))
        known = {(e.target.tensor): (e, j.expr) for e, j in zip(uses, jacobians, strict=True)}

        def insert(expr: Expr) -> Expr | None:
            if not isinstance(expr, Partial):
                return None
            equation, value = known[expr.of.tensor]
            return rename(value, dict(zip(equation.target.indices, expr.of.indices, strict=True)))

        chain.record("insert the Jacobian", "", everywhere(insert, chain.expr))
        chain.run(CONTRACTING)
        self._use_identities(chain)
        return chain

    # -- substitution ------------------------------------------------------------------------

    def _close(self, gradient_chain: Chain, rounds: int) -> tuple[Chain, Expr]:
        """Put the gradients of the consumers in, until only cotangents are left."""
        chain = Chain(gradient_chain.subject, gradient_chain.expr)
        computed = chain.expr
        fired = False
        for _ in range(rounds):
            if not self._open_gradients(chain.expr):
                break
            after = everywhere(self._settled, chain.expr)
            if after.count_ops() > _MOST_OPERATIONS:
                break
            chain.record("substitute the gradient", "", after)
            chain.run(COLLECTING)
            fired = self._use_identities(chain) or fired
            if fired and self._cost(chain.expr) < self._cost(computed):
                computed = chain.expr
        chain.apply(COLLECT)
        return chain, computed

    def _open_gradients(self, expr: Expr) -> bool:
        return any(c.tensor in self.stages for c in expr.atoms(Component))

    def _settled(self, expr: Expr) -> Expr | None:
        """A gradient that closes to one product is put in whole; any other, one equation deep."""
        if not isinstance(expr, Component) or expr.tensor not in self.stages:
            return None
        stage = self.stages[expr.tensor]
        form = stage.computed if isinstance(stage.closed, Add) else stage.closed
        return rename(form, dict(zip(stage.component.indices, expr.indices, strict=True)))

    def _use_identities(self, chain: Chain) -> bool:
        """Replace each sum that the definitions know; its proof goes with the step."""
        found: dict[Expr, Identity] = {}

        def known(expr: Expr) -> Expr | None:
            simpler = self.identities.simplify(expr) if isinstance(expr, Contraction) else None
            if simpler is None:
                return None
            found[simpler[1].left] = simpler[1]
            return simpler[0]

        after = everywhere(known, chain.expr)
        for identity in found.values():
            if len(identity.steps) > 1:
                self.used.setdefault(identity.left, identity)
        proofs = [step for identity in found.values() for step in identity.steps]
        changed = chain.record("use an identity", "", after, proofs)
        chain.run(COLLECTING)
        return changed

    def _depth(self, expr: Expr) -> int:
        """How many sums wait for one another before `expr` is known."""
        if isinstance(expr, Component):
            return self.depth.get(expr.tensor, 0)
        inner = max((self._depth(a) for a in expr.args), default=0)
        return inner + isinstance(expr, Contraction)

    def _cost(self, expr: Expr) -> tuple[int, int, int]:
        sums = [d for c in outer_sums(expr) for d in c.dummies]
        return self._depth(expr), len(sums), int(expr.count_ops()) if expr != S.Zero else 0


def consumers(op: Op, component: Component) -> list[Equation]:
    """The equations that use a tensor, in order."""
    return [
        e
        for e in op.equations
        if any(c.tensor == component.tensor for c in e.expr.atoms(Component))
    ]


def total_gradient(op: Op, component: Component) -> Component:
    """∂l/∂t: the cotangent `dt` itself, or, where an output is used again, `dt_total`."""
    is_output = component.tensor in {c.tensor for c in op.outputs}
    used_again = is_output and consumers(op, component)
    return total(op, component) if used_again else gradient(component)


def primes(op: Op) -> dict[Index, Index]:
    """Letters of their own for derivatives: b, h become p, q."""
    taken = {i.name for i in op.letters}
    free = (letter for letter in _names() if letter not in taken)
    rank = 1000
    return {i: Index(next(free), i.size, rank + k) for k, i in enumerate(op.letters)}


def fresh_letter(like: Index, taken: list[Index]) -> Index:
    """A letter of the same size that is not taken: p2, p3, …"""
    number = next(k for k in range(2, 1000) if f"{like.name}{k}" not in {i.name for i in taken})
    return Index(f"{like.name}{number}", like.size, like.rank + 500 + number)


def _names() -> Iterable[str]:
    yield from _LETTERS
    number = 1
    while True:
        yield f"p{number}"
        number += 1


def is_cotangent(op: Op, component: Component) -> bool:
    """Is this the gradient of an output, given from outside?"""
    return is_gradient(component) and component.tensor in {gradient(c).tensor for c in op.outputs}
