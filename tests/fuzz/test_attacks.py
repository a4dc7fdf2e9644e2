"""Attacks that worked on other generators: none of them writes elsewhere, runs, hangs or lies."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys

import pytest

from tests.fuzz.running import command, folder, judged
from tests.fuzz.texts import ROOT

HEAD = "op f(x[b,h]) -> y[b,h]\ny[b,h] = "
GOOD = HEAD + "2*x[b,h]\n"
CALL = "__import__('os').system('touch SENTINEL')"
HIDDEN = ("b\u00adh", "b\u200dh", "b\u2066h", "\u0430", "x\u0301", "\uff58", "\u2160")


def refused(text: str, code: str) -> str:
    """What is said of an op file, by every command that reads one."""
    with folder(a__op=text) as here:
        done = judged(command("generate", "a.op", "--out", "gen"))
        assert (done.code, f" {code} " in done.err) == (2, True), done.err
        assert command("list", "a.op").err == done.err
        assert [p.name for p in here.iterdir()] == ["a.op"]
    return done.err


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"op f(x[b]) -> y[b]\ny[b] = {CALL}\n", "E106"),
        ("op f(__import__[b]) -> y[b]\ny[b] = __import__[b]\n", "E204"),
        ("op __import__(x[b]) -> y[b]\ny[b] = x[b]\n", "E204"),
        ("op f(x[__import__]) -> y\ny = x[__import__]*1[__import__]\n", "E111"),
        ("op f(x[b]; __import__ = 1) -> y[b]\ny[b] = x[b] + __import__\n", "E204"),
        ("op f(x[b]; eps = __import__) -> y[b]\ny[b] = x[b] + eps\n", "E603"),
        (HEAD + "x[b,h]*__import__(1)\n", "E202"),
        (HEAD + "x[b,h]*9**9**9\n", "E404"),
        (HEAD + "x[b,h]^(9^9)\n", "E404"),
        ("op f(x[b]; eps = 9**9**9) -> y[b]\ny[b] = x[b] + eps\n", "E603"),
        (HEAD + "x[b,h]*1e999999999\n", "E405"),
        (HEAD + "x[b,h]*" + "9" * 5000 + "\n", "E405"),
        (HEAD + "(" * 10_000 + "x[b,h]" + ")" * 10_000 + "\n", "E402"),
        ("op f(" + "[" * 10_000 + "\n", "E402"),
        (HEAD + "where(" * 45 + "x[b,h]" + " > 0, x[b,h], 1[b,h])" * 45 + "\n", "E402"),
        (HEAD + "\u0430*x[b,h]\n", "E106"),
        ("op f(\u0430[b]) -> y[b]\ny[b] = \u0430[b]\n", "E106"),
        ("op f(x[b]) -> y[b]\ny[b] = x[\u0440]\n", "E106"),
        ("# a title\rimport os\n" + GOOD, "E105"),
        ("# a title\x85import os\n" + GOOD, "E105"),
        ("# a \u202etitle\n" + GOOD, "E105"),
        ("# \x1b]0;title\x07\n" + GOOD, "E105"),
        (GOOD + "\0", "E105"),
    ],
)
def test_a_hostile_op_file_is_refused(text: str, code: str) -> None:
    refused(text, code)


@pytest.mark.parametrize("name", HIDDEN)
def test_letters_that_look_like_others_are_named(name: str) -> None:
    with folder(a__op=f"op f(x[b]) -> y[b]\ny[b] = {name}*x[b]\n"):
        said = judged(command("list", "a.op")).err
    odd = next(c for c in name if not c.isascii())
    assert f"U+{ord(odd):04X} " in said


TITLES = [
    'one """ two',
    'ends with a quote"',
    'ends with quotes"""',
    "ends with a backslash\\",
    "\\N{BULLET} \\x41 \\u0041 \\",
    f'"""; {CALL}; """',
    f"{{{{ {CALL} }}}} {{% for x in y %}} {{# note #}}",
    "%s %(x)s {0} {x} ${x} $(touch SENTINEL) `touch SENTINEL`",
    r"\end{document}\input{/etc/passwd}\write18{touch SENTINEL}^^5cinput",
    "a % comment & a # hash _ ^ ~ $ x",
]


