"""A tensor defined by a relation: Σ_K M_RK y_K = c_R, M square in the rows R and the columns K.

Nothing here inverts M. What derivatives need follows from the relation: a change of the right side
by r changes y by the solution for r, so ∂l/∂r solves the transposed relation with ∂l/∂y on its
right, and every other gradient comes from ∂l/∂r by the chain rule on c - M y.
"""

from __future__ import annotations

from typing import cast

from sympy import Expr, Mul

from derive.notation.nodes import Component, Contraction, Index, Tensor

_RIGHT = 5_000  # what the rank of a right side lies above its tensor's


class Solution(Expr):
    """y_K of Σ_K matrix_RK y_K = right_R; it is all of an equation, never a part.

    The columns are the letters of the left side; both may carry other indices besides.
    """

    is_commutative = True
    is_finite = True
    is_zero = False

    def __new__(cls, matrix: Expr, right: Expr, *letters: Index) -> Solution:
        return cast(Solution, Expr.__new__(cls, matrix, right, *letters))

    @property
    def matrix(self) -> Expr:
        return cast(Expr, self.args[0])

    @property
    def right(self) -> Expr:
        return cast(Expr, self.args[1])

    @property
    def rows(self) -> tuple[Index, ...]:
        letters = cast("tuple[Index, ...]", self.args[2:])
        return letters[: len(letters) // 2]

    @property
    def columns(self) -> tuple[Index, ...]:
        letters = cast("tuple[Index, ...]", self.args[2:])
        return letters[len(letters) // 2 :]

    @property
    def free_symbols(self) -> set[Expr]:
        return (self.matrix.free_symbols | self.right.free_symbols) - set(self.rows)

    def left(self, target: Component) -> Expr:
        """Σ_K M_RK y_K."""
        return Contraction(Mul(self.matrix, target), *self.columns)

    def equation(self, target: Component) -> tuple[Component, Expr]:
        """The right side as a tensor of its own, and c - M y, which it is added to."""
        row_of = dict(zip(self.columns, self.rows, strict=True))
        tensor = Tensor(f"{target.tensor.name}_right", target.tensor.rank + _RIGHT)
        indices = (row_of.get(i, i) for i in target.indices)
        return Component(tensor, *indices), self.right - self.left(target)

    def adjoint(self, cotangent: Component) -> Solution:
        """∂l/∂r from ∂l/∂y: Σ_R M_RK ∂l/∂r_R = ∂l/∂y_K."""
        return Solution(self.matrix, cotangent, *self.columns, *self.rows)


def sides(target: Component, expr: Expr) -> tuple[Expr, Expr, tuple[Index, ...]]:
    """What stands left and right of an equation, and the indices that are free in it."""
    if not isinstance(expr, Solution):
        return target, expr, target.indices
    shared = (i for i in target.indices if i not in expr.columns)
    return expr.left(target), expr.right, (*expr.rows, *shared)


def carried(target: Component, expr: Expr) -> tuple[Component, Expr]:
    """What an equation gives a value to, as the chain rule sees it: u and f in u = f."""
    return expr.equation(target) if isinstance(expr, Solution) else (target, expr)
