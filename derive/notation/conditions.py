"""Conditions as numbers: Iverson's bracket [c] is 1 where c holds and 0 elsewhere.

`where(c, a, b)` is [c] a + [not c] b, and `x[b,t[b]]` is Σ_c [c = t_b] x_bc. What is computed never
multiplies by a bracket: it selects, so the branch that is not taken cannot spoil the other.
Iverson, A Programming Language, 1962; Knuth, Two notes on notation, 1992.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import cast

from sympy import Add, Expr, Integer, Mul, S
from sympy.core.sorting import default_sort_key
from sympy.core.symbol import Str

from derive.notation.nodes import Component, Index, Labels, Size, delta

LESS, AT_MOST, EQUAL = "<", "<=", "=="
_MIRRORED = {">": LESS, ">=": AT_MOST}


class Position(Expr):
    """The value of an index, counted from 0, as a number; it stands in conditions only."""

    is_commutative = True
    is_finite = True
    is_integer = True
    is_leaf = True

    def __new__(cls, index: Index) -> Position:
        return cast(Position, Expr.__new__(cls, index))

    @property
    def index(self) -> Index:
        return cast(Index, self.args[0])

    def _sympystr(self, _printer: object) -> str:
        return self.index.name


class Iverson(Expr):
    """[left < right], or <=, or ==; or, where `holds` is 0, the bracket of the contrary.

    The contrary of a < b is kept as such, not as b <= a: with NaN neither of these holds.
    """

    is_commutative = True
    is_finite = True
    is_real = True
    is_nonnegative = True

    def __new__(cls, relation: Str, left: Expr, right: Expr, holds: Expr = S.One) -> Expr:
        decided = _decided(relation.name, left, right)
        if decided is not None:
            return S.One if decided == bool(holds) else S.Zero
        if relation.name == EQUAL:
            left, right = sorted((left, right), key=_by_kind)
            if _one_size(left, right):
                same = delta(left.index, right.index)
                return same if holds else 1 - same
        return Expr.__new__(cls, relation, left, right, holds)

    @property
    def relation(self) -> str:
        return cast(Str, self.args[0]).name

    @property
    def left(self) -> Expr:
        return cast(Expr, self.args[1])

    @property
    def right(self) -> Expr:
        return cast(Expr, self.args[2])

    @property
    def holds(self) -> bool:
        return bool(self.args[3] == 1)

    @property
    def counts(self) -> bool:
        """Does it compare integers?"""
        return _counts(self.left) and _counts(self.right)

    @property
    def contrary(self) -> Iverson:
        """1 - [c]."""
        if self.relation != EQUAL and self.counts:
            other = LESS if self.relation == AT_MOST else AT_MOST
            return cast(Iverson, Iverson(Str(other), self.right, self.left))
        relation, left, right, holds = self.args
        return cast(Iverson, Iverson(relation, left, right, Integer(holds != 1)))

    @property
    def written(self) -> tuple[Expr, str, Expr]:
        """Left, relation, right as a person writes them: numbers to the right."""
        if self.left.atoms(Component, Position):
            return self.left, self.relation, self.right
        mirrored = {v: k for k, v in _MIRRORED.items()}
        return self.right, mirrored.get(self.relation, self.relation), self.left

    @property
    def filled(self) -> Iverson:
        """With what was put in for an index worked out: [1-r = 0] is [r = 1]."""
        left, right = placed(self.left), placed(self.right)
        if (left, right) == (self.left, self.right):
            return self
        found = Iverson(self.args[0], left, right)
        places = found.atoms(Position)
        if not isinstance(found, Iverson) or self.relation != EQUAL or len(places) != 1:
            return found if isinstance(found, Iverson) else self
        (place,) = places
        value = found.solved_for(place.index)
        return found if value is None else cast(Iverson, Iverson(Str(EQUAL), place, value))

    @property
    def picks(self) -> Component | None:
        """The label t in δ_{c t}, if this is one."""
        sides = (self.left, self.right)
        labels = [s for s in sides if isinstance(s, Component)]
        if not self.holds or self.relation != EQUAL or len(labels) != 1:
            return None
        return labels[0] if any(isinstance(s, Position) for s in sides) else None

    @property
    def only_asks(self) -> bool:
        """Is it δ_{c t} of a label of which nobody said that it is a value of c?"""
        label = self.picks
        return label is not None and cast(Labels, label.tensor).values != self.index.size

    def chosen(self, beside: Iterable[Expr] = ()) -> Expr:
        """Σ_c [c = t]: 1, as t is one of the values of its index, but 0 where it is none.

        It is one wherever it is no sentinel: so nothing has to be said beside factors that say so.
        Of what is declared without values, or has those of another index, nothing is known.
        """
        label = self.picks
        assert label is not None
        others = no_sentinel(label)
        if self.only_asks:
            return Mul(*within(label, self.index.size))
        if others <= set(beside):
            return S.One
        if all(is_no_place(n) for n in cast(Labels, label.tensor).sentinels):
            return Mul(*others)
        return Mul(*within(label, self.index.size))

    @property
    def index(self) -> Index:
        """The index c in δ_{c t}."""
        return next(s.index for s in (self.left, self.right) if isinstance(s, Position))

    def solved_for(self, index: Index) -> Expr | None:
        """What the index is, if this is an equation of whole numbers that has it once."""
        if not self.holds or self.relation != EQUAL or not self.counts:
            return None
        difference = (self.left - self.right).expand()
        here = Position(index)
        coefficient = difference.coeff(here)
        rest = difference - coefficient * here
        if coefficient not in (1, -1) or index in rest.free_symbols:
            return None
        return (-coefficient * rest).expand()

    def _eval_power(self, exponent: Expr) -> Expr | None:
        return self if exponent.is_Rational and exponent.is_positive else None

    def _sympystr(self, printer: object) -> str:
        inside = f"{self.left} {self.relation} {self.right}"
        return f"[{inside}]" if self.holds else f"[not {inside}]"


class Pick(Index):
    """The index t_b, as it is printed in x_{b t_b}, or s-k; only printing makes it."""

    __slots__ = ("label",)
    label: Expr

    def __new__(cls, index: Index, label: Expr) -> Pick:
        label = placed(label)
        self = cast(Pick, super().__new__(cls, whole(label), index.size, index.rank))
        self.label = label
        return self

    def _hashable_content(self) -> tuple[object, ...]:
        return (self.rank, self.name, self.size, self.label)


def placed(number: Expr) -> Expr:
    """The value of an index for which something was put in: 1 - k where k is 1 - r is r."""
    picks = {p: p.index.label for p in number.atoms(Position) if isinstance(p.index, Pick)}
    return number.xreplace(picks).expand() if picks else number


def whole(number: Expr, shown: Callable[[Expr], str] = str, times: str = "*") -> str:
    """Arithmetic of whole numbers as it stands in brackets: `s-k+1`, `1-k`."""
    terms = sorted(Add.make_args(number), key=lambda t: (t.is_number, _leads_minus(t)))
    if _leads_minus(terms[0]):
        terms.sort(key=_leads_minus)
    parts = [("-" if _leads_minus(t) else "+") + _factors_text(t, shown, times) for t in terms]
    return "".join(parts).removeprefix("+")


def _leads_minus(term: Expr) -> bool:
    return bool(term.as_coeff_Mul()[0].is_negative)


def _factors_text(term: Expr, shown: Callable[[Expr], str], times: str) -> str:
    number, rest = term.as_coeff_Mul()
    factors = [] if rest == 1 else [shown(f) for f in Mul.make_args(rest)]
    return times.join([*([str(abs(number))] if abs(number) != 1 or not factors else []), *factors])


def iverson(relation: str, left: Expr, right: Expr) -> Expr:
    """[left relation right] for any of < <= == != > >=."""
    if relation in _MIRRORED:
        return Iverson(Str(_MIRRORED[relation]), right, left)
    if relation == "!=":
        return contrary(iverson(EQUAL, left, right))
    return Iverson(Str(relation), left, right)


def is_no_place(number: Expr) -> bool:
    """Is it a value of no index, however long that is? Of a parameter nothing is known."""
    return bool(number.is_Integer and number.is_negative)


def no_sentinel(label: Component) -> set[Expr]:
    """The conditions that it is none of the numbers that it is compared with."""
    numbers = cast(Labels, label.tensor).sentinels
    return {contrary(iverson(EQUAL, label, n)) for n in numbers}


def is_implied(factor: Expr, beside: Collection[Expr]) -> bool:
    """Do two say of a label, which is none of its sentinels, that it is a value of its index?

    What was summed over its values says both. One alone is what somebody asks.
    """
    for label in factor.args if isinstance(factor, Iverson) else ():
        if isinstance(label, Component) and isinstance(label.tensor, Labels):
            values, none = label.tensor.values, no_sentinel(label)
            said = within(label, values) if values is not None and none else []
            return factor in said and {*said, *none} <= {*beside}
    return False


def within(place: Expr, size: Size) -> list[Expr]:
    """The conditions that it is a value of an index of that size."""
    return [iverson(AT_MOST, S.Zero, place), iverson(LESS, place, size)]


def _one_size(left: Expr, right: Expr) -> bool:
    """Are these two indices of one size? Where they are equal is then Kronecker's delta."""
    both = isinstance(left, Position) and isinstance(right, Position)
    return both and left.index.size == right.index.size


