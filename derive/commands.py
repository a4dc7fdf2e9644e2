"""One function for each command: what it takes is parsed, what it returns is data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derive import errors
from derive.catalogue import catalogue, load, load_all
from derive.config import nearest, read_config
from derive.errors import DeriveError, SourceError
from derive.notation.displays import SUFFIXES
from derive.notation.op import Op
from derive.project import Request, choose_backends, targets
from derive.report import Verdict

if TYPE_CHECKING:
    from derive.article import Finding as Equality
    from derive.bench.run import Result, Setting
    from derive.derivation import Derivation
    from derive.emit.backends import Backend
    from derive.emit.check import Finding
    from derive.emit.write import Written
    from derive.page.checks import Outcome
    from derive.verify.mutation.finding import Finding as Mutation

Progress = Callable[[Iterable[Any]], Iterable[Any]]  # what passes items on, and may show it


def overview(names: Sequence[str] = ()) -> list[tuple[str, str, str, str]]:
    """Name, title, class and backends of the ops named, else of the catalogue's, the project's."""
    from derive.plan.roles import kernel_class

    backends = " ".join(backend.name for backend in choose_backends((), read_config()))
    return [(op.name, _headline(op.title), kernel_class(op), backends) for op in _listed(names)]


def costs(names: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """What the same ops cost."""
    from derive.costs import costs

    return [costs(op) for op in _listed(names)]


def _listed(names: Sequence[str]) -> list[Op]:
    config = read_config()
    everything = (*targets(catalogue()), *(targets((), config) if config.ops else ()))
    found = targets(names, config) if names else everything
    return [*{target.argument + target.op.name: target.op for target in found}.values()]


def _headline(title: Sequence[str]) -> str:
    """The first clause of a title, without its sources."""
    return re.split(r"[.;]\s", " ".join(title) + " ")[0].strip()


def derivations(target: str) -> list[Derivation]:
    """The derivation of every op that is meant."""
    from derive.derivation import differentiate

    return [differentiate(op) for op in load_all(target)]


def proofs(target: str, equation: str | None, text: str | None, path: str = "") -> list[Any]:
    """A proof, a refutation, or neither, of each equation: the one given, those of a text."""
    if text is not None and path.lower().endswith(SUFFIXES):
        return [*(proofs(target, equation, None) if equation else ()), *_paper(target, text, path)]
    from derive.derivation import differentiate
    from derive.listing import read_listing
    from derive.notation.statement import read_equation
    from derive.prove import answer

    op = load(target)
    given = [read_equation(op, equation)] if equation else []
    statements = [*given, *read_listing(op, text or "", path)]
    if not statements:
        raise DeriveError("an equation to prove is wanted: 'lhs = rhs', or --from FILE")
    derivation = differentiate(op)
    return [answer(derivation, statement) for statement in statements]


def _paper(target: str, text: str, path: str) -> list[Equality]:
    from derive.article import prove_document

    found = prove_document(load(target), text, path)
    if not found:
        raise DeriveError(f"{path}: there is no display equation in it")
    return found


def unreadable(found: Iterable[Any]) -> SourceError | None:
    """What of a paper could not be read, as one error."""
    refused = [f.refusal for f in found if getattr(f, "refusal", None)]
    return SourceError(tuple(refused)) if refused else None


def write_all(asked: Request, progress: Progress = iter) -> Written:
    """Generate what is asked for, and write it."""
    from derive.emit.files import generate
    from derive.emit.write import write

    wanted = generate(asked.ops, asked.backends, out=asked.out, progress=progress)
    try:
        return write(wanted, asked.out, asked.folders, asked.closed)
    except OSError as error:
        raise DeriveError(f"cannot write into {asked.out}: {errors.reason(error)}") from error


def check_all(asked: Request, progress: Progress = iter) -> tuple[Finding, ...]:
    """Generate what is asked for, and compare it with what is there."""
    from derive.emit.check import check
    from derive.emit.files import generate

    wanted = generate(asked.ops, asked.backends, out=asked.out, progress=progress)
    return check(
        wanted,
        asked.out,
        folders=asked.folders,
        closed=asked.closed,
        commands=asked.commands,
        command=asked.command,
    )


def steps(target: str, wrt: str | None) -> Iterator[tuple[Derivation, str, list[str]]]:
    """Every step towards a gradient: what to do next, and what comes of it."""
    from derive.emit.document import moves

    for derivation in derivations(target):
        for hint, lines in moves(derivation, wrt):
            yield derivation, hint, lines


def write_pages(
    names: Sequence[str],
    folder: str,
    *,
    everything: bool = False,
    verified: bool = False,
    progress: Progress = iter,
) -> list[Path]:
    """The pages of the ops named, of the project's, or of the whole catalogue; those changed."""
    from derive.page.write import pages, write

    if everything and names:
        raise DeriveError("name ops, or say --all")
    found = targets(catalogue() if everything else names)
    texts = pages([target.op for target in found], progress, _outcomes if verified else None)
    try:
        return write(texts, Path(folder))
    except OSError as error:
        raise DeriveError(f"cannot write into {folder}: {errors.reason(error)}") from error


