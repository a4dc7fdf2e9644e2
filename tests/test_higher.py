"""Double and third backward, and forward mode: ops derived from ops, against torch's own."""

import pytest
import torch

import derive
from derive.derivation import differentiate
from derive.higher import backward, jvp
from derive.notation.op import Op
from derive.plan.roles import roles
from derive.verify.reference import composed
from derive.verify.sample import SIZES, draw, error
from tests.running import function, leaves_of, real
from tests.samples import FIRST, derived, every_op

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
def test_gradients_are_differentiated_again(op: Op) -> None:
    """What a generated file says of its own backward pass, against torch's double backward."""
    sample = draw(op, SIZES)
    inputs = wanting(sample.inputs, sample.cotangents)
    if stands_still(op):  # its gradients depend on nothing: there is no backward pass to derive
        firsts = first_gradients(function(op.name), op, inputs)
        with pytest.raises(NotImplementedError, match="has no second derivative"):
            gradients(firsts, inputs, matching(firsts))
        return
    expected, got = (
        gradients(firsts, inputs, matching(firsts))
        for firsts in (first_gradients(f, op, inputs) for f in (composed(op), function(op.name)))
    )
    agree(got, expected)


def first_gradients(call, op: Op, inputs):
    own, cotangents = inputs[: len(op.inputs)], inputs[len(op.inputs) :]
    return gradients(tensors(call(*own)), own, cotangents)


def matching(outputs):
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(g.shape, generator=generator, dtype=g.dtype) for g in outputs]


def stands_still(op: Op) -> bool:
    return not any(s.computed for s in derived(op.name).stages)


def skip_what_stands_still(op: Op) -> None:
    if stands_still(op):
        pytest.skip("no output moves: there is no tangent")


@pytest.mark.parametrize("op", every_op(), ids=lambda op: op.name)
def test_tangents_are_pushed_forward(op: Op) -> None:
    skip_what_stands_still(op)
    sample = draw(op, SIZES)
    primals = tuple(real(sample.inputs))
    tangents = tuple(matching(primals))

    def pushed(call):
        def of_numbers(*numbers: torch.Tensor) -> tuple[torch.Tensor, ...]:
            given = iter(numbers)
            every = (next(given) if t.is_floating_point() else t for t in sample.inputs)
            return tensors(call(*every))

        return torch.func.jvp(of_numbers, primals, tangents)[1]

    agree(pushed(function(op.name)), pushed(composed(op)))


LED = [op for op in every_op() if roles(op).leading is not None]


@pytest.mark.parametrize("op", LED, ids=lambda op: op.name)
def test_gradients_are_pushed_forward_with_any_number_of_leading_axes(op: Op) -> None:
    skip_what_stands_still(op)
    lead = roles(op).leading.size
    sample, call = draw(op, SIZES), function(op.name)

    generator = torch.Generator().manual_seed(5)
    random = [torch.randn(t.shape, generator=generator, dtype=torch.float64) for t in sample.inputs]

    def laid(numbers, join):
        leads = (c.indices[:1] and c.indices[0].size == lead for c in op.inputs)
        pairs = zip(numbers, leads, strict=True)
        return tuple(join((t, t.flip(0))) if led else t for t, led in pairs)

    def pushed(join):
        inputs = laid(sample.inputs, join)
        dots = laid(random, join)
        places = [k for k, t in enumerate(inputs) if t.is_floating_point()]

        def loss(*numbers):
            given = dict(zip(places, numbers, strict=True))
            found = tensors(call(*(given.get(k, t) for k, t in enumerate(inputs))))
            return sum((o**3).sum() for o in found)

        slopes = torch.func.grad(loss, tuple(range(len(places))))
        moving = tuple(inputs[k] for k in places), tuple(dots[k] for k in places)
        return torch.func.jvp(slopes, *moving)[1]

    for deep, flat in zip(pushed(torch.stack), pushed(torch.cat), strict=True):
        assert error(deep.reshape(flat.shape), flat) < EXACT


@pytest.mark.parametrize("name", FIRST)
def test_passes_are_ops(name: str) -> None:
    """The backward pass and the tangent, as ops with code of their own."""
    op = derive.load(name)
    sample = draw(op, SIZES)
    inputs = wanting(sample.inputs, sample.cotangents)
    agree(run(backward(op), *inputs), first_gradients(composed(op), op, inputs))
    tangents = matching(sample.inputs)
    want = torch.func.jvp(composed(op), sample.inputs, tuple(tangents))[1]
    agree(run(jvp(op), *sample.inputs, *tangents), want)


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
