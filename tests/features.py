"""What a generated module can do inside PyTorch, one check a feature; each holds for any op.

A check passes, or refuses by raising what torch raises for a mode that is not there, or is wrong:
then it fails. `docs/features.md` shows the results, and the tests hold it so.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.autograd.gradcheck import gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint as recomputed

from derive.notation.op import Op
from derive.plan.autocast import Autocast, autocast
from derive.verify.reference import composed
from derive.verify.sample import Sample, draw, errors, gradients, outputs

SIZES = (3, 4, 2, 3, 4, 2)
LONGER = (5, 3, 4, 2, 3, 4)
OTHER = (7, 6, 5, 7, 6, 5)  # equal where the first ones are
EXACT = 1e-9
DOCS = Path(__file__).parent.parent / "docs" / "features.md"
ANEW = ("bilinear",)  # torch.einsum of three tensors looks at sizes, to choose an order
YES, REFUSES = "yes", "refuses"
UPDATE = "docs/features.md is written anew by: pytest FILE --update-features"


@dataclass(frozen=True)
class Subject:
    """A generated function, its op, and numbers for it."""

    op: Op
    function: Callable[..., Any]
    sizes: tuple[int, ...] = SIZES

    @cached_property
    def sample(self) -> Sample:
        return draw(self.op, self.sizes)

    @cached_property
    def plain(self) -> Callable[..., Any]:
        """The equations of the op as composed torch operations."""
        made = composed(self.op)
        return made if len(self.op.outputs) > 1 else lambda *inputs: made(*inputs)[0]

    @property
    def real(self) -> tuple[Tensor, ...]:
        return tuple(t for t in self.sample.inputs if t.is_floating_point())

    def of_real(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """As a function of what is not an integer."""

        def call(*numbers: Tensor) -> Any:
            given = iter(numbers)
            inputs = self.sample.inputs
            return function(*(next(given) if t.is_floating_point() else t for t in inputs))

        return call

    def loss(self, function: Callable[..., Any]) -> Callable[..., Tensor]:
        """A number that depends on the outputs, not linearly."""

        def call(*numbers: Tensor) -> Tensor:
            found = listed(self.of_real(function)(*numbers))
            pairs = zip(found, self.sample.cotangents, strict=True)
            return torch.stack([((o + o**2) * c).sum() for o, c in pairs]).sum()

        return call

    def same(self, transform: Callable[[Callable[..., Any]], Any], close: float = EXACT) -> None:
        """Does a transform give the same of the generated function as of the composed one?"""
        got, want = (list(leaves(transform(f))) for f in (self.function, self.plain))
        assert errors(got, want) < close


def listed(found: Any) -> tuple[Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)


def leaves(found: Any) -> Iterator[Tensor]:
    for part in found if isinstance(found, tuple | list) else (found,):
        if isinstance(part, tuple | list):
            yield from leaves(part)
        else:
            yield part.detach()


def moves(subject: Subject) -> bool:
    """Does some output depend on what is not an integer, not by leaps alone?"""
    sample = Sample(tuple(map(_followed, subject.sample.inputs)), subject.sample.cotangents)
    return any(o.requires_grad for o in listed(subject.function(*sample.inputs)))


def _followed(tensor: Tensor) -> Tensor:
    copied = tensor.clone()
    return copied.requires_grad_() if copied.is_floating_point() else copied


# -- first and second order -----------------------------------------------------------------------


def backward(subject: Subject) -> None:
    subject.same(lambda f: (outputs(f, subject.sample), gradients(f, subject.sample)))


def checked(subject: Subject) -> None:
    numbers = tuple(map(_followed, subject.real))
    function = subject.of_real(subject.function)
    if moves(subject):
        gradcheck(function, numbers, eps=1e-5, atol=1e-8, rtol=1e-6)


def checked_twice(subject: Subject) -> None:
    numbers = tuple(map(_followed, subject.real))
    function = subject.of_real(subject.function)
    if moves(subject):
        torch.manual_seed(0)  # of the cotangents
        gradgradcheck(function, numbers, eps=1e-5, atol=1e-7, rtol=1e-5)


# -- torch.func -----------------------------------------------------------------------------------


def functional(subject: Subject) -> None:
    """grad, vjp, jacrev, hessian."""
    numbers = subject.real
    every = tuple(range(len(numbers)))
    subject.same(lambda f: torch.func.grad(subject.loss(f), every)(*numbers))
    subject.same(lambda f: torch.func.jacrev(subject.of_real(f), every)(*numbers))
    subject.same(lambda f: torch.func.hessian(subject.loss(f), every)(*numbers))

    def pulled(function: Callable[..., Any]) -> Any:
        found, pull = torch.func.vjp(subject.of_real(function), *numbers)
        cotangents = subject.sample.cotangents
        return pull(cotangents if isinstance(found, tuple) else cotangents[0])

    subject.same(pulled)


def forward_mode(subject: Subject) -> None:
    """jvp, jacfwd, dual numbers."""
    numbers = subject.real
    every = tuple(range(len(numbers)))
    dots = tuple(t.cos() for t in numbers)

    def pushed(function: Callable[..., Any]) -> list[Tensor]:
        with forward_ad.dual_level():
            duals = map(forward_ad.make_dual, numbers, dots)
            found = map(forward_ad.unpack_dual, listed(subject.of_real(function)(*duals)))
            return [torch.zeros_like(f.primal) if f.tangent is None else f.tangent for f in found]

    subject.same(lambda f: torch.func.jvp(subject.of_real(f), numbers, dots)[1])
    subject.same(lambda f: torch.func.jacfwd(subject.of_real(f), every)(*numbers))
    subject.same(pushed)


def two_of_each(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.stack((t, t.flip(0) if t.dim() else t / 2)) for t in tensors)


def mapped(subject: Subject) -> None:
    """vmap, and vmap of the gradient."""
    both = two_of_each(subject.sample.inputs)
    subject.same(lambda f: torch.vmap(f)(*both))
    subject.same(lambda f: torch.vmap(_slope(subject, f))(*two_of_each(subject.real)))


def _slope(subject: Subject, function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.func.grad(subject.loss(function), tuple(range(len(subject.real))))


# -- compilers ------------------------------------------------------------------------------------


def compiled(subject: Subject) -> None:
    """The whole graph, forward and backward; then other sizes, which compile nothing anew."""
    torch.compiler.reset()
    function = torch.compile(subject.function, fullgraph=True, backend="aot_eager", dynamic=True)
    at_once(Subject(subject.op, function))
    anew = "default" if subject.op.name in ANEW else "fail_on_recompile"
    with torch.compiler.set_stance(anew):
        at_once(Subject(subject.op, function, OTHER))


def compiled_by_inductor(subject: Subject) -> None:
    torch.compiler.reset()
    at_once(Subject(subject.op, torch.compile(subject.function, fullgraph=True)))


def at_once(subject: Subject) -> None:
    """Outputs and gradients of one call, so that one graph is compiled."""
    cotangents = subject.sample.cotangents

    def run(function: Callable[..., Any]) -> list[Tensor]:
        inputs = [_followed(t) for t in subject.sample.inputs]
        numbers = [t for t in inputs if t.requires_grad]
        found = listed(function(*inputs))
        total = torch.stack([(o * c).sum() for o, c in zip(found, cotangents, strict=True)]).sum()
        moves = total.requires_grad
        options = {"allow_unused": True, "materialize_grads": True}
        return [*found, *(torch.autograd.grad(total, numbers, **options) if moves else ())]

    assert errors(*(list(leaves(run(f))) for f in (subject.function, subject.plain))) < EXACT


def compiled_gradients(subject: Subject) -> None:
    """vmap of the gradient, as a whole graph."""
    torch.compiler.reset()
    both = two_of_each(subject.real)

    def run(function: Callable[..., Any]) -> Any:
        slopes = torch.vmap(_slope(subject, function))
        whole = torch.compile(slopes, fullgraph=True, backend="aot_eager")
        return (whole if function is subject.function else slopes)(*both)

    subject.same(run)


class Layer(torch.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


def exported(subject: Subject) -> None:
    inputs = subject.sample.inputs
    program = torch.export.export(Layer(subject.function), inputs)
    assert errors(listed(program.module()(*inputs)), listed(subject.plain(*inputs))) < EXACT


# -- tensors of other kinds, and modes ------------------------------------------------------------


def fake(subject: Subject) -> None:
    """Shapes and types without numbers: on the device `meta`, and under a compiler's mode."""
    want = [(o.shape, o.dtype) for o in listed(subject.plain(*subject.sample.inputs))]
    _shapes_of(subject, [t.to("meta") for t in subject.sample.inputs], want)
    copies = [t.clone() for t in subject.sample.inputs]
    with FakeTensorMode() as mode:
        _shapes_of(subject, [mode.from_tensor(t) for t in copies], want)


