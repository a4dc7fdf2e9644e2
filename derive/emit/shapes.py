"""Names and shapes of a generated module: what users see, and what its formulas are written for.

Leading axes are flattened to one on the way in and restored on the way out; axes that show several
indices are taken apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from derive.derivation import Derivation
from derive.emit.names import ROWS, Namer, class_name
from derive.emit.source import comma
from derive.notation.merged import spelled
from derive.notation.nodes import Component, Labels, Size, Tensor
from derive.notation.op import declared_as
from derive.plan.program import Program
from derive.plan.roles import PRODUCT
from derive.plan.short import Types
from derive.plan.trim import picking


class Shapes:
    """The tensors of one program as users see them."""

    types: Types | None = None  # where matrix products have a type of their own

    def __init__(
        self,
        program: Program,
        derivation: Derivation,
        *,
        kernels: bool = False,
        rows: Size | None = None,
    ) -> None:
        """`rows`: the size that stands for any number of leading axes, if roles do not tell."""
        self.program, self.derivation, self.op = program, derivation, program.op
        self.name = Namer(program)
        self.lead, self.work, self.needs = self.name("lead"), self.name("work"), self.name("needs")
        self.product = self.name("dtype")  # the type of matrix products
        self.leading = program.roles.leading
        self.rows = rows
        if rows is not None:
            found = (i for c in program.op.inputs for i in c.indices[:1] if i.size == rows)
            self.leading = next(found, None)
        self.kernels = (
            kernels  # kernels cast what they load; what is no matrix of rows is contiguous
        )
        self.casts = program.roles.kind != PRODUCT

    @property
    def function(self) -> str:
        """The name of the autograd.Function."""
        return class_name(self.op.name)

    @property
    def helper_names(self) -> dict[str, str]:
        """Names of the local variables that the template itself places."""
        plain = (
            "row",
            "rows",
            "columns",
            "inside",
            "start",
            "program",
            "programs",
            "kernel",
            "block",
            "here",
            "along",
            "first",
            "again",
            "ROWS",
            "EVEN",
            "lines",
            "blocks",
        )
        return {n: self.name(n) for n in (*plain, "work", "needs")}

    def condition(self, tensor: Tensor) -> str:
        """When the backward pass needs a tensor, as Python; empty if every gradient needs it."""
        return self.asked(self.program.needed_by.get(tensor, frozenset()))

    def asked(self, needed: Collection[str]) -> str:
        """When some of these gradients are asked for."""
        wanted = [f"{self.needs}[{k}]" for k, n in enumerate(self.inputs) if n in needed]
        every = len(wanted) == len(self.op.differentiable) > 1
        return "" if every else " or ".join(wanted)

    # -- names ----------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[str]:
        return [c.tensor.name for c in self.op.inputs]

    @property
    def scalars(self) -> list[str]:
        return [p.symbol.name for p in self.op.parameters]

    @property
    def extents(self) -> list[str]:
        return [e.size.name for e in self.op.extents]

    @property
    def saved_inputs(self) -> list[str]:
        return [c.tensor.name for c in self.program.saved if c not in self.program.kept]

    @property
    def kept(self) -> list[str]:
        return [c.tensor.name for c in self.program.kept]

    @property
    def outputs(self) -> list[str]:
        return [c.tensor.name for c in self.op.outputs]

    @property
    def numbers(self) -> list[str]:
        return [s.name for s in (*self.program.saved_sizes, *self.program.saved_scalars)]

    # -- shapes ---------------------------------------------------------------------------------

    def is_leading(self, component: Component) -> bool:
        """Does the tensor begin with the letter that stands for any number of axes?"""
        if self.leading is None or not component.indices:
            return False
        if self.rows is not None:
            return component.indices[0].size == self.rows
        return component.indices[0].size == self.leading.size and self._leads(component)

    def _leads(self, component: Component) -> bool:
        classes = self.program.roles.classes
        declared = declared_as(self.op, component)
        first = next(c for c in self.op.inputs if self.leading in c.indices[:1])
        return classes.of(declared)[:1] == classes.of(first)[:1]

    def _is_whole(self, component: Component) -> bool:
        """Is it a matrix of rows? Then a kernel takes it as it lies."""
        roles = self.program.roles
        return roles.is_whole(roles.classes.of(declared_as(self.op, component)))

    def is_line(self, component: Component) -> bool:
        """May it have any axes, each number of it a row? Then a kernel takes it as it lies."""
        alone = len(component.indices) == 1 and not self.program.roles.columns
        return alone and self.is_leading(component) and self._is_whole(component)

    def shape_doc(self, component: Component) -> str:
        """`[... h]`."""
        axes = component.tensor.axes(component.indices)
        names = [spelled([i.name for i in a], [i.size.name for i in a]) for a in axes]
        if self.is_leading(component):
            names[0] = "..."
        return f"[{' '.join(names)}]"

    def documented(self, components: tuple[Component, ...]) -> str:
        return ", ".join(f"{c.tensor.name} {self.shape_doc(c)}" for c in components)

    def shape(self, component: Component) -> str:
        """The public shape as a Python tuple."""
        axes = component.tensor.axes(component.indices)
        sizes = [" * ".join(i.size.name for i in a) for a in axes]
        if self.is_leading(component):
            if len(sizes) == 1:
                return self.lead
            sizes[0] = f"*{self.lead}"
        return f"({comma(sizes)})" if sizes else "()"

    def flat(self, component: Component, *, cast: bool) -> str:
        """A public tensor as the formulas want it."""
        text = component.tensor.name
        if self.kernels and self.is_line(component):
            return f"_whole({text})" if isinstance(component.tensor, Labels) else text
        if self.is_leading(component):
            sizes = [f"{ROWS}({self.lead})", *(i.size.name for i in component.indices[1:])]
            text += f".reshape({', '.join(sizes)})"
        elif component.tensor.groups:
            text += f".reshape({', '.join(i.size.name for i in component.indices)})"
        if isinstance(component.tensor, Labels):
            text = f"_whole({text})"
            return f"{text}.contiguous()" if self.kernels else text
        if self.kernels:
            return text if self._is_whole(component) else f"{text}.contiguous()"
        return f"{text}.to({self.given_as})" if cast and self.casts else text

    @property
    def given_as(self) -> str:
        """The dtype in which the formulas take tensors."""
        return self.work if self.types is None else self.product

    def label_checks(self) -> Iterator[str]:
        """Lines that refuse a label that picks and is no value: a kernel would not see it."""
        picks = picking(self.program.forward)
        for labels in (c.tensor for c in self.op.inputs if c.tensor in picks):
            if isinstance(labels, Labels) and labels.values is not None:
                known = [labels.name, labels.values.name, *map(str, labels.sentinels)]
                yield f"_expect_labels({', '.join(known)})"

    def prepare(self, components: tuple[Component, ...], *, check: bool) -> list[str]:
        """Lines that name the sizes and, on the way in, refuse shapes that do not fit."""
        lines: list[str] = []
        known = {e.size for e in self.op.extents if check or e.size in self.program.saved_sizes}
        for component in sorted(components, key=lambda c: bool(c.tensor.groups)):
            lines += self._sizes_of(component, known, check)
        if self._mentions_work(check):
            real = (c for c in components if not isinstance(c.tensor, Labels))
            names = [c.tensor.name for c in real]
            if self.types is None:
                names += [] if check else self.kept_names
                return [*lines, f"{self.work} = _work_dtype({', '.join(names)})"]
            lines.append(f"{self.product} = _product_dtype({', '.join(names)})")
            saved = {*self.saved_inputs}
            if not check and any(c.tensor.name not in saved for c in self.op.differentiable):
                lines.append(f"{self.work} = _work_dtype({', '.join(names)})")
        return lines

    def _mentions_work(self, check: bool) -> bool:
        """Kernels cast what they load: there, only gradients of unsaved inputs need the dtype."""
        unsaved = len(self.saved_inputs) < len(self.inputs)
        return self.casts and (not self.kernels or (unsaved and not check))

    def _sizes_of(self, component: Component, known: set[Size], check: bool) -> list[str]:
        name, indices = component.tensor.name, component.indices
        if component.tensor.groups:
            return self._sizes_of_merged(component, known, check)
        leads = self.is_leading(component)
        own = [i for k, i in enumerate(indices) if not (leads and k == 0)]
        lead_known = not leads or self.leading is None or self.leading.size in known
        if lead_known and all(i.size in known for i in own):
            return [self._expect(component)] if check else []
        least = f"{name}.dim() {'>=' if leads else '=='} {len(own) if leads else len(indices)}"
        lines = [self._expect_axes(component, least)] if check else []
        new: list[str] = []
        if leads and not lead_known:
            new.append(
                f"{self.lead} = {name}.shape[:{-len(own)}]"
                if own
                else f"{self.lead} = {name}.shape"
            )
            known.add(indices[0].size)
        for k, index in enumerate(indices):
            if index in own and index.size not in known:
                known.add(index.size)
                place = k - len(indices) if leads else k
                new.append(f"{index.size.name} = {name}.shape[{place}]")
        lines += new
        if check and len(indices) > len(new):  # something of it was known
            lines.append(self._expect(component))
        return lines

    def _expect(self, component: Component) -> str:
        """The refusal of a shape that does not fit the sizes that are known."""
        shown = f'"{component.tensor.name} {self.shape_doc(component)}"'
        return f"_expect({component.tensor.name}, {shown}, {self.shape(component)})"

    def _expect_axes(self, component: Component, holds: str) -> str:
        shown = f'"{component.tensor.name} {self.shape_doc(component)}"'
        return f"_expect_axes({holds}, {shown}, {component.tensor.name})"

    def _sizes_of_merged(self, component: Component, known: set[Size], check: bool) -> list[str]:
        """The same where an axis shows several indices: one size of each may follow from the rest.

        Axes are counted from the end where the first stands for any number of them.
        """
        name, axes = component.tensor.name, component.tensor.axes(component.indices)
        leads = self.is_leading(component)
        count = len(axes) - 1 if leads else len(axes)
        lines = [self._expect_axes(component, f"{name}.dim() {'>=' if leads else '=='} {count}")]
        if leads and axes[0][0].size not in known:
            lines.append(f"{self.lead} = {name}.shape[:{-count}]")
            known.add(axes[0][0].size)
        for k, group in enumerate(axes):
            missing = [i.size for i in group if i.size not in known]
            if missing:
                others = [i.size.name for i in group if i.size != missing[0]]
                divisor = f" // ({' * '.join(others)})" if len(others) > 1 else ""
                divisor = f" // {others[0]}" if len(others) == 1 else divisor
                place = k - len(axes) if leads else k
                lines.append(f"{missing[0].name} = {name}.shape[{place}]{divisor}")
                known.update(missing)
        lines.append(self._expect(component))
        return lines if check else [line for line in lines if not line.startswith("_expect")]

    @property
    def kept_names(self) -> list[str]:
        """A kept tensor that is also an output is saved as a copy of its own."""
        return [self.name(f"{n}_saved") if n in self.outputs else n for n in self.kept]
