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
from derive.notation.effort import Exhausted, bounded, refusal
from derive.notation.known import operations_in, parts_of, size_of
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
from derive.notation.solution import Solution, carried
from derive.rewrite import Chain, Step, everywhere, keeping_shape
from derive.simplify.cancel import CANCEL
from derive.simplify.collect import COLLECT
from derive.simplify.identities import Identities, Identity, outer_sums
from derive.simplify.laws import COLLECTING, CONTRACTING

if TYPE_CHECKING:
    from derive.forms import Form

_MOST_ROUNDS = 1000
_FEW_ROUNDS = 4  # for an intermediate: enough to see what cancels
_MOST_OPERATIONS = 120  # a closed form beyond this is none: gradients of intermediates stay named
_MOST_WORK = 200_000  # nodes in all steps
_MOST_NODES = 100 * _MOST_OPERATIONS  # an expression of so many has more operations than that
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
        return {c.tensor.name: self.stage[c.tensor.name].closed for c in self.op.differentiable}

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
    deriver = _Deriver(op)
    with keeping_shape(), bounded(_MOST_WORK):
        try:
            return deriver.run()
        except Exhausted:
            raise refusal(op, deriver.at) from None


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
        self.at = op.equations[0]  # the equation that is being derived

    def run(self) -> Derivation:
        stages = tuple(self._stage(t) for t in self._order())
        return Derivation(self.op, stages, tuple(self.used.values()))

    def _order(self) -> list[Component]:
        ends = {c.tensor for c in self.op.outputs if not consumers(self.op, c)}
        inner = [
            c
            for e in reversed(self.op.equations)
            for c in dict.fromkeys((e.target, carried(e.target, e.expr)[0]))
            if c.tensor not in ends
        ]
        inputs = self.op.differentiable
        easy = [c for c in inputs if all(self._is_end(e, ends) for e in consumers(self.op, c))]
        hard = [c for c in inputs if c not in easy]
        return [*easy, *inner, *hard]

    def _is_end(self, equation: Equation, ends: set[Tensor]) -> bool:
        """Is its gradient given? That of a relation's right side never is."""
        return equation.target.tensor in ends and not isinstance(equation.expr, Solution)

    def _stage(self, declared: Component) -> Stage:
        if declared.tensor not in {c.tensor for c in self.op.tensors.values()}:
            return self._adjoint(declared)
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

    def _adjoint(self, right: Component) -> Stage:
        """The gradient of the right side of a relation: the transposed relation, never inverted."""
        equation = next(
            e for e in self.op.equations if carried(e.target, e.expr)[0].tensor == right.tensor
        )
        assert isinstance(equation.expr, Solution)
        given = total_gradient(self.op, equation.target)
        adjoint = equation.expr.adjoint(given)
        closed = equation.expr.adjoint(self._closed_form(given))
        chain, closing = Chain(gradient(right), adjoint), Chain(gradient(right), adjoint)
        closing.record("substitute the gradient", "", closed)
        stage = Stage(right, (), chain, closing, adjoint)
        self.stages[gradient(right).tensor] = stage
        self.depth[gradient(right).tensor] = 1
        return stage

    def _closed_form(self, given: Component) -> Expr:
        """The closed form of a gradient in the letters of the component; a cotangent is its own."""
        stage = self.stages.get(given.tensor)
        if stage is None:
            return given
        return rename(stage.closed, dict(zip(stage.component.indices, given.indices, strict=True)))

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
        self.at = equation
        target, expr = carried(equation.target, equation.expr)
        chain = Chain(Partial(target, wrt), Differentiate(expr, wrt))
        carry_out(chain)
        chain.run((*self.identities.folds, *CONTRACTING, CANCEL))
        return chain

    def _chain_rule(
        self,
        declared: Component,
        wrt: Component,
        uses: list[Equation],
        jacobians: tuple[Chain, ...],
    ) -> Chain:
        """∂l/∂t_P = Σ ∂l/∂u_F ∂u_F/∂t_P, over the equations u that use t and their indices F."""
        images = [carried(e.target, e.expr)[0] for e in uses]
        products = [
            Contraction(Mul(total_gradient(self.op, u), Partial(u, wrt)), *u.indices)
            for u in images
        ]
        given = [gradient(wrt)] if declared.tensor in {c.tensor for c in self.op.outputs} else []
        chain = Chain(total_gradient(self.op, wrt), Add(*given, *products))
        known = {u.tensor: (u, j.expr) for u, j in zip(images, jacobians, strict=True)}

        def insert(expr: Expr) -> Expr | None:
            if not isinstance(expr, Partial):
                return None
            image, value = known[expr.of.tensor]
            return rename(value, dict(zip(image.indices, expr.of.indices, strict=True)))

        chain.record("insert the Jacobian", "", everywhere(insert, chain.expr))
        chain.run(CONTRACTING)
        chain.record("this gradient vanishes", "", everywhere(self._vanished, chain.expr))
        self._use_identities(chain)
        return chain

    def _vanished(self, expr: Expr) -> Expr | None:
        """Zero for a gradient that was found to be zero."""
        stage = self.stages.get(expr.tensor) if isinstance(expr, Component) else None
        return S.Zero if stage is not None and stage.closed == 0 else None

    # -- substitution ------------------------------------------------------------------------

    def _close(self, gradient_chain: Chain, rounds: int) -> tuple[Chain, Expr]:
        """Put the gradients of the consumers in, until only cotangents are left."""
        chain = Chain(gradient_chain.subject, gradient_chain.expr)
        computed = chain.expr
        fired = False
        for _ in range(rounds):
            if not self._open_gradients(chain.expr):
                break
            if self._settled_size(chain.expr) > _MOST_NODES:
                break
            after = everywhere(self._settled, chain.expr)
            if operations_in(after) > _MOST_OPERATIONS:
                break
            if after == 0 and isinstance(chain.expr, Add):
                chain.record("substitute the gradient", "", self._uncancelled(chain.expr))
                chain.record("the terms cancel", "", after)
            chain.record("substitute the gradient", "", after)
            chain.run(COLLECTING)
            fired = self._use_identities(chain) or fired
            if fired and self._cost(chain.expr) < self._cost(computed):
                computed = chain.expr
        chain.apply(COLLECT)
        return chain, computed

    def _uncancelled(self, total: Expr) -> Expr:
        """A sum with the gradients put in, as it stands on paper before anything cancels."""
        return Add(*(everywhere(self._settled, t) for t in total.args), evaluate=False)

    def _settled_size(self, expr: Expr) -> int:
        """How many nodes there are at least once the gradients are put in."""
        opened = (self.stages[c.tensor] for c in parts_of(expr, Component) if self._can_open(c))
        return size_of(expr) + sum(size_of(_form(stage)) for stage in opened)

    def _open_gradients(self, expr: Expr) -> bool:
        return any(self._can_open(c) for c in expr.atoms(Component))

    def _can_open(self, component: Component) -> bool:
        """Is it a gradient with an expression of its own? A solution keeps its name."""
        stage = self.stages.get(component.tensor)
        return stage is not None and not isinstance(stage.computed, Solution)

    def _settled(self, expr: Expr) -> Expr | None:
        """The gradient of an equation that uses the tensor, put in."""
        if not isinstance(expr, Component) or not self._can_open(expr):
            return None
        stage = self.stages[expr.tensor]
        letters = dict(zip(stage.component.indices, expr.indices, strict=True))
        return rename(_form(stage), letters)

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
        return self._depth(expr), len(sums), operations_in(expr)


def _form(stage: Stage) -> Expr:
    """A gradient that closes to one product is put in whole; any other, one equation deep."""
    return stage.computed if isinstance(stage.closed, Add) else stage.closed


def consumers(op: Op, component: Component) -> list[Equation]:
    """The equations that use a tensor, in order."""
    return [
        e
        for e in op.equations
        if any(c.tensor == component.tensor for c in parts_of(e.expr, Component))
    ]


def total_gradient(op: Op, component: Component) -> Component:
    """∂l/∂t: the cotangent `dt` itself, or, where an output is used again, `dt_total`."""
    is_output = component.tensor in {c.tensor for c in op.outputs}
    used_again = is_output and consumers(op, component)
    return total(op, component) if used_again else gradient(component)


def primes(op: Op) -> dict[Index, Index]:
    """Letters of their own for derivatives: b, h become p, q, where the op has no p and no q."""
    taken = {*(i.name for i in op.letters), *op.tensors, *(p.symbol.name for p in op.parameters)}
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