def test_a_title_is_text_wherever_it_stands() -> None:
    """It is the docstring, letter for letter; in LaTeX none of its signs is a command."""
    ops = (f"# {title}\n{GOOD.replace('op f(', f'op f{k}(')}" for k, title in enumerate(TITLES))
    with folder(a__op="\n".join(ops)) as here:
        assert judged(command("-q", "generate", "a.op", "--out", "gen", seconds=20)).code == 0
        for k, title in enumerate(TITLES):
            for backend in ("torch", "triton"):
                tree = ast.parse((here / f"gen/{backend}/f{k}.py").read_text("utf-8"))
                assert title in (ast.get_docstring(tree, clean=False) or "")
            tex = (here / f"gen/latex/f{k}.tex").read_text("utf-8")
            assert not [bad for bad in ("\\input{/", "\\write18", "^^5c") if bad in tex]
            assert tex.count("\\end{document}") == 1
        code = "import runpy, sys; [runpy.run_path(path) for path in sys.argv[1:]]"
        command_line = [sys.executable, "-c", code, *sorted(here.glob("gen/torch/*.py"))]
        assert subprocess.run(command_line).returncode == 0
        assert not (here / "SENTINEL").exists()


@pytest.mark.parametrize("name", ["a\nimport os\n", "a\rimport os", "a\u2028b", "a\x1b[31m"])
def test_a_path_cannot_end_the_line_of_a_header(name: str) -> None:
    with folder(pyproject__toml="[tool.derive]\n") as here:
        (here / name).mkdir()
        (here / name / "a.op").write_text(GOOD)
        done = judged(command("generate", f"{name}/a.op", "--out", "gen"))
        assert done.code == 2
        assert "must not hold control characters" in done.err
        assert not (here / "gen").exists()


def test_nothing_is_written_outside_the_folder() -> None:
    with folder(a__op=GOOD) as here:
        (here / "elsewhere").mkdir()
        (here / "gen").mkdir()
        (here / "gen/torch").symlink_to(here / "elsewhere")
        done = judged(command("generate", "a.op", "--out", "gen"))
        assert (done.code, "is a symbolic link" in done.err) == (2, True)
        for out in ("../out", "/tmp/out", "gen/../../out"):
            (here / "pyproject.toml").write_text(f"[tool.derive]\nops = ['a.op']\nout = '{out}'\n")
            done = judged(command("generate"))
            assert (done.code, "leaves" in done.err) == (2, True)
        (here / "link").symlink_to(here.parent)
        (here / "pyproject.toml").write_text("[tool.derive]\nops = ['a.op']\nout = 'link/out'\n")
        assert "leaves" in judged(command("generate")).err
        assert list((here / "elsewhere").iterdir()) == []


def test_ops_whose_files_would_be_one_are_refused() -> None:
    upper = GOOD.replace("op f(", "op F(")
    with folder(a__op=GOOD, b__op=upper, c__op=GOOD + upper) as here:
        done = judged(command("generate", "a.op", "b.op", "--out", "gen"))
        assert (done.code, "differ only in case; rename one of the ops" in done.err) == (2, True)
        assert " E211 " in judged(command("generate", "c.op", "--out", "gen")).err
        assert not (here / "gen").exists()
        assert command("-q", "generate", "a.op", "--out", "gen").code == 0
        assert "differ only in case" in judged(command("generate", "b.op", "--out", "gen")).err


@pytest.mark.parametrize(
    "name", ["x\n", "x\r", "x\0y", "x ", " x", "\u0430", "../x", "x/y", "-x", "."]
)
def test_what_is_no_name_makes_no_file(name: str) -> None:
    with folder() as here:
        assert judged(command("new", "--", name)).code == 2
        assert list(here.iterdir()) == []


