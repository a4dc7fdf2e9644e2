"""Relations among the gradients of an op that hold for all inputs: what its symmetries say.

If adding c G to the inputs t makes the outputs respond with ẏ, then Σ ∂l/∂t G = Σ ∂l/∂y ẏ for each
c, whatever the cotangents: the gradient and the tangent are adjoint. Σ_h ∂l/∂x_bh = 0 for a layer
norm is the relation of x + c, Euler's theorem is that of a scaling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sympy import Add, Expr, Mul, S

from derive.calculus.jacobian import jacobian
from derive.derivation import Derivation, primes, total_gradient
from derive.notation.known import operations_in
from derive.notation.nodes import Component, Contraction, Tensor, fresh_index
from derive.notation.op import Op, gradient
from derive.notation.statement import Statement, statement_text
from derive.notation.text import component_text
from derive.prove import Proof, prove_statement
from derive.rewrite import Chain, keeping_shape
from derive.simplify.identities import Identity
from derive.simplify.laws import CONTRACTING
from derive.theorems.symmetries import Answer, Part, Symmetry, symmetries
from derive.theorems.tangents import answered, tangents

_RANK = 5_000  # of c, above all tensors of an op
_MOST_OPERATIONS = 20  # a longer relation tells nobody anything


def relations(derivation: Derivation) -> Iterator[Identity]:
    """The relation of each symmetry of the op that can be proved."""
    op = derivation.op
    with keeping_shape():
        for symmetry in symmetries(op):
            statement = _statement(op, symmetry)
            if operations_in(statement.rhs) > _MOST_OPERATIONS:
                continue
            verdict = prove_statement(derivation, statement)
            if isinstance(verdict, Proof):
                yield _identity(verdict, _reason(op, symmetry), symmetry)


def _statement(op: Op, symmetry: Symmetry) -> Statement:
    """The relation at one place of c, in letters of its own."""
    c = Component(Tensor("", _RANK), *symmetry.over)
    left = Add(*(_paired(op, part, c) for part in symmetry.parts))
    right = Add(
        *(
            Contraction(Mul(gradient(y), dot), *y.indices)
            for y, dot in zip(op.outputs, _answers(op, symmetry, c), strict=True)
        )
    )
    primed = primes(op)
    place = Component(c.tensor, *(primed[i] for i in symmetry.over))
    sides = _at(left, place), _at(right, place)
    return Statement(*sides, place.indices, statement_text(op, *sides, place.indices))


def _paired(op: Op, part: Part, c: Component) -> Expr:
    """⟨∂l/∂t, change of t⟩; the axes of a square matrix are told apart."""
    letters = [i if i in c.indices else fresh_index(i) for i in part.component.indices]
    component = Component(part.component.tensor, *letters)
    change = Mul(part.sign, c, component if part.scales else S.One)
    return Contraction(Mul(total_gradient(op, component), change), *letters)


def _answers(op: Op, symmetry: Symmetry, c: Component) -> list[Expr]:
    """ẏ of each output."""
    if symmetry.answers is None:
        found = tangents(op, symmetry, c)
        return [found[y.tensor] for y in op.outputs]
    return [answered(a, y, c) for a, y in zip(symmetry.answers, op.outputs, strict=True)]


def _at(expr: Expr, place: Component) -> Expr:
    """The coefficient of one component of c, in an expression that is linear in it."""
    chain = Chain(place, jacobian(expr, place))
    chain.run(CONTRACTING)
    return chain.expr


def _identity(proof: Proof, reason: str, symmetry: Symmetry) -> Identity:
    """The proof as steps from left - right down to 0."""
    left, right = proof.statement.lhs, proof.statement.rhs
    chain = Chain(left, left - right)
    for law, after in proof.steps:
        chain.record(law, "", after)
    return Identity(left, right, tuple(chain.steps), reason, symmetry)


def in_words(op: Op, symmetry: Symmetry, shown: Callable[[Component], str]) -> str:
    """The symmetry as a sentence; `shown` prints a component, and a product is side by side."""
    c = shown(_constant(op, symmetry))
    changed = " and ".join(
        f"{'subtracting' if p.sign < 0 else 'adding'} {c}{_scaled(p.scales, p.component, shown)} "
        f"{'from' if p.sign < 0 else 'to'} {shown(p.component)}"
        for p in symmetry.parts
    )
    if symmetry.answers is None:
        scalars = ", ".join(shown(Component(Tensor(p.symbol.name))) for p in op.parameters)
        return f"for any {c}, {changed} would change no output, were it not for {scalars}"
    told = zip(op.outputs, symmetry.answers, strict=True)
    answers = " and ".join(_answer_in_words(a, y, c, shown) for y, a in told)
    return f"for any {c}, {changed} {answers}"


def _answer_in_words(
    answer: Answer, output: Component, c: str, shown: Callable[[Component], str]
) -> str:
    if not answer.k:
        return f"leaves {shown(output)} as it is"
    times = "" if abs(answer.k) == 1 else f"{abs(answer.k)} times "
    verb, way = ("subtracts", "from") if answer.k < 0 else ("adds", "to")
    return f"{verb} {times}{c}{_scaled(answer.scales, output, shown)} {way} {shown(output)}"


def _scaled(scales: bool, component: Component, shown: Callable[[Component], str]) -> str:
    return f" {shown(component)}" if scales else ""


def _constant(op: Op, symmetry: Symmetry) -> Component:
    """c, under a name that the op does not have."""
    taken = {*op.tensors, *(i.name for i in op.letters)}
    name = next(n for n in ("c", "a", "s", "t", "const") if n not in taken)
    return Component(Tensor(name), *symmetry.over)


def _reason(op: Op, symmetry: Symmetry) -> str:
    """The symmetry in the op language."""
    c = component_text(_constant(op, symmetry))
    changed = ", ".join(
        f"{component_text(p.component)} {'-' if p.sign < 0 else '+'} {c}"
        + (f"*{component_text(p.component)}" if p.scales else "")
        for p in symmetry.parts
    )
    if symmetry.answers is None:
        scalars = ", ".join(p.symbol.name for p in op.parameters)
        return f"{changed}: nothing changes but for {scalars}"
    answers = zip(op.outputs, symmetry.answers, strict=True)
    return f"{changed}: {', '.join(_in_words(a, y, c) for y, a in answers)}"


def _in_words(answer: Answer, output: Component, c: str) -> str:
    name = component_text(output)
    if not answer.k:
        return f"{name} stays"
    times = "" if answer.k == 1 else f"{answer.k}*"
    return f"{name} + {times}{c}" + (f"*{name}" if answer.scales else "")
