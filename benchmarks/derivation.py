"""How long it takes to derive a gradient: beside peers, and as a program grows.

    python benchmarks/derivation.py          # twenty minutes or so
    python benchmarks/derivation.py --quick  # a few rows, once each

The peers are SymPy, and tensorgrad where it is installed; its own evaluation needs the named
tensors that PyTorch had until 2.12:

    pip install tensorgrad==0.3.0 'torch<2.13'

Every answer is evaluated and compared with autograd of the same equations before its time counts.

A time is the median over fresh processes, where every cache is cold, of the processor's seconds for
the derivation alone: imports, and reading or writing down the op, are left out for everybody. The
repetitions go round all the rows, so a busy machine is busy for everybody too.

derive works out the gradient of every tensor of the op and records each step; a peer is asked only
for the gradient of Σ dy·y with respect to the first input. Second order: derive derives the op's
backward pass again, `differentiate(backward(op))`; a peer derives Σ ddx·dx once more with respect
to x. Both begin with the op. tensorgrad is asked in the way of its own documentation,
`.grad(x).full_simplify()`, and by one pass of `.simplify()`, its quickest. SymPy is asked with
indexed sums, `.diff(x[p, q]).doit()`, and in its matrix calculus, `Trace(…).diff(x)`.
"""

import argparse
import gc
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise, product
from time import process_time
from typing import Any

import sympy as sp

import derive
from derive.derivation import differentiate
from derive.higher import backward
from derive.notation.op import Op

Job = tuple[str, str, int]

REPEATS = 3
LIMIT = 120  # seconds on the clock, with the imports and the check, after which a job is stopped
CLOSE = 1e-4  # largest error over largest value; tensorgrad evaluates in single precision

OPS = {
    "chain": "op chain(a[i,j], b[j,k], c[k,m]) -> y[i,m]\ny[i,m] = a[i,j]*b[j,k]*c[k,m]",
    "linear": """op linear(x[b,i], w[o,i], bias[o]) -> y[b,o]
y[b,o] = x[b,i]*w[o,i] + 1[b]*bias[o]""",
    "softmax": """op softmax(x[b,i]) -> y[b,i]
e[b,i] = exp(x[b,i])
z[b] = 1[i]*e[b,i]
y[b,i] = e[b,i]/z[b]""",
    "cross_entropy": """op cross_entropy(x[b,c], t[b,c]) -> loss
l[b] = log(1[c]*exp(x[b,c]))
loss = 1/B*t[b,c]*(1[c]*l[b] - x[b,c])""",
    "rms_norm": """op rms_norm(x[b,h], gamma[h]; eps = 1e-6) -> y[b,h]
v[b] = 1/H*1[h]*x[b,h]^2
sigma[b] = sqrt(v[b] + eps)
y[b,h] = x[b,h]/sigma[b]*gamma[h]""",
    "layer_norm": """op layer_norm(x[b,h], gamma[h], beta[h]; eps = 1e-5) -> y[b,h]
m[b] = 1/H*1[h]*x[b,h]
mu[b,h] = x[b,h] - 1[h]*m[b]
v[b] = 1/H*1[h]*mu[b,h]^2
sigma[b] = sqrt(v[b] + eps)
y[b,h] = mu[b,h]/sigma[b]*gamma[h] + 1[b]*beta[h]""",
}


@dataclass(frozen=True)
class Case:
    """A row: which derivative of which op."""

    label: str
    op: str
    order: int = 1
    stepwise: bool = False  # peers simplify after each derivative, not only at the end


CASES = (
    Case("product of three matrices", "chain"),
    Case("linear", "linear"),
    Case("softmax", "softmax"),
    Case("cross entropy, dense targets", "cross_entropy"),
    Case("RMS norm", "rms_norm"),
    Case("layer norm", "layer_norm"),
    Case("softmax, twice", "softmax", 2, stepwise=True),
    Case("RMS norm, twice", "rms_norm", 2, stepwise=True),
    Case("layer norm, twice", "layer_norm", 2, stepwise=True),
    Case("layer norm, twice, simplified only at the end", "layer_norm", 2),
)
QUICK = (CASES[2],)

