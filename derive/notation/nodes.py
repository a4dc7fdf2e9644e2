"""The tree: components of tensors, sums over named indices, and partial derivatives, on SymPy.

Every name carries its `rank`, the order in which it was declared. SymPy sorts by rank before name,
so renaming tensors and indices changes no order, and no result depends on a hash seed.

The one-tensor is no node: `1[h]` only says which index is meant, so reading drops it and
printing puts it back (`notation.explicit`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count, islice, pairwise
from typing import Any, cast

from sympy import Expr, Integer, KroneckerDelta, S
from sympy.core.expr import AtomicExpr
from sympy.core.sorting import default_sort_key

from derive.notation import canonical
from derive.notation.known import free_by_rank, parts_of, reindexed, size_of

_fresh_numbers = count()


class Named(AtomicExpr):
    """An atom that sorts by `rank`, then by `name`."""

    __slots__ = ("name", "rank")
    name: str
    rank: int
    is_commutative = True
    is_symbol = True  # SymPy's own reasoning about signs differentiates by the one symbol it finds
    _diff_wrt = True

    def __new__(cls, name: str, rank: int = 0) -> Named:
        self = super().__new__(cls)
        self.name, self.rank = name, rank
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.name, self.rank)

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.rank, self.name)

    def sort_key(self, order: object = None) -> tuple[Any, ...]:
        return self.class_key(), (2, (self.rank, self.name)), S.One.sort_key(), S.One

    @property
    def free_symbols(self) -> set[Expr]:
        return {self}

    def _sympystr(self, _printer: object) -> str:
        return self.name


class Size(Named):
    """The number of values of an index, `H` for `h`.

    It claims no sign: SymPy looks for the roots of polynomials in a positive integer.
    """


class Scalar(Named):
    """A numeric parameter of an op, such as `eps`; it receives no gradient."""


class Tensor(Named):
    """The name of a tensor; `groups` counts the indices in each axis, if one shows several."""

    __slots__ = ("groups",)
    groups: tuple[int, ...]

    def __new__(cls, name: str, rank: int = 0, groups: tuple[int, ...] = ()) -> Tensor:
        self = cast(Tensor, super().__new__(cls, name, rank))
        self.groups = groups
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.name, self.rank, self.groups)

    def _hashable_content(self) -> tuple[Any, ...]:
        """SymPy remembers what it made: shown otherwise, a tensor of this name is another."""
        return (self.rank, self.name, self.groups)

    def axes(self, indices: Sequence[Index]) -> list[tuple[Index, ...]]:
        """Its indices, together those that one axis shows."""
        left = iter(indices)
        return [tuple(islice(left, n)) for n in self.groups or (1,) * len(indices)]


class Labels(Tensor):
    """The name of a tensor of integers, which index an axis of the size `values`, if that is said.

    It has no gradient. It stands in conditions only: `x[b,t[b]]` is Σ_c [c = t_b] x_bc. A sentinel
    is a number that the op compares it with, as in `t[b] == ignore`: that may be no value of the
    index, and then the sum is zero.
    """

    __slots__ = ("sentinels", "values")
    values: Size | None
    sentinels: tuple[Expr, ...]

    def __new__(
        cls,
        name: str,
        rank: int = 0,
        values: Size | None = None,
        groups: tuple[int, ...] = (),
        sentinels: tuple[Expr, ...] = (),
    ) -> Labels:
        self = cast(Labels, super().__new__(cls, name, rank, groups))
        self.values = values
        self.sentinels = sentinels
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.name, self.rank, self.values, self.groups, self.sentinels)

    def _hashable_content(self) -> tuple[Any, ...]:
        values = () if self.values is None else (self.values,)  # SymPy sorts it
        return (self.rank, self.name, values, self.groups, self.sentinels)


class Index(Named):
    """An index and its size."""

    __slots__ = ("size",)
    size: Size
    is_index = True

    def __new__(cls, name: str, size: Size, rank: int = 0) -> Index:
        self = cast(Index, super().__new__(cls, name, rank))
        self.size = size
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.name, self.size, self.rank)

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.rank, self.name, self.size)

    @property
    def is_dummy(self) -> bool:
        """Is this index bound by a contraction, or opened from one?"""
        return self.name.startswith("_")

    @property
    def is_bound(self) -> bool:
        """Is this the dummy of a contraction that is closed?"""
        return self.is_dummy and not self.name.startswith("_f")


def fresh_index(like: Index) -> Index:
    """An index that occurs nowhere else, with the size of `like`."""
    number = next(_fresh_numbers)
    return Index(f"_f{number}", like.size, 1_000_000 + number)


class Component(Expr):
    """A component of a tensor, `x[b,h]`; a tensor with no index has the one component `x`."""

    is_commutative = True
    is_finite = True  # said once, so that SymPy need not search for it
    is_zero = False
    is_leaf = True

    def __new__(cls, tensor: Tensor, *indices: Index) -> Component:
        return cast(Component, Expr.__new__(cls, tensor, *indices))

    @property
    def tensor(self) -> Tensor:
        return cast(Tensor, self.args[0])

    @property
    def indices(self) -> tuple[Index, ...]:
        return cast("tuple[Index, ...]", self.args[1:])

    def _sympystr(self, _printer: object) -> str:
        inside = ",".join(i.name for i in self.indices)
        return f"{self.tensor.name}[{inside}]" if inside else self.tensor.name


class Partial(Expr):
    """The Jacobian ∂u_F/∂t_P as a symbol, before it is worked out."""

    is_commutative = True
    is_finite = True  # said once, so that SymPy need not search for it
    is_zero = False
    is_leaf = True

    def __new__(cls, of: Component, wrt: Component) -> Partial:
        return cast(Partial, Expr.__new__(cls, of, wrt))

    @property
    def of(self) -> Component:
        return cast(Component, self.args[0])

    @property
    def wrt(self) -> Component:
        return cast(Component, self.args[1])


class Differentiate(Expr):
    """The operator ∂/∂t_P before it is carried out on an expression."""

    is_commutative = True
    is_finite = True  # said once, so that SymPy need not search for it
    is_zero = False
    is_leaf = True

    def __new__(cls, expr: Expr, wrt: Component) -> Differentiate:
        return cast(Differentiate, Expr.__new__(cls, expr, wrt))

    @property
    def expr(self) -> Expr:
        return cast(Expr, self.args[0])

    @property
    def wrt(self) -> Component:
        return cast(Component, self.args[1])


class Bound(Expr):
    """An operation over named dummies of a body. Equal up to the names of the dummies means equal.

    The constructor names the dummies `_0 _1 …`, above those bound inside, in an order that depends
    on nothing but the body. To work on the body, `open` it.
    """

    is_commutative = True
    is_finite = True  # said once, so that SymPy need not search for it
    is_zero = False
    compared = 1  # orders of the dummies, to find the one in which they are named

    def __new__(cls, body: Expr, *dummies: Index) -> Expr:
        if not dummies:
            return body
        if isinstance(body, cls):
            inner, opened = body.open()
            return cls(inner, *opened, *dummies)
        body, named, compared = _canonical(body, dummies, _above(body))
        self = cast(Bound, Expr.__new__(cls, body, *named))
        self.compared = compared
        return self

    @property
    def body(self) -> Expr:
        return cast(Expr, self.args[0])

    @property
    def dummies(self) -> tuple[Index, ...]:
        return cast("tuple[Index, ...]", self.args[1:])

    def open(self) -> tuple[Expr, tuple[Index, ...]]:
        """The body with dummies that occur nowhere else, and these dummies."""
        fresh = tuple(fresh_index(d) for d in self.dummies)
        return reindexed(self.body, dict(zip(self.dummies, fresh, strict=True))), fresh

    @property
    def free_symbols(self) -> set[Expr]:
        return self.body.free_symbols - set(self.dummies)

    def _xreplace(self, rule: Mapping[Expr, Expr]) -> tuple[Expr, bool]:
        """SymPy's own, but where free indices are renamed the dummies mostly keep their names.

        To name them anew is to rename twice, so with sums in sums it would take time without end.
        """
        if self in rule or not self._renames_others(rule):
            return super()._xreplace(rule)
        body = reindexed(self.body, rule)
        changed = body is not self.body
        if changed and self._is_named_for(body):
            return Expr.__new__(type(self), body, *self.dummies), True
        return (type(self)(body, *self.dummies), True) if changed else (self, False)

    def _renames_others(self, rule: Mapping[Expr, Expr]) -> bool:
        own = set(self.dummies)
        return all(
            isinstance(i, Index) and isinstance(j, Index) and i not in own and j not in own
            for i, j in rule.items()
        )

    def _is_named_for(self, body: Expr) -> bool:
        """Would the constructor give the dummies the names that they have?"""
        if body == 0 or isinstance(body, type(self)) or _above(body) != _level_of(self.dummies[0]):
            return False
        marks = canonical.signatures(parts_of(body, Component), self.dummies).values()
        return all(one < other for one, other in pairwise(marks))


class Contraction(Bound):
    """Σ over named dummies of a body."""

    def __new__(cls, body: Expr, *dummies: Index) -> Expr:
        return body if body == 0 else super().__new__(cls, body, *dummies)


class Extremum(Bound):
    """The largest or the smallest value of a body over its dummies."""

    def __new__(cls, body: Expr, *dummies: Index) -> Expr:
        carried = body.free_symbols
        return super().__new__(cls, body, *(d for d in dummies if d in carried))


class Maximum(Extremum):
    """max over named dummies of a body."""

    word = "max"


class Minimum(Extremum):
    """min over named dummies of a body."""

    word = "min"


def _above(body: Expr) -> int:
    """The first number for the dummies bound around this body."""
    return 1 + max((_level(c) for c in parts_of(body, Bound)), default=-1)


def _level(bound: Bound) -> int:
    return _level_of(bound.dummies[-1])


def _level_of(dummy: Index) -> int:
    return int(dummy.name[1:])


def _canonical(body: Expr, dummies: Iterable[Index], level: int) -> tuple[Expr, list[Index], int]:
    """The body with its dummies renamed `_level …` in the order that makes it sort first.

    With it, how many orders were compared.
    """
    opened = {d: fresh_index(d) if d.is_bound else d for d in dummies}
    body = reindexed(body, {d: fresh for d, fresh in opened.items() if d is not fresh})
    best: tuple[Any, Expr, list[Index]] | None = None
    orders = canonical.orders(parts_of(body, Component), list(opened.values()), size_of(body))
    for order in orders:
        named = [Index(f"_{level + k}", d.size, 2_000_000 + level + k) for k, d in enumerate(order)]
        renamed = reindexed(body, dict(zip(order, named, strict=True)))
        key = default_sort_key(renamed) if len(orders) > 1 else ()
        if best is None or key < best[0]:
            best = (key, renamed, named)
    assert best is not None
    return best[1], best[2], len(orders)


class Delta(KroneckerDelta):
    """SymPy's δ_ij, which here need not ask whether i - j could be zero: letters differ or not."""

    def __new__(cls, i: Index, j: Index, delta_range: object = None) -> Expr:
        """Without what SymPy's functions do once more for each: the set of numbers of arguments."""
        known = cls.eval(i, j)
        return cast(Expr, Expr.__new__(cls, i, j)) if known is None else known

    @classmethod
    def eval(cls, i: Index, j: Index, delta_range: object = None) -> Expr | None:
        if i == j:
            return S.One
        return None if (i.rank, i.name) <= (j.rank, j.name) else cls(j, i)


def delta(i: Index, j: Index) -> Expr:
    """Kronecker's δ_ij; δ_ii is 1."""
    return cast(Expr, Delta(i, j))


def free_indices(expr: Expr) -> list[Index]:
    """The indices of an expression that no contraction binds, by rank."""
    return list(free_by_rank(expr))


def rename(expr: Expr, mapping: Mapping[Index, Index]) -> Expr:
    """Free indices renamed, all at once. No target may be a dummy of a closed contraction."""
    targets = [i for i in mapping.values() if i.is_bound]
    assert not targets, f"{targets} would be captured"
    return reindexed(expr, dict(mapping))


def factor_pairs(term: Expr) -> list[tuple[Expr, Expr]]:
    """A product as (base, exponent) pairs, in SymPy's own order; a number counts as a base."""
    pairs = []
    for factor in term.as_ordered_factors() if not term.is_Mul else term.args:
        base, exponent = factor.as_base_exp() if not factor.is_Rational else (factor, Integer(1))
        pairs.append((base, exponent))
    return pairs
