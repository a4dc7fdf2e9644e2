"""What stands between matrix products, put together: groups of statements for one kernel each.

A product, a system that is solved, what labels gather is torch's. What is left of a statement when
these have names of their own may be about one row at a time; statements that walk the same rows
make one group, as large as can be, unless something outside must come between them. A group is
worth a kernel if at least two passes over a matrix become one; a number that multiplies a product
is no pass of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

from sympy import Expr

from derive.notation.conditions import brackets_of
from derive.notation.nodes import Component, Contraction, Labels, Tensor
from derive.plan.miniature import Miniature, miniature
from derive.plan.parts import Part, Parting, once
from derive.plan.passes import passes
from derive.plan.program import Program
from derive.plan.short import Types, typed
from derive.plan.statement import Statement

_LEAST = 2  # passes over a matrix that become one


@dataclass(frozen=True, eq=False)
class Group:
    """Statements that one kernel carries out; `results` are what others read of it."""

    members: tuple[Statement, ...]
    small: Miniature
    results: tuple[Component, ...]
    absent: frozenset[Tensor]  # what it reads that is there only if some gradients are asked for

    @property
    def name(self) -> str:
        """After what it comes to: of its largest results, the last."""
        return max(reversed(self.results), key=lambda c: len(c.indices)).tensor.name

    @property
    def reads(self) -> tuple[Component, ...]:
        return self.small.program.op.inputs


Item: TypeAlias = Statement | Group


@dataclass(frozen=True)
class Grouped:
    """A program whose passes are torch's statements and groups, in order."""

    program: Program
    forward: tuple[Item, ...]
    backward: tuple[Item, ...]
    types: Types | None = None

    @property
    def groups(self) -> tuple[Group, ...]:
        return tuple(i for i in (*self.forward, *self.backward) if isinstance(i, Group))


def grouped(program: Program) -> Grouped | None:
    """The program in groups; None if no kernel is worth it."""
    program = _distinct(program)
    given = (*program.op.inputs, *program.cotangents)
    declared = {s.target.tensor: s.target for s in (*program.forward, *program.backward)}
    declared |= {c.tensor: c for c in given}
    names = _Names(program)
    results = {c.tensor for c in (*program.op.outputs, *program.kept)}
    forward = _Pass(program, declared, names, results).items(program.forward)
    gradients = {c.tensor for c in program.gradients}
    later = _Pass(program, declared, names, gradients, asked=True)
    backward = later.items(program.backward)
    if not any(isinstance(i, Group) for i in (*forward, *backward)):
        return None
    whole = replace(program, forward=tuple(_members(forward)), backward=tuple(_members(backward)))
    made = typed(whole, forward, backward)
    if made is None:
        return Grouped(whole, forward, backward)
    return Grouped(made.program, made.forward, made.backward, made.types)


def _members(items: Iterable[Item]) -> Iterator[Statement]:
    for item in items:
        yield from item.members if isinstance(item, Group) else (item,)


def _distinct(program: Program) -> Program:
    """A name for each tensor: one that is re-centred has had another before."""
    names = _Names(program)
    last = {s.target.tensor.name: s.target.tensor for s in (*program.forward, *program.backward)}
    last |= {name: c.tensor for name, c in program.op.tensors.items()}
    renamed: dict[Expr, Expr] = {}
    for statement in (*program.forward, *program.backward):
        tensor = statement.target.tensor
        if last[tensor.name] != tensor and tensor not in renamed:
            renamed[tensor] = names.fresh(f"{tensor.name}_raw", tensor.rank)

    def told(statements: Iterable[Statement]) -> tuple[Statement, ...]:
        return tuple(
            replace(
                s,
                target=cast(Component, s.target.xreplace(renamed)),
                expr=s.expr.xreplace(renamed),
            )
            for s in statements
        )

    return replace(program, forward=told(program.forward), backward=told(program.backward))


