"""The torch modules of all ops that have kernels, on hard inputs; offsets in compiled kernels."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import derive
from derive.emit.module import build
from derive.notation.op import Op
from derive.plan.program import plan
from derive.verify.offset import re_centred
from tests import hard
from tests.hard import CENTRED, CHECKS, HARD, KERNELS, NATIVE, NORMS, ROUNDING, SHIFTED
from tests.running import function, random, run
from tests.samples import name_of, named

F = torch.nn.functional
ROOT = Path(__file__).parent.parent.parent
LENGTHS = (1, 2, 7, 31, 1000, 8193, 65537)
ours = pytest.mark.parametrize("name", NATIVE)
kinds = pytest.mark.parametrize("kind", HARD)


# -- accuracy -----------------------------------------------------------------------------------


@ours
@kinds
def test_no_error_is_larger_than_that_of_torch(name: str, kind: str) -> None:
    """Row by row, in fp32, for rows of one number and of many, of prime lengths, beyond a block."""
    for columns in LENGTHS:
        full = hard.drawn(named(name), rows=4 if columns < 5000 else 2, columns=columns)
        sample = hard.change(named(name), full, HARD[kind]).to(torch.float32)
        hard.check_against_native(function(name), named(name), hard.shift(named(name), sample))


@pytest.mark.parametrize("name", CENTRED)
@pytest.mark.parametrize("kind", ["mean 1e4", "mean 1e6"])
def test_a_large_mean_leaves_a_tenth_of_torchs_error(name: str, kind: str) -> None:
    """At mean 1e2 both are close to rounding, which the test above bounds."""
    for columns in LENGTHS[3:]:
        full = hard.drawn(named(name), rows=2, columns=columns)
        sample = hard.change(named(name), full, HARD[kind]).to(torch.float32)
        hard.check_ten_times_closer(function(name), named(name), sample)


@ours
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_types_are_no_worse_than_in_torch(name: str, dtype: torch.dtype) -> None:
    for hardened in HARD.values():
        full = hard.drawn(named(name), columns=1000)
        sample = hard.shift(named(name), hard.change(named(name), full, hardened).to(dtype))
        if all(t.isfinite().all() for t in sample.inputs):  # fp16 ends at 65504
            hard.check_against_native(function(name), named(name), sample)


@ours
def test_gradients_of_a_plain_sum(name: str) -> None:
    sample = hard.drawn(named(name), columns=1000).to(torch.float32)
    hard.check_against_native(function(name), named(name), hard.summed(sample))
    leaves = [t.clone().requires_grad_() for t in sample.inputs]
    function(name)(*leaves).sum().backward()
    got = hard.results(function(name), hard.summed(sample))[1:]
    assert all(torch.equal(leaf.grad, g) for leaf, g in zip(leaves, got, strict=True))


@pytest.mark.parametrize("op", KERNELS, ids=name_of)
def test_about_as_exact_as_composed_operations(op: Op) -> None:
    """For ops that torch has none for; a γ of zeros too."""
    for columns in (7, 127):
        full = hard.drawn(op, columns=columns)
        for hardened in HARD.values():
            sample = hard.shift(op, hard.change(op, full, hardened).to(torch.float32))
            hard.check_against_composed(function(op.name), op, sample, 16 * ROUNDING)
        weightless = hard.weightless(op, full).to(torch.float32)
        hard.check_against_composed(function(op.name), op, weightless, 16 * ROUNDING)


@pytest.mark.parametrize("name", NORMS)
def test_many_short_rows(name: str) -> None:
    """More rows than 65535, three numbers each: sums over rows keep their digits."""
    sample = hard.drawn(named(name), rows=70_001, columns=3).to(torch.float32)
    want = hard.truth(named(name), sample)
    for got, exact in zip(hard.results(function(name), sample), want, strict=True):
        assert hard.error(got, exact) <= 16 * ROUNDING


@pytest.mark.parametrize("name", ["softmax", "shifted_softmax", "shifted_log_softmax"])
@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_no_exponential_overflows(name: str, scale: float) -> None:
    """Numbers of any size, shifted by the maximum of their row: what torch's own functions give."""
    x = scale * random(6, 31, dtype=torch.float32)
    inputs = (x, x.amax(-1)) if name in SHIFTED else (x,)
    cotangent = random(6, 31, seed=1, dtype=torch.float32)
    (got,), (dx, *_) = run(function(name), inputs, [cotangent])
    (want,), (want_dx, *_) = run(NATIVE[name], inputs, [cotangent])
    torch.testing.assert_close((got, dx), (want, want_dx), rtol=1e-5, atol=1e-6)


