"""Kill a writer at each of its calls to the system, and look at what is left. Prints how many.

Run as a script, for it forks. The writer dies before its k-th call, for every k; a write counts
twice, for it dies in the middle of one too. Whatever k, each file is the old one or the new one,
`check` tells the truth about it, and the next writer heals everything.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from derive import cli
from derive.emit import files
from derive.emit.tree import leftovers
from derive.emit.write import write
from tests.emit.conftest import Project, made

CALLS = {"open", "os.mkdir", "os.remove", "os.rename", "os.chmod", "fcntl.flock"}
KILLED = -signal.SIGKILL
Tree = dict[str, bytes]


class Halves:
    """A file that is written in two halves, with a call between them."""

    def __init__(self, file: Any, call: Callable[[], None]) -> None:
        self.file, self.call = file, call

    def __enter__(self) -> Halves:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, data: bytes) -> None:
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        self.call()
        self.file.write(data[len(data) // 2 :])


def die_before(k: int) -> None:
    """From now on, die before the k-th call that writes."""
    left = [k]

    def call() -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        reads = event == "open" and not (arguments[2] or 0) & os.O_CREAT
        if event in CALLS and not reads:
            call()

    opened, synced = os.fdopen, os.fsync
    os.fdopen = lambda *a: Halves(opened(*a), call)  # type: ignore[assignment]
    os.fsync = lambda number: (call(), synced(number))[1]  # type: ignore[assignment]
    sys.addaudithook(heard)


def write_until(project: Project, k: int) -> bool:
    """Write in a process of its own that dies before its k-th call; did it die?"""
    wanted = project.wanted()

    def work() -> None:
        die_before(k)
        write(wanted, project.out)

    return ended(forked(work)) == KILLED


def forked(work: Callable[[], object]) -> int:
    """A process that does the work, and ends with 0 if it could."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001  # shown, and told by the exit code
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> int:
    """How a process ended: 0 or killed."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, KILLED}, code
    return code


def tree(out: Path) -> Tree:
    """Every file of an output folder but the temporary ones."""
    left = set(leftovers(out)) if out.exists() else set()
    paths = (p for p in sorted(out.rglob("*")) if p.is_file())
    named = {p.relative_to(out).as_posix(): p.read_bytes() for p in paths}
    return {path: data for path, data in named.items() if path not in left}


def judge(project: Project, old: Tree, new: Tree) -> None:
    """Whole files only; each that is not the new one is found, with its true name; none else."""
    now = tree(project.out)
    for path in {*now, *old, *new}:
        assert now.get(path) in (old.get(path), new.get(path)), path
    told = {f.path: f.kind for f in project.check()}
    left = leftovers(project.out) if project.out.exists() else []
    assert {path for path, kind in told.items() if kind == "added"} == {"torch/mine.py"} & {*now}
    assert {told.pop(path) for path in left} <= {"orphan"}
    told.pop("torch/mine.py", None)
    record = told.pop("manifest.json", None)
    assert told == {path: kind(now, new, path) for path in {*now, *new} - fine(now, new)}
    assert record in {"missing", "stale", None}
    if not told and not left:
        assert (record is None) == (now["manifest.json"] == new["manifest.json"])


def fine(now: Tree, new: Tree) -> set[str]:
    same = {path for path in now if now[path] == new.get(path)}
    return same | {"manifest.json", "torch/mine.py"}


def kind(now: Tree, new: Tree, path: str) -> str:
    return "missing" if path not in now else "stale" if path in new else "orphan"


def heal(project: Project, new: Tree) -> None:
    """The next writer makes everything good, and clears away what the dead one left."""
    project.write()
    assert tree(project.out) == new
    assert leftovers(project.out) == []
    assert {f.kind for f in project.check()} <= {"added"}


def change(project: Project) -> None:
    """One op changed, one gone, one new."""
    project.ops["cosh"] += "# more\n"
    project.ops["tanh"] = "op tanh(x) -> y\n"
    del project.ops["norm"]


def at_every_call(root: Path, before: bool) -> int:
    """The number of calls; `before`: is there an older state, and a file of the user?"""
    files.TEMPLATES = root / "project" / "templates"
    project = made(root / "project")
    if before:
        project.write()
        (project.out / "torch/mine.py").write_text("mine\n")
        change(project)
    kept, old = root / "kept", tree(project.out)
    shutil.copytree(project.root, kept)
    project.write()
    new = tree(project.out)
    calls, died = 0, True
    while died:
        died = renewed(project, kept, calls, old, new)
        calls += died
    return calls


def renewed(project: Project, kept: Path, k: int, old: Tree, new: Tree) -> bool:
    """Die before the k-th call, twice: heal at once, and heal after the op changed once more."""
    died = False
    for changed in (False, True):
        shutil.rmtree(project.root)
        shutil.copytree(kept, project.root)
        died = write_until(project, k)
        judge(project, old, new)
        if not changed:
            heal(project, new)
            continue
        text = project.ops["cosh"]
        project.ops["cosh"] += "# once more\n"
        assert "edited" not in {f.kind for f in project.check()}, k
        project.write()
        assert {f.kind for f in project.check()} <= {"added"}
        assert leftovers(project.out) == []
        project.ops["cosh"] = text
    return died


# -- the command itself ----------------------------------------------------------------------------

OP = "op {0}(x[i]) -> y[i]\ny[i] = {1}(x[i])\n"


def command(*arguments: str) -> tuple[int, str]:
    """The exit code of a command and what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        out.reconfigure = lambda **_: None  # type: ignore[attr-defined]  # main sets it up
        sys.stderr.reconfigure = lambda **_: None  # type: ignore[union-attr]
        code = cli.main(arguments)
    return code, out.getvalue()