class _Names:
    """Names and ranks that no tensor, size or parameter of a program has."""

    def __init__(self, program: Program) -> None:
        statements = (*program.forward, *program.backward)
        self.taken = {*program.op.tensors, *(s.target.tensor.name for s in statements)}
        self.taken |= {f"d{n}" for n in program.op.tensors}
        self.taken |= {c.tensor.name for c in (*program.cotangents, *program.gradients)}
        self.taken |= {p.symbol.name for p in program.op.parameters}
        self.taken |= {i.size.name for i in program.op.letters}
        self._rank = 500_000

    def fresh(self, name: str, rank: int | None = None) -> Tensor:
        self._rank += 1
        names = (name if k == 0 else f"{name}_{k}" for k in range(1000))
        chosen = next(n for n in names if n not in self.taken)
        self.taken.add(chosen)
        return Tensor(chosen, self._rank if rank is None else rank)


@dataclass(eq=False)
class _Node:
    """What is still to be placed: a statement of torch's, or statements that may be a group."""

    statements: list[Statement]
    small: Miniature | None = None
    place: int = -1  # of the last of them, in the pass

    @property
    def made(self) -> set[Tensor]:
        return {s.target.tensor for s in self.statements}

    @property
    def read(self) -> set[Tensor]:
        return {c.tensor for s in self.statements for c in s.uses} - self.made


class _Pass:
    """Finds the groups of one pass; of its results all are computed, or those that are `asked`."""

    def __init__(
        self,
        program: Program,
        declared: dict[Tensor, Component],
        names: _Names,
        results: set[Tensor],
        *,
        asked: bool = False,
    ) -> None:
        self.op, self.declared, self.names = program.op, declared, names
        self.results, self.asked = results, asked
        self.parting = Parting(program.op, declared, names.fresh)
        self.order: dict[int, int] = {}  # where a part stands, by its id
        self.made: set[Tensor] = set()
        self.needed: dict[Tensor, frozenset[Tensor]] = {}  # the results that need a tensor

    def items(self, statements: Sequence[Statement]) -> tuple[Item, ...]:
        """The pass: what has no group stays as it was."""
        told = once(statements, self.results)
        parts = [p for s in told for p in self.parting.parts(s)]
        for place, part in enumerate(parts):
            self.order[id(part.statement)] = place
        self._need(p.statement for p in reversed(parts))
        nodes: list[_Node] = []
        for place, part in enumerate(parts):
            node = _Node([part.statement], part.small, place)
            nodes = self._joined(nodes, node) if node.small else [*nodes, node]
        left = list(self._unsplit(nodes, parts))
        return tuple(self._item(n, left) for n in _in_order(left))

    def _need(self, backwards: Iterable[Statement]) -> None:
        self.needed = {t: frozenset({t}) for t in self.results}
        for statement in backwards:
            self.made.add(statement.target.tensor)
            mine = self.needed.get(statement.target.tensor, frozenset())
            for used in statement.uses:
                self.needed[used.tensor] = self.needed.get(used.tensor, frozenset()) | mine

    def _small(self, statements: Sequence[Statement]) -> Miniature | None:
        return miniature(self.op, statements, self.declared)

    # -- groups -----------------------------------------------------------------------------------

    def _joined(self, nodes: list[_Node], node: _Node) -> list[_Node]:
        """The nodes and one more, which takes in each that shares a tensor with it, if it can."""
        for other in [n for n in nodes if n.small is not None]:
            near = (other.made | other.read) & (node.made | node.read)
            if not near or _between(nodes, other, node):
                continue
            both = sorted([*other.statements, *node.statements], key=lambda s: self.order[id(s)])
            small = self._small(both)
            if small is not None and self._shows_sizes(made := _Node(both, small, node.place)):
                nodes = [n for n in nodes if n is not other]
                node = made
        return [*nodes, node]

    def _absent(self, node: _Node) -> frozenset[Tensor]:
        """What may not be there when the group is computed, for gradients that do not need it."""
        if not self.asked:
            return frozenset()
        whole = frozenset[Tensor]().union(*(self.needed.get(t, frozenset()) for t in node.made))
        return frozenset(t for t in node.read & self.made if not whole <= self.needed[t])

    def _shows_sizes(self, node: _Node) -> bool:
        """Does what is always there tell all sizes, and a type?"""
        assert node.small is not None
        absent = {t.name for t in self._absent(node)}
        given = node.small.program.op.inputs
        sure = [c for c in given if c.tensor.name not in absent]
        shown = {i.size for c in sure for i in c.indices}
        real = any(not isinstance(c.tensor, Labels) for c in sure)
        return real and all(i.size in shown for c in given for i in c.indices)

    def _unsplit(self, nodes: list[_Node], parts: Sequence[Part]) -> Iterator[_Node]:
        """The groups that are worth it, and all else as it was before it was taken apart."""
        picked = {t for n in nodes if n.small is None and _picks(n.statements[0]) for t in n.made}
        small = [n for n in nodes if n.small is not None and self._shows_sizes(n)]
        groups = [n for n in small if _is_worth_it(n, picked)]
        kept = [n for n in groups if any(self.needed.get(t) for t in n.made)]
        yield from kept
        inside = {id(s) for n in kept for s in n.statements}
        split = {id(p.whole) for p in parts if id(p.statement) in inside}
        told = {user for p in parts if id(p.statement) in inside for user in p.users}
        done: set[int] = set()
        for place, part in enumerate(parts):
            mine = id(part.whole)
            if id(part.statement) in inside:
                continue
            if part.whole is None or part.told is None:
                if part.users & (split | told):
                    yield _Node([part.statement], None, place)
            elif mine in split:
                yield _Node([part.statement], None, place)
            elif mine not in done:
                done.add(mine)
                yield _Node([part.told if mine in told else part.whole], None, place)

    def _item(self, node: _Node, nodes: list[_Node]) -> Item:
        if node.small is None:
            return node.statements[0]
        asked = self.results.union(*(n.read for n in nodes if n is not node))
        found = tuple(s.target for s in node.statements if s.target.tensor in asked)
        return Group(tuple(node.statements), node.small, found, self._absent(node))