# -- every check for every op ----------------------------------------------------------------------


@pytest.mark.parametrize("op", KERNELS, ids=name_of)
@pytest.mark.parametrize("check", CHECKS)
def test_hard_inputs(check: str, op: Op) -> None:
    CHECKS[check](function(op.name), op)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "shifted_softmax"])
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0), (2, 0, 5)])
def test_nothing_to_do_as_in_torch(name: str, shape: tuple[int, ...]) -> None:
    """No rows, or rows of no columns: no error, results of the shapes that torch's have, γ's
    gradient zero. torch itself asks nothing of a row's length, so neither is it refused here."""
    x = torch.zeros(shape, dtype=torch.float64)
    weights = {"layer_norm": 2, "rms_norm": 1, "shifted_softmax": 0}[name]
    rest = [random(shape[-1], seed=k) for k in range(weights)] or [x.new_zeros(shape[:-1])]
    for got, want in zip(
        run(function(name), (x, *rest)), run(NATIVE[name], (x, *rest)), strict=True
    ):
        torch.testing.assert_close(got, want)


# -- what the plan does about it ----------------------------------------------------------------

NORMALIZED = """op f(x[b,h], g[h]; eps = 1e-5) -> y[b,h]
m[b] = 1/H*1[h]*x[b,h]
v[b] = 1/H*1[h]*(x[b,h] - 1[h]*m[b])^2
xhat[b,h] = (x[b,h] - 1[h]*m[b])/sqrt(v[b] + eps)
y[b,h] = g[h]*xhat[b,h]
"""
NAMED = "u[b,h] = x[b,h] - 1[h]*m[b]\n"
BEFORE = NORMALIZED.replace("v[b] =", f"{NAMED}v[b] =").replace("g[h]*", "g[h]*u[b,h]*")
AFTER = NORMALIZED.replace("xhat[b,h] =", f"{NAMED}xhat[b,h] =").replace("g[h]*", "g[h]*u[b,h]*")


@pytest.mark.parametrize("text", [NORMALIZED, BEFORE, AFTER], ids=["nowhere", "before", "after"])
def test_a_difference_without_a_name_is_recentred(text: str) -> None:
    """x - m wherever it stands, forward and backward; an equation about it alone may come too."""
    (op,) = derive.parse(text)
    call = build(op, backend="torch").f
    sample = hard.change(op, hard.drawn(op, columns=100), HARD["mean 1e6"]).to(torch.float32)
    for got, want in zip(hard.results(call, sample), hard.truth(op, sample), strict=True):
        assert hard.worst(got, want) <= 8 * ROUNDING


FELT = {  # the truth far from zero is infinite, or of four terms near 1e6
    "l[i,j] = delta[i,j]*1[k]*exp(x[i,k]) - exp(x[i,j])": False,
    "m = mean[i,j](x[i,j])\nr[i] = mean[j](x[i,j])\nc[j] = mean[i](x[i,j])\n"
    "l[i,j] = x[i,j] - 1[j]*r[i] - 1[i]*c[j] + 1[i,j]*m": False,
    "l[i,j] = x[i,j] - 1[j]*mean[k](x[i,k])": True,
}


