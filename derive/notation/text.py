"""Printing in the op language; what is printed can be read again and means the same."""

from __future__ import annotations

from collections.abc import Sequence

from sympy import Expr, KroneckerDelta, Rational, S

from derive.notation.explicit import Call, Factor, Ones, Operator, Product, Sum, explicit
from derive.notation.nodes import Component, Index, Partial, Size

_HALF = Rational(1, 2)


def to_text(expr: Expr, free: Sequence[Index], letters: Sequence[Index]) -> str:
    """The expression as the right side of an equation with the indices `free` on its left."""
    return sum_text(explicit(expr, free, letters))


def equation_text(target: Component, expr: Expr, letters: Sequence[Index]) -> str:
    """`target = expr`."""
    return f"{component_text(target)} = {to_text(expr, target.indices, letters)}"


def component_text(component: Component) -> str:
    """`x[b,h]`, or `x` where there is no index."""
    inside = ",".join(i.name for i in component.indices)
    return f"{component.tensor.name}[{inside}]" if inside else component.tensor.name


def sum_text(written: Sum) -> str:
    """Terms with their signs."""
    parts = [(" - " if t.negative else " + ") + _product(t) for t in written.terms]
    text = "".join(parts) or " + 0"  # no term at all is zero
    return text[3:] if text.startswith(" + ") else "-" + text[3:]


def _product(term: Product) -> str:
    """Number and sizes in front as one fraction, then factors, then divisors one by one."""
    number = Rational(term.number)
    sizes = [f for f in term.below if isinstance(f.base, Size)]
    front = str(number.p) + (f"/{number.q}" if number.q != 1 else "")
    front += "".join(f"/{_factor(f)}" for f in sizes)
    above = [_factor(f) for f in term.above]
    if front != "1" or not above:
        above.insert(0, front)
    below = [_factor(f) for f in term.below if f not in sizes]
    return "*".join(above) + "".join(f"/{b}" for b in below)


def _factor(factor: Factor) -> str:
    base, exponent = _base(factor), factor.exponent
    if exponent == S.One:
        return f"({base})" if isinstance(factor.base, Sum) else base
    if exponent == _HALF:
        return f"sqrt({base})"
    power = (
        str(exponent)
        if exponent.is_Integer or (exponent.is_Atom and not exponent.is_Rational)
        else f"({exponent})"
    )
    return (f"({base})" if isinstance(factor.base, Sum) else base) + f"^{power}"


def _base(factor: Factor) -> str:
    base = factor.base
    if isinstance(base, Sum):
        return sum_text(base)
    if isinstance(base, Ones):
        return f"1[{base.index.name}]"
    if isinstance(base, Call):
        return f"{base.function.row.name}({', '.join(map(sum_text, base.args))})"
    if isinstance(base, Operator):
        return f"d/d({component_text(base.wrt)})({sum_text(base.body)})"
    if isinstance(base, KroneckerDelta):
        return f"delta[{','.join(i.name for i in base.args)}]"
    if isinstance(base, Partial):
        return f"d({component_text(base.of)})/d({component_text(base.wrt)})"
    return component_text(base) if isinstance(base, Component) else str(base)
