"""The names, sizes and sums of one op: from the trees of its lines to what building asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from math import prod

from sympy import Expr, Integer

from derive.errors import Report, Span
from derive.notation import names
from derive.notation import tree as t
from derive.notation.indices import Indices
from derive.notation.nodes import Labels, Scalar, Tensor
from derive.notation.scope import Declared, Scope, check, deltas_of, letters_of
from derive.notation.sizes import Sizes

Named = tuple[str, Span]

MOST_EXTENT = 65_536


class Resolver:
    """Resolves one op, noting what it refuses; `placed` has the sums of each equation."""

    def __init__(self, head: t.Head, equations: Sequence[t.Equality], report: Report) -> None:
        self.head, self.equations, self.report = head, equations, report
        self.scope = Scope(_sizes(head, equations))
        self.placed: list[Indices] = []

    def resolve(self, lost: Iterable[str]) -> Resolver:
        """`lost` are the names that refused lines define: neither unknown nor known."""
        self.scope.lost.update(lost)
        self._declare_head()
        self.placed = [self._equation(e) for e in self.equations]
        self._settle_labels()
        self._check_outputs()
        if not self.scope.lost:  # else a line that is refused may be the one that uses a name
            self._check_unused()
            self._check_sizes()
        self._check_gradients()
        self._check_letters()
        return self

    # -- definitions -------------------------------------------------------------------------------

    def _declare_head(self) -> None:
        head = self.head
        self._check_name(head.name_span, names.op_fault(head.name))
        for rank, declared in enumerate(head.inputs):
            self._declare(declared, rank)
        for rank, parameter in enumerate(head.parameters):
            self._declare_scalar(parameter, rank)
        self._check_merged()
        if all(d.values is not None for d in head.inputs):
            self.report.add("E112", head.name_span, "an op takes at least one tensor of numbers")

    def _declare_scalar(self, parameter: t.Default, rank: int) -> None:
        name, span = parameter.name, parameter.span
        if not self._is_new(name, span):
            return
        self._check_name(span, names.fault(name) or self._function(name))
        if self.scope.sizes.named(name):
            self._check_extent(parameter)
            return
        if parameter.value and not _is_float(parameter):
            self.report.add("E604", span, "this default is no floating-point number")
        self.scope.scalars[name] = Scalar(name, rank)

    def _check_extent(self, parameter: t.Default) -> None:
        """A size given as a parameter: a whole number, of an index that no axis shows alone."""
        letter = parameter.name.lower()
        if parameter.value.denominator != 1 or not 1 <= parameter.value <= MOST_EXTENT:
            message = f"the size `{parameter.name}` is no whole number from 1 to {MOST_EXTENT}"
            self.report.add("E603", parameter.span, message, f"write `{parameter.name} = 2`")
        elif letter in self._alone:
            message = f"`{parameter.name}` is the size of the index `{letter}`, which an axis shows"
            self.report.add("E210", parameter.span, message, "rename the parameter, or the index")

    @cached_property
    def _alone(self) -> set[str]:
        """The letters that are an axis of some input by themselves."""
        return {
            k for d in self.head.inputs for group in _groups(d) if len(group) == 1 for k in group
        }

    def _check_merged(self) -> None:
        """Of the sizes of a merged axis all but one are known from elsewhere."""
        known = self._alone | {p.name.lower() for p in self.head.parameters}
        for declared in self.head.inputs:
            for group in _groups(declared):
                unknown = [k for k in group if k not in known]
                if len(group) > 1 and len(unknown) > 1:
                    message = (
                        f"nothing gives the sizes of {' and '.join(f'`{k}`' for k in unknown)}"
                    )
                    remedy = f"make one a parameter: `; {unknown[0].upper()} = 2`"
                    self.report.add("E311", declared.span, message, remedy)

    def _declare(self, declared: t.Declaration, rank: int) -> None:
        name, span = declared.name, declared.name_span
        if not self._is_new(name, span):
            return
        self._check_name(span, names.tensor_fault(name) or self._function(name))
        self._check_not_size(name, span)
        letters = tuple(k.name for k in declared.letters)
        if declared.values is None:
            self.scope.tensors[name] = Declared(Tensor(name, rank, declared.groups), letters)
            return
        values = next((k.name for k in declared.values), "")
        size = self.scope.sizes.size(values) if values else None
        self.scope.tensors[name] = Declared(
            Labels(name, rank, size, declared.groups), letters, values
        )

    def _is_new(self, name: str, span: Span) -> bool:
        if name in self.scope.tensors or name in self.scope.scalars:
            remedy = f"call one of them `{name}2`"
            self.report.add("E206", span, f"`{name}` is defined twice", remedy)
            return False
        return True

    def _check_name(self, span: Span, fault: tuple[str, str, str] | None) -> None:
        if fault:
            self.report.add(fault[0], span, fault[1], fault[2])

    def _function(self, name: str) -> tuple[str, str, str] | None:
        return names.function_fault(name, self.head.name)

    def _check_not_size(self, name: str, span: Span) -> None:
        if letter := self.scope.sizes.named(name):
            message = f"`{name}` is the size of the index `{letter}`"
            self.report.add("E210", span, message, "rename it, or the index")

    # -- equations ---------------------------------------------------------------------------------

    def _relation(self, e: t.Equality) -> Indices:
        """A relation: its unknown is known in it; the indices of both sides are free."""
        self._check_distinct(e.target)
        self._declare(e.target, len(self.scope.tensors))
        unused = e.target.name not in self.scope.used
        indices = Indices(self.scope.is_tensor, self.scope.sizes.rank.__getitem__, self.report)
        if all([check(side, self.scope, self.report) for side in e.sides]):  # noqa: C419  # all said
            self._place_sides(e, indices)
        if unused:
            self.scope.used.discard(e.target.name)
        return indices

    def _place_sides(self, e: t.Equality, indices: Indices) -> None:
        alone = [indices.alone(side).free for side in e.sides]
        free = frozenset(k for side in alone for k, is_free in side.items() if is_free)
        for side in e.sides:
            shape = indices.place(side, free)
            lacking = free - shape.indices
            if lacking and not shape.exempt:
                message = f"this side lacks {indices.listed(lacking)} of the other"
                remedy = f"multiply by `{indices.ones(lacking)}`"
                self.report.add("E303", side.span, message, remedy)
        indices.free = tuple(sorted(free, key=self.scope.sizes.rank.__getitem__))

    def _equation(self, e: t.Equality) -> Indices:
        if e.left is not None:
            return self._relation(e)
        self._check_distinct(e.target)
        here = e.target.span
        self.scope.later = {o.target.name for o in self.equations if o.target.span >= here}
        indices = Indices(self.scope.is_tensor, self.scope.sizes.rank.__getitem__, self.report)
        if check(e.right, self.scope, self.report):
            self._check_indices(indices, e)
        self._declare(e.target, len(self.scope.tensors))
        return indices

    def _check_indices(self, indices: Indices, e: t.Equality) -> None:
        free = frozenset(k.name for k in e.target.letters)
        lacking = free - indices.place(e.right, free).indices
        if lacking:
            message = f"the right side lacks {indices.listed(lacking)} of the left side"
            remedy = f"multiply by `{indices.ones(lacking)}`"
            self.report.add("E303", e.right.span, message, remedy)

    def _check_distinct(self, declared: t.Declaration) -> None:
        seen: set[str] = set()
        for letter in declared.letters:
            if letter.name in seen:
                message = f"`{letter.name}` stands twice in what is defined"
                remedy = "use distinct letters here, and `delta` on the right"
                self.report.add("E308", letter.span, message, remedy)
            seen.add(letter.name)

    def _settle_labels(self) -> None:
        """What integers index has the size that its equations give it, and its sentinels."""
        compared = self._compared()
        for name, declared in self.scope.tensors.items():
            if isinstance(declared.tensor, Labels):
                old, values = declared.tensor, declared.values
                size = self.scope.sizes.size(values) if values else old.values
                others = tuple(compared.get(name, ()))
                tensor = Labels(old.name, old.rank, size, old.groups, others)
                self.scope.tensors[name] = replace(declared, tensor=tensor)

    def _compared(self) -> dict[str, dict[Expr, None]]:
        """The numbers that each tensor is said to be equal to, or not."""
        found: dict[str, dict[Expr, None]] = {}
        nodes = [n for e in self.equations for side in e.sides for n in t.walk(side)]
        for node in nodes:
            if isinstance(node, t.Comparison) and node.relation in ("==", "!="):
                for one, other in (node.parts, node.parts[::-1]):
                    number = self._whole(other)
                    if isinstance(one, t.Reference) and number is not None:
                        found.setdefault(one.name, {})[number] = None
        return found

    def _whole(self, node: t.Node) -> Expr | None:
        """A parameter or an integer."""
        if isinstance(node, t.Reference):
            return self.scope.scalars.get(node.name)
        values = [p.value for p in node.parts if isinstance(p, t.Number)]
        if isinstance(node, t.Product) and len(values) == len(node.parts):
            value = prod(values)
        elif isinstance(node, t.Number):
            value = node.value
        else:
            return None
        return Integer(value.numerator) if value.denominator == 1 else None

    # -- the op as a whole -------------------------------------------------------------------------

    def _check_outputs(self) -> None:
        seen: set[str] = set()
        for output in self.head.outputs:
            self.scope.used.add(output.name)
            if output.values is not None:
                message = f"the output `{output.name}` is a tensor of numbers"
                self.report.add("E501", output.span, message, "only inputs hold integers")
            if output.name in seen:
                message = f"the output `{output.name}` is listed twice"
                self.report.add("E206", output.span, message, "list it once")
            else:
                self._check_output(output)
            seen.add(output.name)

    def _check_output(self, output: t.Declaration) -> None:
        defined = {e.target.name for e in self.equations}
        if output.name in defined:
            self._check_shown(output)
            check(t.Reference(output.span, output.name, output.letters), self.scope, self.report)
            self._check_distinct(output)
        elif output.name not in self.scope.lost:
            hint = names.nearest(output.name, defined)
            remedy = hint or f"add an equation `{output.name}[…] = …`"
            message = f"no equation defines the output `{output.name}`"
            self.report.add("E209", output.span, message, remedy)

    def _check_shown(self, output: t.Declaration) -> None:
        """The header and the equation show the same axes."""
        target = next(e.target for e in self.equations if e.target.name == output.name)
        if target.groups != output.groups and len(target.letters) == len(output.letters):
            message = f"the header and the equation of `{output.name}` show different axes"
            self.report.add("E304", output.span, message, "write both sides the same way")

    def _definitions(self) -> list[Named]:
        declared = [*self.head.inputs, *(e.target for e in self.equations)]
        scalars = [(p.name, p.span) for p in self.head.parameters if p.name in self.scope.scalars]
        return [*((d.name, d.name_span) for d in declared), *scalars]

    def _check_unused(self) -> None:
        for name, span in self._definitions():
            if name not in self.scope.used:
                message = f"`{name}` is never used"
                self.report.add("E208", span, message, "remove it, or make it an output")

    def _check_gradients(self) -> None:
        spans = dict(self._definitions())
        tensors = [n for n, d in self.scope.tensors.items() if not d.counts]
        for name, tensor in names.clashes(tensors, [*self.scope.tensors, *self.scope.scalars]):
            message = f"`{name}` is the gradient of `{tensor}`"
            self.report.add("E205", spans[name], message, f"call it `{name}_`")

    def _letters(self) -> dict[str, t.Letter]:
        """Each letter where it first stands."""
        declared = [*self.head.inputs, *self.head.outputs, *(e.target for e in self.equations)]
        letters = [k for d in declared for k in (*d.letters, *(d.values or ()))]
        letters += [k for e in self.equations for side in e.sides for k in letters_of(side)]
        return {k.name: k for k in reversed(letters)}

    def _check_letters(self) -> None:
        for letter in self._letters().values():
            self._check_name(letter.span, names.fault(letter.name))

    def _check_sizes(self) -> None:
        for letter in self._letters().values():
            if not self.scope.sizes.is_known(letter.name):
                message = f"the index `{letter.name}` has no size: no input's axis has it"
                remedy = "let a component carry it, or tie it to another index by `delta`"
                self.report.add("E311", letter.span, message, remedy)


def _sizes(head: t.Head, equations: Sequence[t.Equality]) -> Sizes:
    """The letters in order of appearance; those of one `delta` have one size throughout the op."""
    declared = [k.name for d in head.inputs for k in d.letters]
    more = [k for d in head.outputs for k in d.letters]
    more += [k for d in head.inputs for k in d.values or ()]
    for e in equations:
        more += [*e.target.letters, *(k for side in e.sides for k in letters_of(side))]
    sizes = Sizes([*declared, *(k.name for k in more)], set(declared))
    for e in equations:
        for one, other in (pair for side in e.sides for pair in deltas_of(side)):
            sizes.equate(one, other)
        for row, column in _squared(e, sizes):
            sizes.equate(row, column)
    return sizes


def _squared(e: t.Equality, sizes: Sizes) -> Iterable[tuple[str, str]]:
    """The rows and columns of a relation, in order: there are as many relations as unknowns."""
    if e.left is None:
        return ()
    indices = Indices(lambda _: True, sizes.rank.__getitem__, Report([]))
    free = {k for side in e.sides for k, is_free in indices.alone(side).free.items() if is_free}
    own = [k.name for k in e.target.letters]
    rows = sorted(free - set(own), key=sizes.rank.__getitem__)
    places = [p for side in e.sides for p in t.walk(side) if isinstance(p, t.Reference)]
    unknown = [p.axes for p in places if p.name == e.target.name and p.plain]
    along = ((k, a.name) for axes in unknown for k, a in zip(own, axes, strict=False))
    return (*zip(rows, [k for k in own if k not in free], strict=False), *along)


def _groups(declared: t.Declaration) -> Iterable[tuple[str, ...]]:
    """The letters of each axis."""
    letters = iter(k.name for k in declared.letters)
    for count in declared.groups or (1,) * len(declared.letters):
        yield tuple(next(letters) for _ in range(count))


def _is_float(parameter: t.Default) -> bool:
    """Neither too large nor too small for double precision."""
    try:
        return float(parameter.value) != 0
    except OverflowError:
        return False
