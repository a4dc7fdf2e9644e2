"""The mistakes that are made in Python and Triton source, one function for each kind of mistake.

Each takes a node of the syntax tree and gives what else could stand there, as text.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from itertools import pairwise

from derive.verify.mutation.exempt import METADATA, arguments, called
from derive.verify.mutation.kinds import Kinds

_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
}
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_CALLS = {  # a function, and one that could be taken for it
    "sum": "mean",
    "mean": "sum",
    "sqrt": "rsqrt",
    "rsqrt": "sqrt",
    "exp": "exp2",
    "log": "log2",
    "sin": "cos",
    "cos": "sin",
    "maximum": "minimum",
    "minimum": "maximum",
    "add_": "sub_",
    "sub_": "add_",
    "mul_": "div_",
    "div_": "mul_",
    "addcmul_": "addcdiv_",
    "addcdiv_": "addcmul_",
    "exp_": "exp2_",
    "sqrt_": "rsqrt_",
}
_ELEMENTWISE = {"sqrt", "rsqrt", "exp", "log", "sin", "cos", "tan", "tanh", "sigmoid", "erf", "abs"}
_COMMUTATIVE = {"max", "min", "maximum", "minimum", "_maximum", "_minimum", "addcmul_"}
_ALLOCATING = {"empty", "zeros", "full", "new_zeros", "new_full"}
_HUGE = "1e30"
_OUTSIDE = "what stands where the mask does not hold reaches no result: NaN does not either"
UNREAD = "what it changes reaches no result: 1e30 times as much does not either"
SAME = "it is the same number: 1e30 times the difference changes nothing"
EVERYWHERE = "it is the same wherever it is computed: what raises where it differs does not"
MORE = "only more programs: what raises where there are fewer does not, and no check fails"
SUFFICIENT = {EVERYWHERE, _OUTSIDE}  # the slip changes nothing if the probe does not
_UNASKED = "nobody asks whether that needs a gradient"
_ZERO = "what is masked is zero as it is: 1e30 times as much changes nothing"
_SIGNLESS = "the sign reaches no result: absolute values give the same"
_SHAPELESS = "only the order in memory counts: in another shape results are the same"
_COUNTERS = {"row", "program", "columns", "line", "place"}  # what kernels make addresses of


@dataclass(frozen=True)
class Here:
    """What is known where a node stands."""

    kinds: Kinds
    bound: frozenset[str]
    is_address: bool = False
    is_metadata: bool = False
    is_bound_of_slice: bool = False
    is_fill: bool = False  # what is taken where a mask does not hold
    is_shape: bool = False  # of a tensor whose values are all the same
    is_indexed: bool = False  # what has axes: a number in its place is no module
    is_kernel: bool = False
    choice: ast.AST | None = None  # the comparison or the sign that it is part of

    @property
    def absolute(self) -> str:
        return "tl.abs" if self.is_kernel else "abs"

    def below(self, node: ast.AST, child: ast.AST) -> Here:
        """What is known of a child of the node."""
        call = node if isinstance(node, ast.Call) else None
        is_access = call is not None and called(call) in ("load", "store")
        return replace(
            self,
            is_address=self.is_address
            or (is_access and call is not None and child is call.args[0]),
            is_metadata=isinstance(node, ast.Attribute) and node.attr in METADATA,
            is_bound_of_slice=isinstance(node, ast.Slice) and child is node.upper,
            is_shape=call is not None and called(call) in _ALLOCATING and child in call.args[:1],
            is_indexed=isinstance(node, ast.Subscript) and child is node.value,
            is_fill=call is not None and _is_fill(call, child),
            choice=self.chosen(node),
        )

    def chosen(self, node: ast.AST) -> ast.AST | None:
        """The outermost comparison, or sign, that the node is or is part of."""
        chooses = isinstance(node, ast.Compare) or (isinstance(node, ast.Call) and _is_sign(node))
        return self.choice or (node if chooses else None)


def _is_fill(call: ast.Call, child: ast.AST) -> bool:
    """Is that what a masked load, or a choice, gives where its mask does not hold?"""
    is_other = called(call) == "where" and child in call.args[1:]
    return is_other or any(child is k.value for k in call.keywords)


@dataclass(frozen=True)
class Slip:
    """A mistake: what stands there instead, or two parts of the node that change places.

    `probe` could not go unnoticed either, unless what was mistaken reaches no result. If no check
    fails on the probe, the slip is none, for this reason.
    """

    kind: str
    new: str = ""
    exchanged: tuple[ast.expr, ast.expr] | None = None
    probe: str = ""
    reason: str = ""
    negates: bool = False  # is the node's value given the other sign?


Slipping = Callable[[ast.AST, Here], Iterator[Slip]]


def arithmetic(node: ast.AST, here: Here) -> Iterator[Slip]:
    """Another operator, exchanged operands, one operand alone."""
    if not isinstance(node, ast.BinOp):
        return
    other = _ARITHMETIC.get(type(node.op))
    if other is not None:
        yield Slip("operator", _text(ast.BinOp(node.left, other(), node.right)))
    if isinstance(node.op, ast.Sub | ast.Div | ast.Pow | ast.MatMult):
        swapped = _text(ast.BinOp(node.right, node.op, node.left))
        probe = f"{here.absolute}({ast.unparse(node)})" if isinstance(node.op, ast.Sub) else ""
        negates = isinstance(node.op, ast.Sub)
        yield Slip("exchanged operands", swapped, probe=probe, reason=_SIGNLESS, negates=negates)
    if not here.is_address:
        if not isinstance(node.op, ast.BitOr):  # what makes a mask vanish, for a compiler
            yield from _alone(node.left, here)
        yield from _alone(node.right, here)


def _alone(operand: ast.expr, here: Here) -> Iterator[Slip]:
    """One operand, unless it is a number whose axes are asked for."""
    if not (here.is_indexed and isinstance(operand, ast.Constant)):
        yield Slip("dropped operand", _text(operand))


def signs(node: ast.AST, here: Here) -> Iterator[Slip]:
    """No minus, no `not`; a tensor with the other sign."""
    if isinstance(node, ast.UnaryOp):
        yield Slip("sign", _text(node.operand))
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        is_tensor = here.kinds[node.targets[0].id] is not None
        calls = {called(n) for n in ast.walk(node.value) if isinstance(n, ast.Call)}
        if is_tensor and not calls & _ALLOCATING and not isinstance(node.value, ast.Constant):
            target, value = ast.unparse(node.targets[0]), node.value
            negative = f"{target} = {ast.unparse(ast.UnaryOp(ast.USub(), value))}"
            absolute = f"{target} = {here.absolute}({ast.unparse(value)})"
            yield Slip("sign", negative, probe=absolute, reason=_SIGNLESS, negates=True)


def constants(node: ast.AST, here: Here) -> Iterator[Slip]:
    """One more: 1.5 for 0.5, 3 for 2, axis 1 for 0; an axis less; the first of several less."""
    is_number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
    is_number = is_number and not here.is_bound_of_slice
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and is_number:
        wrong = repr(node.value + 1)
        probe = 'float("nan")' if here.is_fill else ""
        yield Slip("constant", wrong, probe=probe, reason=_OUTSIDE)
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        yield from _fewer(node.value, node.slice.upper)
    if isinstance(node, ast.Call) and called(node) in ("sum", "mean") and node.args:
        axis = node.args[-1]
        if isinstance(axis, ast.Constant) and isinstance(axis.value, int) and axis.value > 0:
            yield Slip("axis", _with(node, args=[*node.args[:-1], ast.Constant(axis.value - 1)]))


def _fewer(several: ast.expr, upper: ast.expr | None) -> Iterator[Slip]:
    """The last one left out, or in its place the contrary."""
    if isinstance(upper, ast.Constant) and isinstance(upper.value, int):
        fewer = f"{ast.unparse(several)}[:{upper.value - 1}]"
        contrary = f"not {ast.unparse(several)}[{upper.value - 1}]"
        yield Slip("constant", fewer, probe=f"(*{fewer}, {contrary})", reason=_UNASKED)


def calls(node: ast.AST, _here: Here) -> Iterator[Slip]:
    """A mean for a sum, a function for its twin, no function at all; a mask forgotten."""
    if not isinstance(node, ast.Call):
        return
    name = called(node)
    if name in _CALLS and isinstance(node.func, ast.Attribute):
        yield Slip("function", _with(node, func=_renamed(node.func, _CALLS[name])))
    if name in _ELEMENTWISE and len(node.args) == 1:
        yield Slip("dropped function", _text(node.args[0]))
    if name.endswith("_") and isinstance(node.func, ast.Attribute) and name != "_":
        yield Slip("dropped pass", _text(node.func.value))
    if name == "where":
        mask, value, _other = map(ast.unparse, node.args)
        probe = f"{ast.unparse(node.func)}({mask}, {value}, {_HUGE} * ({value}))"
        yield Slip("dropped mask", _text(node.args[1]), probe=probe, reason=_ZERO)


def exchanges(node: ast.AST, here: Here) -> Iterator[Slip]:
    """Two arguments of a call, or two neighbours of a tuple, that change places."""
    if isinstance(node, ast.Call) and called(node) not in _COMMUTATIVE:
        for two in pairwise(arguments(node)):
            if _is_symmetric(node, two):
                continue
            flat = _merged(node, two) if called(node) == "reshape" else ""
            yield Slip("exchanged arguments", exchanged=two, probe=flat, reason=_SHAPELESS)
    items = node.elts if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) else []
    axes_of_a_sum = all(isinstance(i, ast.Constant) for i in items)  # in any order
    if not axes_of_a_sum and not any(isinstance(i, ast.Slice) for i in items):
        others = (two for two in pairwise(items) if len(set(map(_copied, two))) == 2)
        flat = f"({' * '.join(map(_factor, items))},)" if here.is_shape else ""
        for two in others:
            yield Slip("exchanged items", exchanged=two, probe=flat, reason=_SHAPELESS)


def _merged(node: ast.Call, two: tuple[ast.expr, ast.expr]) -> str:
    """As many axes, of which none tells how long each of the two is."""
    product = f"({' * '.join(map(_factor, two))})"
    sizes = {id(two[0]): "1", id(two[1]): product}
    items = (sizes.get(id(a)) or ast.unparse(a) for a in node.args)
    return f"{ast.unparse(node.func)}({', '.join(items)})"


def _is_symmetric(node: ast.Call, two: tuple[ast.expr, ast.expr]) -> bool:
    """Are these factors of one product, along the same axes?"""
    spec = node.args[0]
    if called(node) != "einsum" or not isinstance(spec, ast.Constant):
        return False
    letters = str(spec.value).partition("->")[0].split(",")
    axes = dict(zip(map(id, node.args[1:]), letters, strict=True))
    one, other = (axes.get(id(factor)) for factor in two)
    return one is not None and one == other


def _factor(node: ast.expr) -> str:
    """As one of several factors."""
    return f"({ast.unparse(node)})" if isinstance(node, ast.BinOp) else ast.unparse(node)


def _copied(node: ast.expr) -> str:
    """What it is, or is a copy of."""
    return ast.unparse(node).removesuffix(".clone()")


def axes(node: ast.AST, _here: Here) -> Iterator[Slip]:
    """A tensor broadcast along the other axis; a matrix that is not transposed."""
    if isinstance(node, ast.Subscript) and _is_pair(node.slice):
        assert isinstance(node.slice, ast.Tuple)
        other = ast.Tuple(node.slice.elts[::-1], ast.Load())
        yield Slip("broadcast axis", _text(ast.Subscript(node.value, other, ast.Load())))
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield Slip("dropped transpose", _text(node.value))


def _is_pair(node: ast.expr) -> bool:
    return isinstance(node, ast.Tuple) and len(node.elts) > 1


def conditions(node: ast.AST, _here: Here) -> Iterator[Slip]:
    """A mask or a condition that holds for one more, or for the others."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        other = _COMPARISONS.get(type(node.ops[0]))
        if other is not None:
            wrong = _text(ast.Compare(node.left, [other()], node.comparators))
            yield Slip("comparison", wrong)
    if isinstance(node, ast.BoolOp):
        other_op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        yield Slip("condition", _text(ast.BoolOp(other_op, node.values)))