def contrary(bracket: Expr) -> Expr:
    """1 - [c]."""
    return bracket.contrary if isinstance(bracket, Iverson) else 1 - bracket


def _by_kind(side: Expr) -> tuple[object, ...]:
    """Indices, then tensors, then what they are compared with."""
    kinds = (Position, Component)
    kind = next((k for k, kind in enumerate(kinds) if isinstance(side, kind)), len(kinds))
    return kind, default_sort_key(side)


def _counts(side: Expr) -> bool:
    """Is this made of integers alone, so that it is never NaN?"""
    if isinstance(side, Component):
        return isinstance(side.tensor, Labels)
    if isinstance(side, Position | Size) or side.is_Integer:
        return True
    return bool(side.is_Add or side.is_Mul) and all(map(_counts, side.args))


def _decided(relation: str, left: Expr, right: Expr) -> bool | None:
    """What the condition comes to if no tensor or index has a say in it."""
    if left == right and _counts(left):  # NaN is not even itself
        return relation != LESS
    if not (left.is_Rational and right.is_Rational):
        return None
    return bool({LESS: left < right, AT_MOST: left <= right, EQUAL: left == right}[relation])


# -- conditions in products and sums --------------------------------------------------------------


def brackets_of(product: Expr) -> list[Iverson]:
    """The conditions that are factors of a product."""
    return [f for f in Mul.make_args(product) if isinstance(f, Iverson)]


def without(product: Expr, bracket: Iverson) -> Expr:
    """The other factors of a product."""
    return Mul(*(f for f in Mul.make_args(product) if f != bracket))


Choice = tuple[Iverson, Expr, Expr]


def choices(total: Expr) -> tuple[list[Choice], list[Expr]]:
    """The pairs [c] a + [not c] b of a sum as (c, a, b), and its other terms."""
    left, pairs = list(Add.make_args(total)), []
    for term in Add.make_args(total):
        found = _partner(term, left) if term in left else None
        if found is not None:
            condition, other = found
            pairs.append((condition, without(term, condition), without(other, condition.contrary)))
            left = [t for t in left if t not in (term, other)]
    return pairs, left


def _partner(term: Expr, terms: list[Expr]) -> tuple[Iverson, Expr] | None:
    """A condition of a term, and the first other term under the contrary."""
    for condition in brackets_of(term):
        against = condition.contrary
        other = next((t for t in terms if t != term and against in Mul.make_args(t)), None)
        if other is not None and condition.holds:
            return condition, other
    return None
