"""Matrix products of 16-bit tensors in their own type: which ones, and what is rounded for them.

A GPU multiplies matrices of 16 bits many times as fast as those of 32, and adds up in fp32. So
where all tensors have one type of 16 bits, what is multiplied has it too: a tensor that is computed
for nothing else is rounded once, where it is made. All else, sums included, is fp32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeAlias

from sympy import Add, Expr, KroneckerDelta, Mul, S

from derive.notation.conditions import Iverson
from derive.notation.functions import Elementwise
from derive.notation.nodes import Bound, Component, Contraction, Labels, Size, Tensor, free_indices
from derive.notation.op import Equation, Op
from derive.notation.solution import Solution
from derive.plan.autocast import multiplies
from derive.plan.paths import merged
from derive.plan.program import Program
from derive.plan.roles import PRODUCT, roles
from derive.plan.statement import Statement
from derive.rewrite import keeping_shape

if TYPE_CHECKING:
    from derive.plan.groups import Item


_STEEP = frozenset({"exp", "sin", "cos", "tan"})


class Wide(Tensor):
    """A tensor whose numbers are wanted in fp32, whatever it has."""


class Use(Enum):
    """What becomes of a tensor where it is read."""

    MULTIPLIED = auto()  # by another matrix
    SUMMED = auto()  # as it stands
    LOADED = auto()  # by a kernel, which computes in fp32 whatever it loads
    NUMBER = auto()  # one number of it after another


@dataclass(frozen=True)
class Told:
    """How torch code writes a statement, where tensors may have 16 bits."""

    expr: Expr  # what is computed number by number is named in fp32
    products: frozenset[Expr]  # those taken in the type of the tensors
    short: frozenset[Tensor]  # what has that type
    full: frozenset[Expr] = frozenset()  # products whose results are not rounded
    rounded: bool = False  # is the result to be given that type?

    @property
    def is_bare(self) -> bool:
        """Is it a product and nothing else, whose result keeps its type?"""
        return self.rounded and self.expr in self.products


@dataclass(frozen=True)
class Types:
    """Which tensors of each pass have the type of the products; `told` goes by a statement's id."""

    forward: frozenset[Tensor]
    backward: frozenset[Tensor]
    told: dict[int, Told]


Few: TypeAlias = frozenset[Size]
Read: TypeAlias = Callable[[Component, Use], Expr]


@dataclass(frozen=True)
class Typed:
    """A program with tensors in fp32 where several statements want one of 16 bits so."""

    program: Program
    forward: tuple[Item, ...]
    backward: tuple[Item, ...]
    types: Types


# -- which products --------------------------------------------------------------------------------


def is_product(total: Expr, few: Few) -> bool:
    """Σ of matrices: each has an index of its own, and more than one has what is summed.

    What a condition or a label picks is none; nor is Σ_h x_h y_h of a row, in which x has all.
    Indices of sizes with a default, such as halves, are too `few` to count.
    """
    if not isinstance(total, Contraction) or total.atoms(Iverson, KroneckerDelta, Labels):
        return False
    body, dummies = total.open()
    factors = merged(list(Mul.make_args(body)))
    shared = all(sum(d in free_indices(f) for f in factors) > 1 for d in dummies)
    long = tuple(i for i in (*free_indices(total), *dummies) if i.size not in few)
    return shared and bool({*long} & {*dummies}) and multiplies(Mul(*factors), long)


def products_in(op: Op, equations: Sequence[Statement | Equation]) -> frozenset[Expr]:
    """The products that are worth 16 bits, in the equations of an op.

    None in an op that is linear, which has one type as it is; none where a linear system is solved:
    its condition multiplies what is rounded.
    """
    if roles(op).kind == PRODUCT or any(e.expr.atoms(Solution) for e in equations):
        return frozenset()
    few = frozenset(e.size for e in op.extents)
    found = {t for e in equations for t in e.expr.atoms(Contraction) if is_product(t, few)}
    return frozenset(found - _cancelling(equations, few))


def full_in(
    equations: Sequence[Statement | Equation], products: frozenset[Expr]
) -> frozenset[Expr]:
    """The products of a forward pass that a steep function is taken of: their results keep fp32.

    The relative error of exp(s) is the absolute one of s, which is as large as s is.
    """
    found: set[Expr] = set()
    steep: set[Tensor] = set()
    for equation in reversed(equations):
        calls = (f for f in equation.expr.atoms(Elementwise) if f.row.name in _STEEP)
        inside = [a for f in calls for a in f.args]
        inside += [equation.expr] if equation.target.tensor in steep else []
        for part in inside:
            mine = part.atoms(Contraction) & products
            found |= mine
            steep |= _tensors(part.xreplace(dict.fromkeys(mine, S.One)))
    return frozenset(found)


