"""The same inputs give the same bytes: whatever the machine, the Python, the day and the place."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import derive
from derive import cli

ROOT = Path(__file__).parents[2]
SITE = Path(pytest.__file__).parents[1]  # where this Python keeps its packages
SCRIPT = ROOT / "tests/emit/bytes_of.py"
NEEDED = "import sympy, lark, jinja2, click, rich, opt_einsum"

OPS = """\
# Two outputs, a parameter, sums over both axes, Greek: \u00fc, \u03bc, \u4e2d
op pair(x[b,h], w[h], v[b]; eps = 1e-3, k = 2) -> (y[b,h], s[b])
e[b,h] = exp(x[b,h]*w[h])
s[b]   = 1[h]*e[b,h] + eps
z      = sqrt(v[b]*v[b] + k)
y[b,h] = e[b,h]/s[b]*1[h]*tanh(v[b])/z + max(x[b,h], 0)^k

op twice(x[i]) -> y[i]
y[i] = x[i]*sigmoid(x[i])
"""


@dataclass(frozen=True)
class Machine:
    """Where and how the script runs."""

    seed: int
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    below: str = "."  # the working directory, from the folder of the op files
    version: str = "--same"
    python: str = sys.executable
    site: Path = SITE

    def start(self, folder: Path, files: list[Path]) -> subprocess.Popen[str]:
        here = folder / self.below
        here.mkdir(parents=True, exist_ok=True)
        paths = [os.path.relpath(file, here) for file in files]
        own = {"PYTHONHASHSEED": str(self.seed), "PYTHONPATH": f"{ROOT}{os.pathsep}{self.site}"}
        own["DERIVE_CACHE"] = "off"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "PYTHON"))}
        return subprocess.Popen(
            [self.python, *self.flags, SCRIPT, self.version, *paths],
            cwd=here, env={**kept, **own, **self.environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


MACHINES = [  # ten seeds; everything that could get into a file differs somewhere
    Machine(0),
    Machine(1, environment={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    Machine(2, ("-O",), {"TZ": "Asia/Kathmandu"}, below="deep/er"),
    Machine(3, ("-OO",), {"COLUMNS": "20", "LINES": "3"}),
    Machine(4, environment={"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}),
    Machine(5, environment={"LC_ALL": "de_DE.UTF-8", "TZ": "Pacific/Apia"}, below="other"),
    Machine(6, ("-X", "utf8"), {"COLUMNS": "400", "HOME": "/nowhere", "USER": "somebody"}),
    Machine(7, version="--version"),
    Machine(8, environment={"SOURCE_DATE_EPOCH": "0", "TMPDIR": "/tmp", "NO_COLOR": "1"}),
    Machine(9, ("-B",), {"SYMPY_USE_CACHE": "no"}),
]


@pytest.fixture(scope="session")
def locales(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Turkish and German, compiled where the system has their sources; the environment for it."""
    folder = tmp_path_factory.mktemp("locales")
    compiler = shutil.which("localedef")
    for name in ("tr_TR", "de_DE") if compiler else ():
        command = [compiler, "--no-archive", "-i", name, "-f", "UTF-8", folder / f"{name}.UTF-8"]
        subprocess.run(command, capture_output=True)
    return {"LOCPATH": str(folder)} if any(folder.iterdir()) else {}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The ops as files of a project, and two of the catalogue beside them."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "ops.op").write_text(OPS, encoding="utf-8")
    shutil.copy(ROOT / "derive/ops/layer_norm.op", tmp_path)
    return [tmp_path / "ops.op", tmp_path / "layer_norm.op"]


def printed(machines: list[Machine], folder: Path, files: list[Path]) -> Iterator[str]:
    """What each machine prints, two at a time."""
    for k in range(0, len(machines), 2):
        running = [machine.start(folder, files) for machine in machines[k : k + 2]]
        for process in running:
            out, err = process.communicate()
            assert process.returncode == 0, err
            yield out