@pytest.mark.parametrize("equation", FELT)
def test_only_what_leaves_a_difference_alone_is_moved(equation: str) -> None:
    (op,) = derive.parse(f"op f(x[i,i]) -> y[i]\n{equation}\ny[i] = 1[j]*l[i,j]^2\n")
    assert bool(re_centred(op)) == FELT[equation]


def test_a_difference_that_is_named_twice_is_one() -> None:
    (op,) = derive.parse(NORMALIZED)
    targets = [s.target.tensor.name for s in plan(op, derive.differentiate(op)).forward]
    assert targets.count("x_centred") == 2  # as it comes out, and re-centred
    assert "x_centred_1" not in targets


@pytest.mark.parametrize("right", ["x[b,h] - 1[h]*c[b]", "x[b,h] - r[b,h]", "x[b,h] + 1[h]*m[b]"])
def test_what_does_not_sum_to_zero_is_left_alone(right: str) -> None:
    text = f"""op f(x[b,h], r[b,h], c[b]) -> y[b,h]
m[b] = 1/H*1[h]*x[b,h]
y[b,h] = ({right})*r[b,h] + 1[h]*(c[b] + m[b])
"""
    (op,) = derive.parse(text)
    assert not any("rounding" in s.note for s in plan(op, derive.differentiate(op)).forward)


# An output that is an input, or what was saved; gradients that are a cotangent, or each other.
SHARING = """
op same(x[b,h]) -> y[b,h]
y[b,h] = x[b,h]

op named(x[b,h]) -> (y[b], w[b])
s[b] = 1[h]*x[b,h]^2
y[b] = s[b]
w[b] = s[b]^2

op renamed(x[b,h]) -> (y[b], w[b])
y[b] = 1[h]*x[b,h]^2
s[b] = y[b]
w[b] = s[b]^2

op addition(x[b,h], r[b,h]) -> y[b,h]
y[b,h] = x[b,h] + r[b,h]

op broadcast(x[b,h], m[b]) -> (y[b,h], z[b,h])
y[b,h] = 1[h]*m[b]
z[b,h] = x[b,h]*m[b]

op weights(x[b,h], a[h]) -> (y[b,h], q[h], p[h])
q[h] = a[h]
p[h] = exp(a[h])
y[b,h] = x[b,h]*p[h]

op turned(x[b,h]) -> y[h,b]
y[h,b] = x[b,h]
"""


@pytest.mark.parametrize("op", derive.parse(SHARING.replace("\nop", "\n# An op\nop")), ids=name_of)
def test_results_do_not_share_memory(op: Op) -> None:
    call = getattr(build(op, backend="torch"), op.name)
    hard.check_nothing_else_changes(call, op)
    hard.check_changed_outputs(call, op)


# -- each check catches something ------------------------------------------------------------------


VIEW = "torch.ops.aten._unsafe_view(output, shape)"
SAVE, KEPT = "ctx.save_for_backward(", ("ctx.saved_tensors", "ctx.kept")
BROKEN = {
    "NaN stays in its row": ("softmax", ("e.sum(1)", "e.sum(1) + 0 * e.sum()")),
    "zero cotangents": ("layer_norm", ("dbeta = dy.sum(0)", "dbeta = dy.sum(0) + 1e-30")),
    "empty": ("layer_norm", ("x.mean(1)", "x.max(1).values")),
    "ranks": ("rms_norm", ("_give(dx, (*lead, H), x.dtype)", "dx")),
    "layouts": ("layer_norm", ("dy.reshape(", "dy.as_strided(dy.shape, (H, 1)).reshape(")),
    "a shared input": ("add_norm", ("_give(dr,", "_give(0 * dr if r is x else dr,")),
    "single gradients": ("layer_norm", ("needs[2]", "needs[1]")),
    "nothing else changes": ("add_norm", (".clone()", "")),
    "changed outputs": ("layer_norm", (VIEW, "output.reshape(shape)")),
    "changed inputs": ("rms_norm", (SAVE, "ctx.kept = ("), KEPT),
    "changed statistics": ("softmax", (f"{SAVE}x, m", f"ctx.kept = (x, m, z); {SAVE}x, m"), KEPT),
}


