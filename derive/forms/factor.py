"""Writing a gradient as a person would publish it: what recurs gets a name, what is shared stands
in front.

The terms are taken apart into powers of factors, each sum opened. Then (1) a product that some
equation of the op defines gets its name, e/z = p; (2) what all terms share goes in front; (3) a
product of two factors that occurs again, with other letters perhaps, gets a name of its own:
g = dy γ, x̂ = μ/σ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, count

from sympy import Add, Expr, Integer, Mul, Pow, S

from derive.derivation import primes
from derive.forms.cost import operations
from derive.notation.nodes import (
    Component,
    Contraction,
    Index,
    Size,
    Tensor,
    free_indices,
    rename,
)
from derive.notation.op import Equation, Op, holds_gradient
from derive.rewrite import everywhere
from derive.simplify.collect import common_number, meet
from derive.simplify.laws import OUTSIDE, separated

Powers = dict[Expr, Expr]
_RANK = 4_000  # of names that are made here, above those of the op
_MOST_NAMES = 6
_TYPICAL = 64  # a size, to compare costs by


@dataclass(frozen=True)
class Monomial:
    """number × Π base^power, summed over `dummies`."""

    number: Expr
    powers: Powers
    dummies: tuple[Index, ...]

    def expr(self) -> Expr:
        body = Mul(*(Pow(b, e) for b, e in self.powers.items()))
        total = separated(body, self.dummies)
        return Mul(self.number, everywhere(OUTSIDE.apply, total))

    def divided(self, parts: Powers) -> Monomial:
        left = {b: e - parts.get(b, S.Zero) for b, e in self.powers.items()}
        return replace(self, powers={b: e for b, e in left.items() if e != 0})

    def times(self, base: Expr, power: Expr = S.One) -> Monomial:
        return replace(self, powers=self.powers | {base: self.powers.get(base, S.Zero) + power})


@dataclass(frozen=True)
class Pattern:
    """`target` stands for the product `powers`, in the letters of the target."""

    target: Component
    powers: Powers

    @property
    def expr(self) -> Expr:
        return Mul(*(Pow(b, e) for b, e in self.powers.items()))


def factor(
    op: Op, expr: Expr, closed: Expr, known: Iterable[Equation] = ()
) -> tuple[list[tuple[Component, Expr]], Expr]:
    """Names with what they stand for, and the expression in terms of them.

    What `known` has named keeps its name. The closed form stays, where nothing is cheaper.
    """
    terms = [_monomial(t) for t in Add.make_args(expr)]
    if len(terms) < 2:
        return [], closed
    folded = terms
    for pattern in _definitions(op):
        folded = [_folded(t, pattern) for t in folded]
    names = _Names(op, {e.expr: e.target for e in known})
    written = [_written(start, names) for start in (folded, terms)]
    return min([*written, ([], closed)], key=_cost)


def _written(terms: list[Monomial], names: _Names) -> tuple[list[tuple[Component, Expr]], Expr]:
    """What is shared in front, what recurs named, and what is shared then."""
    front, terms = _in_front(terms)
    named: list[Pattern] = []
    while len(named) < _MOST_NAMES and (found := _recurring(names, terms)) is not None:
        named.append(found)
        terms = [_folded(t, found) for t in terms]
    more, terms = _in_front(terms)
    return [(p.target, p.expr) for p in named], Mul(front, more, Add(*(t.expr() for t in terms)))


def _cost(written: tuple[list[tuple[Component, Expr]], Expr]) -> Expr:
    """The operations where every size is the same."""
    named, result = written
    total = Add(*(operations(e) for e in (*(e for _, e in named), result)))
    return total.xreplace({s: Integer(_TYPICAL) for s in total.atoms(Size)})


def _monomial(term: Expr) -> Monomial:
    number, rest = term.as_coeff_Mul()
    powers: Powers = {}
    dummies: list[Index] = []
    for part in Mul.make_args(rest):
        body, opened = part.open() if isinstance(part, Contraction) else (part, ())
        dummies += opened
        for base, exponent in (f.as_base_exp() for f in Mul.make_args(body)):
            powers[base] = powers.get(base, S.Zero) + exponent
    return Monomial(number, powers, tuple(dummies))


# -- what is shared ------------------------------------------------------------------------------


def _in_front(terms: list[Monomial]) -> tuple[Expr, list[Monomial]]:
    """What all terms share that carries no dummy, and what is left of them."""
    free = [
        {b: e for b, e in t.powers.items() if not set(free_indices(b)) & set(t.dummies)}
        for t in terms
    ]
    shared = meet(free)
    number = common_number([t.number for t in terms])
    rest = [replace(t.divided(shared), number=t.number / number) for t in terms]
    return Mul(number, *(Pow(b, e) for b, e in shared.items())), rest


# -- names ---------------------------------------------------------------------------------------


def _definitions(op: Op) -> Iterator[Pattern]:
    """The equations of the op that define a product of tensors."""
    for equation in op.equations:
        factors = Mul.make_args(equation.expr)
        pairs = dict(f.as_base_exp() for f in factors)
        tensors = all(isinstance(b, Component) and e.is_Integer for b, e in pairs.items())
        if len(pairs) > 1 and tensors:
            yield Pattern(equation.target, pairs)


def _folded(term: Monomial, pattern: Pattern) -> Monomial:
    """The term with the name in place of the product, as often as that occurs."""
    for _ in range(8):
        found = next(_instances(term, pattern), None)
        if found is None:
            break
        mapping, parts = found
        term = term.divided(parts).times(rename(pattern.target, mapping))
    return term


def _instances(term: Monomial, pattern: Pattern) -> Iterator[tuple[dict[Index, Index], Powers]]:
    """Letters for which the term holds the product of the pattern."""
    first = max(pattern.powers, key=lambda base: len(free_indices(base)))
    assert isinstance(first, Component)
    if set(first.indices) != set(pattern.target.indices):
        return
    for base in (b for b in term.powers if isinstance(b, Component) and b.tensor == first.tensor):
        mapping = dict(zip(first.indices, base.indices, strict=True))
        parts = {rename(b, mapping): e for b, e in pattern.powers.items()}
        if all(_holds(term.powers.get(b, S.Zero), e) for b, e in parts.items()):
            yield mapping, parts


def _holds(power: Expr, wanted: Expr) -> bool:
    """Is there as much of a factor as is wanted, on the same side of the fraction line?"""
    if not (power.is_Rational and wanted.is_Rational):
        return power == wanted
    return bool(power >= wanted > 0 or power <= wanted < 0)


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
    inside = set(free_indices(other)) <= set(free_indices(base))
    whole = bool(power.is_Rational and abs(power) >= 1)
    return inside and whole and isinstance(other, Component)


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

    def __init__(self, op: Op, known: dict[Expr, Component]) -> None:
        self.op, self.known = op, known
        self.gradients = {c.tensor for e, c in known.items() if holds_gradient(e)}

    def pattern(self, product: Expr, base: Component, other: Expr) -> Pattern:
        if product not in self.known:
            target = Component(self._name(base, other), *base.indices)
            self.known[product] = target
            if self._is_gradient(product):
                self.gradients.add(target.tensor)
        return Pattern(self.known[product], dict(f.as_base_exp() for f in (base, other)))

    def _name(self, base: Component, other: Expr) -> Tensor:
        """The larger tensor with a hat, where no cotangent is in it."""
        made = [c.tensor.name for c in self.known.values()]
        taken = {*self.op.tensors, *made, *(i.name for i in self.op.letters)}
        larger = base.tensor.name.partition("_hat")[0]
        stem = "g" if self._is_gradient(base * other) else f"{larger}_hat"
        tries = (f"{stem}{k if k > 1 else ''}" for k in count(1))
        return Tensor(next(n for n in tries if n not in taken), _RANK + len(made))

    def _is_gradient(self, product: Expr) -> bool:
        return holds_gradient(product) or bool(product.atoms(Tensor) & self.gradients)
