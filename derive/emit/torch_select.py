"""Conditions in torch code: selected by `torch.where`, gathered and added up by labels.

A bracket [c] never becomes a factor: the branch that is not taken may be infinite or NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sympy import Add, Expr, KroneckerDelta, Mul

from derive.emit.scalar import ATOM, Code, bracket
from derive.emit.source import comma
from derive.notation.conditions import (
    EQUAL,
    Iverson,
    Position,
    brackets_of,
    is_no_place,
    iverson,
    within,
    without,
)
from derive.notation.nodes import Component, Contraction, Index, Size, free_indices
from derive.plan.paths import at_label

if TYPE_CHECKING:
    from derive.emit.torch_printer import TorchPrinter

Space = tuple[Index, ...]


@dataclass(frozen=True)
class Selector:
    """Prints what stands under conditions, with a printer for all else."""

    printer: TorchPrinter

    def condition(self, brackets: list[Iverson], space: Space) -> str:
        """Conditions that all hold, as a tensor of booleans."""
        texts = [self._one(b, space) for b in brackets]
        return texts[0] if len(texts) == 1 else " & ".join(f"({t})" for t in texts)

    def _one(self, condition: Iverson, space: Space) -> str:
        left, relation, right = condition.written
        sides = [self.printer.code(side, space)[0] for side in (left, right)]
        if not any(map(self.printer.is_tensor, (left, right))):  # by numbers, as eps > 0 is
            sides[0] = self.printer.new("tensor", sides[0])
        if not condition.holds and relation == EQUAL:
            return f"{sides[0]} != {sides[1]}"
        text = f"{sides[0]} {relation} {sides[1]}"
        return text if condition.holds else f"~({text})"

    def product(self, expr: Expr, space: Space) -> Code:
        """[c] f: f where c holds, else 0."""
        brackets, rest = (
            brackets_of(expr),
            Mul(*(f for f in Mul.make_args(expr) if not isinstance(f, Iverson))),
        )
        condition = self.condition(brackets, space)
        if rest == 1:
            return f"({condition}).to({self.printer.dtype})", ATOM
        with self.printer.assuming(brackets):
            return f"torch.where({condition}, {self._branch(rest, space)}, 0.0)", ATOM

    def choice(self, condition: Iverson, taken: Expr, other: Expr, space: Space) -> Code:
        """a where c holds, else b."""
        branches = f"{self._branch(taken, space)}, {self._branch(other, space, second=True)}"
        return f"torch.where({self.condition([condition], space)}, {branches})", ATOM

    def _branch(self, expr: Expr, space: Space, *, second: bool = False) -> str:
        """A branch as code; a number is made a tensor once, so that it keeps its digits."""
        code = self.printer.code(expr, space)[0]
        if self.printer.is_tensor(expr) or (second and expr == 0):
            return code
        return self.printer.new("tensor", code)

    # -- what picks the values of an index ------------------------------------------------------

    def summed(self, body: Expr, dummies: Space) -> tuple[Code, Space] | None:
        """A sum in which something picks the values of an index, and the order of its axes."""
        found = [p for c in brackets_of(body) for d in dummies if (p := _pick(body, c, d))]
        if found:
            return self._gathered(max(found, key=lambda p: p.axes), body, dummies)
        for condition in brackets_of(body):
            label = condition.picks
            if label is not None and set(label.indices) & set(dummies):
                rest = at_label(without(body, condition), condition)
                rest = Mul(rest, *self._guards(label, condition.index))
                text, order = self._scattered(rest, condition.index, label, dummies)
                return (text, ATOM), order
        return None

    def _guards(self, picked: Expr, index: Index) -> list[Expr]:
        """Where something is picked: by no label that says none, and inside of the axis."""
        if isinstance(picked, Component):
            at = cast(Iverson, iverson(EQUAL, Position(index), picked))
            found = brackets_of(at.chosen(self.printer.assumed))
        else:
            may = _may_leave(picked, index.size)
            found = [g for g, leaves in zip(within(picked, index.size), may, strict=True) if leaves]
        return [g for g in found if g not in self.printer.assumed]

    def _places(self, picked: Expr, index: Index, order: Space) -> str:
        """What picks as an index; where it is no value of one, any will do."""
        code = self.printer.code(picked, order)
        if not (isinstance(picked, Component) and picked.tensor.values == index.size):
            if not picked.atoms(Position, Component):
                return code[0]  # a number, or a size
            low, high = _may_leave(picked, index.size)
            bounds = ["0"] if low else [f"max={index.size.name} - 1"] if high else []
            bounds += [f"{index.size.name} - 1"] if low and high else []
            return f"{bracket(code, ATOM)}.clamp({', '.join(bounds)})" if bounds else code[0]
        text = code[0]
        for number in picked.tensor.sentinels:
            none = self.printer.code(number, ())[0]
            inside = f"{none} if 0 <= {none} < {index.size.name} else 0"
            some = "0" if is_no_place(number) else inside
            text += f".masked_fill({text} == {none}, {some})"
        return text

    def _gathered(self, pick: Pick, body: Expr, dummies: Space) -> tuple[Code, Space]:
        """Σ_c [c = t_b] x_bc f_b: x at t, then whatever else there is to do."""
        index, others = pick.index, tuple(d for d in dummies if d != pick.index)
        body = Mul(without(body, pick.condition), *self._guards(pick.picked, index))
        free = tuple(free_indices(Contraction(body, *dummies)))
        body = Mul(*(_compared(f, index, pick.picked) for f in Mul.make_args(body)))
        if body == 0:  # as [t < t] is
            return (self.printer.new("zeros", f"({comma(i.size.name for i in free)})"), ATOM), free
        carrying = Mul(*(f for f in Mul.make_args(body) if index in free_indices(f)))
        rest = Mul(*(f for f in Mul.make_args(body) if index not in free_indices(f)))
        text, order = self._picked(carrying, index, pick.picked)
        if rest == 1 and not others:
            return (text, ATOM), order
        return self.printer.named_sum(text, order, rest, others)

    def _picked(self, expr: Expr, index: Index, picked: Expr) -> tuple[str, Space]:
        space = self.printer.natural_space(expr)
        own = tuple(i for i in space if i != index)
        letters = _letters(picked)
        if not set(own) & set(letters) and index in space:
            space = expr.indices if isinstance(expr, Component) else space
            place = space.index(index)
            order = (*space[:place], *letters, *space[place + 1 :])
            found = self._places(picked, index, letters)
            values = bracket(self.printer.code(expr, space), ATOM)
            if isinstance(picked, Component):  # brackets would count a -1 from the end
                return self._selected(values, place, found, letters), order
            if not letters and picked != 0:  # an axis may be shorter
                return f"_at({values}, {place}, {found})", order
            return f"{values}[{', '.join([':'] * place + [found])}]", order
        order = (*own, *(i for i in letters if i not in own))
        values = self._expanded(expr, (*order, index))
        lead = "None, " * next((k for k, i in enumerate(order) if i in letters), 0)
        picks = f"{self._places(picked, index, order)}[{lead}..., None]"
        if set(letters) < set(order):
            picks += f".expand({', '.join(i.size.name for i in order)}, 1)"
        return f"{values}.gather({len(order)}, {picks}).squeeze({len(order)})", order

    def _selected(self, name: str, place: int, found: str, letters: Space) -> str:
        """The values along an axis that a label picks; one that is out of range is an error."""
        if len(letters) <= 1:
            one = "" if letters else f".squeeze({place})"
            return f"{name}.index_select({place}, {found}){one}"
        sizes = comma(i.size.name for i in letters)
        return f"{name}.index_select({place}, {found}.flatten()).unflatten({place}, ({sizes}))"

    def _scattered(
        self, body: Expr, index: Index, label: Component, dummies: Space
    ) -> tuple[str, Space]:
        """Σ_b [c = t_b] f_b: f is added where t points."""
        inner = tuple(d for d in dummies if d not in label.indices)
        value = Contraction(body, *inner)
        summed = tuple(i for i in label.indices if i in dummies)
        free = tuple(i for i in free_indices(value) if i not in summed)
        kept = tuple(i for i in label.indices if i not in summed)
        if kept:
            return self._scattered_rows(value, index, label, summed, free)
        shape = comma([index.size.name, *(i.size.name for i in free)])
        rows = (
            f"torch.flatten({self._expanded(value, (*label.indices, *free))}, 0, {len(summed) - 1})"
        )
        rows = rows if len(summed) > 1 else self._expanded(value, (*label.indices, *free))
        places = self._places(label, index, label.indices) + (
            ".flatten()" if len(summed) > 1 else ""
        )
        zeros = self.printer.new("zeros", f"({shape})")
        return f"{zeros}.index_add(0, {places}, {rows})", (index, *free)

    def _scattered_rows(
        self, value: Expr, index: Index, label: Component, summed: Space, free: Space
    ) -> tuple[str, Space]:
        kept = (*(i for i in label.indices if i not in summed and i not in free), *free)
        space = (*kept, *summed)
        shape = comma([*(i.size.name for i in kept), index.size.name])
        names = ", ".join(i.size.name for i in space)
        places = self._places(label, index, space)
        places += "" if set(label.indices) == set(space) else f".expand({names})"
        rows = self._expanded(value, space)
        if len(summed) > 1:
            places, rows = (f"{t}.flatten({len(kept)})" for t in (places, rows))
        zeros = self.printer.new("zeros", f"({shape})")
        return f"{zeros}.scatter_add({len(kept)}, {places}, {rows})", (*kept, index)

    def _expanded(self, value: Expr, space: Space) -> str:
        """The value with all the axes of a space."""
        names = ", ".join(i.size.name for i in space)
        if not self.printer.is_tensor(value):
            sizes = comma(i.size.name for i in space)
            return self.printer.new("full", f"({sizes}), {self.printer.code(value, ())[0]}")
        code = bracket(self.printer.code(value, space), ATOM)
        return code if set(free_indices(value)) >= set(space) else f"{code}.expand({names})"


@dataclass(frozen=True)
class Pick:
    """A condition that says what a dummy is."""

    condition: Iverson
    index: Index
    picked: Expr
    axes: int  # of the largest tensor that carries the dummy


def _pick(body: Expr, condition: Iverson, index: Index) -> Pick | None:
    picked = condition.solved_for(index)
    if picked is None:
        return None
    carriers = (c for c in body.atoms(Component) if index in c.indices)
    return Pick(condition, index, picked, max((len(c.indices) for c in carriers), default=0))


def _compared(factor: Expr, index: Index, picked: Expr) -> Expr:
    """A factor in which the index is only compared, with what picks it in its place."""
    if any(index in c.indices for c in factor.atoms(Component)) or factor.atoms(KroneckerDelta):
        return factor
    return factor.xreplace({Position(index): picked})


def _letters(picked: Expr) -> Space:
    """The indices of what picks, those of a label as it was declared."""
    return picked.indices if isinstance(picked, Component) else tuple(free_indices(picked))


def _may_leave(picked: Expr, size: Size) -> tuple[bool, bool]:
    """Can a sum of positions be below zero, and can it be beyond its axis? A number is neither.

    Of labels nothing is known before they are there.
    """
    if picked.atoms(Component):
        return True, True
    if not picked.atoms(Position):
        return False, False
    terms = Add.make_args(picked)
    plus = [t for t in terms if not t.as_coeff_Mul()[0].is_negative]
    own = len(plus) == 1 and isinstance(plus[0], Position) and plus[0].index.size == size
    return len(plus) < len(terms), not own
