"""Modules and functions in the places of torch's: state, text, start, errors, variants without."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

import derive.nn as ours
from derive.nn import functional
from derive.verify.sample import error
from tests.running import random

EXACT = 1e-10
MODULES: tuple[tuple[str, Callable[[Any], torch.nn.Module]], ...] = (
    ("LayerNorm", lambda nn: nn.LayerNorm(6)),
    ("LayerNorm", lambda nn: nn.LayerNorm((3, 6), eps=1e-3, elementwise_affine=False)),
    ("LayerNorm", lambda nn: nn.LayerNorm(6, bias=False)),
    ("RMSNorm", lambda nn: nn.RMSNorm(6)),
    ("GroupNorm", lambda nn: nn.GroupNorm(3, 3, affine=False)),
    ("GroupNorm", lambda nn: nn.GroupNorm(1, 3)),
    ("Linear", lambda nn: nn.Linear(6, 4)),
    ("Linear", lambda nn: nn.Linear(6, 4, bias=False)),
    ("Softmax", lambda nn: nn.Softmax(dim=1)),
    ("LogSoftmax", lambda nn: nn.LogSoftmax(dim=-1)),
    ("GELU", lambda nn: nn.GELU("tanh")),
    ("SiLU", lambda nn: nn.SiLU()),
    ("Mish", lambda nn: nn.Mish()),
    ("ELU", lambda nn: nn.ELU(0.7)),
    ("Softplus", lambda nn: nn.Softplus(beta=2)),
    ("Hardtanh", lambda nn: nn.Hardtanh(-0.5, 0.7)),
    ("GLU", lambda nn: nn.GLU(2)),
    ("BatchNorm1d", lambda nn: nn.BatchNorm1d(3)),
    ("BatchNorm1d", lambda nn: nn.BatchNorm1d(3, momentum=None, affine=False).eval()),
    ("InstanceNorm1d", lambda nn: nn.InstanceNorm1d(3, track_running_stats=True, affine=True)),
)
LOSSES: tuple[tuple[Callable[[Any], torch.nn.Module], Tensor], ...] = (
    (lambda nn: nn.CrossEntropyLoss(ignore_index=1, label_smoothing=0.1), torch.tensor([0, 1, 5])),
    (lambda nn: nn.MSELoss(), random(3, 6, seed=3)),
    (lambda nn: nn.HuberLoss(reduction="sum", delta=0.3), random(3, 6, seed=3)),
    (lambda nn: nn.BCEWithLogitsLoss(), random(3, 6, seed=3).sigmoid()),
    (lambda nn: nn.CrossEntropyLoss(random(6).exp()), random(3, 6, seed=3).softmax(1)),
    (lambda nn: nn.BCEWithLogitsLoss(pos_weight=random(6).exp()), random(3, 6, seed=3).sigmoid()),
    (lambda nn: nn.NLLLoss(reduction="none", ignore_index=1), torch.tensor([0, 1, 5])),
)


def pair(make: Callable[[Any], torch.nn.Module]) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Ours and torch's, both started from the same seed."""
    made = []
    for nn in (ours, torch.nn):
        torch.manual_seed(0)
        made.append(make(nn).double())
    return made[0], made[1]


@pytest.mark.parametrize("make", [m for _, m in MODULES], ids=[n for n, _ in MODULES])
def test_a_module_in_the_place_of_torchs(make: Callable[[Any], torch.nn.Module]) -> None:
    mine, native = pair(make)
    assert repr(mine) == repr(native)
    assert mine.state_dict().keys() == native.state_dict().keys()
    for a, b in zip(mine.parameters(), native.parameters(), strict=True):
        assert torch.equal(a, b)
    mine.load_state_dict(native.state_dict())
    again = pickle.loads(pickle.dumps(copy.deepcopy(mine)))
    compiled = torch.compile(mine, fullgraph=True, backend="aot_eager")
    for module, state in ((mine, mine), (again, again), (compiled, mine)):
        theirs = copy.deepcopy(native)  # of as many batches
        theirs.load_state_dict(state.state_dict())
        results = [_trained(m, random(2, 3, 6)) for m in (module, theirs)]
        assert max(error(a, b) for a, b in zip(*results, strict=True)) < EXACT
        after = (m.state_dict().values() for m in (state, theirs))
        assert all(error(a, b) < EXACT for a, b in zip(*after, strict=True) if a.dim())


@pytest.mark.parametrize(("make", "target"), LOSSES, ids=lambda case: "")
def test_a_loss_in_the_place_of_torchs(
    make: Callable[[Any], torch.nn.Module], target: Tensor
) -> None:
    mine, native = pair(make)
    assert repr(mine) == repr(native)
    results = [_trained(lambda x, m=m: m(x, target), random(3, 6)) for m in (mine, native)]
    assert max(error(a, b) for a, b in zip(*results, strict=True)) < EXACT