def accumulations(node: ast.AST, _here: Here) -> Iterator[Slip]:
    """The last summand for the sum; a summand subtracted."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        target, value = ast.unparse(node.target), ast.unparse(node.value)
        yield Slip("dropped accumulation", f"{target} = {value}")
        yield Slip("accumulation", f"{target} -= {value}")


def names(node: ast.AST, here: Here) -> Iterator[Slip]:
    """Another tensor of the same kind; in an address, the row or the column after."""
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
        return
    if here.is_address and node.id in _COUNTERS:
        yield Slip("offset", f"({node.id} + 1)")
    kind = here.kinds[node.id]
    if kind is not None and not here.is_metadata:
        for other in sorted(here.bound):
            if other != node.id and here.kinds[other] == kind:
                yield Slip("name", other)


SLIPS: tuple[Slipping, ...] = (
    arithmetic,
    signs,
    constants,
    calls,
    exchanges,
    axes,
    conditions,
    accumulations,
    names,
)


def magnified(right: str, wrong: str, is_kernel: bool) -> str:
    """What is wrong, off by 1e30 times as much; the same number stays the same."""
    where = "tl.where" if is_kernel else "torch.where"
    more = f"({wrong}) + {_HUGE} * (({wrong}) - ({right}))"
    return f"{where}(({wrong}) == ({right}), {right}, {more})"


def met(right: str, wrong: str) -> str:
    """What raises where the two differ: tensors, in kernels the interpreter's, or plain values.

    NaN, of which no two are equal, is NaN in both.
    """
    numbers = "(lambda c: getattr(getattr(c, 'handle', c), 'data', c))"
    differ = "lambda w, r: (w != r) & ((w == w) | (r == r))"
    found = f"({differ})(*map({numbers}, ({wrong}, {right})))"
    return f"[{wrong}][(lambda c: int(getattr(c, 'any', lambda: c)()))({found})]"


def no_fewer(right: str, wrong: str) -> str:
    """What raises where the wrong number is smaller than the right one."""
    return f"[{wrong}][int(({wrong}) < ({right}))]"


def _is_sign(node: ast.Call) -> bool:
    return called(node) in ("sign", "_sign")


def _text(node: ast.expr) -> str:
    """The expression as text that means the same wherever it is put."""
    text = ast.unparse(ast.fix_missing_locations(node))
    is_closed = isinstance(node, ast.Name | ast.Constant | ast.Call | ast.Attribute | ast.Subscript)
    return text if is_closed else f"({text})"


def _with(node: ast.Call, **changed: object) -> str:
    other = copy(node)
    for name, value in changed.items():
        setattr(other, name, value)
    return _text(other)


def _renamed(function: ast.Attribute, name: str) -> ast.Attribute:
    return ast.Attribute(function.value, name, ast.Load())
