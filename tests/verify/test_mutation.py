"""Mistakes made on purpose: each kind is made, all are noticed, and a weak checker is found out."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.autograd.gradcheck import gradcheck

from derive import cli, parse
from derive.emit.backends import BACKENDS
from derive.emit.files import source
from derive.errors import DeriveError
from derive.verify import run
from derive.verify.exact import Report
from derive.verify.memory import OutOfBounds, in_memory_of_its_own, watched
from derive.verify.mutation import judge_formulas, laboratory
from derive.verify.mutation.edits import Edit, edits
from derive.verify.mutation.finding import EQUIVALENT, FORMULAS, KILLED, LIVE, Finding
from derive.verify.mutation.formulas import Mutant, mutants
from derive.verify.mutation.isolated import Died, Isolated
from derive.verify.mutation.judge_formulas import Formulas
from derive.verify.mutation.judge_source import UNREACHED, Source
from derive.verify.mutation.kinds import Kinds, kinds
from derive.verify.mutation.laboratory import Subject, judged
from derive.verify.mutation.load import loaded
from derive.verify.mutation.slips import EVERYWHERE, MORE, UNREAD, Here, exchanges
from derive.verify.mutation.tolerances import ways
from derive.verify.offset import far_from_zero
from derive.verify.passes import by_themselves
from derive.verify.program import Program
from derive.verify.reference import composed
from derive.verify.sample import SMALL, Sample, draw
from tests.samples import derived, named

torch.set_num_threads(1)
forking = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch has threads

# -- mistakes in formulas --------------------------------------------------------------------------


@cache
def made(name: str) -> tuple[Mutant, ...]:
    return tuple(mutants(derived(name)))


FORMULA_MISTAKES = (
    ("layer_norm", "dx[p,q]", "sign: -dmu[p,q] for dmu[p,q]"),
    ("layer_norm", "dx[p,q]", "dropped term: 1/H*dm[p]"),
    ("layer_norm", "dv[p]", "factor: dsigma[p]/sigma[p] for 1/2*dsigma[p]/sigma[p]"),
    ("layer_norm", "dgamma[q]", "dropped factor: mu[b,q]"),
    ("layer_norm", "sigma[b]", "dropped term: eps"),
    ("layer_norm", "sigma[b]", "exponent: v[b] + eps for sqrt(v[b] + eps)"),
    ("layer_norm", "v[b]", "size: H - 1 for H"),
    ("layer_norm", "v[b]", "size: B for H"),
    ("layer_norm", "dsigma[p]", "tensor: x[p,h] for mu[p,h]"),
    ("layer_norm", "dbeta[q]", "sum: 1/B*1[b]*dy[b,q] for dy[b,q]*1[b]"),
    ("layer_norm", "dbeta[q]", "sum: dy[b,h]*1[b]*1[h] for dy[b,q]*1[b]"),
    ("layer_norm", "dx[p,q], closed form", "exponent: 1/sigma[p]^2 for 1/sigma[p]^3"),
    ("layer_norm", "dx[p,q], closed form", "index: mu[p,h] for mu[p,q]"),
    ("softmax", "e[b,i]", "function: x[b,i] - 1[i]*m[b] for exp(x[b,i] - 1[i]*m[b])"),
    ("shifted_softmax", "dm[q]", "number: 1 for 0"),
    ("transposed", "dx[p,q]", "index: dz[i,p] for dz[p,i]"),
    ("transposed", "dx[p,q]", "index: y[p,q] for y[i,q]"),
    ("transposed", "dx[p,q]", "sum: dz[p,p]*y[p,q] for dz[p,i]*y[i,q]"),
    ("self_attention", "z[b,i]", "sum: 1[j]*s[b,j,i] for 1[j]*s[b,i,j]"),
    ("waves", "dx[p,q]", "function: x[p,q] for sin(x[p,q])"),
)


@pytest.mark.parametrize(("op", "place", "change"), FORMULA_MISTAKES)
def test_a_mistake_of_each_kind_is_made(op: str, place: str, change: str) -> None:
    assert (place, change) in {(m.place, m.change) for m in made(op)}


def test_what_is_made_is_wrong_in_one_equation_and_says_so() -> None:
    for mutant in made("layer_norm"):
        before, after = mutant.original.equations, mutant.program.equations
        assert [k for k, e in enumerate(after) if e != before[k]] == [mutant.number]
        assert mutant.text.startswith(mutant.place.removesuffix(", closed form") + " = ")
    (dropped,) = (m for m in made("layer_norm") if m.change == "dropped term: eps")
    assert dropped.text == "sigma[b] = sqrt(v[b])"


def test_no_two_mistakes_come_to_the_same() -> None:
    texts = Counter((m.place, m.text) for m in made("rms_norm"))
    assert texts.most_common(1)[0][1] == 1


def test_forward_equations_that_no_gradient_needs_are_left_alone() -> None:
    assert "y[b,h]" not in {m.place for m in made("layer_norm")}
    assert "mu[b,h]" in {m.place for m in made("layer_norm")}


# -- all of some ops, in processes of their own ----------------------------------------------------


def test_what_becomes_of_all_mutants_of_some_ops() -> None:
    """One test: they share a process that takes its time to start."""
    wanted = (
        ("layer_norm", FORMULAS),
        ("shifted_softmax", FORMULAS),
        ("softmax", "torch"),
        ("matmul", "torch"),
    )
    layer_norm, softmax, *modules = judged([Subject(named(name), of) for name, of in wanted])
    every_wrong_formula_is_noticed(layer_norm)
    usual_tolerances_notice_fewer(layer_norm)
    what_is_no_mistake_is_proved_so(softmax)
    for found, (name, _), least in zip(modules, wanted[2:], (150, 50), strict=True):
        every_wrong_line_is_noticed(found, name, least)


def fates(found: Sequence[Finding]) -> Counter[str]:
    return Counter(mutant.fate for mutant in found)


def every_wrong_formula_is_noticed(found: Sequence[Finding]) -> None:
    assert fates(found) == {KILLED: len(found)}
    assert len(found) >= 300
    assert all(mutant.notices["exact, by dual numbers"] for mutant in found)


def usual_tolerances_notice_fewer(found: Sequence[Finding]) -> None:
    share = {w: sum(m.notices[w] for m in found) / len(found) for w in found[0].notices}
    assert share["fp64 against autograd"] == 1
    assert share["gradcheck"] < 1
    assert share["gradcheck, atol = rtol = 0.1"] < 0.9
    assert share["allclose, parameters 1"] < 0.97
    assert share["the same of y.sum()"] < 0.8
    missed = {m.change for m in found if not m.notices["gradcheck"]}
    assert "exponent: dy[p,q]^2 for dy[p,q]" in missed  # a unit cotangent is its own square
    missed = {m.change for m in found if not m.notices["gradcheck, atol = rtol = 0.1"]}
    assert "dropped term: 1/H*dm[p]" in missed


def what_is_no_mistake_is_proved_so(found: Sequence[Finding]) -> None:
    """The gradient of a softmax does not change with the shift, nor with the scale of e."""
    assert fates(found).keys() == {KILLED, EQUIVALENT}
    same = [m for m in found if m.fate == EQUIVALENT]
    assert {m.place for m in same} == {"e[b,i]"}
    assert {"dropped term: -m[b]", "sign: m[b] for -m[b]"} <= {m.change for m in same}


def every_wrong_line_is_noticed(found: Sequence[Finding], op: str, least: int) -> None:
    assert fates(found) == {KILLED: len(found)}
    assert len(found) >= least
    assert all(m.place.startswith(f"torch/{op}.py:") for m in found)


@pytest.mark.parametrize("name", ["linear", "rms_norm"])
def test_gradcheck_itself_notices_the_same(name: str) -> None:
    op, sample = named(name), draw(named(name), SMALL)
    (way,) = (w for w in ways(op) if w.name == "gradcheck")
    for mutant in made(name)[::4]:
        inputs = tuple(t.detach().clone().requires_grad_() for t in sample.inputs)
        good = gradcheck(with_gradient_of(mutant.program), inputs, raise_exception=False)
        assert good != way.notices(mutant.program), mutant.change


def with_gradient_of(program: Program) -> Any:
    """The op with the gradients of a program."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(*inputs)
            return composed(program.derivation.op)(*inputs)[0]

        @staticmethod
        def backward(ctx: Any, *cotangents: torch.Tensor) -> Any:
            with torch.no_grad():
                return program.run(Sample(ctx.saved_tensors, cotangents))[1:]

    return Function.apply


