"""Double and third backward, and forward mode: ops derived from ops, against torch's own."""

import pytest
import torch

import derive
from derive.derivation import differentiate
from derive.higher import backward, jvp
from derive.notation.op import Op
from derive.verify.reference import composed
from derive.verify.sample import SIZES, Sample, draw, error
from tests.running import leaves_of, real
from tests.samples import every_op

# torch.func.jvp scripts its decompositions, which torch itself has deprecated
pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)

EXACT = 1e-10


def tensors(outputs: object) -> tuple[torch.Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def run(op: Op, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tensors(getattr(derive.build(op, backend="torch"), op.name)(*inputs))


def gradients(outputs, inputs, cotangents):
    """By autograd, so that they can be differentiated again."""
    total = sum((o * c).sum() for o, c in zip(outputs, cotangents, strict=True))
    if not total.requires_grad:
        return tuple(torch.zeros_like(t) for t in real(inputs))
    return torch.autograd.grad(
        total, real(inputs), create_graph=True, allow_unused=True, materialize_grads=True
    )


def wanting(*groups: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(leaves_of(t for group in groups for t in group))


def agree(got: tuple[torch.Tensor, ...], want: tuple[torch.Tensor, ...]) -> None:
    assert max(error(g.detach(), w.detach()) for g, w in zip(got, want, strict=True)) < EXACT


@pytest.mark.parametrize("op", every_op(), ids=lambda op: op.name)
def test_the_backward_pass_is_an_op_and_derives_again(op: Op) -> None:
    sample: Sample = draw(op, SIZES)
    again = backward(op)
    inputs = wanting(sample.inputs, sample.cotangents)
    own, cotangents = inputs[: len(op.inputs)], inputs[len(op.inputs) :]
    want = gradients(composed(op)(*own), own, cotangents)
    agree(run(again, *inputs), want)
    generator = torch.Generator().manual_seed(3)
    seconds = [torch.randn(g.shape, generator=generator, dtype=g.dtype) for g in want]
    expected = gradients(want, inputs, seconds)
    fresh = wanting(inputs)
    agree(gradients_once(again, fresh, seconds), expected)


def gradients_once(op: Op, inputs, cotangents):
    total = sum((o * c).sum() for o, c in zip(run(op, *inputs), cotangents, strict=True))
    if not total.requires_grad:
        return tuple(torch.zeros_like(t) for t in real(inputs))
    return torch.autograd.grad(total, real(inputs), allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("op", every_op(), ids=lambda op: op.name)
def test_tangents_are_pushed_forward(op: Op) -> None:
    sample = draw(op, SIZES)
    generator = torch.Generator().manual_seed(4)
    primals = tuple(real(sample.inputs))
    tangents = tuple(torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in primals)

    def of_numbers(*numbers: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = iter(numbers)
        return composed(op)(*(next(given) if t.is_floating_point() else t for t in sample.inputs))

    got = run(jvp(op), *sample.inputs, *tangents)
    _, want = torch.func.jvp(of_numbers, primals, tangents)
    agree(got, want)


@pytest.mark.parametrize("name", ["rms_norm", "softmax"])
def test_third_order(name: str) -> None:
    op = derive.load(name)
    third = backward(backward(op))
    names = [c.tensor.name for c in third.inputs]
    assert len(set(names)) == len(names)
    second = backward(op)
    sample = draw(second, SIZES)
    inputs = wanting(sample.inputs, sample.cotangents)
    own = inputs[: len(second.inputs)]
    want = gradients(composed(second)(*own), own, inputs[len(second.inputs) :])
    agree(run(third, *inputs), want)
    assert differentiate(third).gradients
