"""What the names of an op mean at a point of its file, and whether they are used rightly there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from derive.errors import Report
from derive.notation import tree as t
from derive.notation.functions import FUNCTIONS, POWERS, WORDS
from derive.notation.grow import clipped
from derive.notation.habits import remedy_for
from derive.notation.names import REDUCTIONS, nearest
from derive.notation.nodes import Component, Scalar, Tensor
from derive.notation.sizes import Sizes

ARITIES = {word: 1 if word in POWERS else FUNCTIONS[word].arity for word in WORDS}


@dataclass(frozen=True)
class Declared:
    """A tensor and the letters it was declared with."""

    tensor: Tensor
    letters: tuple[str, ...]
    values: str | None = None  # the letter that a tensor of integers holds values of, or ""

    @property
    def counts(self) -> bool:
        """Is it a tensor of integers?"""
        return self.values is not None


@dataclass
class Scope:
    """The tensors defined so far, the scalars, the sizes; `later`: names defined further down."""

    sizes: Sizes
    tensors: dict[str, Declared] = field(default_factory=dict)
    scalars: dict[str, Scalar] = field(default_factory=dict)
    later: Collection[str] = ()
    lost: set[str] = field(default_factory=set)  # names whose definition was refused
    used: set[str] = field(default_factory=set)
    jacobians: bool = False
    told: set[str] = field(default_factory=set)  # unknown names that were refused once
    own: str = ""  # what the equation defines that is being read

    def is_tensor(self, name: str) -> bool:
        return name in self.tensors or name in self.lost

    def component(self, declared: t.Declaration) -> Component:
        """A tensor with the indices that it is declared with."""
        letters = self.sizes.indices()
        places = (letters[k.name] for k in declared.letters)
        return Component(self.tensors[declared.name].tensor, *places)


def check(node: t.Node, scope: Scope, report: Report) -> bool:
    """Check names, indices, sizes and functions; False if the index rules would say nonsense."""
    whole, compared = True, _compared(node)
    for part in _to_read(node, scope):
        if isinstance(part, t.Reference):
            whole = _check_reference(part, scope, report) and whole
            if part not in compared:
                _refuse_integers(part, scope, report)
        elif isinstance(part, t.Jacobian):
            _check_jacobian(part, scope, report)
        elif isinstance(part, t.Derivative):
            whole = _check_reference(part.wrt, scope, report) and whole
        elif isinstance(part, t.Delta) and len(part.axes) == 2:
            whole = _check_delta(part, scope, report) and whole
        elif isinstance(part, t.Call):
            whole = _check_call(part, scope, report) and whole
    return whole


def _to_read(node: t.Node, scope: Scope) -> Iterable[t.Node]:
    """All that means something: not `b` and `h` in `x(b,h)`, nor the bare `x` in `matmul(x, w)`."""
    todo = [node]
    while todo:
        at = todo.pop()
        yield at
        parts = at.parts
        if isinstance(at, t.Call) and (at.name not in ARITIES or at.name in REDUCTIONS):
            bare = [p for p in parts if isinstance(p, t.Reference) and not p.axes]
            scope.used |= {p.name for p in bare}
            known = at.name in ARITIES
            parts = tuple(p for p in parts if p not in bare or (known and not _is_letter(p, scope)))
        todo.extend(reversed(parts))


def _is_letter(node: t.Node, scope: Scope) -> bool:
    """Is it an index that stands where a value is meant?"""
    if not isinstance(node, t.Reference) or node.axes or _is_value(node.name, scope):
        return False
    return node.name in scope.sizes.rank


def _is_value(name: str, scope: Scope) -> bool:
    return scope.is_tensor(name) or name in scope.scalars or name in scope.later


def _compared(node: t.Node) -> set[t.Node]:
    """What stands in conditions."""
    return {p for c in t.walk(node) if isinstance(c, t.Comparison) for p in t.walk(c)}


def _refuse_integers(node: t.Reference, scope: Scope, report: Report) -> None:
    declared = scope.tensors.get(node.name)
    if declared is not None and declared.counts:
        message = f"`{node.name}` holds integers, which index or are compared, and no values"
        report.add("E506", node.span, message, "pass a tensor of numbers to compute with")


def _check_place(place: t.Place, report: Report, scope: Scope) -> bool:
    """Is this arithmetic of whole numbers: indices, sizes, integers?"""
    scope.used |= {p.name for p in t.walk(place.value) if isinstance(p, t.Reference)}
    wrong = [p for p in t.walk(place.value) if not _is_whole(p, scope)]
    if isinstance(place.value, t.Product) and not wrong:
        numbers = [p.value for p in place.value.parts if isinstance(p, t.Number)]
        negative = len(numbers) == len(place.value.parts) and prod(numbers) < 0
        wrong = [place.value] if negative else []
    for part in wrong[:1]:
        message = f"`{report.quote(part.span)}` is no whole number, as an index is"
        if part is place.value and isinstance(part, t.Product):
            message = f"`{report.quote(part.span)}` is no index: nothing counts from the end"
        remedy = "add and multiply indices, sizes and integers: `x[b,s-k]`, `x[b,S-1]`"
        report.add("E111", part.span, message, remedy)
    return not wrong


def _is_whole(node: t.Node, scope: Scope) -> bool:
    if isinstance(node, t.Number):
        return node.value.denominator == 1
    if isinstance(node, t.Reference):
        declared = scope.tensors.get(node.name)
        is_size = scope.sizes.named(node.name) is not None and not node.axes
        return is_size or (declared is not None and declared.counts)
    return isinstance(node, t.Sum | t.Product | t.Position)


def _check_delta(node: t.Delta, scope: Scope, report: Report) -> bool:
    whole = _check_slots(node.axes, scope, report)
    if whole:
        one, other = sorted(node.axes, key=lambda k: not isinstance(k, t.Letter))
        _agree(other, _values(one, scope), scope, report)
    return whole


def _values(axis: t.Axis, scope: Scope) -> str:
    """The letter whose values an index takes, if it is said."""
    if isinstance(axis, t.Place):
        return ""
    return axis.name if isinstance(axis, t.Letter) else scope.tensors[axis.name].values or ""


def _check_slots(axes: Iterable[t.Axis], scope: Scope, report: Report) -> bool:
    """Are labels tensors of integers, and is arithmetic whole? What is wrong is said of each."""
    labels = [k for k in axes if isinstance(k, t.Label)]
    places = [k for k in axes if isinstance(k, t.Place)]
    wrong = [label for label in labels if not _check_label(label, scope, report)]
    return not wrong + [place for place in places if not _check_place(place, report, scope)]


def _check_label(label: t.Label, scope: Scope, report: Report) -> bool:
    """Is this index a tensor of integers, rightly indexed?"""
    whole = _check_reference(t.Reference(label.span, label.name, label.letters), scope, report)
    declared = scope.tensors.get(label.name)
    if declared is None or declared.counts:
        return whole and declared is not None
    message = f"`{label.name}` stands as an index, but holds no integers"
    remedy = f"declare it as `{label.name}[{','.join(declared.letters)}]: int[c]` in the header"
    report.add("E505", label.span, message, remedy)
    return False


def _check_reference(node: t.Reference, scope: Scope, report: Report) -> bool:
    name = node.name
    scope.used.add(name)
    if name in scope.tensors:
        return _check_axes(node, scope.tensors[name], scope, report)
    if name in scope.lost:
        return False
    if name in scope.scalars or name == "pi" or scope.sizes.named(name):
        if node.letters:
            what = "a size" if name not in scope.scalars and name != "pi" else "a number"
            message = f"`{name}` is {what} and carries no index"
            report.add("E304", node.span, message, f"write `{name}`")
        return not node.letters
    _refuse_unknown(node, scope, report)
    return False


def _refuse_unknown(node: t.Reference, scope: Scope, report: Report) -> None:
    name = node.name
    if name in scope.told:
        return
    scope.told.add(name)
    if name == scope.own:
        message = f"`{name}` is used before it is defined: in its own equation"
        report.add("E207", node.span, message, _itself(node))
    elif name in scope.later:
        message = f"`{name}` is used before it is defined"
        report.add("E207", node.span, message, "move its equation up")
    elif name in ARITIES or name in REDUCTIONS:
        report.add("E202", node.span, f"`{name}` is a function", f"write `{name}(…)`")
    elif _is_letter(node, scope):
        message = f"`{name}` is an index, and no number but in a condition"
        known = f"its size is `{name.upper()}`; its values pass as an input `p[{name}]`"
        report.add("E201", node.span, message, known)
    else:
        remedy = _meant(node, scope)
        report.add("E201", node.span, f"`{clipped(name)}` is not defined", remedy)


def _itself(node: t.Reference) -> str:
    """What to do about `y = … y …`."""
    if any(isinstance(axis, t.Place) for axis in node.axes):
        linear = f"a linear recurrence is a relation: `solve {node.name}: {node.name}[…] = …`"
        return f"{linear}; of any other, one step is an op, whose state passes in and out"
    return f"give the new tensor another name, or write `solve {node.name}: …`"


CONSTANTS = {
    "e": "write `exp(1)`", "inf": "write a large number, or choose by `where`",
    "T": "for a transpose exchange the indices: `x[h,b]`", "nan": "choose by `where`",
    "True": "write 1", "False": "write 0", "None": "leave it out",
}  # fmt: skip


def _meant(node: t.Reference, scope: Scope) -> str:
    """What an unknown name may stand for."""
    name, sizes = node.name, [letter.upper() for letter in scope.sizes.rank]
    stem, _, below = name.rpartition("_")
    if stem in scope.tensors and not node.axes and below.islower():
        return f"write `{spelled(stem, scope.tensors[stem].letters)}`"
    if name[0] == "d" and name[1:] in scope.tensors and not scope.jacobians:
        return "leave gradients out: they are derived"
    if near := nearest(name, [*scope.tensors, *scope.scalars, *sizes, "pi"]):
        return near
    if name in CONSTANTS:
        return CONSTANTS[name]
    if name.isupper() and len(name) == 1 and not node.axes and sizes:
        return f"declare `{name}`; the sizes are {', '.join(f'`{size}`' for size in sizes[:6])}"
    if scope.jacobians:
        known = [n for n in scope.tensors if f"d{n}" in scope.tensors]
        return f"the op has {', '.join(f'`{n}`' for n in known[:8])}, and their gradients `d…`"
    declared = clipped(spelled(name, [k.name for k in node.letters]))
    return f"declare `{declared}` in the header, or define it above"


def spelled(name: str, letters: Sequence[str]) -> str:
    """A tensor with its indices."""
    return f"{name}[{','.join(letters)}]" if letters else name


def _check_axes(node: t.Reference, declared: Declared, scope: Scope, report: Report) -> bool:
    wanted, given = len(declared.letters), len(node.axes)
    if wanted != given:
        axes = f"[{','.join(declared.letters)}]" if wanted else ""
        report.add(
            "E304",
            node.span,
            f"`{node.name}` has {wanted} {'index' if wanted == 1 else 'indices'}, not {given}",
            f"it was declared as `{node.name}{axes}`{'' if wanted else ', a tensor with no index'}",
        )
        return False
    if not _check_slots(node.axes, scope, report):
        return False
    swapped = sorted(k.name for k in node.letters) == sorted(declared.letters)
    as_declared = spelled(node.name, declared.letters)
    remedy = (
        f"it was declared as `{as_declared}`; a `delta`, or one letter there, makes sizes equal"
    )
    if swapped and node.plain:
        remedy = f"write `{as_declared}`, as it was declared"
    for letter, axis in zip(node.axes, declared.letters, strict=True):
        if not _agree(letter, axis, scope, report, remedy):
            return False  # two letters that changed places are one mistake
    return True


def _agree(index: t.Axis, axis: str, scope: Scope, report: Report, remedy: str = "") -> bool:
    """Make the size of an index and of an axis one; a label of no values has those of this axis."""
    sizes, values = scope.sizes, _values(index, scope)
    if isinstance(index, t.Label) and not values:
        scope.tensors[index.name] = replace(scope.tensors[index.name], values=axis)
    if not values or not axis or sizes.agree(values, axis):
        return True
    here, own = sizes.first(axis).upper(), sizes.first(values).upper()
    message = f"the index `{index.name}` has size {own}, but runs here over an axis of size {here}"
    usual = "use another letter; `delta` or one letter in the header makes two sizes equal"
    if isinstance(index, t.Label):
        remedy = f"`{index.name}` holds values of the index `{values}`: put it where that stands"
    report.add("E305", index.span, message, remedy or usual)
    return False


def _check_jacobian(node: t.Jacobian, scope: Scope, report: Report) -> None:
    if not scope.jacobians:
        scope.used |= {node.of.name, node.wrt.name}
        report.add("E508", node.span, "a Jacobian stands only in a statement to prove")
        return
    for part in (node.of, node.wrt):
        if not part.plain:
            message = f"`{report.quote(part.span)}` picks: a Jacobian is of components with letters"
            remedy = "write a letter there, and a `delta` beside the Jacobian"
            report.add("E111", part.span, message, remedy)
        elif part.name in scope.tensors:
            _check_axes(part, scope.tensors[part.name], scope, report)
        else:
            _refuse_unknown(part, scope, report)


def _check_call(node: t.Call, scope: Scope, report: Report) -> bool:
    """Is it a function of the language, with as many arguments as it takes?"""
    name, count = node.name, len(node.parts)
    if _is_value(name, scope) or scope.sizes.named(name):
        scope.used.add(name)
        letters = [p.name for p in node.parts if isinstance(p, t.Reference) and not p.axes]
        is_component = letters and len(letters) == count
        remedy = (
            f"write `{spelled(name, letters)}`" if is_component else "write `*` between factors"
        )
        report.add("E202", node.span, f"`{clipped(name)}` is no function", remedy)
        return False
    bare = [p.name for p in node.parts if isinstance(p, t.Reference) and _is_letter(p, scope)]
    if name in REDUCTIONS and (name not in ARITIES or count == 1 or bare):
        letters = bare or [k.name for k in letters_of(node)][-1:] or ["h"]
        remedy = f"write `{name}[{','.join(letters)}](…)`"
        report.add("E114", node.span, f"`{name}` needs the index it binds", remedy)
        return False
    if name not in ARITIES:
        remedy = remedy_for(name) or nearest(name, [*ARITIES, *REDUCTIONS])
        if name in ("d", "grad", "gradient", "jacobian") and scope.jacobians:
            remedy = "write `dx[b]` for a gradient, `d(y[b])/d(x[c])` for a Jacobian"
        if match := re.fullmatch(r"(sum|mean|max|min)_([a-z]\w*)", name):
            remedy = f"write `{match[1]}[{match[2]}](…)`"
        report.add("E202", node.span, f"there is no function `{clipped(name)}`", remedy)
        return False
    if count != ARITIES[name]:
        plural = "argument" if ARITIES[name] == 1 else "arguments"
        message = f"`{name}` takes {ARITIES[name]} {plural}, not {count}"
        nested = f"nest them: `{name}(a, {name}(b, c))`" if count > 2 else f"write `{name}(a, b)`"
        report.add(
            "E114", node.span, message, nested if name in REDUCTIONS else f"write `{name}(u)`"
        )
    return True


def letters_of(node: t.Node) -> list[t.Letter]:
    """The letters of an expression in the order of the source."""
    return list(t.letters_in(node))


def deltas_of(node: t.Node) -> list[tuple[str, str]]:
    """The pairs of letters whose sizes a `delta` makes equal."""
    pairs = [p.axes for p in t.walk(node) if isinstance(p, t.Delta) and len(p.axes) == 2]
    letters = [pair for pair in pairs if all(isinstance(k, t.Letter) for k in pair)]
    return [(one.name, other.name) for one, other in letters]
