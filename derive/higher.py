"""Higher order and forward mode: the backward pass and the tangent are ops themselves.

`backward(op)` takes the inputs and the cotangents of an op and gives the gradients; deriving it
again gives the double backward, and so on. `jvp(op)` takes inputs and tangents and gives the
tangents of the outputs. Both keep the named intermediates and all that was simplified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

from sympy import Add, Expr, Mul

from derive.calculus.jacobian import jacobian
from derive.derivation import Derivation, differentiate, total_gradient
from derive.notation.nodes import Component, Contraction, Index, Labels, Tensor
from derive.notation.op import Equation, Op, gradient
from derive.notation.solution import Solution
from derive.notation.text import component_text, equation_text
from derive.rewrite import Chain, keeping_shape
from derive.simplify.cancel import CANCEL
from derive.simplify.identities import Identities
from derive.simplify.laws import CONTRACTING


def backward(op: Op, derivation: Derivation | None = None) -> Op:
    """The op (inputs, cotangents) -> gradients of the inputs; derive it for the double backward."""
    with keeping_shape():
        found = derivation or differentiate(op)
        equations = [*op.equations, *(_gradient_equation(op, found, s.name) for s in found.stages)]
        cotangents = [gradient(c) for c in op.outputs]
        results = [
            total_gradient(op, found.stage[c.tensor.name].component) for c in op.differentiable
        ]
        return _assembled(op, "backward", [*op.inputs, *cotangents], equations, results)


def jvp(op: Op) -> Op:
    """The op (inputs, tangents) -> tangents of the outputs, by the chain rule along the graph."""
    with keeping_shape():
        identities = Identities(op)
        tangents = [_tangent(c) for c in op.differentiable]
        pairs = ((e, _tangent_equation(op, e, identities)) for e in op.equations)
        equations = [equation for pair in pairs for equation in pair]
        results = [_tangent(c) for c in op.outputs]
        return _assembled(op, "jvp", [*op.inputs, *tangents], equations, results)


def _gradient_equation(op: Op, derivation: Derivation, name: str) -> Equation:
    """The gradient of one tensor as an equation in letters of its own."""
    stage = derivation.stage[name]
    target = total_gradient(op, stage.component)
    return Equation(target, stage.computed, "")


def _tangent(component: Component) -> Component:
    """The tangent of a tensor, `t_dot`."""
    tensor = component.tensor
    made = Tensor(f"{tensor.name}_dot", tensor.rank + 10_000, tensor.groups)
    return Component(made, *component.indices)


def _tangent_equation(op: Op, equation: Equation, identities: Identities) -> Equation:
    """t_dot_F = Σ over the tensors u of the equation, and their indices P, of ∂t_F/∂u_P u_dot_P."""
    if isinstance(equation.expr, Solution):
        return _tangent_of_relation(op, equation, identities)
    return Equation(_tangent(equation.target), pushed(op, equation, _tangent, identities), "")


def _tangent_of_relation(op: Op, equation: Equation, identities: Identities) -> Equation:
    """M y_dot = c_dot - M_dot y: the same relation, with the change of c - M y at fixed y."""
    relation, target = equation.expr, equation.target
    _, residual = relation.equation(target)
    tensors = {c.tensor for c in residual.atoms(Component)} - {target.tensor}
    used = sorted((t for t in tensors if not isinstance(t, Labels)), key=lambda t: t.rank)
    change = Add(*(_pushed(residual, op.tensors[t.name], _tangent, identities) for t in used))
    solved = Solution(relation.matrix, change, *relation.rows, *relation.columns)
    return Equation(_tangent(target), solved, "")


def pushed(
    op: Op, equation: Equation, tangent: Callable[[Component], Expr], identities: Identities
) -> Expr:
    """The tangent of what an equation defines, from the tangents of what it uses."""
    tensors = {c.tensor for c in equation.expr.atoms(Component)}
    used = sorted((t for t in tensors if not isinstance(t, Labels)), key=lambda t: t.rank)
    return Add(*(_pushed(equation.expr, op.tensors[t.name], tangent, identities) for t in used))


def _pushed(
    expr: Expr, component: Component, tangent: Callable[[Component], Expr], identities: Identities
) -> Expr:
    own = tuple(_own(i, k) for k, i in enumerate(component.indices))
    wrt = Component(component.tensor, *own)
    chain = Chain(wrt, Contraction(Mul(jacobian(expr, wrt), tangent(wrt)), *own))
    chain.run((*identities.folds, *CONTRACTING, CANCEL))
    return chain.expr


def _own(index: Index, place: int) -> Index:
    """A letter that no op has."""
    return Index(f"{index.name}{place}_", index.size, index.rank + 20_000 + place)


def _assembled(
    op: Op, what: str, inputs: list[Component], equations: list[Equation], outputs: list[Component]
) -> Op:
    """A new op; its tensors are ranked anew, in the order in which they are given and defined."""
    live = _live(equations, {c.tensor for c in outputs})
    order = [*(c.tensor for c in inputs), *(e.target.tensor for e in live)]
    names = _names(op, order)
    ranked = {t: _ranked(t, names[t], rank) for rank, t in enumerate(order)}
    letters = _letters(op, live)

    def moved(expr: Expr) -> Expr:
        return expr.xreplace(ranked)

    made = [Equation(moved(e.target), moved(e.expr), "") for e in live]
    shown = [Equation(e.target, e.expr, equation_text(e.target, e.expr, letters)) for e in made]
    name = f"{op.name}_{what}"
    ends = tuple(moved(c) for c in outputs)
    header = _header(name, op, [moved(c) for c in inputs], ends)
    return Op(
        name,
        tuple(moved(c) for c in inputs),
        op.parameters,
        ends,
        tuple(shown),
        letters,
        (f"The {what} of {op.name}", *op.title),
        header,
        "\n".join([header, *(e.text for e in shown)]) + "\n",
        op.path,
        op.extents,
    )


def _ranked(tensor: Tensor, name: str, rank: int) -> Tensor:
    if isinstance(tensor, Labels):
        return Labels(name, rank, tensor.values, tensor.groups, tensor.sentinels)
    return Tensor(name, rank, tensor.groups)


def _names(op: Op, tensors: Iterable[Tensor]) -> dict[Tensor, str]:
    """The op's own names stay; ∂l/∂t becomes grad_t (grad2_t, …): dt will be its gradient here."""
    own = {c.tensor for c in op.tensors.values()}
    names = {t: t.name for t in tensors if t in own}
    for tensor in (t for t in tensors if t.rank >= 0 and t not in names):
        tries = (tensor.name + "_" * k for k in count(0))  # a tangent is called as it is, if it can
        names[tensor] = next(n for n in tries if n not in names.values())
    for tensor in (t for t in tensors if t not in names):
        stem = tensor.name.removeprefix("d")
        tries = (f"grad{k if k > 1 else ''}_{stem}" for k in count(1))
        names[tensor] = next(n for n in tries if n not in names.values())
    return names