def _shapes_of(subject: Subject, inputs: list[Tensor], want: list[Any]) -> None:
    given = [t.requires_grad_(t.is_floating_point()) for t in inputs]
    found = listed(subject.function(*given))
    assert [(o.shape, o.dtype) for o in found] == want
    numbers = [t for t in given if t.requires_grad]
    total = torch.stack([o.sum() for o in found]).sum()
    if total.requires_grad:
        grads = torch.autograd.grad(total, numbers, allow_unused=True)
        assert all(g is None or g.shape == t.shape for g, t in zip(grads, numbers, strict=True))


def checkpointed(subject: Subject) -> None:
    for reentrant in (False, True):
        again = _again(subject.function, reentrant)
        first = [_followed(t) for t in subject.sample.inputs]
        second = [_followed(t) for t in subject.sample.inputs]
        for function, inputs in ((again, first), (subject.function, second)):
            pairs = zip(listed(function(*inputs)), subject.sample.cotangents, strict=True)
            total = torch.stack([(o * c).sum() for o, c in pairs]).sum()
            if total.requires_grad:
                total.backward()
        assert all((a.grad is None) == (b.grad is None) for a, b in zip(first, second, strict=True))
        pairs = zip(first, second, strict=True)
        assert all(torch.equal(a.grad, b.grad) for a, b in pairs if a.grad is not None)


