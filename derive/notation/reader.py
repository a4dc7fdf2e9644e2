"""Op files to ops: what is defined, in which order, with which sizes; all errors in one run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from sympy.core.parameters import distribute

from derive.errors import Report, Span
from derive.notation import names
from derive.notation import tree as t
from derive.notation.build import Builder, Refused
from derive.notation.indices import Indices
from derive.notation.lines import Line, logical, physical
from derive.notation.nodes import Component, Scalar, Tensor
from derive.notation.op import Equation, Op, Parameter
from derive.notation.parse import parse
from derive.notation.scope import Declared, Scope, check, deltas_of, letters_of
from derive.notation.sizes import Sizes
from derive.notation.statement import Statement, read_equation

__all__ = ["Statement", "read_equation", "read_ops"]

MOST_BYTES = 65_536
MOST_EQUATIONS = 200
_HEAD = re.compile(r"\s*op\b(?!\s*[\[=])")
_SOLVE = re.compile(r"\s*solve\b(?!\s*[\[=])")


def read_ops(text: str, path: str = "") -> tuple[Op, ...]:
    """The ops of a file in its order; `SourceError` with every refusal found."""
    lines = physical(text)
    report = Report(lines, path)
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        report.add("E401", Span(1, 1, 1, 2), "a file of more than 64 KiB", "split it into several files")
        raise report.error()
    blocks = _blocks(list(logical(lines, report)), report)
    ops = [_OpReader(block, lines, report).read() for block in blocks]
    _refuse_same(ops, report)
    report.check()
    return tuple(reader.op for reader in ops if reader.op)


@dataclass
class _Block:
    """The logical lines of one op."""

    head: Line
    equations: list[Line] = field(default_factory=list)


def _blocks(lines: list[Line], report: Report) -> list[_Block]:
    blocks: list[_Block] = []
    for line in lines:
        if _HEAD.match(line.code):
            blocks.append(_Block(line))
        elif blocks:
            blocks[-1].equations.append(line)
        else:
            report.add("E108", _start(line), "this line stands above the first `op`",
                       "begin with `op name(x[b,h]) -> y[b,h]`")
    if not lines:
        report.add("E109", Span(1, 1, 1, 2), "there is no op in this file", "begin with `op name(x[b,h]) -> y[b,h]`")
    return blocks


def _start(line: Line) -> Span:
    column = len(line.code) - len(line.code.lstrip()) + 1
    return Span(line.first, column, line.first, len(line.code.split("\n")[0].rstrip()) + 1)


def _refuse_same(readers: Iterable[_OpReader], report: Report) -> None:
    """Op names are file names too, so they differ in more than capitals."""
    seen: set[str] = set()
    for reader in readers:
        head = reader.head
        if head and head.name.lower() in seen:
            report.add("E211", head.name_span, f"a second op is called `{head.name}`", f"call it `{head.name}2`")
        if head:
            seen.add(head.name.lower())


class _OpReader:
    """Reads one op, noting what it refuses; `op` is None if there was anything."""

    def __init__(self, block: _Block, lines: list[str], report: Report) -> None:
        self.block, self.lines, self.report = block, lines, report
        self.op: Op | None = None
        self.head: t.Head | None = None

    def read(self) -> _OpReader:
        before = len(self.report.found)
        line = self.block.head
        self.head = parse("head", line, self.report) if line.good else None
        parsed = [(line, self._parse(line)) for line in self._within_limit()]
        if self.head:
            self._read(self.head, parsed, before)
        return self

    def _within_limit(self) -> list[Line]:
        lines = self.block.equations
        if len(lines) > MOST_EQUATIONS:
            self.report.add("E403", _start(lines[MOST_EQUATIONS]), "an op of more than 200 equations",
                            "split it into several ops")
        return lines[:MOST_EQUATIONS]

    def _parse(self, line: Line) -> t.Equality | None:
        if not line.good:
            return None
        if _SOLVE.match(line.code):
            self.report.add("E504", _start(line), "`solve` is not supported yet")
            return None
        if "=" not in line.code:
            self.report.add("E113", _start(line), "this is no equation", "write `name[i] = …`")
            return None
        found: t.Equality | None = parse("equation", line, self.report)
        return found

    # -- names and sizes ---------------------------------------------------------------------------

    def _read(self, head: t.Head, parsed: list[tuple[Line, t.Equality | None]], before: int) -> None:
        equations = [(line, e) for line, e in parsed if e]
        self.scope = Scope(self._sizes(head, [e for _, e in equations]))
        self._lose(line for line, e in parsed if not e)
        self._declare_head(head)
        placed = [self._equation(line, e, equations) for line, e in equations]
        self._check_outputs(head)
        self._check_unused(head, equations)
        self._check_names(head, equations)
        if len(self.report.found) == before:
            self._build(head, equations, placed)

    def _sizes(self, head: t.Head, equations: list[t.Equality]) -> Sizes:
        letters = [k.name for d in head.inputs for k in d.letters]
        more = [k.name for d in head.outputs for k in d.letters]
        for e in equations:
            more += [k.name for k in e.target.letters] + letters_of(e.right)
        sizes = Sizes([*letters, *more], set(letters))
        for e in equations:
            for one, other in deltas_of(e.right):
                sizes.equate(one, other)
        return sizes

    def _lose(self, lines: Iterable[Line]) -> None:
        """What a refused line defines or uses is neither unknown nor unused."""
        for line in lines:
            self.scope.lost.update(line.words[:1])
            self.scope.used.update(line.words[1:])

    def _declare_head(self, head: t.Head) -> None:
        self._name(head.name, head.name_span, names.op_fault(head.name))
        for rank, declared in enumerate(head.inputs):
            self._declare(declared, rank)
        for rank, parameter in enumerate(head.parameters):
            if self._is_new(parameter.name, parameter.span):
                self._name(parameter.name, parameter.span, names.fault(parameter.name))
                self._check_default(parameter)
                self.scope.scalars[parameter.name] = Scalar(parameter.name, rank)
        if not head.inputs:
            self.report.add("E112", head.name_span, "an op takes at least one tensor", "")

    def _check_default(self, parameter: t.Default) -> None:
        try:
            nearest = float(parameter.value)
        except OverflowError:
            nearest = 0.0
        if not nearest and parameter.value:
            self.report.add("E604", parameter.span, "this default is no floating-point number", "")

    def _name(self, name: str, span: Span, fault: tuple[str, str, str] | None) -> None:
        if fault:
            self.report.add(fault[0], span, fault[1], fault[2])

    def _is_new(self, name: str, span: Span) -> bool:
        if name in self.scope.tensors or name in self.scope.scalars:
            self.report.add("E206", span, f"`{name}` is defined twice", f"call one of them `{name}2`")
            return False
        return True

    def _declare(self, declared: t.Declaration, rank: int) -> None:
        name, span = declared.name, declared.name_span
        if not self._is_new(name, span):
            return
        self._name(name, span, names.tensor_fault(name))
        if self.scope.sizes.named(name):
            self.report.add("E210", span, f"`{name}` is the size of the index `{name.lower()}`",
                            "rename the tensor or the index")
        self.scope.tensors[name] = Declared(Tensor(name, rank), tuple(k.name for k in declared.letters))

    # -- equations -----------------------------------------------------------------------------------

    def _equation(self, line: Line, e: t.Equality, equations: list[tuple[Line, t.Equality]]) -> Indices:
        letters = self._left(e.target)
        self.scope.later = {o.target.name for _, o in equations if o.target.span >= e.target.span}
        indices = Indices(self.scope.is_tensor, self.scope.sizes.rank.__getitem__, self.report)
        if check(e.right, self.scope, self.report):
            self._check_indices(indices, e.right, letters)
        self._declare(e.target, len(self.scope.tensors))
        return indices

    def _left(self, target: t.Declaration) -> frozenset[str]:
        seen: set[str] = set()
        for letter in target.letters:
            if letter.name in seen:
                self.report.add("E308", letter.span, f"`{letter.name}` stands twice on the left side",
                                "use distinct letters, and `delta` on the right")
            seen.add(letter.name)
        return frozenset(seen)

    def _check_indices(self, indices: Indices, right: t.Node, free: frozenset[str]) -> None:
        lacking = free - indices.place(right, free).indices
        if lacking:
            self.report.add("E303", right.span, f"the right side lacks {indices.listed(lacking)} of the left side",
                            f"multiply by `{indices.ones(lacking)}`")

    # -- the whole -----------------------------------------------------------------------------------

    def _check_outputs(self, head: t.Head) -> None:
        inputs, seen = {d.name for d in head.inputs}, set[str]()
        for output in head.outputs:
            self.scope.used.add(output.name)
            declared = self.scope.tensors.get(output.name)
            if output.name in seen:
                self.report.add("E206", output.span, f"the output `{output.name}` is listed twice", "remove one")
            elif output.name in inputs or (declared is None and output.name not in self.scope.lost):
                known = [n for n in self.scope.tensors if n not in inputs]
                self.report.add("E209", output.span, f"no equation defines the output `{output.name}`",
                                names.nearest(output.name, known) or f"add an equation `{output.name}[…] = …`")
            elif declared:
                self._check_output(output, declared)
            seen.add(output.name)

    def _check_output(self, output: t.Declaration, declared: Declared) -> None:
        reference = t.Reference(output.span, output.name, output.letters)
        check(reference, self.scope, self.report)
        self._left(output)

    def _check_unused(self, head: t.Head, equations: list[tuple[Line, t.Equality]]) -> None:
        defined = [(d.name, d.name_span) for d in (*head.inputs, *(e.target for _, e in equations))]
        for name, span in [*defined, *((p.name, p.span) for p in head.parameters)]:
            if name not in self.scope.used:
                self.report.add("E208", span, f"`{name}` is never used", "remove it, or make it an output")

    def _check_names(self, head: t.Head, equations: list[tuple[Line, t.Equality]]) -> None:
        targets = [e.target for _, e in equations]
        spans = {d.name: d.name_span for d in (*head.inputs, *targets)}
        spans |= {p.name: p.span for p in head.parameters}
        for name, tensor in names.clashes(self.scope.tensors, self.scope.scalars):
            self.report.add("E205", spans[name], f"`{name}` is the gradient of `{tensor}`", f"call it `{name}_`")
        for name in self.scope.scalars:
            if self.scope.sizes.named(name):
                self.report.add("E210", spans[name], f"`{name}` is the size of the index `{name.lower()}`", "rename it")
        self._check_letters([*head.inputs, *head.outputs, *targets], [e.right for _, e in equations])

    def _check_letters(self, declared: list[t.Declaration], nodes: list[t.Node]) -> None:
        """Each letter may be a name and has a size."""
        seen: set[str] = set()
        letters = [k for d in declared for k in d.letters]
        letters += [k for n in nodes for p in t.walk(n) for k in getattr(p, "letters", ())]
        for letter in letters:
            if letter.name in seen:
                continue
            seen.add(letter.name)
            self._name(letter.name, letter.span, names.fault(letter.name))
            if not self.scope.sizes.is_known(letter.name) and not self.scope.lost:
                self.report.add("E311", letter.span, f"the index `{letter.name}` has no size: it runs over no input's axis",
                                "let a component carry it, or tie it to another by `delta`")

    def _build(self, head: t.Head, equations: list[tuple[Line, t.Equality]], placed: list[Indices]) -> None:
        before, letters = len(self.report.found), self.scope.sizes.indices()

        def component(d: t.Declaration) -> Component:
            return Component(self.scope.tensors[d.name].tensor, *(letters[k.name] for k in d.letters))

        made = []
        with distribute(False):
            for (line, e), indices in zip(equations, placed, strict=True):
                try:
                    expr = Builder(self.scope, letters, indices, self.report).build(e.right)
                    made.append(Equation(component(e.target), expr, line.text))
                except Refused:
                    continue
        if len(self.report.found) > before:
            return
        self.op = Op(
            name=head.name,
            inputs=tuple(component(d) for d in head.inputs),
            parameters=tuple(Parameter(self.scope.scalars[p.name], p.value, p.text) for p in head.parameters),
            outputs=tuple(component(d) for d in head.outputs),
            equations=tuple(made),
            letters=tuple(letters.values()),
            title=self._title(),
            header=self.block.head.text,
            text=self._text(),
            path=self.report.path,
        )

    def _title(self) -> tuple[str, ...]:
        above = self.lines[self._first_line() - 1 : self.block.head.first - 1]
        return tuple(line.strip().removeprefix("#").strip().replace("\t", " ") for line in above)

    def _first_line(self) -> int:
        """The first line of the comment block right above the head, or the head's own."""
        first = self.block.head.first
        while first > 1 and self.lines[first - 2].lstrip().startswith("#"):
            first -= 1
        return first

    def _text(self) -> str:
        last = (self.block.equations or [self.block.head])[-1].last
        return "\n".join([*self.lines[self._first_line() - 1 : last], ""])
