"""The laws of functions and roots, node by node: the form in which an expression is decided.

A law holds wherever what it rewrites is a real number: what stands in a root is not negative, what
stands below a fraction line is not zero. No other sign is known but that of sizes, exponentials,
roots, even powers, and what is made of these alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sympy import Add, Expr, Integer, Mul, Pow, S, floor
from sympy.core.sorting import default_sort_key

from derive.notation.conditions import EQUAL, Iverson, iverson
from derive.notation.functions import Elementwise, call
from derive.notation.nodes import Contraction, Extremum, Index, Maximum, Minimum, Size, free_indices
from derive.simplify.normal import (
    NormalForm,
    Term,
    constant,
    factor,
    numeric_power,
    product,
    product_of,
)

_LARGEST_PRIME = 1000  # looked for in a number of which the logarithm is taken

_MINUS, _HALF, _TWO = S.NegativeOne, S.Half, Integer(2)


# -- signs ----------------------------------------------------------------------------------------


def _is_positive(expr: Expr) -> bool:
    """A size, a positive number, an exponential, and what is made of these alone."""
    if isinstance(expr, Add):
        return all(map(_is_nonnegative, expr.args)) and any(map(_is_positive, expr.args))
    if isinstance(expr, Mul):
        return all(map(_is_positive, expr.args))
    if isinstance(expr, Pow):
        return _is_positive(expr.base)
    if isinstance(expr, Contraction):
        return _is_positive(expr.body)
    if isinstance(expr, Elementwise):
        return expr.row.name == "exp"
    return isinstance(expr, Size) or bool(expr.is_Rational and expr > 0)


def _is_nonnegative(expr: Expr) -> bool:
    """What is positive, even powers, roots, and what is made of these alone."""
    if isinstance(expr, Add | Mul):
        return all(map(_is_nonnegative, expr.args))
    if isinstance(expr, Pow) and expr.exp.is_Rational:
        return bool(expr.exp.q > 1 or expr.exp % 2 == 0) or _is_nonnegative(expr.base)
    if isinstance(expr, Contraction):
        return _is_nonnegative(expr.body)
    return isinstance(expr, Iverson) or _is_positive(expr)


def _leads_negative(expr: Expr) -> bool:
    """Has the first term a negative number in front? Of u and -u just one has."""
    terms = [t.as_coeff_Mul() for t in Add.make_args(expr)]
    return bool(min(terms, key=lambda t: default_sort_key(t[1]))[0].is_negative)


def _negative(expr: Expr) -> Expr:
    """-(a + b) as -a - b, whatever SymPy leaves in brackets."""
    return Add(*(Mul(_MINUS, t) for t in Add.make_args(expr)))


# -- what the terms of a sum share ----------------------------------------------------------------

Pairs = list[tuple[Expr, Expr]]


def _factors(monomial: Expr) -> tuple[Expr, Pairs]:
    """The number in front, and the other factors as (base, exponent)."""
    coefficient, factors = monomial.as_coeff_mul()
    return coefficient, [f.as_base_exp() for f in factors]


def _content(total: Expr, common: Callable[[Expr, Expr], Expr]) -> tuple[Expr, Expr]:
    """a c + b c = c (a + b); `common` says how much of a base's least power is to stand outside."""
    if not isinstance(total, Add):
        return S.One, total
    terms = [product_of(factor(*p) for p in _factors(t)[1]).powers for t in total.args]
    shared = S.One
    for base in dict.fromkeys(b for t in terms for b in t):
        exponents = [t.get(base, S.Zero) for t in terms]
        if all(e.is_Rational for e in exponents):
            shared = Mul(shared, Pow(base, common(base, min(exponents))))
    number, rest = Add(*(Mul(t, Pow(shared, -1)) for t in total.args)).primitive()
    return Mul(number, shared), rest


def _any_power(_base: Expr, least: Expr) -> Expr:
    return least


def _positive_power(base: Expr, least: Expr) -> Expr:
    return least if _is_positive(base) else S.Zero


def _nonnegative_power(base: Expr, least: Expr) -> Expr:
    """All of what is not negative; of anything else, an even power."""
    return least if _is_nonnegative(base) else 2 * floor(least / 2)


# -- node by node ---------------------------------------------------------------------------------


class Splitting(NormalForm):
    """exp(a + b) = exp(a) exp(b)."""

    def function(self, expr: Elementwise) -> list[Term]:
        """f(…), its arguments in normal form, exponentials as products."""
        if expr.row.name != "exp":
            return super().function(expr)
        exponents = Add.make_args(self.normal(expr.args[0]))
        return [product_of(_exponential(e) for e in exponents)]


def _exponential(arg: Expr) -> Term:
    """exp(c u) = exp(u)^c, exp(log u) = u."""
    coefficient, rest = arg.as_coeff_Mul()
    if rest == 1:
        return factor(call("exp", arg)) if arg != 0 else constant(S.One)
    is_log = isinstance(rest, Elementwise) and rest.row.name == "log"
    return factor(rest.args[0] if is_log else call("exp", rest), coefficient)


