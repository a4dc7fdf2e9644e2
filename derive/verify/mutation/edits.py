"""The mistakes that are made in generated source: each edit replaces a stretch of its text."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from derive.verify.mutation import exempt
from derive.verify.mutation.exempt import called
from derive.verify.mutation.kinds import Kinds
from derive.verify.mutation.slips import (
    EVERYWHERE,
    MORE,
    SAME,
    SLIPS,
    UNREAD,
    Here,
    Slip,
    magnified,
    met,
    no_fewer,
)


@dataclass(frozen=True)
class Edit:
    """`text[start:end]` becomes `new`: one mistake, in the statement of lines `first` to `last`."""

    kind: str
    start: int
    end: int
    new: str
    first: int
    last: int
    probe: Edit | None = None  # if no check fails on it, this edit is no mistake
    reason: str = ""  # why it is none then
    met: Edit | None = None  # noticed if, at any input of a check, another choice is made
    negated: str = ""  # the tensor that is given the other sign, if that is all
    function: str = ""  # that it is in

    def applied(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]

    def probed(self, start: int, end: int, new: str, reason: str) -> Edit:
        """The edit with a probe."""
        probe = Edit("probe", start, end, new, self.first, self.last)
        return replace(self, probe=probe, reason=reason)


@dataclass
class _Walk:
    """A walk over a module: where it is, and what names are bound there."""

    text: str
    kinds: Kinds
    starts: Sequence[int] = field(init=False)
    tree: ast.Module = field(init=False)
    function: ast.FunctionDef = field(init=False)  # where it is

    def __post_init__(self) -> None:
        self.tree = ast.parse(self.text)
        lines = self.text.splitlines(keepends=True)
        self.starts = [sum(map(len, lines[:k])) for k in range(len(lines) + 1)]

    def module(self) -> Iterator[Edit]:
        for node in exempt.first_order(self.tree):
            if isinstance(node, ast.FunctionDef) and not exempt.is_exempt(node):
                bound = {a.arg for a in (*node.args.args, *node.args.kwonlyargs)}
                unread, self.function = exempt.unread(node), node
                for statement in node.body:
                    if _target(statement) in unread:
                        continue
                    for edit in self.statement(statement, bound, _is_kernel(node)):
                        yield replace(edit, function=node.name)

    def statement(self, node: ast.stmt, bound: set[str], is_kernel: bool) -> Iterator[Edit]:
        """The edits of a statement; what it binds is bound from then on."""
        if exempt.is_exempt(node):
            return
        blocks = [b for name in ("body", "orelse") for b in getattr(node, name, [])]
        first = node.lineno
        last = (blocks[0].lineno - 1 if blocks else node.end_lineno) or first
        here = Here(self.kinds, frozenset(bound), is_kernel=is_kernel)
        for part, place in self.inside(node, here, set(map(id, blocks))):
            for slip in (s for slipping in SLIPS for s in slipping(part, place)):
                edit = Edit(slip.kind, *self.change(part, slip), first, max(first, last))
                choice = place.chosen(part)
                if choice and self.is_real(choice) and not (is_kernel and _asks(node)):
                    edit = replace(edit, met=self.met(choice, edit))
                if slip.negates and part in (node, _number(node)):
                    edit = replace(edit, negated=_target(node))
                if slip.probe:
                    edit = edit.probed(*self.span(part), slip.probe, slip.reason)
                if slip.exchanged and isinstance(node, ast.Expr) and not is_kernel:
                    edit = self.told_apart(*slip.exchanged, edit)
                asks = is_kernel and _asks(node)
                edit = edit if edit.probe or asks else self.magnified(node, edit, here)
                yield edit if edit.probe else self.compared(node, part, edit, place)
        bound |= _bound_by(node)
        bound -= _written_over(node)
        for block in blocks:
            yield from self.statement(block, bound, is_kernel)

    def compared(self, node: ast.stmt, part: ast.AST, edit: Edit, here: Here) -> Edit:
        """With a probe that raises where a size, or in a kernel an address, is another."""
        if (grid := _grid(node)) is not None and self.holds(grid, edit):
            start, end = self.span(grid)
            return edit.probed(start, end, no_fewer(*self.sides(start, end, edit)), MORE)
        whole = part if here.is_kernel else None
        if isinstance(node, ast.Assign):
            several = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            whole = next((v for v in several if self.holds(v, edit)), None)
        if isinstance(node, ast.If) and self.holds(node.test, edit):
            asks = here.is_kernel and _asks(node)
            whole = node.test if asks or self.is_told(node.test) else None
        if not isinstance(whole, ast.expr):
            return edit
        start, end = self.span(whole)
        text = met(*self.sides(start, end, edit))
        return edit.probed(start, end, text, EVERYWHERE)

    def told_apart(self, one: ast.expr, other: ast.expr, edit: Edit) -> Edit:
        """With a probe that raises where two arguments of a launch differ."""
        (start, end), (after, last) = self.span(one), self.span(other)
        text = met(self.text[start:end], self.text[after:last])
        return edit.probed(start, end, text, EVERYWHERE)

    def is_told(self, test: ast.expr) -> bool:
        """Besides sizes, is all in it an argument that is a number in each call of the function?"""
        nodes = list(ast.walk(test))
        shaped = {n.value for n in nodes if isinstance(n, ast.Attribute) and n.attr == "shape"}
        names = {n.id for n in nodes if isinstance(n, ast.Name) and n not in shaped}
        places = [a.arg for a in self.function.args.args]
        every = (n for n in ast.walk(self.tree) if isinstance(n, ast.Call))
        calls = [c for c in every if exempt.called(c) == self.function.name]
        given = [dict(zip(places, c.args, strict=False)) for c in calls]
        numbers = (isinstance(g.get(n), ast.Constant) for g in given for n in names)
        return bool(calls) and all(numbers)

    def is_real(self, choice: ast.AST) -> bool:
        """Do tensors take part in it? Of indices and sizes, checks meet all there is."""
        names = (n.id for n in ast.walk(choice) if isinstance(n, ast.Name))
        return any(self.kinds[name] is not None for name in names)

    def holds(self, node: ast.expr, edit: Edit) -> bool:
        """Is the edit within the node?"""
        start, end = self.span(node)
        return start <= edit.start and edit.end <= end

    def met(self, choice: ast.AST, edit: Edit) -> Edit:
        """What is noticed if the choice is another anywhere."""
        start, end = self.span(choice)
        text = met(*self.sides(start, end, edit))
        return Edit("met", start, end, text, edit.first, edit.last)

    def sides(self, start: int, end: int, edit: Edit) -> tuple[str, str]:
        """A stretch of text, and what becomes of it."""
        longer = len(edit.new) - (edit.end - edit.start)
        return self.text[start:end], edit.applied(self.text)[start : end + longer]

    def magnified(self, node: ast.stmt, edit: Edit, here: Here) -> Edit:
        """With a probe: the tensor that is computed here, or is meant, off by so much more."""
        computes = isinstance(node, ast.Assign) and here.kinds[_target(node)] is not None
        computes |= isinstance(node, ast.AugAssign) and here.is_kernel
        gives = isinstance(node, ast.Return) and not isinstance(node.value, ast.Tuple)
        if not computes and not gives:
            if edit.kind != "name":
                return edit
            meant = self.text[edit.start : edit.end]
            return edit.probed(
                edit.start, edit.end, magnified(meant, edit.new, here.is_kernel), SAME
            )
        assert isinstance(node, ast.Assign | ast.AugAssign | ast.Return)
        if node.value is None or edit.start < self.span(node.value)[0]:
            return edit
        start, end = self.span(node.value)
        right, wrong = (_on_copies(side, here.kinds) for side in self.sides(start, end, edit))
        return edit.probed(start, end, magnified(right, wrong, here.is_kernel), UNREAD)

    def inside(self, node: ast.AST, here: Here, blocks: set[int]) -> Iterator[tuple[ast.AST, Here]]:
        """A node and what is in it, but for statements with lines of their own."""
        if exempt.is_exempt(node):
            return
        yield node, here
        for child in exempt.children(node):
            if id(child) not in blocks:
                yield from self.inside(child, here.below(node, child), blocks)

    def change(self, node: ast.AST, slip: Slip) -> tuple[int, int, str]:
        """Where the text changes, and what is there then."""
        if slip.exchanged is None:
            return (*self.span(node), slip.new)
        (start, middle), (after, end) = map(self.span, slip.exchanged)
        text = self.text
        return start, end, text[after:end] + text[middle:after] + text[start:middle]

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node stands in the text."""
        assert isinstance(node, ast.expr | ast.stmt)
        assert node.end_lineno is not None
        return (
            self.place(node.lineno, node.col_offset),
            self.place(node.end_lineno, node.end_col_offset or 0),
        )

    def place(self, line: int, column: int) -> int:
        """Columns of the tree count bytes, those of the text characters."""
        start = self.starts[line - 1]
        before = self.text[start : self.starts[line]].encode()[:column]
        return start + len(before.decode())