def _again(function: Callable[..., Any], reentrant: bool) -> Callable[..., Any]:
    return lambda *inputs: recomputed(function, *inputs, use_reentrant=reentrant)


def copied(subject: Subject) -> None:
    layer = copy.deepcopy(Layer(subject.function))
    again = pickle.loads(pickle.dumps(subject.function))
    for function in (layer, again):
        assert (
            errors(outputs(function, subject.sample), outputs(subject.plain, subject.sample))
            < EXACT
        )


def under_autocast(subject: Subject) -> None:
    """Types as of torch's own ops; statistics and sums are no worse than without autocast.

    In longer rows: of two numbers a norm gives plus and minus one, whose gradient is nothing.
    """
    for dtype in (torch.float32, torch.bfloat16):
        _autocast_from(Subject(subject.op, subject.function, LONGER), dtype)


def _autocast_from(subject: Subject, dtype: torch.dtype) -> None:
    rounded = subject.sample.to(dtype)
    inputs = [_followed(t) for t in rounded.inputs]
    with torch.autocast("cpu", torch.bfloat16):
        found = listed(subject.function(*inputs))
    kind = autocast(subject.op)
    want = {Autocast.SHORT: torch.bfloat16, Autocast.FULL: torch.float32}.get(kind, dtype)
    assert {o.dtype for o in found} == {want}
    exact = (rounded.to(want) if kind is Autocast.SHORT else rounded).to(torch.float64)
    close = 2.0**-6 if torch.bfloat16 in (want, dtype) else 2.0**-16
    assert errors(found, outputs(subject.plain, exact)) < close
    numbers = [t for t in inputs if t.requires_grad]
    pairs = zip(found, exact.cotangents, strict=True)
    total = torch.stack([(o.double() * c).sum() for o, c in pairs]).sum()
    if total.requires_grad:  # outside of autocast, as losses are differentiated
        grads = torch.autograd.grad(total, numbers, allow_unused=True, materialize_grads=True)
        assert [g.dtype for g in grads] == [t.dtype for t in numbers]
        assert errors(grads, gradients(subject.plain, exact)) < 4 * close


# -- the table ------------------------------------------------------------------------------------

Check = Callable[[Subject], None]

FEATURES: Mapping[str, Check] = {
    "backward": backward,
    "gradcheck": checked,
    "gradgradcheck": checked_twice,
    "torch.func": functional,
    "forward mode": forward_mode,
    "vmap": mapped,
    "compile": compiled,
    "compiled vmap of grad": compiled_gradients,
    "export": exported,
    "meta, fake": fake,
    "checkpoint": checkpointed,
    "copy, pickle": copied,
    "autocast": under_autocast,
}


def result(check: Check, subject: Subject) -> str:
    """`refuses` where torch's own word for a missing mode is raised; what is wrong is raised."""
    try:
        check(subject)
    except NotImplementedError:
        return REFUSES
    return YES


def cells(backend: str) -> dict[tuple[str, str], str]:
    """Op and feature, and what the documentation says of them."""
    head, *rows = _rows(DOCS.read_text("utf-8"), backend)
    features = [name.strip("`") for name in head[1:]]
    return {(r[0].strip("`"), f): c for r in rows for f, c in zip(features, r[1:], strict=True)}


def _rows(text: str, backend: str) -> list[list[str]]:
    section = text.partition(f"## {backend}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [line.strip("| ").split(" | ") for line in lines if not line.startswith("|--")]


def write(backend: str, found: Mapping[tuple[str, str], str]) -> None:
    """The table of a backend anew, from what was found."""
    features = list(dict.fromkeys(f for _, f in found))
    ops = sorted({op for op, _ in found})
    lines = ["| op | " + " | ".join(features) + " |", "|---" * (len(features) + 1) + "|"]
    lines += [f"| `{op}` | " + " | ".join(found[op, f] for f in features) + " |" for op in ops]
    before, title, after = DOCS.read_text("utf-8").partition(f"## {backend}\n")
    intro = [line for line in after.partition("\n## ")[0].splitlines() if line[:1] != "|"]
    rest = after.partition("\n## ")
    section = "\n".join(intro).strip("\n") + "\n\n" + "\n".join(lines) + "\n"
    DOCS.write_text(before + title + "\n" + section + "".join(rest[1:]), encoding="utf-8")


def check_cell(backend: str, feature: str, subject: Subject) -> str:
    """The result, which is what the documentation says."""
    found = result(FEATURES[feature], subject)
    assert found == cells(backend).get((subject.op.name, feature)), UPDATE
    return found
