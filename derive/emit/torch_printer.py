"""Printing an expression as torch code: axes aligned by `None`, sums as means, `@`, einsum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sympy import Add, Expr, KroneckerDelta, Mul, Pow, Rational, S
from sympy.core.sorting import default_sort_key

from derive.emit.scalar import (
    ATOM,
    POWER,
    PRODUCT,
    SUM,
    UNARY,
    Code,
    ScalarPrinter,
    bracket,
)
from derive.emit.source import comma
from derive.emit.torch_chains import Chained, Memory
from derive.emit.torch_products import einsum_letters, matmul
from derive.emit.torch_select import Selector
from derive.emit.torch_solve import solved
from derive.notation.conditions import Iverson, Position
from derive.notation.functions import Elementwise, Row
from derive.notation.nodes import (
    Component,
    Contraction,
    Extremum,
    Index,
    Size,
    Tensor,
    free_indices,
)
from derive.notation.solution import Solution
from derive.plan.autocast import multiplies
from derive.plan.order import factor_order
from derive.plan.paths import merged
from derive.plan.short import Told, Wide

Space = tuple[Index, ...]
_HALF = Rational(1, 2)


class TorchPrinter(ScalarPrinter):
    """Expressions over tensors whose axes stand in a known order."""

    def __init__(
        self,
        like: str = "",
        positions: Mapping[Size, str] | None = None,
        dtype: str = "",
        memory: Memory | None = None,
        types: Told | None = None,
    ) -> None:
        # What may be written over; nothing where autograd follows
        self.chained = None if memory is None else Chained(self, memory)
        self.like = like  # a tensor whose device new ones take, and whose dtype if no other is told
        self.dtype = dtype or f"{like}.dtype"
        self._cast = f", dtype={dtype}" if dtype else ""
        self.types = types or Told(
            S.Zero, frozenset(), frozenset()
        )  # of a statement, if it has two
        self.positions = positions or {}  # names of 0, 1, … along an axis
        self.assumed: frozenset[Expr] = frozenset()  # conditions that hold where this is printed

    def code(self, expr: Expr, space: Space) -> Code:
        if self.chained is not None and isinstance(expr, Add | Mul | Pow | Elementwise):
            found = self.chained.code(expr, space)
            if found is not None:
                return found
        return super().code(expr, space)

    def start(self, expr: Expr, space: Space) -> Code:
        """What a chain begins with, which is none itself."""
        return super().code(expr, space)

    def new(self, kind: str, arguments: str) -> str:
        """A new tensor: `x.new_zeros((B, H))`."""
        return f"{self.like}.new_{kind}({arguments}{self._cast})"

    def shaped(self, target: Component, expr: Expr) -> str:
        """The expression in the shape of the target, which it may have to be expanded to."""
        shape = [i.size.name for i in target.indices]
        if isinstance(expr, Solution):
            return self.aligned(*solved(self, expr, target.indices), target.indices)[0]
        code = self.code(expr, target.indices)
        if not _is_tensor(expr):
            sizes = f"({comma(shape)})" if shape else "()"
            made = self.new("zeros", sizes) if expr == 0 else ""
            code = made or self.new("full", f"{sizes}, {code[0]}"), ATOM
        if self.types.rounded and not self.types.is_bare:
            code = self.short(code)
        if not _is_tensor(expr) or len(free_indices(expr)) == len(shape):
            return code[0]
        return f"{bracket(code, ATOM)}.expand({', '.join(shape)})"

    # -- conditions ------------------------------------------------------------------------------

    def selected(self, product: Expr, space: Space) -> Code:
        return Selector(self).product(product, space)

    def choice(self, condition: Iverson, taken: Expr, other: Expr, space: Space) -> Code:
        return Selector(self).choice(condition, taken, other, space)

    @contextmanager
    def assuming(self, brackets: Iterable[Expr]) -> Iterator[None]:
        """What is printed counts only where these conditions hold."""
        before = self.assumed
        self.assumed |= frozenset(brackets)
        yield
        self.assumed = before

    def is_tensor(self, expr: Expr) -> bool:
        return _is_tensor(expr)

    # -- leaves ---------------------------------------------------------------------------------

    def component(self, component: Component, space: Space) -> Code:
        indices = component.indices
        text = self.named(component.tensor)
        while (repeated := _repeated(indices)) is not None:
            first, second = repeated
            text += f".diagonal(0, {first}, {second})"
            kept = tuple(i for k, i in enumerate(indices) if k not in repeated)
            indices = (*kept, indices[first])
        return self.aligned(text, indices, space)

    def named(self, tensor: Tensor) -> str:
        """A tensor, in fp32 where its numbers are wanted so."""
        return f"{tensor.name}.to({self.dtype})" if isinstance(tensor, Wide) else tensor.name

    def short(self, code: Code) -> Code:
        """In the type of the products."""
        return f"{bracket(code, ATOM)}.to({self.like}.dtype)", ATOM

    def aligned(self, text: str, indices: Space, space: Space) -> Code:
        """Axes in the order of the space, with `None` for each axis that is missing."""
        order = [i for i in space if i in indices]
        if order != list(indices):
            text = (
                f"{text}.T"
                if len(order) == 2
                else f"{text}.permute({', '.join(str(indices.index(i)) for i in order)})"
            )
        if not order:
            return text, ATOM
        inside = [":" if i in order else "None" for i in space[space.index(order[0]) :]]
        return (f"{text}[{', '.join(inside)}]" if "None" in inside else text), ATOM

    def size(self, size: Size) -> Code:
        return size.name, ATOM

    def other(self, expr: Expr, space: Space) -> Code:
        if isinstance(expr, Position):
            return self.aligned(self.positions[expr.index.size], (expr.index,), space)
        if not isinstance(expr, KroneckerDelta):
            return super().other(expr, space)
        i, j = sorted(expr.args, key=space.index)
        eye = f"torch.eye({i.size.name}, dtype={self.dtype}, device={self.like}.device)"
        return self.aligned(eye, (i, j), space)

    def function(self, row: Row, args: Sequence[Expr], space: Space) -> str:
        constants = [a for a in args if not _is_tensor(a)]
        if row.name in ("min", "max") and len(constants) == 1:
            other = next(a for a in args if a not in constants)
            bound = self.code(constants[0], ())[0]
            side = {"min": "max", "max": "min"}[row.name]  # the smaller of two is at most either
            return f"torch.clamp({self.code(other, space)[0]}, {side}={bound})"
        return row.torch.format(*(self._argument(a, space) for a in args))

    def _argument(self, arg: Expr, space: Space) -> str:
        """A torch function takes tensors: a number of sizes and scalars is made one."""
        code = self.code(arg, space)[0]
        return code if _is_tensor(arg) else f"torch.as_tensor({code}, dtype=torch.float64)"

    def power(self, base: Expr, exponent: Expr, space: Space) -> Code:
        if exponent.as_coeff_Mul()[0].is_negative:
            return "1 / " + bracket(self.code(Pow(base, -exponent), space), UNARY), PRODUCT
        if exponent == _HALF and _is_tensor(base):
            return f"torch.sqrt({self.code(base, space)[0]})", ATOM
        return (
            f"{bracket(self.code(base, space), ATOM)}**{bracket(self._exponent(exponent), ATOM)}",
            POWER,
        )

    def _exponent(self, exponent: Expr) -> Code:
        return self.code(exponent, ())

    # -- products: what has fewer axes is multiplied first, in its own space -----------------------

    def product(self, number: Expr, factors: list[Expr], space: Space) -> Code:
        sums = [f for f in factors if isinstance(f, Contraction)]
        if len(sums) == 1:
            number, factors, whole = self._with_sum(number, factors, sums[0], space)
            if not factors and number == 1:
                return whole
            rest = super().product(number, factors, space) if factors or number != 1 else None
            return self._times(rest, whole, number, factors, space)
        small = self._small_group(number, factors, space)
        if small:
            own = tuple(i for i in space if i in free_indices(small[0]))
            sizes = [f for f in factors if f not in small and not free_indices(f)]
            first = super().product(number, [*sizes, *small], own)
            others = [f for f in factors if f not in small and f not in sizes]
            aligned = self.aligned(f"({first[0]})", own, space)
            if not others:
                return aligned
            rest = self.product(S.One, others, space)
            if rest[0].startswith("1 / "):
                return f"{aligned[0]} / {rest[0][4:]}", PRODUCT
            return f"{aligned[0]} * {bracket(rest, PRODUCT)}", PRODUCT
        return super().product(number, factors, space)

    def _small_group(self, number: Expr, factors: list[Expr], space: Space) -> list[Expr]:
        """Factors over the same few axes, not all of the space, that are worth one product."""
        groups: dict[frozenset[Index], list[Expr]] = {}
        for factor in sorted(factors, key=factor_order):
            groups.setdefault(frozenset(free_indices(factor)), []).append(factor)
        scalars = len(groups.get(frozenset(), [])) + (number != 1)
        for indices, group in groups.items():
            starts = [f for f in group if not _inverse(f)]
            aligned = _needs_none(indices, space)
            if (
                indices
                and aligned
                and starts
                and len(group) + scalars > 1
                and len(group) < len(factors)
            ):
                return group
        return []

    # -- sums -------------------------------------------------------------------------------------

    def contraction(self, total: Contraction, factor: Expr, space: Space) -> Code:
        body, dummies = total.open()
        free = tuple(free_indices(total))
        picked = Selector(self).summed(body, dummies)
        if picked is not None:
            code, order = picked
            if factor != 1:
                scale = bracket(self.code(factor, ()), UNARY)
                code = f"{bracket(code, PRODUCT)} * {scale}", PRODUCT
            return code if order == space else self.aligned(bracket(code, ATOM), order, space)
        if multiplies(body, (*free, *dummies)):
            text, order = self._einsum(total, body, dummies, tuple(i for i in space if i in free))
        else:
            text, order = self._pointwise_sum(body, dummies, free, factor)
        if total in self.types.full:
            return self.aligned(text, order, space)
        if total in self.types.products and not self.types.is_bare:
            text = f"{bracket((text, SUM if '@' in text else ATOM), ATOM)}.to({self.dtype})"
            return self.aligned(text, order, space)
        if "@" not in text:
            return self.aligned(text, order, space)
        # `@` binds like `*`, from the left: in a product, and before `[`, it stands in brackets
        return (text, SUM) if order == space else self.aligned(f"({text})", order, space)

    def _with_sum(
        self, number: Expr, factors: list[Expr], total: Contraction, space: Space
    ) -> tuple[Expr, list[Expr], Code]:
        """A sum divided by the size of what it sums over is a mean."""
        rest = [f for f in factors if f is not total]
        means = [1 / d.size for d in total.dummies]
        body, dummies = total.open()
        can = all(rest.count(m) for m in set(means)) and not multiplies(
            body, (*free_indices(total), *dummies)
        )
        if can and len(set(means)) == len(means):
            rest = [f for f in rest if f not in means]
            return number, rest, self.contraction(total, Mul(*means), space)
        return number, rest, self.contraction(total, S.One, space)

    def _times(
        self, rest: Code | None, whole: Code, number: Expr, factors: list[Expr], space: Space
    ) -> Code:
        """number × factors × the sum, the sum in the place of a numerator."""
        above = [f for f in factors if not _inverse(f)]
        below = [1 / f for f in factors if _inverse(f)]
        parts = [bracket(whole, PRODUCT)]
        if above or number != 1:
            front = ScalarPrinter.product(self, number, above, space)
            parts.insert(0, bracket(front, PRODUCT))
        text = " * ".join(parts)
        for divisor in sorted(below, key=factor_order):
            text += " / " + bracket(self.code(divisor, space), UNARY)
        return text, PRODUCT

    def _pointwise_sum(
        self, body: Expr, dummies: Space, free: Space, factor: Expr
    ) -> tuple[str, Space]:
        space = self._natural_space(body, (*free, *dummies))
        axes = [k for k, i in enumerate(space) if i in dummies]
        order = tuple(i for i in space if i not in dummies)
        code = self.code(body, space)
        method = "sum" if factor == 1 else "mean"
        which = str(axes[0]) if len(axes) == 1 else str(tuple(axes))
        inside = [which] if order else []
        if isinstance(body, Component) and body.tensor in self.types.short:
            inside = [which, f"dtype={self.dtype}"]
        return f"{bracket(code, ATOM)}.{method}({', '.join(inside)})", order

    def _natural_space(self, body: Expr, indices: Space) -> Space:
        """The indices in the order of a component that carries them all, if there is one."""
        components = sorted(body.atoms(Component), key=default_sort_key)
        for component in components:
            if set(component.indices) == set(indices) and len(component.indices) == len(indices):
                return component.indices
        return tuple(sorted(indices, key=lambda i: (i.is_dummy, i.rank)))

    def extremum(self, largest: Extremum, space: Space) -> Code:
        body, dummies = largest.open()
        free = tuple(free_indices(largest))
        inside = self._natural_space(body, (*free, *dummies))
        axes = [k for k, i in enumerate(inside) if i in dummies]
        which = str(axes[0]) if len(axes) == 1 else str(tuple(axes))
        code = bracket(self.code(body, inside), ATOM)
        text = f"{code}.a{largest.word}({which if free else ''})"
        return self.aligned(text, tuple(i for i in inside if i not in dummies), space)

    def natural_space(self, expr: Expr) -> Space:
        """The free indices in the order of a component that carries them all, if there is one."""
        return self._natural_space(expr, tuple(free_indices(expr)))

    def named_sum(self, text: str, order: Space, rest: Expr, dummies: Space) -> tuple[Code, Space]:
        """Σ over the dummies of a tensor that has been computed, times the rest."""
        known = Component(Tensor(text, 10**8), *order)
        total = Contraction(Mul(known, rest), *dummies)
        result = tuple(dict.fromkeys(i for i in (*order, *free_indices(rest)) if i not in dummies))
        return self.code(total, result), result

    def _einsum(self, total: Expr, body: Expr, dummies: Space, result: Space) -> tuple[str, Space]:
        operands = sorted(
            merged(list(Mul.make_args(body))),
            key=lambda f: (-len(free_indices(f)), factor_order(f)),
        )
        short, full = total in self.types.products, total in self.types.full
        parts = [self._operand(f, short) for f in operands]
        if len(parts) == 2:
            product = matmul(parts[0], parts[1], dummies, result)
            if product is not None and full:
                return f"_unrounded({product[0][0]}, {product[1][0]}, {self.dtype})", result
            if product is not None:
                return " @ ".join(bracket(code, UNARY) for code in product), result
        letters = einsum_letters(result, dummies)
        left = ",".join("".join(letters[i] for i in indices) for _, indices in parts)
        right = "".join(letters[i] for i in result)
        cast = f".to({self.dtype})" if full else ""
        names = ", ".join(f"{text}{cast}" for (text, _), _ in parts)
        return f'torch.einsum("{left}->{right}", {names})', result

    def _operand(self, factor: Expr, short: bool) -> tuple[Code, Space]:
        """What is multiplied, in the type of the product."""
        if isinstance(factor, Component):
            code, space = (self.named(factor.tensor), ATOM), factor.indices
            rounded = factor.tensor in self.types.short
        else:
            space = self._natural_space(factor, tuple(free_indices(factor)))
            code, rounded = self.code(factor, space), False
        return (self.short(code) if short and not rounded else code), space


def _repeated(indices: Space) -> tuple[int, int] | None:
    for k, index in enumerate(indices):
        if index in indices[k + 1 :]:
            return k, indices.index(index, k + 1)
    return None


def _is_tensor(expr: Expr) -> bool:
    """Does the expression come out as a tensor, and not as a Python number?"""
    return bool(expr.atoms(Component, KroneckerDelta, Position))


def _inverse(factor: Expr) -> bool:
    return isinstance(factor, Pow) and bool(factor.exp.as_coeff_Mul()[0].is_negative)


def _needs_none(indices: frozenset[Index], space: Space) -> bool:
    """Does a tensor with these indices need `None` to be aligned?"""
    places = [k for k, i in enumerate(space) if i in indices]
    return bool(places) and places != list(range(places[0], len(space)))