# -- a checker that is too weak --------------------------------------------------------------------


def test_a_weak_checker_leaves_some_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_formulas, "exact", lambda *_: Report(0))
    monkeypatch.setattr(judge_formulas, "related", lambda _: [])
    weak = Formulas(named("linear"), tolerance=0.6)
    weak.prepare()
    found = [weak.judge(k) for k in range(len(weak))]
    assert 0 < fates(found)[LIVE] < len(found)
    assert "factor: 1/2*dy[b,r]*1[b] for dy[b,r]*1[b]" in {m.change for m in found if m.is_live}


def test_lines_that_no_check_runs_are_live() -> None:
    blind = Source(named("matmul"), "torch", checks=())
    blind.prepare()
    assert {blind.judge(k).why for k in range(len(blind))} == {UNREACHED}


def test_a_module_that_fails_as_it_is_is_refused() -> None:
    broken = Source(named("matmul"), "torch", checks=(("never", lambda *_: (1.0, 0.0, "no")),))
    with pytest.raises(DeriveError, match="matmul for torch fails as it is"):
        broken.prepare()


# -- mistakes in source ----------------------------------------------------------------------------

KERNEL = """
@triton.jit
def _row(x_ptr, y_ptr, m_ptr, H, BLOCK: tl.constexpr):
    '''x - 1'''
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < H
    x = tl.load(x_ptr + row * H + columns, mask=inside, other=0.0)
    m = tl.sum(tl.where(inside, x, 0.0), 0) / H
    total = 0
    total += m
    y = tl.sqrt(x) - 0.5 * m
    if y_ptr is not None:
        tl.store(y_ptr + row * H + columns, y, mask=inside)


def _expect(holds, name):
    if not holds + 1:
        raise ValueError(name)
"""
SOURCE_MISTAKES = (
    ("operator", "row * H", "(row / H)"),
    ("offset", "row", "(row + 1)"),
    ("offset", "columns", "(columns + 1)"),
    ("constant", "0.5", "1.5"),
    ("comparison", "columns < H", "(columns <= H)"),
    ("comparison", "y_ptr is not None", "(y_ptr is None)"),
    ("dropped mask", "tl.where(inside, x, 0.0)", "x"),
    ("dropped operand", "tl.sqrt(x) - 0.5 * m", "tl.sqrt(x)"),
    ("exchanged operands", "tl.sqrt(x) - 0.5 * m", "(0.5 * m - tl.sqrt(x))"),
    ("exchanged arguments", "inside, x", "x, inside"),
    ("function", "tl.sqrt(x)", "tl.rsqrt(x)"),
    ("dropped function", "tl.sqrt(x)", "x"),
    ("dropped accumulation", "total += m", "total = m"),
    ("accumulation", "total += m", "total -= m"),
    ("name", "x_ptr", "y_ptr"),
    ("name", "m", "z"),
    ("sign", "m = tl.sum(tl.where(inside, x, 0.0), 0) / H", None),
)