@pytest.mark.parametrize("check", CHECKS)
def test_each_check_catches_a_fault(check: str) -> None:
    name, *changes = BROKEN[check]
    made = hard.broken(name, "torch", *changes)
    with pytest.raises((AssertionError, RuntimeError, IndexError)):
        CHECKS[check](getattr(made, name), named(name))


def test_an_error_larger_than_torchs_is_caught() -> None:
    """Layer norm that is not re-centred is as good as torch's, and no ten times better; one that
    takes its variance from E[x²] is worse."""
    op = named("layer_norm")
    full = hard.drawn(op, columns=1000)
    sample = hard.change(op, full, HARD["mean 1e4"]).to(torch.float32)
    forward, backward = "    mu = mu.sub_(mu_mean[:, None])\n", ".sub_(mu_mean[:, None])\n"
    plain = hard.broken("layer_norm", "torch", (forward, ""), (backward, "\n"))
    with pytest.raises(AssertionError):
        hard.check_ten_times_closer(plain.layer_norm, op, sample)
    naive = hard.broken("layer_norm", "torch", ("v = (mu**2).mean(1)", "v = (x**2).mean(1) - m**2"))
    with pytest.raises(AssertionError):
        hard.check_against_native(naive.layer_norm, op, sample)
    with pytest.raises(AssertionError):
        hard.check_against_composed(naive.layer_norm, op, sample, 16 * ROUNDING)


# -- offsets in kernels --------------------------------------------------------------------------

COMPILE = """
import importlib.util, json, sys
import triton.language as tl
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

for path, kernel, length in json.load(sys.stdin):
    spec = importlib.util.spec_from_file_location("kernels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    signature = {}
    constants = {"ROWS": 2, "BLOCK": 1024, "EVEN": False, "ACC": tl.float32, "eps": 1e-5}
    for p in (function := getattr(module, kernel)).params:
        plain = "*fp32" if p.name.endswith("_ptr") else "i32" if p.name == "rows" else length
        signature[p.name] = "constexpr" if p.is_constexpr else plain
    constants = {p.name: constants[p.name] for p in function.params if p.is_constexpr}
    made = compile(ASTSource(function, signature, constants), target=GPUTarget("cuda", 90, 32))
    print(json.dumps(made.asm["ttir"]))
"""


def intermediate(jobs: list[tuple[str, str, str]]) -> list[str]:
    """The kernels in Triton's intermediate language, from a process in which it does compile."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def narrow(text: str) -> list[str]:
    """Products in 32 bits: each product of a kernel is a row's number times a row's length.

    But for how many rows all programs take at once, which are few.
    """
    programs = re.findall(r"(%\w+) = tt\.get_num_programs", text)
    found = re.findall(r"arith\.muli (%\w+), .*: .*i32.*", text)
    return [operand for operand in found if operand not in programs]


def test_offsets_have_64_bits(tmp_path: Path) -> None:
    """A tensor may hold more than 2**31 numbers: offsets are 64-bit from the first product on, and
    so are columns where a row itself is that long."""
    kernels = ("_forward_row", "_forward_tiles", "_backward_row", "_backward_tiles")
    paths = {name: ROOT / "generated" / "triton" / f"{name}.py" for name in NORMS}
    jobs = [(str(path), kernel, "i32") for path in paths.values() for kernel in kernels]
    long = [(str(paths["layer_norm"]), kernel, "i64") for kernel in kernels if "tiles" in kernel]
    short = tmp_path / "layer_norm.py"
    short.write_text(paths["layer_norm"].read_text("utf-8").replace(".to(tl.int64)", ""), "utf-8")
    *made, shortened = intermediate([*jobs, *long, (str(short), "_forward_row", "i32")])
    for text in made:
        assert "arith.muli" in text
        assert not narrow(text), narrow(text)
    for text in made[len(jobs) :]:
        assert not re.findall(r"tt\.addptr .*i32>", text)
    assert narrow(shortened)
