"""Which tensor, scalar, size or function a name in LaTeX means; which indices a subscript holds.

A name matches what derive itself prints for it (`\\mu` for `mu`, `w_{\\mathrm{in}}` for `w_in`),
and some spellings beside (`\\varepsilon`). A subscript without spaces is read if there is one way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property

from derive.notation.functions import FUNCTIONS, WORDS
from derive.notation.latex import GREEK
from derive.notation.nodes import Component, Labels
from derive.notation.op import Op, total

_ALIASES = {"eps": "epsilon", "lam": "lambda", "lamda": "lambda", "ell": "l"}
MACROS = GREEK | {f"var{k}" for k in ("epsilon", "theta", "phi", "rho", "sigma", "pi", "kappa")}
_SPOKEN = {"ln": "log", "ReLU": "relu", "sgn": "sign"}
_CALLED = frozenset({*WORDS, *FUNCTIONS})
_WORD = re.compile(r"\\[a-z*]+\s*\{\s*\\?(.*?)\s*\}", re.DOTALL)
_NUMBERED = re.compile(r"([A-Za-z])(\d+)")
_PIECE = re.compile(r"[a-z][0-9]*")
MOST_LETTERS = 40


def plain(token: str) -> str:
    """A letter, `\\mu`, `\\mathrm{in}` or `\\boldsymbol{\\mu}` as a name."""
    match = _WORD.fullmatch(token)
    name = (match[1] if match else token.removeprefix("\\")).replace("\\_", "_")
    return name.removeprefix("var") if name in MACROS else _ALIASES.get(name, name)


def function(name: str) -> str | None:
    """The function of the language that a name calls."""
    name = _SPOKEN.get(name, name)
    return name if name in _CALLED else None


def _key(name: str) -> str:
    name = "_".join(found.groups()) if (found := _NUMBERED.fullmatch(name)) else name
    stem, _, below = name.partition("_")
    stem = _ALIASES.get(stem, stem)
    return f"{stem}_{below}" if below else stem


class Names:
    """The names of an op by how they are spelled in LaTeX."""

    def __init__(self, op: Op) -> None:
        self.tensors = {name: len(c.indices) for name, c in op.tensors.items()}
        self.letters = frozenset(i.name for i in op.letters)
        scalars = [p.symbol.name for p in op.parameters]
        whole = {n: c.tensor for n, c in op.tensors.items() if not c.indices}
        numbers = dict.fromkeys(scalars, False)
        self.bare: Mapping[str, bool] = numbers | {  # names without indices; do they hold integers?
            n: isinstance(tensor, Labels) for n, tensor in whole.items()
        }
        self._known: dict[str, list[str]] = {}
        for name in (*self.tensors, *scalars, *op.sizes, "pi"):
            self._known.setdefault(_key(name), []).append(name)
        used = {c.tensor for e in op.equations for c in e.expr.atoms(Component)}
        self.totals = {  # of outputs that equations use: theirs is a total gradient too
            c.tensor.name: total(op, c) for c in op.outputs if c.tensor in used
        }

    def arity(self, name: str) -> int | None:
        """How many indices a tensor, or the gradient of one, has."""
        return self._arities.get(name)

    @cached_property
    def _arities(self) -> dict[str, int]:
        whole = {c.tensor.name: len(c.indices) for c in self.totals.values()}
        gradients = {f"d{tensor}": count for tensor, count in self.tensors.items()}
        return gradients | whole | self.tensors

    def meant(self, spellings: Iterable[str]) -> list[str]:
        """The names of the op that any of these could mean."""
        found = [name for s in spellings for name in self._known.get(_key(s), ())]
        return list(dict.fromkeys(found))

    def readings(self, runs: tuple[str, ...], count: int | None) -> list[tuple[str, ...]]:
        """Up to two ways to read runs of letters as indices, `count` of them if that is known."""
        if not runs:
            return [] if count else [()]
        if sum(map(len, runs)) > MOST_LETTERS:
            return []

        @cache
        def ways(run: int, at: int, left: int | None) -> tuple[tuple[str, ...], ...]:
            if run == len(runs):
                return ((),) if not left else ()
            if at == len(runs[run]):
                return ways(run + 1, 0, left)
            if left == 0:
                return ()
            rest = None if left is None else left - 1
            found: list[tuple[str, ...]] = []
            for piece in self._pieces(runs[run], at):
                found += [(piece, *more) for more in ways(run, at + len(piece), rest)]
            return tuple(found[:2])

        return list(ways(0, 0, count))

    def _pieces(self, run: str, at: int) -> list[str]:
        """The indices that may stand here: a letter with its digits, or a name of the op."""
        match = _PIECE.match(run, at)
        pieces = [match[0]] if match else []
        return pieces + sorted(
            k for k in self.letters if run.startswith(k, at) and k not in pieces and len(k) > 1
        )
