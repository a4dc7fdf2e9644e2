"""The names, sizes and sums of one op: from the trees of its lines to what building asks for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from math import prod

from sympy import Expr, Integer

from derive.errors import Report, Span
from derive.notation import names
from derive.notation import tree as t
from derive.notation.axes import groups, sizes_of
from derive.notation.indices import Indices
from derive.notation.linear import not_linear
from derive.notation.nodes import Labels, Scalar, Tensor
from derive.notation.scope import CONSTANTS, Declared, Scope, check, letters_of, spelled

Named = tuple[str, Span]

MOST_EXTENT = 65_536


class Resolver:
    """Resolves one op, noting what it refuses; `placed` has the sums of each equation."""

    def __init__(self, head: t.Head, equations: Sequence[t.Equality], report: Report) -> None:
        self.head, self.equations, self.report = head, equations, report
        self.scope = Scope(sizes_of(head, equations))
        self.placed: list[Indices] = []
        self.whole = True  # does each line that can be read mean something?

    def resolve(self, lost: Iterable[str]) -> Resolver:
        """`lost` are the names that refused lines define: neither unknown nor known."""
        self.scope.lost.update(lost)
        self._declare_head()
        self.placed = [self._equation(e) for e in self.equations]
        self._settle_labels()
        self._check_outputs()
        if not self.scope.lost and self.whole:  # else what is refused may be what uses a name
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
        self._check_size_names()
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
            k for d in self.head.inputs for group in groups(d) if len(group) == 1 for k in group
        }

    def _check_size_names(self) -> None:
        for letter in (k for declared in self.head.inputs for k in declared.letters):
            self._check_name(letter.span, names.size_fault(letter.name))

    def _check_merged(self) -> None:
        """Of the sizes of a merged axis all but one are known from elsewhere."""
        known = self._alone | {p.name.lower() for p in self.head.parameters}
        for declared in self.head.inputs:
            for group in groups(declared):
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
        indices = self._indices()
        read = [check(side, self.scope, self.report) for side in e.sides]  # all is said of both
        self.whole = self.whole and all(read)
        if all(read) and not self._refuse_not_linear(e):
            self._place_sides(e, indices)
        if unused:
            self.scope.used.discard(e.target.name)
        return indices

    def _indices(self) -> Indices:
        indices = Indices(self.scope.is_tensor, self.scope.sizes.rank.__getitem__, self.report)
        integers = ((n, d.letters) for n, d in self.scope.tensors.items() if d.counts)
        indices.labels = {name: spelled(name, letters) for name, letters in integers if letters}
        return indices

    def _refuse_not_linear(self, e: t.Equality) -> bool:
        found = [p for side in e.sides if (p := not_linear(side, e.target.name)) is not None]
        for part in found[:1]:
            name = f"`{e.target.name}`"
            message = f"the relation is not linear in {name}"
            remedy = f"{name} stands once in a product, in no function and no divisor"
            self.report.add("E504", part.span, message, remedy)
        return bool(found)

    def _place_sides(self, e: t.Equality, indices: Indices) -> None:
        before = self.report.refused
        alone = [indices.alone(side).free for side in e.sides]
        free = frozenset(k for side in alone for k, is_free in side.items() if is_free)
        shapes = [(side, indices.place(side, free)) for side in e.sides]
        lacking = [(s, free - shape.indices) for s, shape in shapes if not shape.exempt]
        lacking = [(side, letters) for side, letters in lacking if letters]
        if lacking and self.report.refused == before:
            side, letters = lacking[-1]
            message = f"this side lacks {indices.listed(letters)} of the other"
            remedy = f"multiply by `{indices.ones(letters)}`"
            if len(lacking) > 1:
                other = indices.listed(lacking[0][1])
                message = (
                    f"this side lacks {indices.listed(letters)} of the other, that one {other}"
                )
                remedy = "write the same indices on both sides"
            self.report.add("E303", side.span, message, remedy)
        indices.free = tuple(sorted(free, key=self.scope.sizes.rank.__getitem__))

    def _equation(self, e: t.Equality) -> Indices:
        if e.left is not None:
            return self._relation(e)
        self._check_distinct(e.target)
        here = e.target.span
        self.scope.later = {o.target.name for o in self.equations if o.target.span >= here}
        self.scope.own = "" if e.target.name in self.scope.tensors else e.target.name
        indices = self._indices()
        if check(e.right, self.scope, self.report):
            self._check_indices(indices, e)
        else:
            self.whole = False
        self.scope.later, self.scope.own = (), ""
        self._declare(e.target, len(self.scope.tensors))
        return indices

    def _check_indices(self, indices: Indices, e: t.Equality) -> None:
        free, before = frozenset(k.name for k in e.target.letters), self.report.refused
        lacking = free - indices.place(e.right, free).indices
        if lacking and self.report.refused == before:  # else what is refused may carry them
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
        elif not self.scope.lost:
            self.whole = False
            message = f"no equation defines the output `{output.name}`"
            self.report.add("E209", output.span, message, self._output_meant(output, defined))

    def _output_meant(self, output: t.Declaration, defined: set[str]) -> str:
        """The help on an output without an equation."""
        shown = spelled(output.name, [k.name for k in output.letters])
        if output.name in {d.name for d in self.head.inputs}:
            return f"`{output.name}` is an input: give the output another name"
        run_on = f"{output.name}_{''.join(k.name for k in output.letters)}"
        if run_on in defined:
            return f"write `{shown} = …` for `{run_on} = …`"
        others = defined - {o.name for o in self.head.outputs}
        return names.nearest(output.name, others) or f"add an equation `{shown} = …`"

    def _check_shown(self, output: t.Declaration) -> None:
        """The header and the equation show the same axes, of the same sizes."""
        target = next(e.target for e in self.equations if e.target.name == output.name)
        last = target.letters[-1].span if target.letters else target.name_span
        if self.report.within(Span(*target.name_span[:2], *last[2:])):
            self.whole = False
            return
        own, other = ([k.name for k in d.letters] for d in (output, target))
        shown = spelled(output.name, own)
        remedy = f"write `{spelled(output.name, other)}` here, or `{shown}` below"
        if len(own) != len(other):
            have = f"{len(own)} {'index' if len(own) == 1 else 'indices'}"
            message = f"`{output.name}` has {have} here, and {len(other)} in its equation"
            self.report.add("E304", output.span, message, remedy)
        elif target.groups != output.groups:
            message = f"the header and the equation of `{output.name}` show different axes"
            self.report.add("E304", output.span, message, "write both sides the same way")
        elif not all(self.scope.sizes.agree(*pair) for pair in zip(own, other, strict=True)):
            message = f"`{shown}` has axes of other sizes in its equation"
            self.report.add("E305", output.span, message, remedy)
        else:
            self._check_distinct(output)

    def _definitions(self) -> list[Named]:
        declared = [*self.head.inputs, *(e.target for e in self.equations)]
        scalars = [(p.name, p.span) for p in self.head.parameters if p.name in self.scope.scalars]
        return [*((d.name, d.name_span) for d in declared), *scalars]

    def _check_unused(self) -> None:
        given = {d.name for d in self.head.inputs} | {p.name for p in self.head.parameters}
        for name, span in self._definitions():
            if name not in self.scope.used and not self._is_spoken_of(name):
                message = f"`{name}` is never used"
                other = "use it, or take it out of the header"
                remedy = other if name in given else "remove it, or make it an output"
                self.report.add("E208", span, message, remedy)

    def _is_spoken_of(self, name: str) -> bool:
        """Is it what another refusal says that was meant?"""
        spoken = re.compile(rf"`{name}\b")
        return any(spoken.search(d.message + d.help) for d in self.report.found)

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

    def _tensor_meant(self, name: str, carried: Collection[str]) -> str:
        """The help on an index that has no size; it may be a tensor without its indices."""
        declared = self.scope.tensors.get(name)
        if declared and declared.letters:
            return f"write `{spelled(name, declared.letters)}`, if the tensor is meant"
        if name in CONSTANTS:
            return CONSTANTS[name]
        if len(name) > 1 and not any(c.isdigit() for c in name):
            return f"if it is a number, declare it as a parameter: `; {name} = 0`"
        return _UNSIZED if name in carried else f"{_UNSIZED}; a number is declared: `; {name} = 2`"

    def _check_sizes(self) -> None:
        shown = [*self.head.inputs, *self.head.outputs, *(e.target for e in self.equations)]
        carried = {k.name for d in shown for k in d.letters}
        for letter in self._letters().values():
            if self.scope.sizes.is_known(letter.name):
                continue
            self.report.withdraw("E301", letter.span)
            if not self.report.marks(letter.span):
                message = f"the index `{letter.name}` has no size: no input's axis has it"
                remedy = self._tensor_meant(letter.name, carried)
                self.report.add("E311", letter.span, message, remedy)


_UNSIZED = (
    "let a component carry it, tie it to another index by `delta`, or make its size a parameter"
)


def _is_float(parameter: t.Default) -> bool:
    """Neither too large nor too small for double precision."""
    try:
        return float(parameter.value) != 0
    except OverflowError:
        return False