def _live(equations: list[Equation], wanted: set[Tensor]) -> list[Equation]:
    """The equations that a wanted tensor depends on, in order."""
    wanted, live = set(wanted), []
    for equation in reversed(equations):
        if equation.target.tensor in wanted:
            wanted |= {c.tensor for c in equation.expr.atoms(Component)}
            live.append(equation)
    return live[::-1]


def _letters(op: Op, equations: Iterable[Equation]) -> tuple[Index, ...]:
    """The op's letters and those that the new equations stand in."""
    return tuple(dict.fromkeys([*op.letters, *(i for e in equations for i in e.target.indices)]))


def _header(name: str, op: Op, inputs: Iterable[Component], outputs: Iterable[Component]) -> str:
    numbers = [f"{p.symbol.name} = {p.text}" for p in op.parameters]
    scalars = ", ".join([*numbers, *(f"{e.size.name} = {e.default}" for e in op.extents)])
    declared = (_declared(c, op) for c in inputs)
    given = ", ".join(declared) + (f"; {scalars}" if scalars else "")
    results = ", ".join(map(component_text, outputs))
    return f"op {name}({given}) -> {results}"


def _declared(component: Component, op: Op) -> str:
    """As a header has it, with what integers are values of."""
    text, tensor = component_text(component), component.tensor
    if not isinstance(tensor, Labels):
        return text
    letter = next((i.name for i in op.letters if i.size == tensor.values), "")
    return f"{text}: int[{letter}]" if letter else f"{text}: int"