def _outcomes(op: Op) -> list[Outcome]:
    """What `derive verify` finds, for a page."""
    from derive.emit.module import ready_triton
    from derive.page.checks import Outcome
    from derive.verify.run import verify

    ready_triton()
    chosen = [backend.name for backend in _runnable(())]
    return [
        Outcome(name, row.check, row.passed, row.worst, row.tolerance)
        for name in chosen
        for row in verify(op, name)
    ]


def verdicts(
    names: Sequence[str], backends: Sequence[str], progress: Progress = iter
) -> list[Verdict]:
    """Every check of every op, for each backend that can be run."""
    from derive.emit.module import ready_triton
    from derive.verify.run import verify

    chosen = [backend.name for backend in _runnable(backends)]
    if "triton" in chosen:
        ready_triton()  # before anything else imports triton
    pairs = [(target.op, name) for target in targets(names) for name in chosen]
    if not pairs:
        raise DeriveError("there is nothing to verify: the ops that the manifest records are gone")
    found = []
    for op, name in progress(pairs):
        try:
            found.append(Verdict(op.name, name, verify(op, name)))
        except DeriveError:
            raise
        except Exception as error:
            error.add_note(f"while {op.name} was verified for {name}")
            raise
    return found


def mutations(
    names: Sequence[str], backends: Sequence[str], progress: Progress = iter
) -> list[Mutation]:
    """What becomes of every mutant of every op: of its formulas, of the code for each backend.

    Where backends share a template, they share the code: an op without kernels is torch's.
    """
    from derive.verify.mutation.finding import FORMULAS
    from derive.verify.mutation.laboratory import Subject, judged

    subjects: dict[Subject, str] = {}
    for target in targets(names):
        subjects[Subject(target.op, FORMULAS)] = FORMULAS
        shared: dict[tuple[str, ...], list[str]] = {}
        for backend in _runnable(backends):
            shared.setdefault(backend.templates(target.op), []).append(backend.name)
        subjects |= {Subject(target.op, b[0]): ", ".join(b) for b in shared.values()}
    steps = zip(progress([*subjects.values()]), judged([*subjects]), strict=True)
    return [replace(m, of=of) if of.startswith(m.of) else m for of, ms in steps for m in ms]


def _runnable(names: Sequence[str]) -> list[Backend]:
    """The backends that are named, or else configured, and that give Python."""
    from derive.emit.backends import BACKENDS

    chosen = choose_backends(names, read_config())
    refused = [row.name for row in chosen if row.suffix != ".py"]
    if refused and (names or len(refused) == len(chosen)):
        runnable = ", ".join(row.name for row in BACKENDS.values() if row.suffix == ".py")
        raise DeriveError(f"the backend {refused[0]} cannot be run; these can: {runnable}")
    return [row for row in chosen if row.name not in refused]


def benchmarks(
    names: Sequence[str], setting: Setting, progress: Progress = iter
) -> tuple[list[Result], float]:
    """The measurements of every op, and the bytes a second of a copy on the same device."""
    from derive.bench.natives import NATIVES
    from derive.bench.run import bench, speed_of_copy
    from derive.emit.module import ready_triton

    chosen = tuple(row.name for row in _runnable(setting.backends))
    if "triton" in chosen:
        ready_triton()
    setting = replace(setting, backends=chosen)
    found = [target.op for target in targets(names)]
    copy = speed_of_copy(setting)
    return [
        result
        for op in progress(found)
        for result in bench(op, setting, copy, NATIVES.get(op.name))
    ], copy


def tuned(names: Sequence[str], path: Path, seconds: float, progress: Progress = iter) -> int:
    """Measures settings of kernels, and writes their table; how many there are."""
    from derive.emit.module import ready_triton

    ready_triton()
    from derive.bench.tune import put, tune

    found = tune([target.op for target in targets(names)], seconds, progress=progress)
    put(found, path)
    return len(found)


def explanation(code: str) -> Any:
    """The row of the table of errors."""
    table = getattr(errors, "CODES", {})
    rows = table if isinstance(table, Mapping) else {row.code: row for row in table}
    if code.upper() not in rows:
        hint = nearest(code.upper(), rows) or f"; there are {', '.join(sorted(rows))}"
        raise DeriveError(f'no error has the code "{errors.printable(code)}"{hint}')
    return rows[code.upper()]