def _target(node: ast.stmt) -> str:
    """The one name that a statement gives a value."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else ""


def _asks(node: ast.stmt) -> bool:
    """Does it ask whether there is a tensor? Checks leave out none, all, and all but each."""
    test = node.test if isinstance(node, ast.If) else None
    return isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is | ast.IsNot)


def _grid(node: ast.stmt) -> ast.expr | None:
    """How many programs a launch has."""
    launch = (
        node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    )
    several = launch.slice if isinstance(launch, ast.Subscript) else None
    return several.elts[0] if isinstance(several, ast.Tuple) else None


def _number(node: ast.stmt) -> ast.AST | None:
    """What a statement computes, whatever type it is given then."""
    value: ast.AST | None = getattr(node, "value", None)
    while isinstance(value, ast.Call) and called(value) == "to":
        value = value.func.value if isinstance(value.func, ast.Attribute) else None
    return value


def _is_kernel(function: ast.FunctionDef) -> bool:
    return any(called(d) == "jit" for d in function.decorator_list)


def _bound_by(node: ast.stmt) -> set[str]:
    """The names that a statement gives a value; None is none."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        return set()
    names = (n for n in ast.walk(node) if isinstance(n, ast.Name))
    return {n.id for n in names if isinstance(n.ctx, ast.Store)}


