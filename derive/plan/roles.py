"""Index roles, read off the equations: which axes are rows, reduced, shared or contracted.

From the classes of axes follow the class of kernel and the letter that may stand for any number of
axes.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from sympy import Add, Expr, Mul

from derive.notation.nodes import Component, Contraction, Index, Size, Tensor
from derive.notation.op import Op
from derive.plan.axes import Axis, AxisClasses
from derive.plan.space import Space, row_space

ROW_WISE, ELEMENT_WISE, PRODUCT, GENERAL = "row-wise", "element-wise", "matrix product", "general"


@dataclass(frozen=True)
class Roles:
    """How a kernel walks the tensors of an op.

    `kind` is the class of kernel. For the row-wise and element-wise ones, `rows` and `columns` are
    the classes of the axes that number the rows and that a row runs along. `leading` is the letter
    that may stand for any number of axes, if there is one.
    """

    kind: str
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    leading: Index | None
    classes: AxisClasses

    def is_whole(self, axes: tuple[Axis, ...]) -> bool:
        """Are these the axes of a matrix of rows, so that how far these lie apart is one number?"""
        return bool(self.rows) and axes == (*self.rows, *self.columns)


def roles(op: Op, computed: Container[Tensor] | None = None) -> Roles:
    """The roles of the indices of an op; of the tensors that are `computed`, if not all are."""
    classes = AxisClasses(op)
    leading = _leading(op, classes)
    equations = [e for e in op.equations if computed is None or e.target.tensor in computed]
    space = row_space(op, classes, equations)
    products = all(_is_product(e.expr) for e in op.equations)
    if space is None or (products and not _is_whole(op, classes, space)):
        kind = PRODUCT if products else GENERAL
        return Roles(kind, (), (), leading, classes)
    kind = ROW_WISE if classes.contracted else ELEMENT_WISE
    return Roles(kind, space.rows, space.columns, leading, classes)


def kernel_class(op: Op) -> str:
    """element-wise, row-wise, matrix product, or general (a sequence of these)."""
    return roles(op).kind


def _is_whole(op: Op, classes: AxisClasses, space: Space) -> bool:
    """Has each tensor all rows or none, then all columns or none?"""
    whole = {(*space.rows, *space.columns), space.rows, space.columns, ()}
    return all(classes.of(c) in whole for c in op.tensors.values())


def _leading(op: Op, classes: AxisClasses) -> Index | None:
    """The first letter that leads every tensor that carries it, and outputs do, and no sum."""
    given = {axis for c in op.outputs for axis in classes.of(c)}
    for component in op.inputs:
        if not component.indices:
            continue
        mine = classes.of(component)[0]
        carriers = [classes.of(c) for c in op.tensors.values() if mine in classes.of(c)]
        leads = all(c[0] == mine and c.count(mine) == 1 for c in carriers)
        leads = leads and _is_only(component.indices[0].size, mine, op, classes)
        leads = leads and component.indices[0].size not in classes.counted and mine in given
        leads = leads and not classes.has_relation
        if leads and mine not in classes.contracted and not classes.has_delta:
            return component.indices[0]
    return None


def _is_only(size: Size, axis: Axis, op: Op, classes: AxisClasses) -> bool:
    """Has no axis of another class this size? It could not grow with the leading axes."""
    tensors = op.tensors.values()
    pairs = ((i, a) for c in tensors for i, a in zip(c.indices, classes.of(c), strict=True))
    return all(a == axis for i, a in pairs if i.size == size)


def _is_product(expr: Expr) -> bool:
    """Sums of products of components: nothing but matrix products and additions."""
    for term in Add.make_args(expr):
        for factor in Mul.make_args(term):
            inner = factor.body if isinstance(factor, Contraction) else factor
            parts = Mul.make_args(inner)
            if not all(p.is_number or isinstance(p, Component) for p in parts):
                return False
    return True