def test_no_machine_gives_other_bytes(
    tmp_path: Path, files: list[Path], locales: dict[str, str]
) -> None:
    machines = [
        Machine(**{**vars(m), "environment": {**locales, **m.environment}}) for m in MACHINES
    ]
    texts = list(printed(machines, tmp_path, files))
    assert texts[0].count("\n") == 13
    different = [m for m, text in zip(machines, texts, strict=True) if text != texts[0]]
    assert different == []


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of this Python but numpy, which nobody needs and no other one can load."""
    folder = tmp_path_factory.mktemp("site")
    for path in SITE.iterdir():
        if not path.name.startswith("numpy"):
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def pythons(portable: Path) -> dict[str, str]:
    """The other Pythons of this machine that can import what derive needs, by their versions."""
    places = [*Path.home().glob(".pyenv/versions/*/bin/python"), *Path("/usr/bin").glob("python3*")]
    names = [shutil.which(f"python3.{minor}") for minor in range(11, 16)]
    found = {}
    for place in sorted({*map(str, places), *filter(None, names)}):
        code = f"import sys; {NEEDED}; print('%d.%d' % sys.version_info[:2])"
        environment = {"PYTHONPATH": str(portable), "PATH": os.environ["PATH"]}
        done = subprocess.run([place, "-c", code], env=environment, capture_output=True, text=True)
        if done.returncode == 0 and tuple(map(int, done.stdout.split("."))) >= (3, 11):
            found[done.stdout.strip()] = place
    own = "{}.{}".format(*sys.version_info[:2])
    return {version: place for version, place in found.items() if version != own}


def test_no_python_gives_other_bytes(
    tmp_path: Path, files: list[Path], pythons: dict[str, str], portable: Path
) -> None:
    if not pythons:
        pytest.skip("there is no other Python here that can import what derive needs")
    others = (Machine(11, python=place, site=portable) for place in pythons.values())
    machines = [Machine(10), *others]
    texts = list(printed(machines, tmp_path, files))
    assert {text: m.python for m, text in zip(machines, texts, strict=True)} == {
        texts[0]: machines[-1].python
    }


# -- in this process -------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVE_CACHE", "off")


def everything(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def made(files: list[Path], out: Path) -> dict[str, bytes]:
    assert cli.main(["-q", "generate", *map(str, files), "--out", str(out)]) == 0
    return everything(out)


def test_line_ends_of_a_checkout_do_not_count(tmp_path: Path, files: list[Path]) -> None:
    before = made(files, tmp_path / "gen")
    assert all(b"\r" not in data for data in before.values())
    for file in files:
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert cli.main(["check", *map(str, files), "--out", str(tmp_path / "gen")]) == 0
    assert made(files, tmp_path / "again") == before


def test_nothing_of_the_machine_gets_into_a_file(tmp_path: Path, files: list[Path]) -> None:
    texts = b"".join(made(files, tmp_path / "gen").values())
    for private in (str(tmp_path), str(ROOT), derive.__version__, os.uname().nodename):
        assert re.search(rf"\b{re.escape(private)}\b".encode(), texts) is None, private


def test_a_new_version_that_changes_no_formula_makes_nothing_stale(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*map(str, files), "--out", str(tmp_path / "gen")]
    before = made(files, tmp_path / "gen")
    for module in (derive, cli):
        monkeypatch.setattr(module, "__version__", "99.0")
    assert cli.main(["check", *arguments]) == 0
    assert cli.main(["generate", *arguments]) == 0
    assert everything(tmp_path / "gen") == before


_TRACES = """
import sys
from derive import differentiate, load
from derive.catalogue import load_all
from derive.higher import backward

ops = [load(name) for name in ("layer_norm", "softmax")]
ops += [op for path in sys.argv[1:] for op in load_all(path)]
for op in (*ops, backward(ops[1])):
    print(differentiate(op).latex())
"""


def test_the_trace_is_the_same_under_ten_hash_seeds() -> None:
    paths = [str(ROOT / "tests" / "ops" / f"{name}.op") for name in ("losses", "statistics")]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _TRACES, *paths],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        for seed in range(10)
    ]
    traces = {process.communicate()[0] for process in running}
    assert all(process.returncode == 0 for process in running)
    assert len(traces) == 1
    assert traces.pop().count(b"components are independent") > 20