def _written_over(node: ast.stmt) -> set[str]:
    """The other name of what a statement names: after `b = a.mul_(2)` both are one tensor."""
    value: ast.AST | None = getattr(node, "value", None)
    while (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr.endswith("_")
    ):
        value = value.func.value
    return {value.id} - {_target(node)} if isinstance(value, ast.Name) and _target(node) else set()


@dataclass
class _Copies(ast.NodeTransformer):
    """Copies of the tensors that are written over."""

    kinds: Kinds

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        if node.attr.endswith("_") and self.kinds[name] is not None:
            copy = ast.parse(f"{name}.clone()", mode="eval").body
            return ast.Attribute(copy, node.attr, ast.Load())
        return node


def _on_copies(text: str, kinds: Kinds) -> str:
    """The expression, so that it can be computed several times: it writes over copies alone."""
    try:
        tree = ast.parse(f"({text})", mode="eval")
    except SyntaxError:  # a mutant may be no module at all
        return text
    changed = _Copies(kinds).visit(tree)
    return ast.unparse(changed) if ".clone()" in ast.unparse(changed) else text


def edits(text: str, kinds: Kinds) -> list[Edit]:
    """Every edit of a module; two that give one text are one."""
    found: dict[tuple[int, int, str], Edit] = {}
    for edit in _Walk(text, kinds).module():
        if text[edit.start : edit.end] != edit.new:
            found.setdefault((edit.start, edit.end, edit.new), edit)
    return sorted(found.values(), key=lambda e: (e.start, e.end, e.kind, e.new))