def _cancelling(equations: Sequence[Statement | Equation], few: Few) -> set[Expr]:
    """Products beside a row's sum of what they multiply, as in Σx² + Σy² - 2 Σxy.

    What is left may be far smaller than either: there the product has the digits of fp32.
    """
    known = {e.target.tensor: e.expr for e in equations}
    found: set[Expr] = set()
    for total in (a for e in equations for a in e.expr.atoms(Add)):
        terms = Add.make_args(total)
        for k, term in enumerate(terms):
            summed = {
                t for n, other in enumerate(terms) if n != k for t in _summed(other, known, few)
            }
            factors = [
                known.get(f.tensor, f) if isinstance(f, Component) else f
                for f in Mul.make_args(term)
            ]
            parts = (p for f in factors for p in Mul.make_args(f) if is_product(p, few))
            found |= {p for p in parts if summed & _tensors(p)}
    return found


def _summed(term: Expr, known: dict[Tensor, Expr], few: Few) -> set[Tensor]:
    """The tensors of which a row's sums stand in a term, by their names too."""
    exprs = [term, *(known[t] for t in _tensors(term) if t in known)]
    sums = {s for e in exprs for s in e.atoms(Contraction) if not is_product(s, few)}
    return {t for s in sums for t in _tensors(s)}


def _tensors(expr: Expr) -> set[Tensor]:
    return {c.tensor for c in expr.atoms(Component)}


# -- what is read how ------------------------------------------------------------------------------


@dataclass
class _Reader:
    """Walks expressions with what `read` gives in the place of each component."""

    products: frozenset[Expr]
    read: Read
    full: frozenset[Expr] = frozenset()  # of these
    found: set[Expr] = field(default_factory=set)  # the products, as they are then
    found_full: set[Expr] = field(default_factory=set)

    def of(self, expr: Expr) -> Expr:
        if isinstance(expr, Component):
            return self.read(expr, Use.NUMBER)
        if not expr.args:
            return expr
        if not isinstance(expr, Bound):
            return expr.func(*map(self.of, expr.args))
        body, dummies = expr.open()
        if expr in self.products:
            factors = merged(list(Mul.make_args(body)))
            total = expr.func(Mul(*map(self._operand, factors)), *dummies)
            self.found.add(total)
            if expr in self.full:
                self.found_full.add(total)
            return total
        alone = isinstance(expr, Contraction) and isinstance(body, Component)
        return expr.func(self.read(body, Use.SUMMED) if alone else self.of(body), *dummies)

    def _operand(self, factor: Expr) -> Expr:
        alone = isinstance(factor, Component)
        return self.read(factor, Use.MULTIPLIED) if alone else self.of(factor)


class _Pass:
    """One pass: statements, and groups that are a kernel each."""

    def __init__(
        self, items: Sequence[Item], products: frozenset[Expr], full: frozenset[Expr]
    ) -> None:
        self.items, self.products, self.full = items, products, full
        self.uses: dict[Tensor, Counter[Use]] = {}
        for item in items:
            if isinstance(item, Statement):
                _Reader(products, self._count).of(item.expr)
                continue
            made = {s.target.tensor for s in item.members}
            for tensor in {c.tensor for s in item.members for c in s.uses} - made:
                self._of(tensor)[Use.LOADED] += 1

    def _of(self, tensor: Tensor) -> Counter[Use]:
        return self.uses.setdefault(tensor, Counter())

    def _count(self, component: Component, use: Use) -> Expr:
        self._of(component.tensor)[use] += 1
        return component

    def read(self, statement: Statement) -> set[tuple[Tensor, Use]]:
        """What a statement reads, and for what."""
        found: set[tuple[Tensor, Use]] = set()

        def note(component: Component, use: Use) -> Expr:
            found.add((component.tensor, use))
            return component

        _Reader(self.products, note).of(statement.expr)
        return found

    def made(self, results: set[Tensor], kept: Mapping[Tensor, Counter[Use]]) -> Iterator[Tensor]:
        """What it makes in 16 bits; `kept`: what is kept, and how it is read later.

        A product's result is rounded as it is. All else is if nothing but products reads it, or if
        it is a result, which a kernel writes in the type in which it is given back.
        """
        for item in self.items:
            alone = isinstance(item, Statement)
            for tensor in _targets(item):
                uses = +(self.uses.get(tensor, Counter()) + kept.get(tensor, Counter()))
                if isinstance(item, Statement) and self._is_bare(item):
                    short = tensor in kept or not uses[Use.NUMBER]
                else:
                    short = set(uses) == {Use.MULTIPLIED}
                    short |= not uses and tensor in results and not alone
                if short:
                    yield tensor

    def _is_bare(self, statement: Statement) -> bool:
        return statement.expr in self.products - self.full and statement.across is None


def _targets(item: Item) -> list[Tensor]:
    """What it makes; sums over all rows are small, and stay in fp32."""
    if isinstance(item, Statement):
        return [item.target.tensor]
    summed = {w.target.tensor.name for w in item.small.schedule.epilogue}
    return [c.tensor for c in item.results if c.tensor.name not in summed]


# -- the program -----------------------------------------------------------------------------------