@pytest.mark.parametrize("tail", ["\n", "\r\n", " ", "\0", "\u2028"])
def test_a_name_is_matched_to_its_end(tail: str) -> None:
    with folder(a__op=GOOD):
        for arguments in (("explain", f"E101{tail}"), ("show", f"a.op:f{tail}")):
            assert command(*arguments).code == 2
        assert judged(command("generate", "a.op", "--backend", f"torch{tail}")).code == 2


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        "9**9**9 = 1",
        "(" * 10_000 + "x[b,h]" + ")" * 10_000,
        "x[b,h] = \u0430",
        "x = y for " + "p," * 9999,
    ],
)
def test_a_hostile_equation_is_refused(text: str) -> None:
    with folder(a__op=GOOD) as here:
        done = judged(command("prove", "a.op", "--", text))
        assert done.code == 2
        assert [p.name for p in here.iterdir()] == ["a.op"]


@pytest.mark.parametrize("core", ["dx[p,q]", "x[p,q]"])
def test_a_tower_of_exponentials_has_no_value(core: str) -> None:
    """Its digits would fill all memory."""
    with folder(a__op=GOOD):
        done = judged(command("prove", "a.op", "--", f"{'exp(' * 40}{core}{')' * 40} = 0 for p, q"))
        assert (done.code, done.out.startswith("not proved")) == (1, True)


@pytest.mark.parametrize(
    "formula",
    [
        r"\input{/etc/passwd} = x_{b h}",
        r"y_{b h} = \write18{touch SENTINEL}",
        r"y_{b h} = \def\x{\x\x}\x",
        r"y_{b h} = 9^{9^{9}} x_{b h}",
        r"y_{b h} = " + "{" * 10_000 + "x_{b h}" + "}" * 10_000,
        r"y_{b h} = " + r"\left(" * 10_000,
        r"y_{b h} = " + r"\frac{" * 5_000,
        "y_{b h} = \u0430_{b h}",
        r"\mathrm{__import__}_{b h} = x_{b h}",
    ],
)
def test_a_hostile_paper_is_refused(formula: str) -> None:
    with folder(a__op=GOOD, paper__md=f"# A title\n\n$$ {formula} $$\n") as here:
        done = judged(command("prove", "a.op", "--from", "paper.md"))
        assert (done.code, "proved" in done.out) in {(2, False), (1, False), (0, False)}
        done = judged(command("new", "mine", "--from", "paper.md"))
        assert done.code == 2
        assert {p.name for p in here.iterdir()} == {"a.op", "paper.md"}


@pytest.mark.parametrize(
    "text", ["ops = ['a\\u0000.op']", "out = 'a\\u0000'", "out = '\\u001b[31m'"]
)
def test_a_configuration_holds_no_control_characters(text: str) -> None:
    with folder(a__op=GOOD, pyproject__toml=f"[tool.derive]\n{text}\n".replace("'", '"')):
        done = judged(command("check"))
        assert (done.code, "expected no control characters" in done.err) == (2, True)


def test_a_file_far_too_long_is_refused_as_such() -> None:
    """Wherever reading stops, be it in the middle of a letter."""
    for letter in ("a", "\u00e9", "\u4e2d"):
        assert "E401" in refused("# " + letter * 1_200_000, "E401")


# -- how much memory, how much time ----------------------------------------------------------------