def _trained(module: Any, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and the parameters."""
    x = x.clone().requires_grad_()
    weights = [*module.parameters()] if isinstance(module, torch.nn.Module) else []
    y = module(x)
    return [y.detach(), *torch.autograd.grad((y * y.detach().cos()).sum(), [x, *weights])]


def test_an_embedding_in_the_place_of_torchs() -> None:
    mine, native = pair(lambda nn: nn.Embedding(9, 4))
    labels = torch.tensor([[1, 8], [0, 1]])
    assert torch.equal(mine(labels), native(labels))
    mine, native = pair(lambda nn: nn.Embedding(9, 4, padding_idx=0, max_norm=0.5))
    for module in (mine, native):
        (module(labels) ** 2).sum().backward()
    assert error(mine.weight, native.weight) < EXACT  # the rows that were read are shorter
    assert error(mine.weight.grad, native.weight.grad) < EXACT
    with pytest.raises(NotImplementedError, match="embedding: a gradient of another kind"):
        ours.Embedding(9, 4, scale_grad_by_freq=True)(labels)


def test_changes_in_place() -> None:
    grads = []
    for function in (F.silu, functional.silu):
        x = random(4, 6).requires_grad_()
        hidden = x * 2
        y = function(hidden, inplace=True)
        assert y is hidden
        grads += torch.autograd.grad(y.sum(), x)
    assert error(*grads) < EXACT


def test_running_statistics_are_not_rounded_to_a_short_type() -> None:
    x, mean, var = random(16, 3, 5).bfloat16(), torch.zeros(3), torch.ones(3)
    y = functional.batch_norm(x, mean, var, training=True, momentum=1.0)
    assert y.dtype == torch.bfloat16
    assert error(mean, x.double().mean((0, 2))) < 1e-6
    assert error(var, x.double().transpose(0, 1).flatten(1).var(1)) < 1e-6


X, H = random(4, 6), random(6, seed=2)
VARIANTS = [
    (F.layer_norm, functional.layer_norm, (X, (6,)), ("weight", "bias")),
    (F.rms_norm, functional.rms_norm, (X, (6,)), ("weight",)),
    (F.group_norm, functional.group_norm, (random(4, 6, 5), 2), ("weight", "bias")),
]


@pytest.mark.parametrize(("native", "mine", "given", "names"), VARIANTS)
def test_variants_without(native: Any, mine: Any, given: Any, names: tuple[str, ...]) -> None:
    """Every choice of what is None, against torch with ones and zeros in its place.

    torch's own group norm has no backward with a bias and no weight.
    """
    for chosen in product((True, False), repeat=len(names)):
        with_these = [n for n, is_given in zip(names, chosen, strict=True) if is_given]
        rest = {"weight": torch.ones_like(H), "bias": torch.zeros_like(H)}
        left = {n: rest[n] for n in names if n not in with_these}
        found = []
        for function, others in ((mine, {}), (native, left)):
            leaves = [t.clone().requires_grad_() for t in (given[0], *(H for _ in with_these))]
            options = dict(zip(with_these, leaves[1:], strict=True))
            y = function(leaves[0], given[1], **options, **others)
            found.append([y, *torch.autograd.grad((y * y.detach().cos()).sum(), leaves)])
        assert max(error(a, b) for a, b in zip(*found, strict=True)) < EXACT


WRONG: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("layer_norm", (X, (5,))),
    ("layer_norm", (X, ())),
    ("layer_norm", (X, (6,), H[:5])),
    ("layer_norm", (X.float(), (6,), H.half())),
    ("layer_norm", (X.long(), (6,))),
    ("rms_norm", (X, (4, 5))),
    ("group_norm", (X, 4)),
    ("softmax", (X, 2)),
    ("softmax", (X.long(), 0)),
    ("linear", (X, random(3, 5))),
    ("linear", (X, random(3, 6), random(4))),
    ("linear", (X.float(), random(3, 6))),
    ("gelu", (X.long(),)),
    ("cross_entropy", (X, torch.tensor([0, 1, 2]))),
    ("cross_entropy", (X, torch.tensor([0, 1, 2, 6]))),
    ("cross_entropy", (X, torch.tensor([0, 1, 2, -1]))),
    ("embedding", (torch.tensor([9]), X)),
    ("embedding", (torch.tensor([-1]), X)),
    ("embedding", (torch.tensor([1.0]), X)),
)


@pytest.mark.parametrize(("name", "arguments"), WRONG)
def test_what_is_wrong_is_said_in_torchs_words(name: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(Exception) as wanted:  # whatever torch raises
        getattr(F, name)(*arguments)
    with pytest.raises(type(wanted.value), match=re.escape(str(wanted.value))):
        getattr(functional, name)(*arguments)


def test_what_is_right_but_not_derived_is_refused() -> None:
    calls = [
        partial(functional.normalize, X, p=0),
        partial(functional.mse_loss, X, X.float()),
    ]
    for call in calls:
        with pytest.raises(NotImplementedError, match="is not derived; use torch's own"):
            call()
