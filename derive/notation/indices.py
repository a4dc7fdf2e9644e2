"""Where each sum stands: the rulebook of index notation, on the syntax tree.

1. An index of the left side is free.  2. Any other is summed over the outermost product in which at
least two factors contain it.  3. The terms of a sum have the same indices.  4. Two sums in one term
use different letters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from derive.errors import Report
from derive.notation import tree as t

_PARTS: dict[type, str] = {t.Sum: "terms", t.Where: "branches"}

Letters = frozenset[str]
_NONE: Letters = frozenset()


class Shape(NamedTuple):
    """The indices of an expression after its sums; `number`: no tensor stands in it."""

    indices: Letters
    number: bool
    counted: bool = False  # made of positions and numbers: `i - j` in a condition

    @property
    def exempt(self) -> bool:
        """May it be added to anything?"""
        return self.number and (self.counted or not self.indices)


class Alone(NamedTuple):
    """An expression standing by itself: the letters in it, and whether each would stay free."""

    free: dict[str, bool]
    bound: Letters  # the letters that explicit reductions in it bind


class Indices:
    """Applies the rules to one expression; `sums` tells which letters are summed at which node."""

    def __init__(
        self,
        is_tensor: Callable[[str], bool],
        order: Callable[[str], int],
        report: Report,
    ) -> None:
        self.is_tensor, self.order, self.report = is_tensor, order, report
        self.sums: dict[t.Node, tuple[str, ...]] = {}
        self.free: tuple[str, ...] = ()  # of a relation
        self.labels: dict[str, str] = {}  # tensors of integers as they were declared: `t[b]`
        self._alone: dict[t.Node, Alone] = {}
        self._told: set[str] = set()  # letters of which something is wrong: one cause, one error

    # -- from the leaves up: what a node contains, were it alone -----------------------------------

    def alone(self, node: t.Node) -> Alone:
        """What the node contains, kept for the second time it is asked."""
        if node not in self._alone:
            self._alone[node] = self._look(node)
        return self._alone[node]

    def _look(self, node: t.Node) -> Alone:
        if isinstance(node, t.Leaf):
            return Alone({k: n == 1 for k, n in _count(node).items()}, _NONE)
        if isinstance(node, t.Product):
            return self._look_product(node)
        parts = [self.alone(p) for p in node.parts]
        bound = _NONE.union(*(p.bound for p in parts))
        free = _either(p.free for p in (parts[:1] if isinstance(node, t.Power) else parts))
        if isinstance(node, t.Reduction):
            letters = {letter.name for letter in node.letters}
            kept = {k: f for k, f in free.items() if k not in letters}
            return Alone(kept, bound | (letters & free.keys()))
        return Alone(free, bound)

    def _look_product(self, node: t.Product) -> Alone:
        parts = [self.alone(p) for p in node.parts]
        count = self._counted(node)
        free = _either(p.free for p in parts)
        return Alone(
            {k: f and count[k] == 1 for k, f in free.items()},
            _NONE.union(*(p.bound for p in parts)),
        )

    def _counted(self, node: t.Product) -> Counter[str]:
        """How many factors contain each letter; a component that repeats it counts as two."""
        count: Counter[str] = Counter()
        for factor in node.parts:
            if isinstance(factor, t.Leaf):
                count.update(_count(factor))
            else:
                count.update(self.alone(factor).free.keys())
        return count

    # -- from the root down: where each letter is summed ---------------------------------------

    def place(self, node: t.Node, bound: Letters) -> Shape:
        """Place the sums of a node around which the letters `bound` are in use."""
        if isinstance(node, t.Leaf):
            return self._place_leaf(node, bound)
        if isinstance(node, t.Product):
            return self._place_product(node, bound)
        if isinstance(node, t.Reduction):
            return self._place_reduction(node, bound)
        if isinstance(node, t.Power):
            return self._place_power(node, bound)
        if isinstance(node, t.Where):
            return self._place_where(node, bound)
        if isinstance(node, t.Comparison):
            return self._compared(node, bound)
        if node.parts:
            return self._place_terms(node, bound)
        return Shape(_NONE, True)

    def _place_leaf(self, node: t.Leaf, bound: Letters) -> Shape:
        count = _count(node)
        summed = {k for k, n in count.items() if n > 1 and k not in bound}
        self._sum_at(node, summed)
        self._refuse_loose(node, count.keys() - summed - bound)
        number = not isinstance(node, t.Jacobian) and not (
            isinstance(node, t.Reference) and self.is_tensor(node.name)
        )
        counted = isinstance(node, t.Position)
        return Shape(frozenset(count.keys() - summed) & bound, number, counted)

    def _place_product(self, node: t.Product, bound: Letters) -> Shape:
        count = self._counted(node)
        summed = {k for k, n in count.items() if n > 1} - bound
        summed -= {k for k in sorted(summed, key=self.order) if self._refuse_two_sums(node, k)}
        self._refuse_rebound(node, bound | summed)
        free = self.alone(node).free
        self._refuse_loose(node, {k for k, n in count.items() if n == 1 and free[k]} - bound)
        self._sum_at(node, summed)
        shapes = [self.place(p, bound | summed) for p in node.parts]
        return Shape(
            _NONE.union(*(s.indices for s in shapes)) - summed,
            all(s.number for s in shapes),
            all(s.exempt for s in shapes),
        )

    def _sum_at(self, node: t.Node, letters: Collection[str]) -> None:
        if letters:
            self.sums[node] = tuple(sorted(letters, key=self.order))

    def _refuse_loose(self, node: t.Node, letters: Collection[str]) -> None:
        """Rule 2: what is neither free nor summed, each letter once in an equation."""
        loose = set(letters) - self._told
        self._told |= loose
        if not loose or self._binds_in_vain(node):
            return
        places = {k.name: k for k in reversed(list(t.letters_in(node))) if k.name in loose}
        first, *rest = sorted(places.values(), key=lambda k: k.span)
        if first.name in self.labels:
            message = f"the integers `{first.name}` stand as an index without their own"
            self.report.add("E505", first.span, message, f"write `{self.labels[first.name]}`")
            return
        names, ones = self.listed(frozenset(loose)), self.ones(frozenset(loose))
        what = f"indices {names} are" if rest else f"index {names} is"
        leaves = [set(_count(leaf)) for leaf in t.walk(node) if isinstance(leaf, t.Leaf)]
        apart = not any(loose <= letters for letters in leaves)
        over = "them" if rest else names
        over += ", or write one letter if one sum is meant" if apart else ""
        message = f"the {what} neither on the left nor repeated in a product"
        self.report.add("E301", first.span, message, f"multiply by `{ones}` to sum over {over}")

    def _binds_in_vain(self, node: t.Node) -> bool:
        """Does a reduction in it run over a letter that it does not carry? Then one is wrong."""
        bodies = ((p, self.alone(p.body).free) for p in t.walk(node) if isinstance(p, t.Reduction))
        return any(k.name not in free for p, free in bodies for k in p.letters)

    def _refuse_two_sums(self, node: t.Product, letter: str) -> bool:
        """Rule 4: each factor that contains the letter would sum it by itself."""
        holders = [p for p in node.parts if letter in self.alone(p).free]
        if len(holders) < 2 or any(self.alone(p).free[letter] for p in holders):
            return False
        self._refuse_reuse(holders[1], letter)
        return True

    def _refuse_rebound(self, node: t.Product, around: Letters) -> None:
        """Rule 4: a letter that `sum[…]` binds in one factor is used in another factor."""
        if not self.alone(node).bound:
            return
        seen: set[str] = set()
        bound: set[str] = set()
        for factor in node.parts:
            alone = self.alone(factor)
            used = alone.bound | alone.free.keys()
            for letter in sorted(((used & bound) | (alone.bound & seen)) - around, key=self.order):
                if any(letter in self.alone(p).free for p in node.parts):
                    self._refuse_bound_beside(node, letter)
                else:
                    self._refuse_reuse(factor, letter)
            seen |= used
            bound |= alone.bound

    def _refuse_bound_beside(self, node: t.Product, letter: str) -> None:
        """A letter that `sum[h]` binds stands in a factor beside it, too."""
        if letter in self._told:
            return
        reductions = (p for p in t.walk(node) if isinstance(p, t.Reduction))
        binds = next(p for p in reductions if letter in {k.name for k in p.letters})
        place = next(k for k in binds.letters if k.name == letter)
        message = f"the index `{letter}` is in use beside `{binds.name}[{letter}]`"
        out = f", or leave `sum[{letter}]` out: the product sums it" if binds.name == "sum" else ""
        self.report.add("E309", place.span, message, f"bind another letter{out}")
        self._told.add(letter)

    def _refuse_reuse(self, node: t.Node, letter: str) -> None:
        self._told.add(letter)
        self.report.add(
            "E307",
            node.span,
            f"two different sums in one term use the index `{letter}`",
            f"write another letter for `{letter}` in `{self.report.quote(node.span)}`",
        )

    def _place_reduction(self, node: t.Reduction, bound: Letters) -> Shape:
        names = [letter.name for letter in node.letters]
        kept = bound.intersection(names)  # refused: what is around carries them as if free
        for k, letter in enumerate(node.letters):
            if letter.name in bound or letter.name in names[:k]:
                self.report.add(
                    "E309",
                    letter.span,
                    f"the index `{letter.name}` is in use around `{node.name}[{','.join(names)}]`",
                    f"bind another letter, as in `{node.name}[{self._spare()}](…)`; one of the "
                    "left side is free, and not summed",
                )
        free = self.alone(node.body).free
        uncarried = [k for k in node.letters if k.name not in free]
        loose = {k for k, is_free in free.items() if is_free} - bound - set(names)
        meant = sorted(loose, key=self.order)[: len(uncarried)] if uncarried else []
        for letter in uncarried:
            ones = f"multiply it by `1[{letter.name}]`"
            self.report.add(
                "E310",
                letter.span,
                f"what `{node.name}` runs over by `{letter.name}` does not carry it",
                f"write `{node.name}[{','.join(meant)}](…)`" if meant else ones,
            )
        shape = self.place(node.body, bound | {*names, *meant})
        names += meant
        return Shape(shape.indices - (frozenset(names) - kept), shape.number)

    def _place_power(self, node: t.Power, bound: Letters) -> Shape:
        exponent = self.place(node.exponent, bound)
        if not exponent.exempt:
            self.report.add(
                "E312",
                node.exponent.span,
                "an exponent is a number, a scalar parameter, or an expression of them",
                f"write `exp(… * log({self.report.quote(node.base.span)}))`",
            )
        return self.place(node.base, bound)

    def _place_terms(self, node: t.Node, bound: Letters) -> Shape:
        """Rule 3, for the terms of a sum and the arguments of a function."""
        return self._agreed(node, node.parts, [self.place(p, bound) for p in node.parts])

    def _agreed(self, node: t.Node, parts: Sequence[t.Node], shapes: Sequence[Shape]) -> Shape:
        union = _NONE.union(*(s.indices for s in shapes))
        for part, shape in zip(parts, shapes, strict=True):
            lacking = union - shape.indices
            if lacking and not shape.exempt:
                self._refuse_term(node, part, lacking)
        number, counted = (all(s.number for s in shapes), all(s.exempt for s in shapes))
        return Shape(union, number, counted)

    def _place_where(self, node: t.Where, bound: Letters) -> Shape:
        """A condition may have fewer indices than the branches; numbers take on its own."""
        condition, *branches = node.parts
        asked = self.place(condition, bound)
        shapes = [self.place(p, bound) for p in branches]
        if not all(s.exempt for s in shapes):
            lacking = asked.indices - self._agreed(node, branches, shapes).indices
            tensors = (p for p, s in zip(branches, shapes, strict=True) if not s.exempt)
            for part in tensors if lacking else ():
                self._refuse_term(node, part, lacking)
        return Shape(_NONE.union(asked.indices, *(s.indices for s in shapes)), False)

    def _compared(self, node: t.Comparison, bound: Letters) -> Shape:
        """The two sides of a comparison may have different indices."""
        shapes = [self.place(p, bound) for p in node.parts]
        return Shape(_NONE.union(*(s.indices for s in shapes)), False)

    def _refuse_term(self, node: t.Node, part: t.Node, lacking: Letters) -> None:
        ones, term = self.ones(lacking), self.report.quote(part.span)
        term = f"({term})" if isinstance(part, t.Sum) else term
        whole = _PARTS.get(type(node), "arguments")
        self.report.add(
            "E302",
            part.span,
            f"the {whole} have different indices: `{term}` lacks {self.listed(lacking)}",
            f"write `{ones}*{term}` to broadcast",
        )

    def ones(self, letters: Letters) -> str:
        """The one-tensor of these letters, as written."""
        return f"1[{','.join(sorted(letters, key=self.order))}]"

    def _spare(self) -> str:
        """A letter that the op does not have."""
        for letter in "kjilmnpqrsuvw":
            try:
                self.order(letter)
            except KeyError:
                return letter
        return "k2"

    def listed(self, letters: Letters) -> str:
        return ", ".join(f"`{k}`" for k in sorted(letters, key=self.order))


def _count(node: t.Leaf) -> Counter[str]:
    return Counter(letter.name for letter in node.letters)


def _either(parts: Iterable[dict[str, bool]]) -> dict[str, bool]:
    """Free in the whole if free in a part."""
    merged: dict[str, bool] = {}
    for part in parts:
        for letter, free in part.items():
            merged[letter] = merged.get(letter, False) or free
    return merged