@cache
def kernel_edits() -> list[Edit]:
    (op,) = parse("op f(x[b,h]) -> y[b,h]\nm[b] = 1[h]*x[b,h]\ny[b,h] = x[b,h]*m[b]\n")
    text = KERNEL.replace("total = 0", "z = total = m")
    return edits(text, Kinds(kinds(op).axes | {"z": ("B",)}))


@pytest.mark.parametrize(("kind", "old", "new"), SOURCE_MISTAKES)
def test_a_slip_of_each_kind_is_made(kind: str, old: str, new: str | None) -> None:
    text = KERNEL.replace("total = 0", "z = total = m")
    found = [(e.kind, text[e.start : e.end], e.new) for e in kernel_edits()]
    assert any(f[:2] == (kind, old) and new in (None, f[2]) for f in found), found


def test_a_pointer_is_asked_for_or_not_wherever_it_is_met() -> None:
    """Of a condition on numbers both sides must be met; of one on pointers all there is, is."""
    asked = next(e for e in kernel_edits() if e.new == "(y_ptr is None)")
    assert (asked.reason, asked.met) == (EVERYWHERE, None)
    assert "y_ptr is not None" in asked.probe.new
    compared = next(e for e in kernel_edits() if e.new == "(columns <= H)")
    assert compared.met is None  # of indices, checks meet all there is