def typed(
    program: Program, forward: Sequence[Item] | None = None, backward: Sequence[Item] | None = None
) -> Typed | None:
    """The program, or its groups, in two types; None if one will do, as in all that is linear."""
    products = products_in(program.op, (*program.forward, *program.backward))
    if not products:
        return None
    full = full_in(program.forward, products)
    first = _Pass(program.forward if forward is None else forward, products, full)
    second = _Pass(program.backward if backward is None else backward, products, full)
    kept = {c.tensor: second.uses.get(c.tensor, Counter()) for c in program.kept}
    cotangents = {c.tensor for c in program.cotangents}
    given = {c.tensor for c in program.op.inputs if not isinstance(c.tensor, Labels)}
    early = frozenset(given).union(first.made({c.tensor for c in program.op.outputs}, kept))
    own = second.made({c.tensor for c in program.gradients}, {})
    late = frozenset(cotangents | (early & {*given, *kept})).union(own)
    with keeping_shape():
        writer = _Writer(program)
        return writer.typed(writer.items(first, early), writer.items(second, late), early, late)


class _Writer:
    """Writes the statements of a program for two types."""

    def __init__(self, program: Program) -> None:
        self.program = program
        statements = (*program.forward, *program.backward)
        self.declared = {c.tensor: c for c in (*program.op.inputs, *program.cotangents)}
        self.declared |= {s.target.tensor: s.target for s in statements}
        self.names = {*program.op.tensors, *(t.name for t in self.declared)}
        self.names |= {c.tensor.name for c in program.gradients}
        self.names |= {p.symbol.name for p in program.op.parameters}
        self.names |= {i.size.name for i in program.op.letters}
        self.told: dict[int, Told] = {}
        self.copies: dict[tuple[Tensor, str], Tensor] = {}  # both passes have the same names

    def typed(
        self,
        forward: tuple[Item, ...],
        backward: tuple[Item, ...],
        early: frozenset[Tensor],
        late: frozenset[Tensor],
    ) -> Typed:
        made = replace(self.program, forward=_flat(forward), backward=_flat(backward))
        return Typed(made, forward, backward, Types(early, late, self.told))

    def items(self, one: _Pass, short: frozenset[Tensor]) -> tuple[Item, ...]:
        """Those of a pass; what is wanted twice in the other type is cast once, before that."""
        often = {t for t in one.uses if one.uses[t][_other(t, short)] > 1}
        copies: dict[Tensor, Tensor] = {}
        found: list[Item] = []
        for item in one.items:
            if not isinstance(item, Statement):
                found.append(item)
                continue
            wanted = {t for t, use in one.read(item) if use is _other(t, short)}
            for tensor in sorted(wanted & often - {*copies}, key=lambda t: t.rank):
                copies[tensor] = self._copy(tensor, "wide" if tensor in short else "short")
                found.append(self._cast(tensor, copies[tensor], wide=tensor in short))
            found.append(self._statement(item, one, short, copies))
        return tuple(found)

    def _copy(self, tensor: Tensor, word: str) -> Tensor:
        """The same tensor in the other type, by a name."""
        if (tensor, word) not in self.copies:
            spellings = (f"{tensor.name}_{word}{'_' * k}" for k in range(1000))
            name = next(n for n in spellings if n not in self.names)
            self.names.add(name)
            self.copies[tensor, word] = Tensor(name, tensor.rank)
        return self.copies[tensor, word]

    def _cast(self, tensor: Tensor, copy: Tensor, *, wide: bool) -> Statement:
        indices = self.declared[tensor].indices
        made = Statement(Component(copy, *indices), Component(tensor, *indices), "")
        source = Wide(tensor.name, tensor.rank) if wide else tensor
        told = Told(Component(source, *indices), frozenset(), frozenset(), rounded=not wide)
        self.told[id(made)] = told
        return made

    def _statement(
        self,
        item: Statement,
        one: _Pass,
        short: frozenset[Tensor],
        copies: Mapping[Tensor, Tensor],
    ) -> Statement:
        """The statement with what has been cast, and how it is written."""

        def named(component: Component, use: Use) -> Expr:
            tensor = component.tensor
            copy = copies.get(tensor) if use is _other(tensor, short) else None
            return component if copy is None else Component(copy, *component.indices)

        def shown(component: Component, use: Use) -> Expr:
            found, tensor = named(component, use), component.tensor
            if found != component or use is not Use.NUMBER or tensor not in short:
                return found
            return Component(Wide(tensor.name, tensor.rank), *component.indices)

        # one of its own, even if the other pass has the same statement
        made = replace(item, expr=_Reader(one.products, named).of(item.expr))
        reader = _Reader(one.products, shown, one.full)
        expr = reader.of(item.expr)
        known = short.union(c for t, c in copies.items() if t not in short)
        rounded = item.target.tensor in short
        products, full = frozenset(reader.found), frozenset(reader.found_full)
        self.told[id(made)] = Told(expr, products, known, full, rounded=rounded)
        return made


def _other(tensor: Tensor, short: frozenset[Tensor]) -> Use:
    """For what a tensor is cast."""
    return Use.NUMBER if tensor in short else Use.MULTIPLIED


def _flat(items: Iterable[Item]) -> tuple[Statement, ...]:
    return tuple(s for i in items for s in ((i,) if isinstance(i, Statement) else i.members))