def _larger(sign: int) -> Callable[[Expr, Expr], Expr]:
    def law(a: Expr, b: Expr) -> Expr:
        return Mul(_HALF, Add(a, b, Mul(sign, Add(a, -b), call("sign", Add(a, -b)))))

    return law


# Equalities for every value of the arguments.
_IN_OTHER_WORDS: dict[str, Callable[..., Expr]] = {
    "abs": lambda u: Mul(u, call("sign", u)),
    "relu": lambda u: Mul(_HALF, u, Add(1, call("sign", u))),
    "max": _larger(1),
    "min": _larger(-1),
    "sigmoid": lambda u: Add(1, -Pow(Add(1, call("exp", u)), -1)),
    "tanh": lambda u: Add(1, Mul(-2, Pow(Add(1, call("exp", Mul(2, u))), -1))),
    "softplus": lambda u: call("log", Add(1, call("exp", u))),
    "tan": lambda u: Mul(call("sin", u), Pow(call("cos", u), -1)),
}
_PARITY = {"sin": _MINUS, "cos": S.One, "erf": _MINUS}  # f(-u) / f(u)


class Elementary(Splitting):
    """Functions in terms of exp, log, sign, sin, cos and erf; roots of as little as may be."""

    def function(self, expr: Elementwise) -> list[Term]:
        """f(…) in terms of few functions."""
        name = expr.row.name
        if name in _IN_OTHER_WORDS:
            return self.expand(_IN_OTHER_WORDS[name](*expr.args))
        if name == "sign":
            return self._sign(expr.args[0])
        if name == "log":
            return self._logarithm(self.normal(expr.args[0]))
        if name in _PARITY:
            return _by_parity(name, self.normal(expr.args[0]))
        return super().function(expr)

    def compared(self, relation: str, left: Expr, right: Expr) -> list[Term]:
        """[a < b] = [0 < b - a]; δ_{c t} stays what it is."""
        found = iverson(relation, left, right)
        if not isinstance(found, Iverson) or found.picks is not None:
            return super().compared(relation, left, right)
        between = self.normal(Add(right, _negative(left)))
        if relation == EQUAL and _leads_negative(between):
            between = _negative(between)
        return super().compared(relation, S.Zero, between)

    def extremum(self, expr: Extremum) -> list[Term]:
        """max(a_h + b) = max(a_h) + b; min a = -max(-a)."""
        body, dummies = expr.open()
        inside = self.normal(body)
        if isinstance(expr, Minimum):
            return [
                constant(_MINUS) * t for t in self.extremum(_maximum(_negative(inside), dummies))
            ]
        terms = Add.make_args(inside)
        fixed = [t for t in terms if not set(free_indices(t)) & set(dummies)]
        moving = Add(*(t for t in terms if t not in fixed))
        found = _maximum(moving, dummies)
        largest = [factor(found)] if isinstance(found, Extremum) else self.expand(found)
        return [*largest, *(t for f in fixed for t in self.expand(f))]

    def _sign(self, arg: Expr) -> list[Term]:
        """sign(a b) = sign(a) sign(b); sign(relu(u)) = s (1 + s)/2 with s = sign(u)."""
        if isinstance(arg, Elementwise) and arg.row.name == "relu":
            s = call("sign", arg.args[0])
            return self.expand(Mul(_HALF, s, Add(1, s)))
        inside = self.normal(arg)
        if inside == 0:
            return []
        shared, rest = _content(inside, _any_power)
        if _leads_negative(rest):
            shared, rest = -shared, _negative(rest)
        coefficient, pairs = _factors(shared)
        pairs += _factors(rest)[1] if not isinstance(rest, Add) else [(rest, S.One)]
        halves = [h for b, e in pairs if e.is_positive and (h := _sign_of_half(b)) is not None]
        pairs = [(b, e) for b, e in pairs if not e.is_positive or _sign_of_half(b) is None]
        signs = [_sign_of_power(b, e) for b, e in pairs if not _is_positive(b)]
        found = product_of([constant(_MINUS if coefficient.is_negative else S.One), *signs])
        return product([[found], *map(self.expand, halves)])

    def _logarithm(self, inside: Expr) -> list[Term]:
        """log(a b) = log(a) + log(b) for a > 0; log(u^k) = k log(u) unless k is even."""
        shared, rest = _content(inside, _positive_power)
        coefficient, pairs = _factors(shared)
        number, more = (S.One, [(rest, S.One)]) if isinstance(rest, Add) else _factors(rest)
        coefficient, pairs = coefficient * number, [*pairs, *more]
        if not coefficient.is_positive:
            return [factor(call("log", inside))]
        primes = coefficient.factors(limit=_LARGEST_PRIME)
        outside = [(Integer(p), Integer(k)) for p, k in primes.items() if p != 1]
        outside += [(b, e) for b, e in pairs if _is_positive(b)]
        left = [(b, e) for b, e in pairs if not _is_positive(b)]
        if len(left) == 1 and left[0][1].is_Rational and left[0][1] % 2 != 0:
            outside, left = [*outside, *left], []
        if left:
            outside.append((Mul(*(Pow(b, e) for b, e in left)), S.One))
        return [t for b, e in outside for t in self._logarithm_of_power(b, e)]

    def _logarithm_of_power(self, base: Expr, exponent: Expr) -> list[Term]:
        """log(b^k) = k log(b) for b > 0; log(exp(u)) = u."""
        if isinstance(base, Elementwise) and base.row.name == "exp":
            return self.expand(Mul(exponent, base.args[0]))
        return [t * factor(call("log", base)) for t in self.expand(exponent)]

    def power(self, base: Expr, exponent: Expr) -> list[Term]:
        """Of a sum in a root or a divisor, what its terms share stands outside."""
        if exponent.is_Integer and exponent > 0:
            return super().power(base, exponent)
        inside = self.normal(base)
        if inside == 0:
            raise ZeroDivisionError
        if not isinstance(inside, Add):
            return [self.monomial_power(inside, exponent)]
        whole = bool(exponent.is_Integer)
        shared, rest = _content(inside, _any_power if whole else _nonnegative_power)
        if any(is_composite(b) for b, _ in _factors(shared)[1]):
            rest = self.normal(rest)
        if not isinstance(rest, Add):
            return [t * self.monomial_power(shared, exponent) for t in self.power(rest, exponent)]
        if whole and _leads_negative(rest):
            shared, rest = -shared, _negative(rest)
        return [self.monomial_power(shared, exponent) * factor(rest, exponent)]

    def monomial_power(self, base: Expr, exponent: Expr) -> Term:
        """(a b)^n = a^n b^n for whole n or a ≥ 0; (u²)^(1/2) = |u|; (u³)^n = u^(3n) for u ≥ 0."""
        if exponent.is_Integer:
            return super().monomial_power(base, exponent)
        coefficient, pairs = _factors(base)
        found = [(b, e, _out_of_root(b, e, exponent)) for b, e in pairs]
        outside = [numeric_power(abs(coefficient), exponent), *(t for *_, t in found if t)]
        odd = [(b, e) for b, e, t in found if t is None]
        if coefficient.is_positive and len(odd) == 1 and odd[0][1].is_Integer:
            return product_of([*outside, factor(odd[0][0], odd[0][1] * exponent)])
        outside += [_absolute_power(b, (e - 1) * exponent) for b, e in odd if e.is_Integer]
        inside = Mul(*(b if e.is_Integer else Pow(b, e) for b, e in odd))
        if coefficient.is_negative:
            inside = _negative(inside)
        return product_of(outside if inside == 1 else [*outside, factor(inside, exponent)])


