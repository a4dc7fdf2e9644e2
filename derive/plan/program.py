"""Op + Derivation → Program: what is computed, in which order, what is saved, what recomputed.

Saved is what holds a sum (a row's statistics, a matrix product); what is a pointwise function of
saved things is computed again. Where Σ_h t = 0 was proved, whatever the sum comes out as is
rounding error: its mean is taken off t, and saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from sympy import Add, Expr, Mul

from derive.derivation import Derivation, primes, total_gradient
from derive.notation.nodes import (
    Bound,
    Component,
    Contraction,
    Index,
    Scalar,
    Size,
    Tensor,
    free_indices,
    rename,
)
from derive.notation.op import Equation, Op, gradient
from derive.notation.solution import Solution
from derive.notation.text import equation_text, to_text
from derive.plan.calls import Form, share_calls, share_sums
from derive.plan.copies import copied_gradients, copied_outputs
from derive.plan.differences import Differences, carried
from derive.plan.paths import in_pairs, lengths
from derive.plan.roles import Roles, roles
from derive.plan.share import share
from derive.plan.statement import Statement
from derive.plan.trim import hidden_sizes, live, missing_sizes, scalars_in, sizes_of_gradients, tidy
from derive.plan.zero_sums import ZeroSums
from derive.rewrite import keeping_shape


@dataclass(frozen=True)
class Program:
    """The forward and the backward pass of an op."""

    op: Op
    roles: Roles
    forward: tuple[Statement, ...]
    backward: tuple[Statement, ...]
    saved: tuple[Component, ...]  # inputs first, then intermediates
    saved_sizes: tuple[Size, ...]
    saved_scalars: tuple[Scalar, ...]
    gradients: tuple[Component, ...]  # one for each differentiable input

    @cached_property
    def cotangents(self) -> tuple[Component, ...]:
        return tuple(gradient(c) for c in self.op.outputs)

    @cached_property
    def kept(self) -> tuple[Component, ...]:
        """The saved intermediates."""
        inputs = {c.tensor for c in self.op.inputs}
        return tuple(c for c in self.saved if c.tensor not in inputs)

    @cached_property
    def copied(self) -> set[Tensor]:
        """The results that would otherwise share memory with something that must not change."""
        given = (*self.cotangents, *self.saved)
        outputs = copied_outputs(self.forward, self.op.inputs, self.op.outputs, self.kept)
        return outputs | copied_gradients(self.backward, given, self.gradients)

    @cached_property
    def needed_by(self) -> dict[Tensor, frozenset[str]]:
        """For each tensor of the backward pass: the inputs whose gradients depend on it."""
        found: dict[Tensor, frozenset[str]] = {}
        for declared, grad in zip(self.op.differentiable, self.gradients, strict=True):
            for tensor in self._behind(grad.tensor):
                found[tensor] = found.get(tensor, frozenset()) | {declared.tensor.name}
        return found

    def _behind(self, tensor: Tensor) -> set[Tensor]:
        known = {s.target.tensor: s for s in self.backward}
        done: set[Tensor] = set()
        todo = [tensor]
        while todo:
            current = todo.pop()
            if current not in done:
                done.add(current)
                todo += [c.tensor for c in known[current].uses] if current in known else []
        return done


def plan(
    op: Op, derivation: Derivation, *, shared: bool = True, recomputed: bool = False
) -> Program:
    """Take all decisions; sums are computed once, functions if they are `shared`, or by a compiler.

    `recomputed`: nothing but inputs is saved. Only then products are shared, too: a large one that
    is held costs more than the pass, in place, that multiplies it again.
    """
    with keeping_shape():
        return _Planner(op, derivation, recomputed).run(shared)


def plan_forward(op: Op) -> Program:
    """The forward pass alone: nothing is saved, nothing goes back."""
    with keeping_shape():
        return _Planner(op, None).run_forward()


class _Planner:
    def __init__(self, op: Op, derivation: Derivation | None, recomputed: bool = False) -> None:
        self.op, self.stages, self.recomputed = op, {}, recomputed
        if derivation is not None:
            self.stages = derivation.stage
        self.zero_sums = ZeroSums(op)
        self.letters = op.letters
        self.inputs = {c.tensor for c in op.inputs}
        self.names = {
            *op.tensors,
            *(f"d{n}" for n in op.tensors),
            *(f"d{n}_total" for n in op.tensors),
        }
        self.names |= {p.symbol.name for p in op.parameters}
        self.rank = 100_000
        self.again: dict[Tensor, Statement] = {}  # how a forward tensor is computed from saved ones
        self.aside: set[Tensor] = set()  # sums that stand beside their statements
        self.differences = Differences()
        leading = roles(op).leading
        self.rows = {leading.size} if leading is not None else set()
        self.length = lengths(op, self.rows)

    def run(self, shared: bool) -> Program:
        forward = [s for e in self.op.equations for s in self._equation(e)]
        chain = [s for name in self.stages for s in self._gradient(name)]
        results = tuple(total_gradient(self.op, c) for c in self.op.differentiable)
        chain = live(chain, {r.tensor for r in results})
        chain = self._shared(chain) if shared and self.recomputed else chain
        saved, again = self._split(chain)
        own = {r.tensor for r in results}
        backward = tuple(share_sums((*again, *chain), self._named_sum, self.aside, own))
        if shared:
            backward = tuple(share_calls(backward, self._named_call))
        given = {c.tensor for c in self.op.outputs}
        outputs = [c for c in self.op.outputs if c.tensor in given and not self.recomputed]
        public = [*(c for c in saved if c.tensor in self.inputs), *outputs]
        sizes = missing_sizes(backward, (*saved, *outputs)) | hidden_sizes(self.op, public)
        sizes |= sizes_of_gradients(self.op, public) - self.rows
        scalars = scalars_in(backward)
        return Program(
            self.op,
            roles(self.op, {s.target.tensor for s in again} if self.recomputed else None),
            tuple(forward),
            backward,
            saved,
            tuple(sorted(sizes, key=lambda s: s.rank)),
            tuple(p.symbol for p in self.op.parameters if p.symbol in scalars),
            results,
        )

    def run_forward(self) -> Program:
        """The statements of the equations, and the sizes and parameters that they need."""
        forward = [s for e in self.op.equations for s in self._equation(e)]
        forward = share_calls(live(forward, {c.tensor for c in self.op.outputs}), self._named_call)
        used = {c.tensor for s in forward for c in s.uses}
        given = [c for c in self.op.inputs if c.tensor in used]
        sizes = missing_sizes(forward, given) | hidden_sizes(self.op, given)
        scalars = scalars_in(forward)
        return Program(
            self.op,
            roles(self.op),
            tuple(forward),
            (),
            (),
            tuple(sorted(sizes, key=lambda s: s.rank)),
            tuple(p.symbol for p in self.op.parameters if p.symbol in scalars),
            (),
        )

    # -- forward -----------------------------------------------------------------------------

    def _equation(self, equation: Equation) -> Iterator[Statement]:
        """An equation, after the differences in it that can be re-centred if they have a name."""
        made: list[Statement] = []
        target, text = equation.target, " ".join(equation.text.split())

        def named(part: Expr, *, centred: bool) -> Component | None:
            letters = self._letters_for(free_indices(part))
            expr = rename(part, letters)
            tensor, indices = carried(expr)
            small = max(len(c.indices) for c in expr.atoms(Component)) >= len(indices)
            over = self.zero_sums.over(expr, indices) if centred and small else ()
            if centred and not over:
                return None
            name = f"{tensor.name}_centred" if centred else f"{equation.name}_inside"
            found = Component(self._fresh(name), *indices)
            made.extend(self._forward(found, expr, equation_text(found, expr, self.letters), over))
            return cast(Component, rename(found, {new: old for old, new in letters.items()}))

        def define(difference: Expr) -> Component | None:
            return named(difference, centred=True)

        def inside(body: Expr) -> Component:
            return cast(Component, named(body, centred=False))

        expr = self.differences.introduce(equation.expr, define)
        expr = self.differences.maximised(expr, inside)
        over = self.zero_sums.over(target, target.indices) if isinstance(expr, Add) else ()
        note = text or equation_text(target, equation.expr, self.letters)
        yield from made
        yield from self._forward(target, expr, note, over)
        if over:
            self.differences.add(equation.expr, target)

    def _forward(
        self, target: Component, expr: Expr, note: str, centre: tuple[Index, ...]
    ) -> Iterator[Statement]:
        """The statements of one equation, re-centred over indices over which it sums to zero."""
        *hoisted, last = self._hoist(target, expr, note)
        for statement in hoisted:
            self.again[statement.target.tensor] = statement
            yield statement
        if not centre:
            self.again[target.tensor] = last
            yield last
        else:
            yield from self._recentred(last, centre)

    def _recentred(self, plain: Statement, over: tuple[Index, ...]) -> Iterator[Statement]:
        target = plain.target
        raw = Component(Tensor(target.tensor.name, self._next_rank()), *target.indices)
        rest = tuple(i for i in target.indices if i not in over)
        mean = Component(self._fresh(f"{target.tensor.name}_mean"), *rest)
        zero = to_text(Contraction(target, *over), rest, self.letters)
        yield Statement(raw, plain.expr, plain.note)
        off = Statement(
            mean,
            Contraction(raw, *over) / Mul(*(i.size for i in over)),
            f"{zero} = 0 exactly: what the sum comes out as is rounding error, and is taken off",
        )
        yield off
        self.again[raw.tensor] = Statement(raw, plain.expr, plain.note)
        again = Add(plain.expr, -mean)
        self.again[target.tensor] = Statement(target, again, f"{plain.note}, re-centred")
        self.again[mean.tensor] = off
        yield Statement(target, raw - mean, "")

    # -- backward ----------------------------------------------------------------------------

    def _gradient(self, name: str) -> Iterator[Statement]:
        stage = self.stages[name]
        if isinstance(stage.computed, Solution):
            target = total_gradient(self.op, stage.component)
            note = equation_text(target, stage.computed, self.letters)
            yield from self._hoist(target, stage.computed, note)
            return
        back = self._back(stage.component)
        target = total_gradient(self.op, rename(stage.component, back))
        expr = rename(stage.computed, back)
        note = equation_text(target, expr, self.letters)
        yield from self._hoist(target, self.differences.name(expr), note)

    def _shared(self, chain: list[Statement]) -> list[Statement]:
        """The chain with products that several statements need computed once."""
        given = [total_gradient(self.op, c) for c in self.op.outputs]
        letters = {c.tensor: c for c in (*given, *(s.target for s in chain))}

        def define(gradient: Component, factor: Component) -> Statement:
            name = self._fresh(f"{gradient.tensor.name}_{factor.tensor.name}")
            target = Component(name, *gradient.indices)
            expr = gradient * factor
            return Statement(target, expr, equation_text(target, expr, self.letters))

        return share(chain, letters, define)

    def _named_sum(self, form: Form, total: Expr, first: Statement) -> Statement:
        """A repeated sum as a statement of its own, named after the first that needs it."""
        letters = self._letters_for(list(form.order))
        name = self._fresh(f"{first.target.tensor.name}_sum")
        target = Component(name, *(letters.get(i, i) for i in form.order))
        expr = rename(total, letters)
        return Statement(target, expr, equation_text(target, expr, self.letters))

    def _named_call(self, form: Form, call: Expr, _: Statement) -> Statement:
        """A repeated call as a statement of its own, named after its largest tensor."""
        letters = self._letters_for(list(form.order))
        expr = rename(call, letters)
        tensors = sorted(call.atoms(Component), key=lambda c: (-len(c.indices), c.tensor.rank))
        name = self._fresh(f"{call.row.name}_{tensors[0].tensor.name}")
        target = Component(name, *(letters.get(i, i) for i in form.order))
        return Statement(target, expr, equation_text(target, expr, self.letters))

    def _back(self, component: Component) -> dict[Index, Index]:
        """From the letters of a derivation to those of the op, each once."""
        known = {new: old for old, new in primes(self.op).items()}
        back: dict[Index, Index] = {}
        for index in component.indices:
            own = [known[index]] if index in known else []
            spare = (
                i for i in [*own, *self.letters] if i.size == index.size and i not in back.values()
            )
            back[index] = next(spare, index)
        return back

    def _split(
        self, chain: Iterable[Statement]
    ) -> tuple[tuple[Component, ...], tuple[Statement, ...]]:
        """What the backward pass must be given, and what it computes again from that."""
        saved: dict[Tensor, Component] = {}
        again: dict[Tensor, Statement] = {}

        def need(component: Component) -> None:
            tensor = component.tensor
            if tensor in saved or tensor in again or tensor.rank < 0:
                return
            statement = self.again.get(tensor)
            if statement is None and tensor not in self.inputs:
                return  # a statement of the backward pass itself
            if statement is None or self._costs_a_sum(statement):
                saved[tensor] = self.op.tensors.get(tensor.name) or (
                    statement.target if statement else component
                )
                return
            for used in sorted(statement.uses, key=lambda c: (c.tensor.rank, str(c))):
                need(used)
            again[tensor] = statement

        for statement in chain:
            for used in sorted(statement.uses, key=lambda c: (c.tensor.rank, str(c))):
                need(used)
        order = sorted(saved.values(), key=lambda c: (c.tensor not in self.inputs, c.tensor.rank))
        return tuple(order), tuple(again.values())

    def _costs_a_sum(self, statement: Statement) -> bool:
        """Does it hold a sum, or is it smaller than the inputs and made from one that does?"""
        if self.recomputed:
            return False
        if statement.expr.atoms(Bound, Solution):
            return True
        if len(statement.target.indices) >= max(len(c.indices) for c in self.op.inputs):
            return False
        behind = (self.again.get(c.tensor) for c in statement.uses)
        return any(self._costs_a_sum(s) for s in behind if s is not None)

    # -- sums inside ---------------------------------------------------------------------------

    def _hoist(self, target: Component, expr: Expr, note: str) -> list[Statement]:
        """A sum inside a sum, or with other indices than the target's, gets its own name."""
        made: list[Statement] = []

        def visit(node: Expr, inside: bool) -> Expr:
            if isinstance(node, Solution):
                return node
            if isinstance(node, Bound):
                body, dummies = node.open()
                total = node.func(visit(body, True), *dummies)
                own = set(free_indices(total)) == set(target.indices)
                return total if own and not inside else self._named(total, target, made)
            if not node.args or isinstance(node, Component):
                return node
            return node.func(*(visit(a, inside) for a in node.args))

        last = visit(in_pairs(tidy(expr), self.length), False)
        return [*made, Statement(target, last, note)]

    def _named(self, total: Expr, target: Component, made: list[Statement]) -> Expr:
        """The component that holds a sum, by a new statement or by one that is there."""
        free = free_indices(total)
        letters = self._letters_for(free)
        renamed = rename(total, letters)
        known = next((s.target for s in made if s.expr == renamed), None)
        if known is None:
            name = self._fresh(f"{target.tensor.name}_sum")
            known = Component(name, *(letters.get(i, i) for i in free))
            self.aside.add(name)
            made.append(Statement(known, renamed, equation_text(known, renamed, self.letters)))
        return rename(known, {new: old for old, new in letters.items()})

    def _letters_for(self, free: list[Index]) -> dict[Index, Index]:
        """Letters of the op for the dummies among the indices."""
        taken = {i for i in free if not i.is_dummy}
        chosen: dict[Index, Index] = {}
        for index in (i for i in free if i.is_dummy):
            spare = (i for i in (*self.letters, *primes(self.op).values()) if i.size == index.size)
            chosen[index] = next(i for i in spare if i not in taken)
            taken.add(chosen[index])
        return chosen

    def _fresh(self, name: str) -> Tensor:
        names = (name if k == 0 else f"{name}_{k}" for k in range(1000))
        chosen = next(n for n in names if n not in self.names)
        self.names.add(chosen)
        return Tensor(chosen, self._next_rank())

    def _next_rank(self) -> int:
        self.rank += 1
        return self.rank
