"""The names, sizes and sums of one op: from the trees of its lines to what building asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from derive.errors import Report, Span
from derive.notation import names
from derive.notation import tree as t
from derive.notation.indices import Indices
from derive.notation.nodes import Scalar, Tensor
from derive.notation.scope import Declared, Scope, check, deltas_of, letters_of
from derive.notation.sizes import Sizes

Named = tuple[str, Span]


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
        if not head.inputs:
            self.report.add("E112", head.name_span, "an op takes at least one tensor")

    def _declare_scalar(self, parameter: t.Default, rank: int) -> None:
        name, span = parameter.name, parameter.span
        if not self._is_new(name, span):
            return
        self._check_name(span, names.fault(name) or self._function(name))
        self._check_not_size(name, span)
        if parameter.value and not _is_float(parameter):
            self.report.add("E604", span, "this default is no floating-point number")
        self.scope.scalars[name] = Scalar(name, rank)

    def _declare(self, declared: t.Declaration, rank: int) -> None:
        name, span = declared.name, declared.name_span
        if not self._is_new(name, span):
            return
        self._check_name(span, names.tensor_fault(name) or self._function(name))
        self._check_not_size(name, span)
        letters = tuple(k.name for k in declared.letters)
        self.scope.tensors[name] = Declared(Tensor(name, rank), letters)

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

    def _equation(self, e: t.Equality) -> Indices:
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

    # -- the op as a whole -------------------------------------------------------------------------

    def _check_outputs(self) -> None:
        seen: set[str] = set()
        for output in self.head.outputs:
            self.scope.used.add(output.name)
            if output.name in seen:
                message = f"the output `{output.name}` is listed twice"
                self.report.add("E206", output.span, message, "list it once")
            else:
                self._check_output(output)
            seen.add(output.name)

    def _check_output(self, output: t.Declaration) -> None:
        defined = {e.target.name for e in self.equations}
        if output.name in defined:
            check(t.Reference(output.span, output.name, output.letters), self.scope, self.report)
            self._check_distinct(output)
        elif output.name not in self.scope.lost:
            hint = names.nearest(output.name, defined)
            remedy = hint or f"add an equation `{output.name}[…] = …`"
            message = f"no equation defines the output `{output.name}`"
            self.report.add("E209", output.span, message, remedy)

    def _definitions(self) -> list[Named]:
        declared = [*self.head.inputs, *(e.target for e in self.equations)]
        scalars = [(p.name, p.span) for p in self.head.parameters]
        return [*((d.name, d.name_span) for d in declared), *scalars]

    def _check_unused(self) -> None:
        for name, span in self._definitions():
            if name not in self.scope.used:
                message = f"`{name}` is never used"
                self.report.add("E208", span, message, "remove it, or make it an output")

    def _check_gradients(self) -> None:
        spans = dict(self._definitions())
        for name, tensor in names.clashes(self.scope.tensors, self.scope.scalars):
            message = f"`{name}` is the gradient of `{tensor}`"
            self.report.add("E205", spans[name], message, f"call it `{name}_`")

    def _letters(self) -> dict[str, t.Letter]:
        """Each letter where it first stands."""
        declared = [*self.head.inputs, *self.head.outputs, *(e.target for e in self.equations)]
        letters = [k for d in declared for k in d.letters]
        letters += [k for e in self.equations for k in letters_of(e.right)]
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
    for e in equations:
        more += [*e.target.letters, *letters_of(e.right)]
    sizes = Sizes([*declared, *(k.name for k in more)], set(declared))
    for e in equations:
        for one, other in deltas_of(e.right):
            sizes.equate(one, other)
    return sizes


def _is_float(parameter: t.Default) -> bool:
    """Neither too large nor too small for double precision."""
    try:
        return float(parameter.value) != 0
    except OverflowError:
        return False
