"""What an op made of a paper gives back: what is asked for, else the tensors no equation uses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from derive.errors import DeriveError, Diagnostic, SourceError
from derive.notation.names import nearest
from derive.paper.choose import Choice, groups, ordered
from derive.paper.forward import Forward, Reading, Unread, has_letters
from derive.paper.words import lines_text

_REMEDY = (
    "write what the op computes as display equations, one for each tensor: "
    r"$$ y_{b h} = x_{b h} \gamma_{h} $$"
)


class UnreadError(SourceError):
    """What of a paper cannot be read, and how to do without it."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], remedy: str) -> None:
        super().__init__(diagnostics)
        self.args = (f"{self}\n\n{remedy}" if remedy else str(self),)


def outputs(reading: Reading, choice: Choice, asked: Sequence[str], path: str) -> list[str]:
    """The names of the outputs; refused if there is none, or if they are of several ops."""
    if asked:
        return [_asked(name, reading, choice, path) for name in dict.fromkeys(asked)]
    found = [name for name in choice.sinks if _is_indexed(ordered(choice.chosen, [name]))]
    _refuse_unread([u for u in reading.unread if u.name not in choice.chosen], found)
    if not found:
        raise DeriveError(f"{path}: there is no forward equation in it; {_REMEDY}")
    apart = groups(choice.chosen, found)
    if len(apart) > 1:
        raise DeriveError(_several(apart, choice, path))
    return found


def check_read(reading: Reading, equations: Sequence[Forward]) -> None:
    """Refuse what cannot be read if it defines a tensor that is needed, and nothing else does."""
    defined = {e.name for e in equations}
    needed = {name for e in equations for name in e.uses} - defined
    _refuse_unread([u for u in reading.unread if u.name in needed], ())


def _asked(name: str, reading: Reading, choice: Choice, path: str) -> str:
    if name not in choice.chosen:
        _refuse_unread([u for u in reading.unread if u.name == name], ())
        hint = nearest(name, choice.chosen)
        known = hint or f"it defines {', '.join(choice.chosen) or 'nothing'}"
        raise DeriveError(f"{path}: no forward equation defines `{name}`; {known}")
    return name


def _is_indexed(equations: Iterable[Forward]) -> bool:
    return any(e.target.letters or has_letters(e.right) for e in equations)


def _refuse_unread(unread: Sequence[Unread], found: Sequence[str]) -> None:
    if unread:
        diagnostics = sorted((d for u in unread for d in u.diagnostics), key=lambda d: d.span)
        remedy = f"help: `--output {found[0]}` takes only what `{found[0]}` needs" if found else ""
        raise UnreadError(tuple(diagnostics), remedy)


def _several(apart: Iterable[Sequence[str]], choice: Choice, path: str) -> str:
    """Each group with its lines, and how to take one."""
    rows, options = [], []
    for names in apart:
        equations = ordered(choice.chosen, names)
        rows.append(f"  {', '.join(names)}: {lines_text(e.line for e in equations)}")
        options.append(" ".join(f"--output {name}" for name in names))
    return (
        f"{path}: the forward equations are of {len(rows)} ops, which have no tensor in common:\n"
        + "\n".join(rows)
        + f"\nhelp: take one of them with `{'` or `'.join(options)}`"
    )