def _is_worth_it(node: _Node, picked: set[Tensor]) -> bool:
    """What was picked from a larger tensor may be a view of it, and is copied for the kernel."""
    own = sum(passes(s.expr) for s in node.statements)
    return own - len(node.read & picked) >= _LEAST


def _picks(statement: Statement) -> bool:
    """Is it what one place, a label or a window picks?"""
    expr = statement.expr
    return isinstance(expr, Contraction) and bool(brackets_of(expr.body))


# -- order ----------------------------------------------------------------------------------------


def _before(nodes: Sequence[_Node]) -> Callable[[_Node], list[_Node]]:
    """The nodes that make what a node reads."""
    makers = {t: n for n in nodes for t in n.made}
    return lambda node: list(dict.fromkeys(makers[t] for t in node.read if t in makers))


def _between(nodes: Sequence[_Node], one: _Node, other: _Node) -> bool:
    """Must something be computed after one of the two and before the other one?"""
    before = _before([*nodes, other])
    return _leads(before, one, other) or _leads(before, other, one)


def _leads(before: Callable[[_Node], list[_Node]], one: _Node, other: _Node) -> bool:
    """Does `other` depend on `one` by way of something else?"""
    todo = [n for n in before(other) if n is not one]
    seen = set(todo)
    while todo:
        for node in before(todo.pop()):
            if node is one:
                return True
            if node not in seen:
                seen.add(node)
                todo.append(node)
    return False


def _in_order(nodes: list[_Node]) -> Iterator[_Node]:
    """Each after what it reads, and where the last of its statements stood if it can be there."""
    before = _before(nodes)
    left, done = sorted(nodes, key=lambda n: n.place), set[_Node]()
    while left:
        node = next(n for n in left if done.issuperset(before(n)))
        left.remove(node)
        done.add(node)
        yield node
