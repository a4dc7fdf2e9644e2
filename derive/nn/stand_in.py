"""What functions that stand in for torch's need: generated code, and torch's own errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from derive.catalogue import load, load_all
from derive.emit.module import build
from derive.notation.op import Op
from derive.specialize import specialized

FOLDER = Path(__file__).parent / "ops"
P = ParamSpec("P")
T = TypeVar("T")
Part = tuple[str, Any, int]  # an input or parameter, its value or None, the number instead of None


class RefusedError(ValueError):
    """The arguments are wrong, or ask for what is not derived: torch knows which."""


def expect(holds: bool, what: str) -> None:
    """Go on only if it holds; `what` completes "… is not derived"."""
    if not holds:
        raise RefusedError(what)


def stands_in(native: Callable[..., Any]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A function of the same signature as torch's, which says in torch's words what is wrong.

    Where it refuses, torch's function is called: it raises its own error. Where that does not, the
    call is right but its gradients are not derived: NotImplementedError.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        whole: Callable[P, T] = torch.compiler.allow_in_graph(  # type: ignore[no-untyped-call]  # torch's
            _refusing(function, native)
        )

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return whole(*args, **kwargs)

        return call

    return decorate


def _refusing(function: Callable[P, T], native: Callable[..., Any]) -> Callable[P, T]:
    def attempt(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (ValueError, TypeError, IndexError, RuntimeError) as error:
            if isinstance(error, NotImplementedError):
                raise
            native(*args, **kwargs)
            what = error if isinstance(error, RefusedError) else f"this call ({error})"
            problem = f"{native.__name__}: {what} is not derived; use torch's own"
            raise NotImplementedError(problem) from error

    return attempt


def broadcast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All in one shape."""
    shape = torch.broadcast_shapes(*(t.shape for t in tensors))  # type: ignore[no-untyped-call]  # torch's
    return tuple(t.expand(shape) for t in tensors)


def generated(name: str, *parts: Part, on: Tensor, output: str = "") -> Callable[..., Any]:
    """The function of an op on a tensor's device, without the inputs that are not given.

    `parts` are inputs and parameters that may be left out. `output` is the one that is asked for,
    where there are several.
    """
    fixed = tuple((n, number) for n, value, number in parts if value is None)
    function = _built(name, fixed, output, "triton" if on.is_cuda else "torch")
    given = {n: value for n, value, _ in parts if value is not None}
    return lambda *inputs, **options: function(*inputs, **given, **options)


@cache
def _built(
    name: str, fixed: tuple[tuple[str, int], ...], output: str, backend: str
) -> Callable[..., Any]:
    op = specialized(_op(name), dict(fixed), outputs=(output,) if output else ())
    made: Callable[..., Any] = getattr(build(op, backend=backend), op.name)
    return made


def _op(name: str) -> Op:
    """One of the ops that are torch's own cases of one thing, or of the catalogue."""
    return _families().get(name) or load(name)


@cache
def _families() -> dict[str, Op]:
    return {op.name: op for op in load_all(FOLDER)}
