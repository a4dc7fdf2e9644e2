"""A writer that is killed, that has no space left, that meets another: whole files, no lies."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from derive.emit import staged
from derive.emit.tree import leftovers
from derive.errors import DeriveError

fcntl = pytest.importorskip("fcntl")
ROOT = Path(__file__).parents[2]
NAME = ".derive-0a_z9abc.tmp"  # as a writer names a temporary file


def script(folder: Path, way: str) -> int:
    """What `stopped.py` counts."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, ROOT / "tests/emit/stopped.py", folder, way]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_the_first_writer_may_die_before_any_of_its_calls(tmp_path: Path) -> None:
    assert script(tmp_path, "first") > 40


def test_a_later_writer_may_die_before_any_of_its_calls(tmp_path: Path) -> None:
    assert script(tmp_path, "again") > 40


def test_the_command_may_be_killed_at_any_time(tmp_path: Path) -> None:
    assert script(tmp_path, "command") > 0


# -- what is left ----------------------------------------------------------------------------------


def test_what_a_stopped_writer_left_is_told_and_cleared_away(project: Any) -> None:
    project.write()
    for folder in (project.out, project.out / "torch"):
        (folder / NAME).write_text("# Code gen")
    told = {f.path: (f.kind, f.why, f.remedy) for f in project.check()}
    said = ("orphan", "left by a run of derive that was stopped", "derive generate")
    assert told == {NAME: said, f"torch/{NAME}": said}
    project.write("cosh")  # whatever is written
    assert project.check() == ()


def test_a_file_of_the_user_with_a_name_like_it_stays(project: Any) -> None:
    project.write()
    names = (".derive-notes.tmp", ".derive-0a_z9abc", "derive-0a_z9abc.tmp", f"{NAME}.py")
    for name in names:
        (project.out / "torch" / name).write_text("mine\n")
    (project.out / "torch" / NAME).mkdir()
    (project.out / "latex" / NAME).symlink_to(project.root / "pyproject.toml")
    project.write()
    assert all((project.out / "torch" / name).read_text() == "mine\n" for name in names)
    assert (project.out / "torch" / NAME).is_dir()
    assert (project.out / "latex" / NAME).is_symlink()


def test_a_staged_manifest_speaks_only_of_what_is_there(project: Any) -> None:
    """A record of a file that never came to its place does not make an old file an edited one."""
    project.write()
    old = (project.out / "manifest.json").read_bytes()
    project.ops["cosh"] += "# more\n"
    project.write("cosh")
    (project.out / NAME).write_bytes((project.out / "manifest.json").read_bytes())
    (project.out / "manifest.json").write_bytes(old)
    (project.out / "torch/cosh.py").write_text("mine\n")
    told = {f.path: f.kind for f in project.check()}
    assert told == {"torch/cosh.py": "edited", "manifest.json": "stale", NAME: "orphan"}
    project.ops["cosh"] += "# once more\n"
    told = {f.path: f.kind for f in project.check("cosh")}
    assert told == {
        "torch/cosh.py": "edited", "triton/cosh.py": "stale", "latex/cosh.tex": "stale",
    }  # fmt: skip


# -- two at once -----------------------------------------------------------------------------------


def test_two_writers_at_once_make_the_whole(project: Any) -> None:
    """Each makes one op; no file is lost, nor any record."""
    names = [f"op{k}" for k in range(8)]
    project.ops = {name: f"op {name}(x) -> y\n" for name in names}
    wanted = {name: project.wanted(name) for name in names}
    failed: list[BaseException] = []

    def write(name: str) -> None:
        try:
            from derive.emit.write import write

            write(wanted[name], project.out, folders=())
        except BaseException as error:  # noqa: BLE001  # shown in the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert project.check() == ()


@pytest.fixture
def held(project: Any) -> Any:
    """Another process is at work in the folder."""
    project.out.mkdir()
    number = os.open(project.out, os.O_RDONLY)
    fcntl.flock(number, fcntl.LOCK_EX)
    yield number
    os.close(number)


def test_a_writer_waits_for_another(
    project: Any, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    threading.Timer(0.1, fcntl.flock, (held, fcntl.LOCK_UN)).start()
    project.write()
    assert project.check() == ()
    fcntl.flock(held, fcntl.LOCK_EX)
    monkeypatch.setattr(staged, "_PATIENCE", 0.05)
    with pytest.raises(DeriveError, match="another derive is writing into it"):
        project.write()
    assert project.check() == ()


def test_a_folder_that_the_other_took_away_is_made_again(project: Any, held: int) -> None:
    def leave() -> None:
        project.out.rmdir()
        fcntl.flock(held, fcntl.LOCK_UN)

    threading.Timer(0.1, leave).start()
    project.write()
    assert project.check() == ()


def test_where_there_are_no_locks_it_is_written_all_the_same(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    project.write()
    monkeypatch.setattr(staged, "fcntl", None)
    project.write()
    assert project.check() == ()


# -- a disk that is full, a folder that may not be written into ------------------------------------

_FULL = """
import resource, signal, sys
from pathlib import Path
from derive.emit.write import write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
wanted = {"torch/a.py": "#" * 200, "torch/b.py": "#" * 1000, "manifest.json": "{}"}
try:
    write(wanted, Path(sys.argv[1]))
except OSError as error:
    print(error.strerror)
"""


def test_a_disk_that_is_full_in_the_middle_of_a_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FULL, tmp_path / "deep/gen"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "File too large\n", done.stderr
    assert list(tmp_path.iterdir()) == []


CALLS = ["mkdir", "open", "fsync", "chmod", "replace", "unlink"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_each_call_may_fail(
    project: Any, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Whichever call fails first, and however late: nothing is half done."""
    project.write()
    project.ops["cosh"] += "# more\n"
    (project.out / "triton/cosh.py").unlink()
    (project.out / "triton/norm.py").unlink()
    (project.out / "triton").rmdir()
    del project.ops["norm"]
    before, wanted = project.snapshot(), project.wanted()
    real, failed = getattr(os, call), 0
    for k in range(20):
        seen = iter(range(1000))

        def fails(*args: Any, k: int = k, seen: Any = seen, **options: Any) -> Any:
            writes = call != "open" or args[1] & os.O_CREAT
            if writes and next(seen) == k:
                raise OSError(number, os.strerror(number))
            return real(*args, **options)

        monkeypatch.setattr(os, call, fails)
        if done := _written(wanted, project.out):
            break
        monkeypatch.setattr(os, call, real)
        assert project.snapshot() == before, k
        failed += 1
    assert done
    assert failed


def _written(wanted: dict[str, str], out: Path) -> bool:
    from derive.emit.write import write

    try:
        write(wanted, out)
    except OSError:
        return False
    return True


def test_what_cannot_be_put_back_is_named(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write()
    project.ops["cosh"] += "# more\n"
    real, seen = os.replace, iter(range(99))

    def replace(*args: Any, **options: Any) -> None:
        if next(seen) > 0:
            raise OSError(errno.EIO, "Input/output error")
        real(*args, **options)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(DeriveError, match="input/output error; not put back: latex/cosh.tex; `der"):
        project.write()
    monkeypatch.undo()
    assert leftovers(project.out) == []