def test_programs_too_many_are_told_from_too_few() -> None:
    text = "def _launch(x, n):\n    _row[(cdiv(max(n, 1), 64),)](x, n)\n"
    (op,) = parse("op f(x[b,h]) -> y[b,h]\ny[b,h] = x[b,h]\n")
    more = next(e for e in edits(text, kinds(op)) if text[e.start : e.end] == "1")
    assert (more.new, more.reason) == ("2", MORE)
    calls = {"cdiv": lambda a, b: -(-a // b), "_row": {}}
    for start, count in ((1, 64), (0, 64)):
        probe = more.probe.new.replace("max(n, 2)", str(count + start))
        assert eval(probe.replace("max(n, 1)", str(count)), calls) == 1 + start
    fewer = more.probe.new.replace("max(n, 2)", "1").replace("max(n, 1)", "65")
    with pytest.raises(IndexError):
        eval(fewer, calls)


def test_what_is_added_up_may_be_off_by_much() -> None:
    text = KERNEL.replace("total = 0", "z = total = m")
    added = next(e for e in kernel_edits() if text[e.start : e.end] == "m" and e.new == "z")
    assert added.reason == UNREAD
    assert "1e30" in added.probe.new


@pytest.mark.parametrize(
    ("call", "probes"),
    [
        ("x.reshape(n, h)", {"x.reshape(1, (n * h))"}),
        ("x.reshape(n, m, h)", {"x.reshape(1, (n * m), h)", "x.reshape(n, 1, (m * h))"}),
    ],
)
def test_a_shape_is_told_apart_by_none(call: str, probes: set[str]) -> None:
    (node,) = ast.parse(call).body
    slips = exchanges(node.value, Here(kinds(named("softmax")), frozenset()))
    assert {s.probe for s in slips} == probes


def test_what_only_checks_or_explains_is_left_alone() -> None:
    text = KERNEL.replace("total = 0", "z = total = m")
    places = {text[e.start : e.end] for e in kernel_edits()}
    assert not any("holds" in place or "'" in place for place in places)


@pytest.mark.parametrize(
    ("op", "backend"), [("softmax", "triton"), ("rms_norm", "torch"), ("linear", "torch")]
)
def test_every_edit_gives_another_module(op: str, backend: str) -> None:
    text = source(named(op), BACKENDS[backend])
    found = edits(text, kinds(named(op)))
    lines = text.splitlines()
    assert len({e.applied(text) for e in found}) == len(found)
    for edit in found:
        compile(edit.applied(text), "mutant", "exec")
        assert "raise" not in lines[edit.first - 1]
        assert "_expect" not in lines[edit.first - 1]


INTERPRETED = """
from derive import load
from derive.verify.mutation.judge_source import Source
judge = Source(load("softmax"), "triton")
judge.prepare()
olds = [(edit.kind, judge.text[edit.start : edit.end]) for edit in judge.edits]
mask = ("dropped mask", "tl.where(inside, dp * e, 0.0)")
for slip in (("constant", "0.0"), mask, ("offset", "row")):
    found = judge.judge(olds.index(slip))
    print(found.fate, "|", found.change, "|", found.why)
"""


def test_slips_in_kernels_are_noticed_or_reach_no_result() -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-W", "ignore", "-c", INTERPRETED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "live" not in done.stdout
    assert "equivalent | constant | what stands where the mask does not hold" in done.stdout
    assert "equivalent | dropped mask | what is masked is zero as it is" in done.stdout
    assert "killed | offset | " in done.stdout


# -- checks that mutants asked for -----------------------------------------------------------------


def broken(op: str, old: str, new: str) -> Any:
    text = source(named(op), BACKENDS["torch"])
    assert old in text
    return loaded(text.replace(old, new))


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("far from zero", "mu.sub_(mu_mean[:, None])", "mu.add_(mu_mean[:, None])"),
        ("far from zero", "(x - m[:, None]).sub_(mu_mean[:, None])", "x - m[:, None]"),
        ("passes by themselves", "m = x.mean(1)", "m = x.mean(1) + 1"),
    ],
)
def test_a_check_sees_what_no_other_does(check: str, old: str, new: str) -> None:
    with broken("layer_norm", old, new) as module:
        failed = [
            name
            for name, c in run.CHECKS
            if run._applies(name, named("layer_norm"), module)
            and not run._checked(name, c, named("layer_norm"), module).passed
        ]
    assert failed == [check]


def test_checks_pass_on_what_is_right() -> None:
    with broken("layer_norm", "", "") as module:
        sample = run.sample_for(named("layer_norm"), torch.float64)
        for check in (far_from_zero, by_themselves, in_memory_of_its_own):
            worst, allowed, _ = check(named("layer_norm"), module, sample)
            assert worst <= allowed


def write_beside(module: ModuleType) -> None:
    with watched(module):
        made = module.torch.empty((2, 3), dtype=torch.float64)
        made.as_strided((1,), (1,), made.storage_offset() + 6).fill_(1.0)


