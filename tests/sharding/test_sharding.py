"""Tensors that are shared out among ranks: results, how they lie, and how often ranks exchange."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

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


@pytest.mark.parametrize("name", ["layer_norm", "softmax", "attention"])
def test_plain_tensors_are_as_good(name: str) -> None:
    assert [row for row in verify(derive.load(name), "dtensor") if not row.passed] == []


# -- processes ------------------------------------------------------------------------------------


def _work(rank: int, count: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=count)
    ranks = dist.device_mesh.init_device_mesh("cpu", (count,))
    op = derive.load("layer_norm")
    module, sample = derive.build(op, backend="dtensor"), sample_of(op)
    places = (Shard(1), Shard(0), Replicate())
    given = zip(sample.inputs, places, strict=True)
    leaves = [distribute_tensor(t, ranks, [p]).requires_grad_() for t, p in given]
    y = module.layer_norm(*leaves)
    (dy,) = (distribute_tensor(g, ranks, y.placements) for g in sample.cotangents)
    found = [t.full_tensor() for t in (y, *torch.autograd.grad(y, leaves, dy))]
    if rank == 0:
        torch.save([t.detach() for t in found], Path(folder) / "found.pt")
    dist.destroy_process_group()


def test_processes_agree(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_work, args=(2, port, str(tmp_path)), nprocs=2)
    found = torch.load(tmp_path / "found.pt")
    op = derive.load("layer_norm")
    assert errors(found, truth(op, sample_of(op))) < EXACT
