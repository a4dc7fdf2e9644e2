"""Printing as LaTeX, in the typography of the field: bold ones, deltas, fractions of partials."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sympy import Expr, KroneckerDelta, Rational, S, Symbol
from sympy import latex as sympy_latex

from derive.notation.explicit import (
    Call,
    Factor,
    Ones,
    Operator,
    Product,
    Sum,
    explicit,
    is_delta,
)
from derive.notation.nodes import Component, Index, Named, Partial, Size, Tensor
from derive.notation.op import is_gradient, is_total

_LOWER = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau"
_OTHERS = "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
GREEK = frozenset(f"{_LOWER} {_OTHERS}".split())
_ALIASES = {"eps": "epsilon"}
_HALF = Rational(1, 2)


def to_latex(expr: Expr, free: Sequence[Index], letters: Sequence[Index]) -> str:
    """The expression as the right side of an equation with the indices `free` on its left."""
    return sum_latex(explicit(expr, free, letters))


_ACCENTS = re.compile(r"(.+)_(hat|dot)(\d*)")


def name_latex(name: str) -> str:
    """A name: Greek letters as such, one letter in italics, `w_in` as a word with a subscript."""
    if accented := _ACCENTS.fullmatch(name):
        inner, accent, number = accented.groups()
        shown = rf"\{accent}{{{name_latex(inner)}}}"
        return f"{shown}_{{\\mathrm{{{number}}}}}" if number else shown
    stem, _, below = name.partition("_")
    stem = _ALIASES.get(stem, stem)
    shown = f"\\{stem}" if stem in GREEK else stem if len(stem) == 1 else f"\\mathrm{{{stem}}}"
    if not below:
        return shown
    words = below.replace("_", r"\_")
    return f"{shown}_{{\\mathrm{{{words}}}}}"


def component_latex(component: Component) -> str:
    """x_{b h}; a gradient as ∂l/∂x_{b h}."""
    if is_gradient(component):
        return gradient_latex(component)
    return _subscripted(name_latex(component.tensor.name), component.indices)


def gradient_latex(component: Component) -> str:
    """∂l/∂t; the total gradient of an output that is used again as dl/dt."""
    name = component.tensor.name.removeprefix("d")
    sign = r"\partial"
    if is_total(component):
        name, sign = name.rstrip("_").removesuffix("_total"), r"\mathrm{d}"
    shown = component_latex(Component(Tensor(name), *component.indices))
    return rf"\frac{{{sign} l}}{{{sign} {shown}}}"


def _subscripted(name: str, indices: Sequence[Index]) -> str:
    if not indices:
        return name
    inside = " ".join(i.name for i in indices)
    return f"{{{name}}}_{{{inside}}}" if "_{" in name else f"{name}_{{{inside}}}"


def sum_latex(written: Sum) -> str:
    """Terms with their signs."""
    parts = [("-" if t.negative else "+") + _product(t) for t in written.terms]
    return "".join(parts).removeprefix("+") or "0"


def _product(term: Product) -> str:
    """Gradients, then a fraction, then brackets, then deltas."""
    number = Rational(term.number)
    deltas = [f for f in term.above if is_delta(f.base)]
    leading = [
        f
        for f in term.above
        if _is_gradient(f) or (isinstance(f.base, Partial) and f not in deltas)
    ]
    brackets = [
        f for f in term.above if isinstance(f.base, (Sum, Operator)) and f.exponent == S.One
    ]
    others = [f for f in term.above if f not in leading + brackets + deltas]
    below = ([str(number.q)] if number.q != 1 else []) + [_factor(f) for f in term.below]
    above = [str(number.p)] if number.p != 1 else []
    in_front = not leading and all(isinstance(f.base, Size) for f in term.below)
    inline = others if in_front else []
    above += [_factor(f) for f in others if f not in inline]
    parts = [_factor(f) for f in leading]
    if below:
        if not above and not inline and deltas:
            above, deltas = [_factor(f) for f in deltas], []
        parts.append(rf"\frac{{{' '.join(above) or '1'}}}{{{' '.join(below)}}}")
    else:
        parts += above
    parts += [_factor(f) for f in [*inline, *brackets, *deltas]]
    return " ".join(parts) or "1"


def _is_gradient(factor: Factor) -> bool:
    return isinstance(factor.base, Component) and is_gradient(factor.base)


def _factor(factor: Factor) -> str:
    base, exponent = factor.base, factor.exponent
    shown = _base(base)
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


def _base(base: Expr | Ones | Call | Operator | Sum) -> str:
    if isinstance(base, Sum):
        return sum_latex(base)
    if isinstance(base, Ones):
        return rf"\mathbf{{1}}_{{{base.index.name}}}"
    if isinstance(base, Call):
        args = ", ".join(map(sum_latex, base.args))
        return rf"{base.function.row.latex}\left({args}\right)"
    if isinstance(base, Operator):
        operator = rf"\frac{{\partial}}{{\partial {component_latex(base.wrt)}}}"
        return rf"{operator}\left({sum_latex(base.body)}\right)"
    if isinstance(base, KroneckerDelta):
        return rf"\delta_{{{' '.join(i.name for i in base.args)}}}"
    if isinstance(base, Partial):
        return (
            rf"\frac{{\partial {component_latex(base.of)}}}{{\partial {component_latex(base.wrt)}}}"
        )
    if isinstance(base, Component):
        return component_latex(base)
    return name_latex(base.name) if isinstance(base, Named) else sympy_latex(base)