_WORST = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from pathlib import Path
from derive.errors import DeriveError
from derive.catalogue import parse
from derive.notation.reader import read_equation
def peak():
    # in KiB; what `resource` says may be that of the process which started this one
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0])
from derive.notation.tex import survey
from derive.paper.draft import draft
op = parse("op f(x[b,h]) -> y[b,h]\\\\ny[b,h] = 2*x[b,h]\\\\n")[0]
ways = {
    "op": lambda text: parse(text),
    "equation": lambda text: read_equation(op, text),
    "paper": lambda text: (survey(op, text, "p.md"), draft(text, "p.md", "f")),
}
for way, text in json.load(sys.stdin):
    began = time.process_time()
    try:
        ways[way](text)
    except DeriveError:
        pass
    print(round(time.process_time() - began, 2), peak() // 1024)
""".replace("\\\\n", "\\n")

SIZE = 65_000


def filled(unit: str, before: str = "", after: str = "") -> str:
    return before + unit * ((SIZE - len(before) - len(after)) // len(unit)) + after


def nested(depth: int, before: str, after: str, core: str) -> str:
    """Sums in sums, each with indices of its own: `{k}` counts them."""
    first = "".join(before.format(k=k) for k in range(depth))
    return first + core + "".join(after.format(k=k) for k in reversed(range(depth)))


AXES = ",".join(f"h{k}" for k in range(45))
PAIRS = "*".join(f"x[h{k}]*x[k{k}]" for k in range(20))
WORST = {
    "means in means": (
        "op",
        f"op f(x[b,{AXES}]) -> y[b]\ny[b] = "
        + nested(45, "mean[h{k}](exp(", "))", f"x[b,{AXES}]")
        + "\n",
    ),
    "roots in roots": (
        "op",
        "op f(x[b,h]) -> y[b]\ny[b] = " + nested(45, "x[b,h{k}]*x[b,h{k}]*sqrt(", ")", "2") + "\n",
    ),
    "pairs in pairs": (
        "op",
        "op f(x[b]) -> y\ny = "
        + nested(20, "sum[h{k},k{k}](x[h{k}]*x[k{k}]*exp(", "*x[h{k}]*x[k{k}]))", PAIRS)
        + "\n",
    ),
    "pairs in means": (
        "equation",
        "x[b,h] = "
        + nested(20, "mean[h{k}](sum[k{k},l{k}](x[k{k},h{k}]*x[l{k},h{k}]*exp(", ")))", "1"),
    ),
    "terms": ("op", filled("x[b,h]+", HEAD, "x[b,h]\n")),
    "factors": ("op", filled("x[b,h]*", HEAD, "x[b,h]\n")),
    "divisors": ("op", filled("/x[b,h]", HEAD + "1[b,h]", "\n")),
    "equations": ("op", "op f(x[b,h]) -> y[b,h]\n" + filled("y[b,h]=x[b,h]\n")[: SIZE - 30]),
    "ops": ("op", filled("op f(x[b])->y[b]\ny[b]=x[b]\n")),
    "inputs": ("op", "op f(" + ",".join(f"x{k}[b]" for k in range(6000)) + ") -> y[b]\n"),
    "letters": ("op", "op f(x[" + ",".join(f"b{k}" for k in range(9000)) + "]) -> y\ny = 2*x\n"),
    "numbers": ("op", filled("1e400*", HEAD, "x[b,h]\n")),
    "spaces": ("op", filled(" ", HEAD, "x[b,h]\n")),
    "comments": ("op", filled("#\n", "", GOOD)),
    "equalities": ("equation", filled("=", "x[b,h]", "1")),
    "signs": ("equation", filled("-", "x[b,h] = ", "1")),
    "quantifiers": ("equation", filled(",p", "x[b,h] = 1 for b")),
    "dollars": ("paper", filled("$")),
    "displays": ("paper", filled("$$x=y$$")),
    "fractions": ("paper", filled(r"\frac{1}{", "$$ y_b = ", "$$")),
    "subscripts": ("paper", filled("_b", "$$ y", "= x $$")),
    "rows": ("paper", filled("&=\\\\", "$$ y_b ", "$$")),
    "braces": ("paper", filled("{}", "$$ y_b = \\frac{d", "$$")),
    "fences": ("paper", filled("```\n")),
    "open comments": ("paper", filled("<!--")),
    "long subscript": ("paper", filled("b", "$$ y_{", "} = x $$")),
}


def test_the_worst_that_fits_into_a_file() -> None:
    """Each in seconds of the processor, not minutes, and all in less than 600 MB."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _WORST], input=json.dumps([*WORST.values()]),
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = zip(WORST, (line.split() for line in done.stdout.splitlines()), strict=True)
    found = {name: (float(seconds), int(megabytes)) for name, (seconds, megabytes) in rows}
    assert {name: f for name, f in found.items() if f[0] > 20 or f[1] > 600} == {}
