"""What the names of an op mean at a point of its file, and whether they are used rightly there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from derive.errors import Report
from derive.notation import tree as t
from derive.notation.functions import FUNCTIONS, POWERS, WORDS
from derive.notation.grow import clipped
from derive.notation.names import REDUCTIONS, nearest
from derive.notation.nodes import Scalar, Tensor
from derive.notation.sizes import Sizes

ARITIES = {word: 1 if word in POWERS else FUNCTIONS[word].arity for word in WORDS}
LATER = {"where": "E502", "solve": "E504"}


@dataclass(frozen=True)
class Declared:
    """A tensor and the letters it was declared with."""

    tensor: Tensor
    letters: tuple[str, ...]


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

    def is_tensor(self, name: str) -> bool:
        return name in self.tensors or name in self.lost


def check(node: t.Node, scope: Scope, report: Report) -> bool:
    """Check names, indices, sizes and functions; False if the index rules would say nonsense."""
    whole = True
    for part in t.walk(node):
        if isinstance(part, t.Reference):
            whole = _check_reference(part, scope, report) and whole
        elif isinstance(part, t.Jacobian):
            _check_jacobian(part, scope, report)
        elif isinstance(part, t.Derivative):
            whole = _check_reference(part.wrt, scope, report) and whole
        elif isinstance(part, t.Delta) and len(part.letters) == 2:
            one, other = part.letters
            _agree(other, one.name, scope, report)
        elif isinstance(part, t.Call):
            _check_call(part, report)
            whole = whole and part.name not in REDUCTIONS
    return whole


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
            report.add(
                "E304", node.span, f"`{name}` is {what} and carries no index", f"write `{name}`"
            )
    else:
        _refuse_unknown(node, scope, report)
    return True


def _refuse_unknown(node: t.Reference, scope: Scope, report: Report) -> None:
    name = node.name
    if name in scope.later:
        remedy = "move its equation up" if name in scope.later else ""
        report.add("E207", node.span, f"`{name}` is used before it is defined", remedy)
    elif name in ARITIES:
        report.add("E202", node.span, f"`{name}` is a function", f"write `{name}(…)`")
    else:
        sizes = [letter.upper() for letter in scope.sizes.rank]
        known = nearest(name, [*scope.tensors, *scope.scalars, *sizes, "pi"])
        report.add("E201", node.span, f"`{clipped(name)}` is not defined", known)


def _check_axes(node: t.Reference, declared: Declared, scope: Scope, report: Report) -> bool:
    wanted, given = len(declared.letters), len(node.letters)
    if wanted != given:
        axes = f"[{','.join(declared.letters)}]" if wanted else ""
        report.add(
            "E304",
            node.span,
            f"`{node.name}` has {wanted} {'index' if wanted == 1 else 'indices'}, not {given}",
            f"it was declared as `{node.name}{axes}`",
        )
        return False
    for letter, axis in zip(node.letters, declared.letters, strict=True):
        _agree(letter, axis, scope, report)
    return True


def _agree(letter: t.Letter, axis: str, scope: Scope, report: Report) -> None:
    sizes = scope.sizes
    if not sizes.agree(letter.name, axis):
        here, own = sizes.first(axis).upper(), sizes.first(letter.name).upper()
        report.add(
            "E305",
            letter.span,
            f"the index `{letter.name}` has size {own}, but runs here over an axis of size {here}",
            "use another letter; `delta` or one letter in the header makes two sizes equal",
        )


def _check_jacobian(node: t.Jacobian, scope: Scope, report: Report) -> None:
    if not scope.jacobians:
        report.add("E508", node.span, "a Jacobian stands only in a statement to prove", "")
        return
    for part in (node.of, node.wrt):
        if part.name in scope.tensors:
            _check_axes(part, scope.tensors[part.name], scope, report)
        else:
            _refuse_unknown(part, scope, report)


def _check_call(node: t.Call, report: Report) -> None:
    name, count = node.name, len(node.parts)
    if name in LATER:
        report.add(LATER[name], node.span, f"`{name}` is not supported yet", "")
    elif name in ("sum", "mean"):
        report.add("E114", node.span, f"`{name}` needs the index it binds", f"write `{name}[h](…)`")
    elif name not in ARITIES:
        report.add(
            "E202",
            node.span,
            f"there is no function `{clipped(name)}`",
            nearest(name, [*ARITIES, *REDUCTIONS]),
        )
    elif count != ARITIES[name]:
        plural = "argument" if ARITIES[name] == 1 else "arguments"
        report.add("E114", node.span, f"`{name}` takes {ARITIES[name]} {plural}, not {count}", "")


def letters_of(node: t.Node) -> list[t.Letter]:
    """The letters of an expression in the order of the source."""
    return [letter for part in t.walk(node) for letter in getattr(part, "letters", ())]


def deltas_of(node: t.Node) -> list[tuple[str, str]]:
    """The pairs of letters whose sizes a `delta` makes equal."""
    pairs = [p.letters for p in t.walk(node) if isinstance(p, t.Delta) and len(p.letters) == 2]
    return [(one.name, other.name) for one, other in pairs]
