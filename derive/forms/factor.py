"""Writing a gradient as a person would publish it: what recurs gets a name, what is shared stands
in front.

The terms are taken apart into powers of factors, each sum opened. Then (1) a product that some
equation of the op defines gets its name, e/z = p; (2) what all terms share goes in front; (3) a
sum that occurs again is named, as the gradient that it is, dp = Σ do v; (4) so is a product of
factors that occurs again, with other letters perhaps: g = dy γ, x̂ = μ/σ; (5) what some terms share
goes in front of these. The same is tried with brackets multiplied out. What is cheapest is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, count
from typing import TypeVar

from sympy import Add, Expr, Integer, Mul, Pow, S, preorder_traversal

from derive.derivation import fresh_letter, primes
from derive.forms.group import grouped, price
from derive.forms.monomial import Monomial, Pattern, folded, in_front, monomial, product_of
from derive.notation.conditions import Iverson
from derive.notation.functions import Elementwise, call
from derive.notation.known import size_of
from derive.notation.nodes import Component, Contraction, Index, Tensor, free_indices, rename
from derive.notation.op import Equation, Op, holds_gradient
from derive.rewrite import everywhere
from derive.simplify.identities import terms_of
from derive.simplify.matching import match
from derive.simplify.normal import TooLarge, normal

_RANK = 4_000  # of names that are made here, above those of the op
_MOST_NAMES = 6
_MOST_NODES = 1_000  # of a gradient, beyond which its closed form stays
_MOST_SPREAD = 64  # terms that brackets multiplied out may give

M = TypeVar("M", Monomial, Pattern)
Pair = tuple[Component, Expr]
Written = tuple[list[Pair], Expr]
Search = Callable[["_Names", list[Monomial]], Pattern | None]


def factor(
    op: Op, expr: Expr, closed: Expr, chain: Sequence[Pair] = (), known: Iterable[Equation] = ()
) -> Written:
    """Names with what they stand for, and the expression in terms of them.

    What `known` has named keeps its name, and so do the gradients of the chain. The closed form
    stays, where nothing is cheaper.
    """
    if size_of(expr) + size_of(closed) > _MOST_NODES:
        return [], closed
    variants = list(dict.fromkeys((expr, _spread(expr), _reflected(expr))))
    if S.Zero in variants:
        return [], S.Zero
    there = {e.expr: e.target for e in known}
    found = (
        _written(start, _Names(op, chain, dict(there)), searches)
        for variant in variants
        for start in _starts(op, variant)
        for searches in ((), (_recurring_sum,), (_recurring_sum, _recurring))
    )
    return min([*found, ([], closed)], key=_price)


def _price(written: Written) -> tuple[int, int, int]:
    """Operations; of equal ones, fewer names and less to read."""
    named, result = written
    exprs = [*(e for _, e in named), result]
    return price(exprs), len(named), sum(map(size_of, exprs))


def _starts(op: Op, expr: Expr) -> Iterator[list[Monomial]]:
    """The terms, with and without what the op has a name for."""
    terms = [monomial(t) for t in Add.make_args(expr)]
    named = terms
    for pattern in _definitions(op):
        named = [folded(t, pattern) for t in named]
    yield named
    if named != terms:
        yield terms


def _spread(expr: Expr) -> Expr:
    """Brackets multiplied out, but for those that choose between cases; if that is not too long."""
    if max(map(terms_of, preorder_traversal(expr))) > _MOST_SPREAD:
        return expr

    def apply(part: Expr) -> Expr | None:
        if isinstance(part, Contraction) and _is_sum(part.body):
            body, dummies = part.open()
            return Add(*(Contraction(t, *dummies) for t in body.args))
        if not isinstance(part, Mul):
            return None
        bracket = next((f for f in part.args if _is_sum(f)), None)
        if bracket is None:
            return None
        rest = Mul(*(f for f in part.args if f is not bracket))
        return Add(*(_spread(rest * t) for t in bracket.args))

    return everywhere(apply, expr)


def _is_sum(expr: Expr) -> bool:
    """Is it a sum, and not a choice between cases, [c] a + [not c] b?"""
    if not isinstance(expr, Add):
        return False
    conditions = {f for t in expr.args for f in Mul.make_args(t) if isinstance(f, Iverson)}
    return not any(c.contrary in conditions for c in conditions)


def _reflected(expr: Expr) -> Expr:
    """With sigmoid(-u) = 1 - sigmoid(u) and softplus(-u) = softplus(u) - u, all multiplied out."""

    def apply(part: Expr) -> Expr | None:
        if not isinstance(part, Elementwise) or not part.args[0].could_extract_minus_sign():
            return None
        u = -part.args[0]
        if part.row.name == "sigmoid":
            return 1 - call("sigmoid", u)
        return call("softplus", u) - u if part.row.name == "softplus" else None

    turned = everywhere(apply, expr)
    try:
        return expr if turned == expr else normal(turned)
    except TooLarge:
        return expr


def _written(terms: list[Monomial], names: _Names, searches: Sequence[Search]) -> Written:
    """What is shared in front, what recurs named, and what is shared then."""
    front, terms = in_front(terms)
    named: list[Pattern] = []
    for search in searches:
        while len(named) < _MOST_NAMES and (found := search(names, terms)) is not None:
            named.append(found)
            terms = [folded(t, found) for t in terms]
    named, terms = _merged(named, terms, names)
    return [(p.target, p.expr) for p in named], Mul(front, grouped(terms))


def _merged(
    named: list[Pattern], terms: list[Monomial], names: _Names
) -> tuple[list[Pattern], list[Monomial]]:
    """A name that is used in one other name alone is none: g = dy/σ, h = g γ is g = dy γ/σ."""
    for inner in list(named):
        users = [p for p in named if p is not inner and _uses(p.powers, inner)]
        if len(users) != 1 or any(_uses(t.powers, inner) for t in terms) or inner.dummies:
            continue
        outer = users[0]
        (used,) = (b for b in outer.powers if _is_of(b, inner))
        mapping = dict(zip(inner.target.indices, used.indices, strict=True))
        whole = Monomial(S.One, outer.powers).divided({used: S.One})
        for base, power in inner.powers.items():
            whole = whole.times(rename(base, mapping), power)
        merged = names.merged(inner, outer, Pattern(outer.target, whole.powers, outer.dummies))
        named = [
            merged if p is outer else _renamed(p, outer, merged) for p in named if p is not inner
        ]
        terms = [_renamed(t, outer, merged) for t in terms]
    return named, terms


def _renamed(part: M, old: Pattern, new: Pattern) -> M:
    """With the name that a pattern has now."""
    names = {old.target.tensor: new.target.tensor}
    return replace(part, powers={b.xreplace(names): e for b, e in part.powers.items()})


def _uses(powers: dict[Expr, Expr], pattern: Pattern) -> bool:
    return any(_is_of(b, pattern) for b in powers)


def _is_of(base: Expr, pattern: Pattern) -> bool:
    return isinstance(base, Component) and base.tensor == pattern.target.tensor


# -- names ---------------------------------------------------------------------------------------


def _definitions(op: Op) -> Iterator[Pattern]:
    """The equations of the op that define a product."""
    for equation in op.equations:
        pairs = [f.as_base_exp() for f in Mul.make_args(equation.expr)]
        plain = all(e.is_Integer and not b.is_Number for b, e in pairs)
        summed = any(isinstance(b, Contraction) and e > 0 for b, e in pairs if e.is_Integer)
        if len(pairs) > 1 and plain and not summed:
            yield Pattern(equation.target, dict(pairs))


def _recurring_sum(names: _Names, terms: list[Monomial]) -> Pattern | None:
    """A sum over one dummy, of a product, that occurs more than once."""
    sums = [_sum_over(t, d) for t in terms for d in t.dummies]
    for one in (s for s in sums if isinstance(s.body, Mul) and free_indices(s)):
        letters = free_indices(one)
        if sum(match(one, letters, s) is not None for s in sums) > 1:
            return names.sum(one)
    return None


def _sum_over(term: Monomial, dummy: Index) -> Contraction:
    return Contraction(product_of(term.carrying(dummy)), dummy)


def _recurring(names: _Names, terms: list[Monomial]) -> Pattern | None:
    """The product of two factors that occurs most often, if it occurs again."""
    seen: Counter[Expr] = Counter()
    pairs: dict[Expr, tuple[Component, Expr]] = {}
    for key, base, other in (found for term in terms for found in _pairs(names.op, term)):
        seen[key] += 1
        pairs.setdefault(key, (base, other))
    again = [key for key, times in seen.items() if times > 1]
    if not again:
        return None
    best = max(again, key=lambda k: (holds_gradient(k), seen[k], -again.index(k)))
    return names.pattern(best, *pairs[best])


def _pairs(op: Op, term: Monomial) -> Iterator[tuple[Expr, Component, Expr]]:
    """Each two factors, one of which carries the indices of the other; in neutral letters."""
    for first, second in combinations(term.powers, 2):
        for base, other in ((first, second), (second, first)):
            if _can_lead(base, term.powers[base]) and _can_follow(other, term.powers[other], base):
                unit = Integer(1) if term.powers[other] > 0 else Integer(-1)
                letters = _letters(op, base)
                lead, follow = rename(base, letters), Pow(rename(other, letters), unit)
                yield Mul(lead, follow), lead, follow
                break


def _can_lead(base: Expr, power: Expr) -> bool:
    """A tensor above the fraction line, whose axes have letters of their own."""
    return (
        isinstance(base, Component)
        and 0 < len(base.indices) == len(set(base.indices))
        and bool(power.is_Rational and power >= 1)
    )


def _can_follow(other: Expr, power: Expr, base: Expr) -> bool:
    """A tensor or a bracket, with no letter that the first has not."""
    inside = set(free_indices(other)) <= set(free_indices(base))
    whole = bool(power.is_Rational and abs(power) >= 1)
    return inside and whole and isinstance(other, Component | Add)


def _letters(op: Op, base: Expr) -> dict[Index, Index]:
    """Letters of their own, by size, in the order of the axes."""
    spare = list(primes(op).values())
    chosen: dict[Index, Index] = {}
    for index in base.indices if isinstance(base, Component) else ():
        letter = next((s for s in spare if s.size == index.size), index)
        spare = [s for s in spare if s != letter]
        chosen[index] = letter
    return chosen


class _Names:
    """The names that are made, each for one product; `g` for what holds a cotangent."""

    def __init__(self, op: Op, chain: Sequence[Pair], known: dict[Expr, Component]) -> None:
        self.op, self.chain, self.known = op, chain, known
        self.gradients = {c.tensor for e, c in known.items() if holds_gradient(e)}

    def merged(self, inner: Pattern, outer: Pattern, whole: Pattern) -> Pattern:
        """The whole under the name that it has already, or else that of its inner part."""
        for part in (inner, outer):
            self.known.pop(part.expr, None)
        spare = Component(inner.target.tensor, *outer.target.indices)
        target = self.known.setdefault(whole.expr, spare)
        return replace(whole, target=target)

    def pattern(self, product: Expr, base: Component, other: Expr) -> Pattern:
        if product not in self.known:
            larger = base.tensor.name.partition("_hat")[0]
            stem = "g" if self._is_gradient(product) else f"{larger}_hat"
            self._add(product, stem, base.indices)
        return Pattern(self.known[product], dict(f.as_base_exp() for f in (base, other)))

    def sum(self, total: Contraction) -> Pattern:
        """The gradient of the chain that it is, or else one of its own."""
        for target, value in self.chain:
            if isinstance(value, Contraction) and match(value, target.indices, total) is not None:
                return _pattern(target, value)
        letters: list[Index] = []
        for index in free_indices(total):
            spare = [p for p in primes(self.op).values() if p.size == index.size]
            free = (p for p in spare if p not in letters)
            letters.append(next(free, None) or fresh_letter(spare[0], letters))
        own = rename(total, dict(zip(free_indices(total), letters, strict=True)))
        if own not in self.known:
            self._add(own, "g" if self._is_gradient(own) else "s", tuple(letters))
        return _pattern(self.known[own], own)

    def _add(self, product: Expr, stem: str, indices: tuple[Index, ...]) -> None:
        """The stem, with a number where that is taken."""
        made = [c.tensor.name for c in self.known.values()]
        taken = {*self.op.tensors, *made, *(i.name for i in self.op.letters)}
        tries = (f"{stem}{k if k > 1 else ''}" for k in count(1))
        tensor = Tensor(next(n for n in tries if n not in taken), _RANK + len(made))
        self.known[product] = Component(tensor, *indices)
        if self._is_gradient(product):
            self.gradients.add(tensor)

    def _is_gradient(self, product: Expr) -> bool:
        return holds_gradient(product) or bool(product.atoms(Tensor) & self.gradients)


def _pattern(target: Component, value: Expr) -> Pattern:
    whole = monomial(value)
    return Pattern(target, whole.powers, whole.dummies)
