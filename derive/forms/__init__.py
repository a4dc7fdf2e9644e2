"""The forms in which a gradient can be written, and what each costs.

`chain` is what is computed: one equation for each intermediate's gradient. `closed` has them all
put in, as an article concludes. `factored` names what recurs and puts common factors in front:
dx = (g - mean g - x̂ mean(g x̂))/σ with g = dy γ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sympy import Add, Expr, Mul

from derive.derivation import Derivation, Stage, total_gradient
from derive.forms.cost import operations
from derive.forms.factor import factor
from derive.notation.nodes import Component, Size
from derive.notation.op import Equation
from derive.notation.solution import Solution
from derive.notation.text import equation_text
from derive.rewrite import keeping_shape
from derive.simplify.collect import COLLECT

FORMS = ("chain", "closed", "factored")


@dataclass(frozen=True)
class Form:
    """A gradient as a list of equations, the last of which gives it."""

    name: str
    equations: tuple[Equation, ...]
    operations: Expr  # additions, multiplications and functions, in the sizes of the op


def form(derivation: Derivation, tensor: str, name: str, known: Sequence[Equation] = ()) -> Form:
    """One form of the gradient of a tensor, beside equations that stand already."""
    stage = derivation.stage[tensor]
    with keeping_shape():
        if name == "factored":
            made = _factored(derivation, stage, known)
        else:
            made = {"chain": _chain, "closed": _closed}[name](derivation, stage)
    return Form(name, made, Add(*(operations(e.expr) for e in made)))


def together(derivation: Derivation, tensors: Iterable[str], name: str) -> list[Equation]:
    """Gradients of several tensors in one form; what they share stands once, under one name."""
    found: dict[Component, Equation] = {}
    for tensor in tensors:
        made = form(derivation, tensor, name, tuple(found.values()))
        found |= {e.target: e for e in made.equations}
    return list(found.values())


def polynomial_text(expr: Expr) -> str:
    """Operations as `10*B*H + 7*B`: highest degree first."""
    terms = [_monomial_text(term) for term in Add.make_args(expr)]
    return " + ".join(text for _, text in sorted(terms, key=lambda pair: -pair[0]))


def _monomial_text(term: Expr) -> tuple[int, str]:
    number, rest = term.as_coeff_Mul()
    powers = sorted((f.as_base_exp() for f in Mul.make_args(rest) if f != 1), key=_rank)
    sizes = [f"{b}^{e}" if e != 1 else str(b) for b, e in powers]
    front = [str(number)] if number != 1 or not sizes else []
    return sum(int(e) for _, e in powers), "*".join([*front, *sizes])


def _rank(power: tuple[Expr, Expr]) -> int:
    size = power[0]
    assert isinstance(size, Size)
    return size.rank


def _equation(derivation: Derivation, target: Component, expr: Expr) -> Equation:
    return Equation(target, expr, equation_text(target, expr, derivation.op.letters))


def _target(derivation: Derivation, stage: Stage) -> Component:
    return total_gradient(derivation.op, stage.component)


def _chain(derivation: Derivation, stage: Stage) -> tuple[Equation, ...]:
    """The gradients that this one is computed from, in their order."""
    by_tensor = {_target(derivation, s).tensor: s for s in derivation.stages}
    wanted = {_target(derivation, stage).tensor}
    live: list[Stage] = []
    for tensor, one in reversed(by_tensor.items()):
        if tensor in wanted:
            wanted |= {c.tensor for c in one.computed.atoms(Component)}
            live.append(one)
    ordered = reversed(live)
    return tuple(_equation(derivation, _target(derivation, s), s.computed) for s in ordered)


def _closed(derivation: Derivation, stage: Stage) -> tuple[Equation, ...]:
    own = _equation(derivation, _target(derivation, stage), stage.closed)
    return (*_relations(derivation, stage.closed), own)


def _relations(derivation: Derivation, expr: Expr) -> tuple[Equation, ...]:
    """The relations that define what an expression holds of solutions, those of theirs first."""
    by_tensor = {_target(derivation, s).tensor: s for s in derivation.stages}
    found: dict[Component, Equation] = {}
    for tensor in sorted({c.tensor for c in expr.atoms(Component)}, key=lambda t: t.rank):
        stage = by_tensor.get(tensor)
        if stage is not None and isinstance(stage.closed, Solution):
            found |= {e.target: e for e in _closed(derivation, stage)}
    return tuple(found.values())


def _factored(
    derivation: Derivation, stage: Stage, known: Sequence[Equation]
) -> tuple[Equation, ...]:
    """From the closed form as it was before anything was collected."""
    steps = stage.closing.steps
    collected = bool(steps) and steps[-1].law == COLLECT.name
    expr = steps[-1].before if collected else stage.closed
    chain = [(_target(derivation, s), s.computed) for s in derivation.stages if s is not stage]
    definitions, result = factor(derivation.op, expr, stage.closed, chain, known)
    pairs = [*definitions, (_target(derivation, stage), result)]
    made = (_equation(derivation, target, value) for target, value in pairs)
    there = {e.target for e in known}
    relations = (e for e in _relations(derivation, stage.closed) if e.target not in there)
    return (*relations, *made)