def at_any_time(root: Path, times: int) -> int:
    """Kill `derive generate`, mostly while it writes; count those that left what was not whole."""
    os.chdir(root)
    chance, stopped = random.Random(0), 0
    for name in ("one", "two"):
        Path(f"{name}.op").write_text(OP.format(name, "exp"))
    assert command("generate", "one.op", "two.op")[0] == 0
    old = tree(Path("generated"))
    for name in ("one", "two"):
        Path(f"{name}.op").write_text(OP.format(name, "sin"))
    shutil.copytree("generated", "kept")
    assert command("generate") == (0, "")
    new = tree(Path("generated"))
    for k in range(times):
        shutil.rmtree("generated")
        shutil.copytree("kept", "generated")
        child = forked(lambda: command("generate"))
        if k % 4:
            wait_for_work(time.monotonic() + 20)
        time.sleep(chance.random() * (0.004 if k % 4 else 0.4))
        os.kill(child, signal.SIGKILL)
        ended(child)
        stopped += honest(old, new)
    return stopped


def wait_for_work(end: float) -> None:
    """Until a temporary file stands in the folder."""
    while time.monotonic() < end and not leftovers(Path("generated")):
        pass


def honest(old: Tree, new: Tree) -> bool:
    """Did a killed command leave temporary files? It is said what is there, and healed."""
    now = tree(Path("generated"))
    assert all(now[path] in (old[path], new[path]) for path in {*now, *old})
    code, told = command("check", "--output-format", "json")
    left = leftovers(Path("generated"))
    good = now == new and not left
    assert code == (0 if good else 1)
    assert {row["kind"] for row in json.loads(told)} <= {"stale", "orphan"}
    assert command("generate") == (0, "")
    assert (tree(Path("generated")), command("check")[0]) == (new, 0)
    return bool(left)


WAYS: dict[str, Callable[[Path], int]] = {
    "first": lambda root: at_every_call(root, before=False),
    "again": lambda root: at_every_call(root, before=True),
    "command": lambda root: at_any_time(root, times=10),
}

if __name__ == "__main__":
    sys.stdout.write(f"{WAYS[sys.argv[2]](Path(sys.argv[1]))}\n")
