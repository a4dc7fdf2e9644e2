"""Tensors that are shared out among ranks: results, how they lie, and how often ranks exchange."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import derive
from derive.catalogue import catalogue
from derive.verify.run import verify
from derive.verify.sample import errors
from tests.sharding.ranks import mesh, run, sample_of, truth

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own, of meshes without a network

EXACT = 1e-12

# An op, the letter that is cut; how outputs and gradients lie, and the exchanges of both passes.
RULES = {
    ("layer_norm", "..."): ("S(0) S(0) P(sum) P(sum)", (0, 0)),
    ("layer_norm", "h"): ("S(1) S(1) S(0) S(0)", (3, 1)),
    ("rms_norm", "..."): ("S(0) S(0) P(sum)", (0, 0)),
    ("rms_norm", "h"): ("S(1) S(1) S(0)", (1, 1)),
    ("softmax", "..."): ("S(0) S(0)", (0, 0)),
    ("softmax", "i"): ("S(1) S(1)", (2, 1)),
    ("matmul", "..."): ("S(0) S(0) P(sum)", (0, 0)),
    ("matmul", "k"): ("P(sum) S(1) S(0)", (0, 0)),
    ("matmul", "j"): ("S(1) P(sum) S(1)", (0, 0)),
    ("linear", "o"): ("S(1) P(sum) S(0) S(0)", (0, 0)),
    ("linear", "i"): ("R S(1) S(1) R", (1, 0)),
    ("gelu", "..."): ("S(0) S(0)", (0, 0)),
    ("cross_entropy", "b"): ("P(sum) S(0)", (1, 0)),
}


@pytest.mark.parametrize(("name", "letter"), RULES)
def test_rules(name: str, letter: str) -> None:
    op = derive.load(name)
    sample = sample_of(op)
    with mesh(4) as ranks:
        found = run(op, sample, ranks, [letter])
    assert errors(found.found, truth(op, sample)) < EXACT
    assert (" ".join(found.placements), found.exchanges) == RULES[name, letter]


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("letter", ["...", "h"])
def test_any_number_of_ranks(count: int, letter: str) -> None:
    op = derive.load("layer_norm")
    with mesh(count) as ranks:
        found = run(op, sample_of(op), ranks, [letter])
    assert errors(found.found, truth(op, sample_of(op))) < EXACT


@pytest.mark.parametrize("name", catalogue())
def test_every_op_is_right_however_it_is_cut(name: str) -> None:
    op = derive.load(name)
    axes = derive.build(op, backend="dtensor").AXES.values()
    sample = sample_of(op)
    want = truth(op, sample)
    with mesh(4) as ranks:
        for letter in sorted({k for a in axes for k in a.letters if k}):
            assert errors(run(op, sample, ranks, [letter]).found, want) < EXACT, letter


def test_two_dimensions_of_a_mesh() -> None:
    """Rows by one, columns by the other; a part of γ's gradient on each rank of the first."""
    op = derive.load("layer_norm")
    with mesh(2, 4) as ranks:
        found = run(op, sample_of(op), ranks, ["...", "h"])
    assert errors(found.found, truth(op, sample_of(op))) < EXACT
    assert found.placements == ("S(0) S(1)", "S(0) S(1)", "P(sum) S(0)", "P(sum) S(0)")


def test_what_cannot_be_cut_is_gathered() -> None:
    """The classes that labels pick from lie whole on each rank."""
    module = derive.build(derive.load("cross_entropy"), backend="dtensor")
    assert module.AXES["x"].letters[1] == ""


def test_a_second_derivative_is_refused_wherever_it_begins() -> None:
    """`once_differentiable` would only see what goes on to x, and drop the rest without a word."""
    layer_norm = derive.build("layer_norm", backend="dtensor").layer_norm
    x, w, gamma, beta = (torch.rand(4, 4, requires_grad=True) for _ in range(4))
    y = layer_norm(x @ w, gamma[0], beta[0])
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    for leaf in (x, w, gamma):
        with pytest.raises(NotImplementedError, match="has no second derivative"):
            torch.autograd.grad(slope.square().sum(), leaf, retain_graph=True)


@pytest.mark.parametrize("name", ["layer_norm", "softmax", "attention"])
def test_plain_tensors_are_as_good(name: str) -> None:
    assert [row for row in verify(derive.load(name), "dtensor") if not row.passed] == []


# -- processes ------------------------------------------------------------------------------------


def test_processes_agree(tmp_path: Path) -> None:
    """The example of the documentation, in two processes; it compares itself with one."""
    text = (Path(__file__).parents[2] / "docs" / "sharding.md").read_text("utf-8")
    script = tmp_path / "train.py"
    script.write_text(text.partition("## In several processes")[2].split("```")[1][len("python") :])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 ranks, 8 columns each" in done.stdout