def _maximum(body: Expr, dummies: Iterable[Index]) -> Expr:
    return Maximum(body, *dummies)


def _by_parity(name: str, arg: Expr) -> list[Term]:
    """f(-u) = f(u) or -f(u)."""
    if arg == 0:
        return [constant(S.One)] if _PARITY[name] == 1 else []
    if _leads_negative(arg):
        return [constant(_PARITY[name]) * factor(call(name, _negative(arg)))]
    return [factor(call(name, arg))]


def _sign_of_half(base: Expr) -> Expr | None:
    """sign(1 + s) = 1 + (s - s²)/2 for s = ±sign(u): it is 0 where s = -1, else 1."""
    s = base - 1
    coefficient, rest = s.as_coeff_Mul()
    if coefficient not in (1, -1) or not isinstance(rest, Elementwise) or rest.row.name != "sign":
        return None
    return Add(1, Mul(_HALF, Add(s, -Pow(s, 2))))


def _sign_of_power(base: Expr, exponent: Expr) -> Term:
    """sign(b^k) = sign(b)^k for whole k; b is not negative for a fraction k."""
    if not exponent.is_Rational:
        return factor(call("sign", Pow(base, exponent)))
    is_sign = isinstance(base, Elementwise) and base.row.name == "sign"
    power = _TWO if exponent.is_Integer and exponent % 2 == 0 else S.One
    return factor(base if is_sign else call("sign", base), power)


def _out_of_root(base: Expr, exponent: Expr, root: Expr) -> Term | None:
    """(b^k)^n as a factor of its own, where b^k cannot be negative."""
    if base.is_Rational and base > 0:
        return numeric_power(base, exponent * root)
    if _is_nonnegative(base) or (exponent.is_Rational and not exponent.is_Integer):
        return factor(base, exponent * root)
    if exponent.is_Integer and exponent % 2 == 0:
        return _absolute_power(base, exponent * root)
    return None


def _absolute_power(base: Expr, exponent: Expr) -> Term:
    """|b|^n: b^n, b^n sign(b), or (b²)^(n/2)."""
    if exponent == 0:
        return constant(S.One)
    if exponent.is_Integer:
        power = factor(base, exponent)
        return power if exponent % 2 == 0 else power * factor(call("sign", base))
    return factor(Pow(base, 2), exponent / 2)


def is_composite(base: Expr) -> bool:
    """Is this a sum, a product or a power that stands as one factor?"""
    return isinstance(base, Add | Mul | Pow | Contraction)