# What SymPy imports when it first comes to need it, for derive as for itself.
LATE = (
    "assumptions.facts",
    "assumptions.handlers.matrices",
    "assumptions.lra_satask",
    "assumptions.predicates.matrices",
    "assumptions.satask",
    "assumptions.sathandlers",
    "assumptions.wrapper",
    "concrete.delta",
    "logic.algorithms.dpll2",
    "matrices.expressions.factorizations",
    "sets.setexpr",
    "tensor.array.array_derivatives",
    "tensor.array.expressions.arrayexpr_derivatives",
    "tensor.tensor",
)


@dataclass(frozen=True)
class Trial:
    """What is timed, and what its result is in numbers."""

    timed: Callable[[], Any]
    value: Callable[[Any, dict[str, Any]], Any]
    plain: bool = False  # the op without its gamma


# -- the answers in numbers ---------------------------------------------------------------------


def sample(op: Op, plain: bool) -> dict[str, Any]:
    """Random inputs and cotangents; `ddx` stands for the cotangent of the first gradient."""
    import torch

    torch.manual_seed(0)
    length = {letter.size: 2 + k for k, letter in enumerate(op.letters)}
    shapes = {c.tensor.name: [length[i.size] for i in c.indices] for c in op.inputs}
    shapes |= {"dy": [length[i.size] for i in op.outputs[0].indices]}
    shapes |= {"ddx": shapes[op.inputs[0].tensor.name]}
    values = {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    ones = {"gamma"} if plain else set() if shapes["dy"] else {"dy"}
    return {n: torch.ones_like(t) if n in ones else t for n, t in values.items()}


def truth(op: Op, order: int, values: dict[str, Any]) -> Any:
    """The gradient by autograd."""
    import torch

    from derive.verify.reference import composed

    inputs = [values[c.tensor.name].clone().requires_grad_() for c in op.inputs]
    (y,) = composed(op)(*inputs)
    (found,) = torch.autograd.grad(y, inputs[0], values["dy"], create_graph=True)
    if order == 2:
        (found,) = torch.autograd.grad(found, inputs[0], values["ddx"])
    return found.detach()


def error(case: Case, trial: Trial, result: Any) -> float:
    """Of the derived gradient on random numbers, largest over largest."""
    op = read(OPS[case.op])
    values = sample(op, trial.plain)
    want = truth(op, case.order, values)
    return float((trial.value(result, values) - want).abs().max() / want.abs().max())


# -- derive -------------------------------------------------------------------------------------


def read(text: str) -> Op:
    return derive.parse(text + "\n")[0]


def by_derive(case: Case) -> Trial:
    """Every gradient of the op, or of its backward pass; what is compared is the first input's."""
    op = read(OPS[case.op])

    def derived() -> tuple[Op, Any]:
        subject = op if case.order == 1 else backward(op)
        return subject, differentiate(subject)

    def value(result: tuple[Op, Any], values: dict[str, Any]) -> Any:
        from derive.verify.reference import composed

        gradients = backward(*result)
        first, *others = (values[c.tensor.name] for c in op.inputs)
        seeds = [values["dy"]]
        if case.order == 2:
            seeds += [values["ddx"], *(0 * t for t in others)]
        return composed(gradients)(first, *others, *seeds)[0]

    return Trial(derived, value)


# -- tensorgrad ---------------------------------------------------------------------------------


def _rms(f: Any, x: Any, eps: float) -> Any:
    return f.sqrt(f.mean(x**2, "h", keepdims=True) + eps)


def _layer_norm(f: Any, x: Any, gamma: Any, beta: Any) -> Any:
    mu = x - f.mean(x, "h", keepdims=True)
    return mu / _rms(f, mu, 1e-5) * gamma + beta


TENSORGRAD: dict[str, Callable[..., Any]] = {
    "chain": lambda f, a, b, c: a @ b @ c,
    "linear": lambda f, x, w, bias: x @ w + bias,
    "softmax": lambda f, x: f.softmax(x, "i"),
    "cross_entropy": lambda f, x, t: f.mean(f.cross_entropy(x, t, "c")),
    "rms_norm": lambda f, x, gamma: x / _rms(f, x, 1e-6) * gamma,
    "layer_norm": _layer_norm,
}


def by_tensorgrad(case: Case, simplified: Callable[[Any], Any]) -> Trial:
    """The gradient with respect to one input, in tensorgrad's own functions."""
    import tensorgrad
    import tensorgrad.functions as f
    from tensorgrad.extras.evaluate import evaluate

    op = read(OPS[case.op])
    size = {i.name: tensorgrad.symbols(i.name) for i in op.letters}
    variables = {
        c.tensor.name: tensorgrad.Variable(c.tensor.name, *(size[i.name] for i in c.indices))
        for c in op.inputs
    }
    x, *_ = variables.values()
    primed = {edge: f"{edge}_" for edge in x.edges}
    dy = tensorgrad.Variable("dy", *(size[i.name] for i in op.outputs[0].indices))
    ddx = tensorgrad.Variable("ddx", {primed[e]: s for e, s in x.shape.items()})
    y = TENSORGRAD[case.op](f, *variables.values())
    loss = f.sum(y * dy) if dy.edges else y

    def derived() -> Any:
        first = loss.grad(x, primed)
        if case.order == 1:
            return simplified(first)
        first = simplified(first) if case.stepwise else first
        return simplified(f.sum(first * ddx).grad(x, primed))

    def value(result: Any, values: dict[str, Any]) -> Any:
        given = {**variables, "dy": dy, "ddx": ddx}  # in single precision, as it makes constants
        named = {v: values[n].float().rename(*v.edges) for n, v in given.items() if v.edges}
        return evaluate(result, named).align_to(*primed.values()).rename(None)

    return Trial(derived, value)


# -- SymPy --------------------------------------------------------------------------------------


def sums(name: str) -> tuple[Any, tuple[Any, ...]]:
    """Σ dy·y as a sum of indexed symbols, and the letters p, q of the component to derive by."""
    letters = {s: sp.Symbol(s, integer=True) for s in "bcdhijkmo"}
    size = {s: _size(s.upper()) for s in letters}
    b, c, d, h, i, j, k, m, o = letters.values()
    x, w, t, gamma, beta, bias, dy = map(
        sp.IndexedBase, ("x", "w", "t", "gamma", "beta", "bias", "dy")
    )
    left, middle, right = map(sp.IndexedBase, "abc")

    def total(body: Any, over: str, like: str = "") -> Any:
        """The sum over letters, each as long as itself, or as `like`."""
        return sp.Sum(body, *((letters[s], 0, size[like or s] - 1) for s in over))

    def centred(place: Any) -> Any:
        return x[b, place] - total(x[b, k], "k", like="h") / size["h"]

    def root(square: Any, eps: str) -> Any:
        return sp.sqrt(total(square, "j", like="h") / size["h"] + sp.Rational(eps))

    def softmax() -> Any:
        return sp.exp(x[b, i]) / total(sp.exp(x[b, j]), "j", like="i")

    def entropy() -> Any:
        return t[b, c] * (sp.log(total(sp.exp(x[b, d]), "d", like="c")) - x[b, c]) / size["b"]

    def layer_norm() -> Any:
        return centred(h) / root(centred(j) ** 2, "1e-5") * gamma[h] + beta[h]

    makers: dict[str, Callable[[], Any]] = {
        "chain": lambda: total(left[i, j] * middle[j, k] * right[k, m] * dy[i, m], "ijkm"),
        "linear": lambda: total((total(x[b, i] * w[o, i], "i") + bias[o]) * dy[b, o], "bo"),
        "softmax": lambda: total(softmax() * dy[b, i], "bi"),
        "cross_entropy": lambda: total(entropy(), "bc"),
        "rms_norm": lambda: total(x[b, h] / root(x[b, j] ** 2, "1e-6") * gamma[h] * dy[b, h], "bh"),
        "layer_norm": lambda: total(layer_norm() * dy[b, h], "bh"),
    }
    return makers[name](), sp.symbols("p q", integer=True)


def _size(name: str) -> Any:
    return sp.Symbol(name, integer=True, positive=True)


def by_sums(case: Case) -> Trial:
    """The component [p, q] of the gradient, with indexed sums."""
    op = read(OPS[case.op])
    loss, place = sums(case.op)
    base, ddx = sp.IndexedBase(op.inputs[0].tensor.name), sp.IndexedBase("ddx")
    ranges = [
        (s, 0, _size(i.size.name) - 1) for s, i in zip(place, op.inputs[0].indices, strict=True)
    ]
    other = sp.symbols("u v", integer=True)

    def derived() -> Any:
        first = loss.diff(base[place])
        if case.order == 1:
            return first.doit()
        first = first.doit() if case.stepwise else first
        return sp.Sum(first * ddx[place], *ranges).diff(base[other]).doit()

    def value(result: Any, values: dict[str, Any]) -> Any:
        lengths = {
            _size(i.size.name): length
            for c in op.inputs
            for i, length in zip(c.indices, values[c.tensor.name].shape, strict=True)
        }
        found = 0 * values["ddx"]
        for spot in product(*map(range, found.shape)):
            at = zip(place if case.order == 1 else other, spot, strict=True)
            exact = result.subs({**lengths, **dict(at)}).doit()
            numbers = {
                atom: values[str(atom.base)][tuple(map(int, atom.indices))].item()
                for atom in exact.atoms(sp.Indexed)
            }
            found[spot] = float(exact.subs(numbers))
        return found

    return Trial(derived, value)


def matrices(name: str, rows: Any, columns: Any, inner: Any, last: Any) -> tuple[Any, Any]:
    """y as a matrix, and the matrix to derive by. The norms are without gamma here."""
    x, u = sp.MatrixSymbol("x", rows, columns), sp.Symbol("u")
    ones = sp.OneMatrix(columns, columns)
    e = x.applyfunc(sp.exp)

    def normed(z: Any, eps: str) -> Any:
        mean = sp.HadamardPower(z, 2) * ones / columns
        square = mean + sp.Rational(eps) * sp.OneMatrix(rows, columns)
        return sp.HadamardProduct(z, square.applyfunc(sp.Lambda(u, 1 / sp.sqrt(u))))

    def chain() -> Any:
        return a * sp.MatrixSymbol("b", columns, inner) * sp.MatrixSymbol("c", inner, last)

    def linear() -> Any:
        bias = sp.OneMatrix(rows, 1) * sp.MatrixSymbol("bias", last, 1).T
        return x * sp.MatrixSymbol("w", last, columns).T + bias

    a = sp.MatrixSymbol("a", rows, columns)
    makers: dict[str, Callable[[], Any]] = {
        "chain": chain,
        "linear": linear,
        "softmax": lambda: sp.HadamardProduct(e, (e * ones).applyfunc(sp.Lambda(u, 1 / u))),
        "cross_entropy": lambda: ((e * ones).applyfunc(sp.log) - x) / rows,  # for t in place of dy
        "rms_norm": lambda: normed(x, "1e-6"),
        "layer_norm": lambda: normed(x * (sp.Identity(columns) - ones / columns), "1e-5"),
    }
    return makers[name](), a if name == "chain" else x


def by_matrices(case: Case) -> Trial:
    """The gradient as a matrix, in SymPy's matrix calculus."""
    sizes = sp.symbols("N M K L", integer=True, positive=True)
    y, x = matrices(case.op, *sizes)
    cotangent = sp.MatrixSymbol("t" if case.op == "cross_entropy" else "dy", *y.shape)

    def derived() -> Any:
        first = sp.Trace(cotangent.T * y).diff(x)
        if case.order == 1:
            return first
        return sp.Trace(sp.MatrixSymbol("ddx", *x.shape).T * first).diff(x)

    def value(result: Any, values: dict[str, Any]) -> Any:
        inner = values["b"].shape[1] if case.op == "chain" else 0
        last = values[cotangent.name].shape[1]
        lengths = (*values[x.name].shape, inner, last)
        exact = result.xreplace(dict(zip(sizes, map(sp.Integer, lengths), strict=True)))
        known = {
            s: sp.ImmutableMatrix(*s.shape, values[s.name].flatten().tolist())
            for s in exact.atoms(sp.MatrixSymbol)
        }
        found = exact.xreplace(known).doit().as_explicit()
        return values["ddx"].new_tensor(found.tolist())

    return Trial(derived, value, plain=case.op in {"rms_norm", "layer_norm"})


WAYS: dict[str, Callable[[Case], Trial]] = {
    "derive": by_derive,
    "tensorgrad `full_simplify`": lambda c: by_tensorgrad(c, lambda t: t.full_simplify()),
    "tensorgrad `simplify`": lambda c: by_tensorgrad(c, lambda t: t.simplify()),
    "SymPy sums": by_sums,
    "SymPy matrices": by_matrices,
}


# -- programs that grow -------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """Programs of one shape: what their size counts, and how to write one down."""

    label: str
    sizes: tuple[int, ...]
    write: Callable[[int], str]


def _program(given: str, lines: Iterable[str], out: str = "y[b,h]") -> str:
    return "\n".join([f"op program({given}) -> {out}", *lines])


def _chained(given: str, count: int, block: Callable[[int, str, str], list[str]]) -> str:
    """Blocks of equations, each from `t` of the block before to its own; the last one gives y."""
    names = ["x", *(f"t{k}" for k in range(count - 1)), "y"]
    blocks = (block(k, old, new) for k, (old, new) in enumerate(pairwise(names)))
    return _program(given, (line for lines in blocks for line in lines))


def elementwise(n: int) -> str:
    functions = ("sin", "tanh", "exp", "sigmoid")
    return _chained("x[b,h]", n, lambda k, t, u: [f"{u}[b,h] = {functions[k % 4]}({t}[b,h])"])


def rowwise(n: int) -> str:
    def block(k: int, t: str, u: str) -> list[str]:
        return [f"s{k}[b] = 1/H*1[h]*{t}[b,h]^2", f"{u}[b,h] = {t}[b,h]/(1 + s{k}[b])"]

    return _chained("x[b,h]", n // 2, block)


def norms(n: int) -> str:
    def block(k: int, t: str, u: str) -> list[str]:
        return [
            f"m{k}[b] = 1/H*1[h]*{t}[b,h]",
            f"c{k}[b,h] = {t}[b,h] - 1[h]*m{k}[b]",
            f"v{k}[b] = 1/H*1[h]*c{k}[b,h]^2",
            f"s{k}[b] = sqrt(v{k}[b] + 1)",
            f"{u}[b,h] = c{k}[b,h]/s{k}[b]*g[h]",
        ]

    return _chained("x[b,h], g[h]", n // 5, block)


def residuals(n: int) -> str:
    def block(k: int, t: str, u: str) -> list[str]:
        return [
            f"p{k}[b,f] = {t}[b,h]*w{k}[h,f]",
            f"q{k}[b,f] = p{k}[b,f]*sigmoid(p{k}[b,f])",
            f"{u}[b,h] = {t}[b,h] + q{k}[b,f]*v{k}[f,h]",
        ]

    weights = ", ".join(f"w{k}[h,f], v{k}[f,h]" for k in range(n // 3))
    return _chained(f"x[b,h], {weights}", n // 3, block)


def skipping(n: int) -> str:
    names = ["x", "t", *(f"t{k}" for k in range(n - 2)), "y"]
    steps = zip(names, names[1:], names[2:], strict=False)
    rest = (f"{c}[b,h] = {b}[b,h]*sigmoid({a}[b,h])" for a, b, c in steps)
    return _program("x[b,h]", ["t[b,h] = tanh(x[b,h])", *rest])


def fan(n: int) -> str:
    uses = [f"u{k}[b,h] = sin({k + 1}*s[b,h])" for k in range(n)]
    total = " + ".join(f"u{k}[b,h]" for k in range(n))
    return _program("x[b,h]", ["s[b,h] = tanh(x[b,h])", *uses, f"y[b,h] = {total}"])


def contraction(n: int) -> str:
    axes = [f"{a},{b}" for a, b in pairwise("abcdefgh"[:n])]
    given = ", ".join(f"w{k}[{a}]" for k, a in enumerate(axes))
    factors = "*".join(f"w{k}[{a}]" for k, a in enumerate(axes))
    ends = f"y[a,{'abcdefgh'[n - 1]}]"
    return _program(given, [f"{ends} = {factors}"], ends)


def power(n: int) -> str:
    letters = "abcdefgh"[:n]
    ends = f"y[a,{letters[-1]}]"
    factors = "*".join(f"x[{a},{b}]" for a, b in pairwise(letters))
    return _program("x[a,a]", [f"{ends} = {factors}"], ends)


def sums_product(n: int) -> str:
    given = ", ".join(f"x{k}[b,h], w{k}[h]" for k in range(n))
    factors = "*".join(f"(x{k}[b,h] + 1[b]*w{k}[h])" for k in range(n))
    return _program(given, [f"y[b] = {factors}"], "y[b]")


def nested(n: int) -> str:
    axes = "bcdefgh"[: n + 1]
    body = f"x[{','.join(axes)}]^2"
    for axis in reversed(axes[1:]):
        body = f"mean[{axis}](exp({body}))"
    return _program(f"x[{','.join(axes)}]", [f"y[b] = {body}"], "y[b]")


def wide(n: int) -> str:
    """Each equation uses the one before and up to three others, at random."""
    chance = random.Random(0)
    forms = (" + tanh({}[b,h])", "*{}[b,h]", " - 1[h]*mean[i]({}[b,i])", "/(1 + {}[b,h]^2)")
    names, lines = ["x", "w"], []
    for name in [*(f"t{k}" for k in range(n - 1)), "y"]:
        uses = chance.sample(names, min(3, len(names)))
        terms = "".join(chance.choice(forms).format(u) for u in uses)
        lines.append(f"{name}[b,h] = {names[-1]}[b,h]{terms}")
        names.append(name)
    return _program("x[b,h], w[b,h]", lines)


FAMILIES = (
    Family("chain, element-wise: equations", (10, 50, 100, 200), elementwise),
    Family("chain with row sums: equations", (10, 50, 100, 200), rowwise),
    Family("chain of layer norms: equations", (10, 50, 100, 200), norms),
    Family("gated MLPs with residuals: equations", (3, 6, 12, 24), residuals),
    Family("each equation uses the two before: equations", (10, 50, 100, 150), skipping),
    Family("one tensor used often: uses", (1, 10, 50, 150), fan),
    Family("product of matrices: indices", (2, 4, 6, 8), contraction),
    Family("power of one matrix: indices", (2, 4, 6, 8), power),
    Family("product of sums: factors", (3, 6, 12), sums_product),
    Family("mean of exp of mean of …: depth", (1, 2, 4, 6), nested),
    Family("random, from any tensor before: equations", (10, 20, 40, 80), wide),
)
QUICK_FAMILIES = (replace(FAMILIES[0], sizes=(10, 20)),)


def grown(write: Callable[[int], str], size: int) -> dict[str, Any]:
    """Seconds to differentiate the program, and then to write its three files."""
    from derive.emit.backends import BACKENDS
    from derive.emit.files import generate

    op = read(write(size))
    derivation, seconds = timed(lambda: differentiate(op))
    _, writing = timed(lambda: generate([op], tuple(BACKENDS.values()), lambda _: derivation))
    return {"seconds": seconds, "writing": writing}


# -- running ------------------------------------------------------------------------------------


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the processor's seconds."""
    gc.collect()
    start = process_time()
    result = call()
    return result, process_time() - start


def tried(way: str, case: Case) -> dict[str, Any]:
    """One derivation, checked."""
    try:
        trial = WAYS[way](case)
        result, seconds = timed(trial.timed)
    except Exception as problem:  # noqa: BLE001  # whatever a peer raises is its outcome
        return {"outcome": f"fails: {type(problem).__name__}"}
    try:
        off = error(case, trial, result)
    except Exception as problem:  # noqa: BLE001
        return {"outcome": f"cannot be checked: {type(problem).__name__}"}
    if not off < CLOSE:
        return {"outcome": f"wrong by {off:.0e}"}
    return {"seconds": seconds, "plain": trial.plain}


def do(kind: str, what: Any, size: int) -> dict[str, Any]:
    """The job, in the process that was made for it."""
    for name in LATE:
        import_module(f"sympy.{name}")
    if kind == "grow":
        return grown({f.write.__name__: f.write for f in FAMILIES}[what], size)
    return tried(what, CASES[size])


def fresh(job: Job) -> dict[str, Any]:
    """A job in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--job", json.dumps(job)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=LIMIT, check=True)
    except subprocess.TimeoutExpired:
        return {"outcome": f"> {LIMIT} s"}
    except subprocess.CalledProcessError as problem:
        return {"outcome": f"fails: exit {problem.returncode}"}
    return json.loads(done.stdout)


def rounds(jobs: Iterable[Job], repeats: int) -> dict[Job, dict[str, Any]]:
    """The median run of each job; what fails or takes too long is not tried again."""
    runs: dict[Job, list[dict[str, Any]]] = {job: [] for job in jobs}
    for _ in range(repeats):
        for job, found in runs.items():
            if not found or "seconds" in found[-1]:
                found.append(fresh(job))
    return {job: middle(found) for job, found in runs.items()}


def middle(found: list[dict[str, Any]]) -> dict[str, Any]:
    if "outcome" in found[-1]:
        return found[-1]
    return sorted(found, key=lambda run: run["seconds"])[len(found) // 2]


# -- tables -------------------------------------------------------------------------------------


def shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def beside(cases: Iterable[Case], repeats: int) -> None:
    """Each case in each way, and how many times longer than derive it took."""
    ways = [w for w in WAYS if installed() or not w.startswith("tensorgrad")]
    jobs = [("case", way, CASES.index(case)) for case in cases for way in ways]
    found = rounds(jobs, repeats)
    row("gradient of", *WAYS)
    row(*["---"] * (1 + len(WAYS)))
    for case in cases:
        own = found["case", "derive", CASES.index(case)]["seconds"]
        results = (found.get(("case", way, CASES.index(case))) for way in WAYS)
        row(case.label, *(cell(result, own) for result in results))


def cell(result: dict[str, Any] | None, own: float) -> str:
    if result is None:
        return "not installed"
    if "outcome" in result:
        return result["outcome"]
    ratio = result["seconds"] / own
    times = "" if ratio == 1 else f" ({ratio:.1f}×)" if ratio < 10 else f" ({ratio:.0f}×)"
    return shown(result["seconds"]) + times + (" †" if result["plain"] else "")


def growth(families: Iterable[Family], repeats: int) -> None:
    """Each family as ratios to its smallest program, and the exponents of time against size."""
    found = rounds((job for f in families for job in jobs_of(f)), repeats)
    row("programs", "sizes", "derive", "ratio", "exponent", "last step", "write files", "exponent")
    row(*["---"] * 8)
    for family in families:
        results = [found[job] for job in jobs_of(family)]
        row(family.label, ", ".join(map(str, family.sizes)), *grown_cells(family, results))


def jobs_of(family: Family) -> list[Job]:
    return [("grow", family.write.__name__, size) for size in family.sizes]


def grown_cells(family: Family, results: list[dict[str, Any]]) -> list[str]:
    done = [(n, r) for n, r in zip(family.sizes, results, strict=True) if "outcome" not in r]
    sizes = [n for n, _ in done]
    times, writing = ([r[key] for _, r in done] for key in ("seconds", "writing"))
    late = "" if len(done) == len(results) else f", then {results[-1]['outcome']}"
    return [
        f"{shown(times[0])} … {shown(times[-1])}",
        ", ".join(f"{t / times[0]:.3g}" for t in times) + late,
        f"{exponent(sizes, times):.2f}",
        f"{exponent(sizes[-2:], times[-2:]):.2f}",
        f"{shown(writing[0])} … {shown(writing[-1])}",
        f"{exponent(sizes, writing):.2f}",
    ]


def exponent(sizes: list[int], times: list[float]) -> float:
    """The slope of the logarithm of time against that of size, by least squares."""
    x, y = [math.log(n) for n in sizes], [math.log(t) for t in times]
    at, to = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - at) * (b - to) for a, b in zip(x, y, strict=True))
    return above / sum((a - at) ** 2 for a in x)


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def installed() -> str:
    """The version of tensorgrad, empty where there is none."""
    try:
        return version("tensorgrad")
    except PackageNotFoundError:
        return ""


def main(quick: bool) -> None:
    python = ".".join(map(str, sys.version_info[:3]))
    peer = installed() or "not installed"
    print(
        f"Python {python}, SymPy {version('sympy')}, tensorgrad {peer}; seconds of one processor\n"
    )
    beside(QUICK if quick else CASES, 1 if quick else REPEATS)
    print("\n† without gamma: with it, SymPy's matrix calculus fails or gives shapes that clash\n")
    growth(QUICK_FAMILIES if quick else FAMILIES, 1 if quick else REPEATS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few rows, once each")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.job:
        print(json.dumps(do(*json.loads(asked.job))))
    else:
        main(asked.quick)