def test_memory_is_watched() -> None:
    module = ModuleType("kernels")
    module.torch = torch  # type: ignore[attr-defined]  # as a generated module has it
    with watched(module):
        made = module.torch.empty((2, 3), dtype=torch.float64)
        assert made.isnan().all()
        assert made.is_contiguous()
        assert module.torch.zeros((2,), dtype=torch.float32).eq(0).all()
        made.fill_(1.0)
    with pytest.raises(OutOfBounds):
        write_beside(module)
    assert module.torch is torch


def test_what_is_given_stays_as_it_is() -> None:
    op = named("layer_norm")
    with (
        broken("layer_norm", "m = x.mean(1)", "m = x.add_(1).mean(1)") as module,
        pytest.raises(OutOfBounds, match="given"),
    ):
        in_memory_of_its_own(op, module, run.sample_for(op, torch.float64))


# -- processes of their own ------------------------------------------------------------------------


def behave(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    if number == 2:
        time.sleep(60)
    return number * number


@forking
def test_a_call_that_crashes_or_never_ends_is_told_apart() -> None:
    found = dict(Isolated(behave, 2, patience=2.0).run(range(5)))
    assert found == {0: 0, 1: Died("SIGTERM"), 2: Died("SIGKILL"), 3: 9, 4: 16}


def fail(number: int) -> int:
    raise TypeError(f"our own mistake, {number}")


@forking
def test_a_mistake_of_ours_is_no_verdict() -> None:
    with pytest.raises(RuntimeError, match="our own mistake, 0"):
        list(Isolated(fail, 1).run(range(3)))


# -- the command -----------------------------------------------------------------------------------

DEAD = Finding(
    "f",
    FORMULAS,
    "dx[p]",
    "sign: -x[p] for x[p]",
    "dx[p] = -x[p]",
    KILLED,
    "fp64",
    {"fp64": True, "gradcheck": False},
)
SAME = Finding(
    "f", "torch", "torch/f.py:3", "sign", "- a\n+ -a", EQUIVALENT, "the sign reaches no result"
)
ALIVE = Finding("f", "torch", "torch/f.py:4", "name", "- a\n+ b", LIVE, "no check fails on it")


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`derive verify linear --mutate` where these mutants are found."""

    def command(found: Sequence[Finding], *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(
            laboratory, "judged", lambda subjects: iter([list(found)] * len(subjects))
        )
        code = cli.main(["verify", "linear", "--backend", "torch", "--mutate", *arguments])
        return code, capsys.readouterr().out

    return command


def test_the_command_fails_if_a_mutant_lives(verified: Any) -> None:
    code, out = verified([DEAD, SAME, ALIVE])
    assert code == 1
    assert "torch/f.py:4: name: live: no check fails on it\n  - a\n  + b" in out
    assert "torch/f.py:3" not in out
    code, out = verified([DEAD, SAME])
    assert code == 0
    assert "live:" not in out


def test_the_command_counts(verified: Any) -> None:
    lines = [line.split() for line in verified([DEAD, SAME])[1].splitlines()]
    assert ["f", "formulas", "2", "2", "0", "0"] in lines
    assert ["f", "torch", "2", "0", "2", "0"] in lines
    assert ["f", "2", "100", "%", "100", "%", "0", "%"] in lines


def test_the_formats_of_the_command(verified: Any) -> None:
    found = [DEAD, SAME, ALIVE]
    assert "torch/f.py:3: sign: equivalent: the sign" in verified(found, "-v")[1]
    rows = json.loads(verified(found, "--output-format", "json")[1])
    assert rows[0]["notices"] == {"fp64": True, "gradcheck": False}
    assert [r["fate"] for r in rows[:3]] == ["killed", "equivalent", "live"]
    concise = verified(found, "--output-format", "concise")[1].splitlines()
    assert concise[0] == "f formulas: 2 mutants, 2 killed, 0 equivalent, 0 live"
    assert concise[-1] == "f torch: torch/f.py:4: name: live: no check fails on it: - a | + b"
    github = verified(found, "--output-format", "github")[1]
    assert github.count("::error title=derive verify --mutate::f torch: torch/f.py:4") == 2


def test_what_fails_as_it_is_is_not_mutated(verified: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = run.Row("fp64 against autograd", False, 1.0, 1e-10)
    monkeypatch.setattr(run, "verify", lambda *_: [failed])
    code, out = verified([ALIVE])
    assert code == 1
    assert "FAILED" in out
    assert "torch/f.py" not in out
