"""Printing as LaTeX, in the typography of the field: bold ones, deltas, fractions of partials."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import singledispatch

from sympy import Expr, KroneckerDelta, Rational, S, Symbol
from sympy import latex as sympy_latex

from derive.notation.conditions import Iverson, Pick, Position, whole
from derive.notation.explicit import explicit, is_delta
from derive.notation.marked import marked
from derive.notation.nodes import Component, Index, Named, Partial, Size, Tensor
from derive.notation.op import Op, is_gradient, is_total
from derive.notation.written import (
    Bracket,
    Call,
    Choice,
    Factor,
    Largest,
    Ones,
    Operator,
    Product,
    Sum,
)

_LOWER = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau"
_OTHERS = "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
GREEK = frozenset(f"{_LOWER} {_OTHERS}".split())
ALIASES = {"eps": "epsilon"}
_HALF = Rational(1, 2)
_MANY_ZEROS = 6  # at the end of a number
_MANY_DIGITS = 10  # after the point
LOSSES = ("l", "L", "J")  # what a loss is called; an op may have a tensor of that name


_loss = ContextVar("loss", default=LOSSES[0])


def loss_letter(op: Op) -> str:
    """What the loss is called beside an op; empty if all letters are taken."""
    taken = {*op.tensors, *op.sizes}
    return next((n for n in LOSSES if n not in taken), "")


@contextmanager
def loss_beside(op: Op) -> Iterator[None]:
    """Inside, the loss is printed as a letter that no tensor and no size of the op has."""
    before = _loss.set(loss_letter(op) or r"\mathcal{L}")
    try:
        yield
    finally:
        _loss.reset(before)


def to_latex(expr: Expr, free: Sequence[Index], letters: Sequence[Index]) -> str:
    """The expression as the right side of an equation with the indices `free` on its left."""
    return sum_latex(explicit(expr, free, letters))


def changed_latex(
    before: Expr, after: Expr, free: Sequence[Index], letters: Sequence[Index]
) -> str:
    """`after`, with what was not in `before` marked by \\textcolor{red}."""
    old, new = (explicit(e, free, letters) for e in (before, after))
    return sum_latex(marked(old, new))


def _mark(shown: str, is_marked: bool) -> str:
    return rf"\textcolor{{red}}{{{shown}}}" if is_marked else shown


_ACCENTS = re.compile(r"(.+)_(hat|dot)(\d*)")


_NUMBERED = re.compile(r"([A-Za-z])(\d+)")


def name_latex(name: str) -> str:
    """A name: Greek letters as such, one letter in italics; `w_in` and `r1` with a subscript."""
    name = "_".join(found.groups()) if (found := _NUMBERED.fullmatch(name)) else name
    if accented := _ACCENTS.fullmatch(name):
        inner, accent, number = accented.groups()
        shown = rf"\{accent}{{{name_latex(inner)}}}"
        return f"{shown}_{{\\mathrm{{{number}}}}}" if number else shown
    stem, _, below = name.partition("_")
    stem = ALIASES.get(stem, stem)
    shown = f"\\{stem}" if stem in GREEK else stem if len(stem) == 1 else f"\\mathrm{{{stem}}}"
    if not below:
        return shown
    words = below.replace("_", r"\_")
    return f"{shown}_{{\\mathrm{{{words}}}}}"


def component_latex(component: Component) -> str:
    """x_{b h}; a gradient as ∂l/∂x_{b h}."""
    if is_gradient(component):
        return gradient_latex(component)
    return _subscripted(name_latex(component.tensor.name), component.tensor, component.indices)


def gradient_latex(component: Component) -> str:
    """∂l/∂t; the total gradient of an output that is used again as dl/dt."""
    name = component.tensor.name.removeprefix("d")
    sign = r"\partial"
    if is_total(component):
        name, sign = name.rstrip("_").removesuffix("_total"), r"\mathrm{d}"
    made = Tensor(name, 0, component.tensor.groups)
    shown = component_latex(Component(made, *component.indices))
    return rf"\frac{{{sign} {_loss.get()}}}{{{sign} {shown}}}"


def _subscripted(name: str, tensor: Tensor, indices: Sequence[Index]) -> str:
    if not indices:
        return name
    axes = list(map(_axis, tensor.axes(indices)))
    inside = axes[0] if len(axes) == 1 else " ".join(map(_apart, axes))
    return f"{{{name}}}_{{{inside}}}" if "_{" in name else f"{name}_{{{inside}}}"


def _axis(letters: Sequence[Index]) -> str:
    """One letter, or g S + s where an axis shows several."""
    if len(letters) == 1:
        return index_latex(letters[0])
    sizes = [[j.size.name for j in letters[k + 1 :]] for k in range(len(letters))]
    places = map(index_latex, letters)
    terms = [" ".join([_apart(i) if n else i, *n]) for i, n in zip(places, sizes, strict=True)]
    return "+".join(terms)


_BRACED = re.compile(r"\{[^{}]*\}")
_ARITHMETIC = re.compile(r"[-+ ]")


def _apart(index: str) -> str:
    """Arithmetic in brackets, where something stands beside it: b (s-k)."""
    bare = index
    while bare != (bare := _BRACED.sub("", bare)):
        pass
    return f"({index})" if _ARITHMETIC.search(bare) else index


def index_latex(index: Index) -> str:
    """A letter, or what stands in its place: the label t_b, or s-k."""
    return whole(index.label, _shown, " ") if isinstance(index, Pick) else index.name


_RELATIONS = {"<": "<", "<=": r"\le", "==": "=", ">": ">", ">=": r"\ge"}
_CONTRARY = {"<": r"\not<", "<=": r"\not\le", "==": r"\ne", ">": r"\not>", ">=": r"\not\ge"}


def _condition(condition: Bracket | Iverson) -> str:
    if isinstance(condition, Iverson):
        assert condition.picks is not None
        return f"{condition.index.name} = {component_latex(condition.picks)}"
    relation = (_RELATIONS if condition.holds else _CONTRARY)[condition.relation]
    return f"{sum_latex(condition.left)} {relation} {sum_latex(condition.right)}"


def sum_latex(written: Sum) -> str:
    """Terms with their signs."""
    last = len(written.terms) - 1
    terms = [_mark(_product(t, k == last), t.marked) for k, t in enumerate(written.terms)]
    signs = ["-" if t.negative else "+" for t in written.terms]
    return "".join(s + t for s, t in zip(signs, terms, strict=True)).removeprefix("+") or "0"


_OPEN = re.compile(r"\\end\{cases\}\}*$")
_WORD = re.compile(r"(?:\\textcolor\{red\}\{)?\\mathrm\{\w{2,}\}\}?")


def _beside(factors: Sequence[str], is_last: bool = True) -> str:
    """Factors side by side; if something follows: cases, which have no right edge, in brackets, and
    a space after a word.
    """
    closed = factors[:-1] if is_last else factors
    shown = [rf"\left({f}\right)" if _OPEN.search(f) else f for f in closed]
    shown += factors[len(closed) :]
    spaced = [rf"{f} \," if _WORD.fullmatch(f) else f for f in shown[:-1]]
    return " ".join([*spaced, *shown[-1:]])


def _product(term: Product, is_last: bool) -> str:
    """Gradients, a fraction, brackets, deltas; last what is yet to be differentiated."""
    number, decimal = Rational(term.number), short_decimal(Rational(term.number))
    deltas = [f for f in term.above if is_delta(f.base)]
    leading = [
        f
        for f in term.above
        if _is_gradient(f) or (isinstance(f.base, Partial) and f not in deltas)
    ]
    brackets = [f for f in term.above if isinstance(f.base, Sum) and f.exponent == S.One]
    operators = [f for f in term.above if isinstance(f.base, Operator) and f.exponent == S.One]
    others = [f for f in term.above if f not in leading + brackets + operators + deltas]
    number = Rational(1) if decimal else number
    below = ([_whole(number.q)] if number.q != 1 else []) + _divisors(term, number)
    above = [decimal] if decimal else [_whole(number.p)] if number.p != 1 else []
    in_front = not leading and all(isinstance(f.base, Size) for f in term.below)
    inline = others if in_front else []
    above += [_factor(f) for f in others if f not in inline]
    parts = [_factor(f) for f in leading]
    if below:
        if not above and not inline:
            above = [_factor(f) for f in deltas if not isinstance(f.base, Partial)]
            deltas = [f for f in deltas if isinstance(f.base, Partial)]
        parts.append(rf"\frac{{{_beside(above) or '1'}}}{{{_beside(below)}}}")
    else:
        parts += above
    parts += [_factor(f) for f in [*inline, *brackets, *deltas, *operators]]
    return _beside(parts, is_last) or "1"


def _divisors(term: Product, number: Rational) -> list[str]:
    """What stands below the line; a sum that stands there alone needs no brackets."""
    if number.q == 1 and len(term.below) == 1:
        (alone,) = term.below
        if isinstance(alone.base, Sum) and alone.exponent == S.One:
            return [_mark(sum_latex(alone.base), alone.marked)]
    return [_factor(f) for f in term.below]


def short_decimal(number: Rational) -> str:
    """A fraction as the decimal number that it is, where that is shorter: 0.044715; else empty."""
    places = next((n for n in range(_MANY_DIGITS) if 10**n % number.q == 0), 0)
    if not places or number.q % 10**_MANY_ZEROS == 0:  # else a power of ten stands below the line
        return ""
    digits = f"{abs(number.p) * 10**places // number.q:0{places + 1}d}"
    shown = f"{'-' if number.p < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    return shown if len(shown) < len(f"{number.p}/{number.q}") else ""


def _whole(number: int) -> str:
    """A whole number; one that ends in many zeros, with a power of ten."""
    digits = str(number)
    zeros = len(digits) - len(digits.rstrip("0"))
    if zeros < _MANY_ZEROS:
        return digits
    times = "" if digits[:-zeros] == "1" else rf"{digits[:-zeros]} \cdot "
    return f"{times}10^{{{zeros}}}"


def _is_gradient(factor: Factor) -> bool:
    return isinstance(factor.base, Component) and is_gradient(factor.base)


def _factor(factor: Factor) -> str:
    return _mark(_power(factor), factor.marked)


def _power(factor: Factor) -> str:
    base, exponent = factor.base, factor.exponent
    shown = _shown(base)
    if exponent == S.One:
        return rf"\left({shown}\right)" if isinstance(base, Sum) else shown
    if exponent == _HALF:
        return rf"\sqrt{{{shown}}}"
    if isinstance(base, (Sum, Call)) or shown.startswith(r"\frac"):
        shown = rf"\left({shown}\right)"
    return f"{shown}^{{{_exponent(exponent)}}}"


def _exponent(exponent: Expr) -> str:
    """A number, or an expression of scalars."""
    symbols = {s: Symbol(s.name) for s in exponent.atoms(Named)}
    spelled = {symbol: name_latex(s.name) for s, symbol in symbols.items()}
    return str(sympy_latex(exponent.xreplace(symbols), symbol_names=spelled))


@singledispatch
def _shown(base: object) -> str:
    """A factor without its exponent."""
    return name_latex(base.name) if isinstance(base, Named) else str(sympy_latex(base))


_shown.register(Sum, sum_latex)
_shown.register(Component, component_latex)
_shown.register(Position, lambda base: str(base.index.name))


@_shown.register
def _ones(base: Ones) -> str:
    return rf"\mathbf{{1}}_{{{base.index.name}}}"


@_shown.register
def _call(base: Call) -> str:
    args = ", ".join(map(sum_latex, base.args))
    return rf"{base.function.row.latex}\left({args}\right)"


@_shown.register
def _bracket(base: Bracket) -> str:
    return rf"\left[{_condition(base)}\right]"


@_shown.register
def _choice(base: Choice) -> str:
    taken, other = sum_latex(base.taken), sum_latex(base.other)
    rows = rf"{taken} & {_condition(base.condition)} \\ {other} & \text{{otherwise}}"
    return rf"\begin{{cases}} {rows} \end{{cases}}"


@_shown.register
def _largest(base: Largest) -> str:
    letters = " ".join(i.name for i in base.letters)
    return rf"\{base.word}_{{{letters}}}\left({sum_latex(base.body)}\right)"


@_shown.register
def _pick(base: Iverson) -> str:
    assert base.picks is not None
    return rf"\delta_{{{base.index.name} {component_latex(base.picks)}}}"


@_shown.register
def _operator(base: Operator) -> str:
    operator = rf"\frac{{\partial}}{{\partial {component_latex(base.wrt)}}}"
    return rf"{operator}\left({sum_latex(base.body)}\right)"


@_shown.register
def _delta(base: KroneckerDelta) -> str:
    return rf"\delta_{{{' '.join(i.name for i in base.args)}}}"


@_shown.register
def _partial(base: Partial) -> str:
    return rf"\frac{{\partial {component_latex(base.of)}}}{{\partial {component_latex(base.wrt)}}}"
