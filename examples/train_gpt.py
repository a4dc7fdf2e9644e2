"""Train one small GPT twice, with torch's own operations and with the generated ones.

    python examples/train_gpt.py [--steps 200] [--seed 0] [--quick] [--out docs/images]

The two start from the same weights and see the same characters: the op files of derive's own
catalogue. Their losses must stay together; the picture and the CSV show how close. They take turns
step by step, on one thread, so that a busy machine slows down both alike.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

import derive
from derive.generated.torch.causal_attention import causal_attention
from derive.generated.torch.cross_entropy import cross_entropy
from derive.generated.torch.embedding import embedding
from derive.generated.torch.gelu import gelu
from derive.generated.torch.layer_norm import layer_norm
from derive.generated.torch.linear import linear

LAYERS, HEADS, WIDTH, CONTEXT, BATCH, RATE = 2, 4, 64, 64, 16, 3e-3
STEPS, QUICK_STEPS = 200, 12
PICTURES = Path(__file__).parent.parent / "docs" / "images"
Weights = dict[str, Tensor]


# -- the operations -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operations:
    """All that the model computes, but for sums of residuals and the moving of axes."""

    embedding: Callable[[Tensor, Tensor], Tensor]  # w[v,h], t[...]
    layer_norm: Callable[[Tensor, Tensor, Tensor], Tensor]  # x[...,h], gamma[h], beta[h]
    linear: Callable[[Tensor, Tensor, Tensor], Tensor]  # x[...,i], w[o,i], bias[o]
    gelu: Callable[[Tensor], Tensor]
    attention: Callable[[Tensor, Tensor, Tensor], Tensor]  # q, k, v: [b,n,i,d]
    cross_entropy: Callable[[Tensor, Tensor], Tensor]  # x[b,c], t[b]


NATIVE = Operations(
    embedding=lambda w, t: F.embedding(t, w),
    layer_norm=lambda x, gamma, beta: F.layer_norm(x, x.shape[-1:], gamma, beta),
    linear=F.linear,
    gelu=F.gelu,
    attention=lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    cross_entropy=F.cross_entropy,
)
GENERATED = Operations(
    embedding=embedding,
    layer_norm=layer_norm,
    linear=linear,
    gelu=gelu,
    attention=torch.vmap(torch.vmap(causal_attention)),  # the op is one head of one text
    cross_entropy=cross_entropy,
)


# -- the model ------------------------------------------------------------------------------------


def initial(vocabulary: int, seed: int) -> Weights:
    """The weights of GPT-2's scheme, drawn by one generator."""
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {}

    def draw(name: str, *shape: int, std: float = 0.02) -> None:
        weights[name] = torch.randn(shape, generator=generator) * std

    def affine(name: str, outputs: int, inputs: int, std: float = 0.02) -> None:
        draw(f"{name}.w", outputs, inputs, std=std)
        weights[f"{name}.bias"] = torch.zeros(outputs)

    def norm(name: str) -> None:
        weights[f"{name}.gamma"], weights[f"{name}.beta"] = torch.ones(WIDTH), torch.zeros(WIDTH)

    draw("tokens", vocabulary, WIDTH)
    draw("places", CONTEXT, WIDTH)
    for layer in range(LAYERS):
        norm(f"{layer}.before")
        affine(f"{layer}.qkv", 3 * WIDTH, WIDTH)
        affine(f"{layer}.joined", WIDTH, WIDTH, 0.02 / math.sqrt(2 * LAYERS))
        norm(f"{layer}.between")
        affine(f"{layer}.up", 4 * WIDTH, WIDTH)
        affine(f"{layer}.down", WIDTH, 4 * WIDTH, 0.02 / math.sqrt(2 * LAYERS))
    norm("last")
    affine("logits", vocabulary, WIDTH)
    return weights


def attend(ops: Operations, qkv: Tensor) -> Tensor:
    """Attention of each head of each text; qkv is [b, i, 3*WIDTH]."""
    heads = qkv.unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
    return ops.attention(*heads.unbind()).transpose(1, 2).flatten(2)


def loss_of(ops: Operations, weights: Weights, inputs: Tensor, targets: Tensor) -> Tensor:
    """The mean cross entropy of the next character; inputs and targets are [b, i]."""

    def affine(name: str, x: Tensor) -> Tensor:
        return ops.linear(x, weights[f"{name}.w"], weights[f"{name}.bias"])

    def norm(name: str, x: Tensor) -> Tensor:
        return ops.layer_norm(x, weights[f"{name}.gamma"], weights[f"{name}.beta"])

    x = ops.embedding(weights["tokens"], inputs) + weights["places"]
    for layer in range(LAYERS):
        qkv = affine(f"{layer}.qkv", norm(f"{layer}.before", x))
        x = x + affine(f"{layer}.joined", attend(ops, qkv))
        up = affine(f"{layer}.up", norm(f"{layer}.between", x))
        x = x + affine(f"{layer}.down", ops.gelu(up))
    logits = affine("logits", norm("last", x))
    return ops.cross_entropy(logits.flatten(0, 1), targets.flatten())


# -- the data -------------------------------------------------------------------------------------


def corpus() -> str:
    """The op files of the catalogue, which are wherever derive is."""
    files = sorted((Path(derive.__file__).parent / "ops").glob("*.op"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def batches(text: str, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Characters and the ones after them, forever."""
    number = {character: i for i, character in enumerate(sorted(set(text)))}
    data = torch.tensor([number[character] for character in text])
    windows = data.unfold(0, CONTEXT + 1, 1)
    generator = torch.Generator().manual_seed(seed)
    while True:
        rows = windows[torch.randint(len(windows), (BATCH,), generator=generator)]
        yield rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


# -- training -------------------------------------------------------------------------------------


@dataclass
class Run:
    """A model in training, and what was measured of it."""

    ops: Operations
    weights: Weights
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    saved: int = 0  # bytes that the forward pass keeps for the backward pass

    def __post_init__(self) -> None:
        self.weights = {n: w.clone().requires_grad_() for n, w in self.weights.items()}
        self.optimizer = torch.optim.AdamW(self.weights.values(), lr=RATE, betas=(0.9, 0.95))

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        start = time.perf_counter()
        loss = loss_of(self.ops, self.weights, inputs, targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.item())
        self.seconds.append(time.perf_counter() - start)

    def measure(self, inputs: Tensor, targets: Tensor) -> None:
        """Each memory that is saved counts once; weights do not, they are there anyway."""
        kept: dict[int, Tensor] = {}

        def pack(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor  # kept alive: no address twice
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = loss_of(self.ops, self.weights, inputs, targets)
        loss.backward()  # frees what was saved
        for weight in self.weights.values():
            kept.pop(weight.untyped_storage().data_ptr(), None)
        self.saved = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())

    @property
    def pace(self) -> float:
        return median(self.seconds)


def train(steps: int, seed: int) -> tuple[Run, Run]:
    """The native and the generated run."""
    text = corpus()
    weights = initial(len(set(text)), seed)
    runs = Run(NATIVE, weights), Run(GENERATED, weights)
    data = batches(text, seed)
    first = next(data)
    for run in runs:
        run.measure(*first)  # warms up, too
    for step, batch in zip(range(steps), data, strict=False):
        for run in runs if step % 2 else runs[::-1]:
            run.step(*batch)
    return runs


# -- what is shown --------------------------------------------------------------------------------


def differences(native: Run, generated: Run) -> list[float]:
    return [abs(a - b) for a, b in zip(native.losses, generated.losses, strict=True)]


def table(native: Run, generated: Run) -> Iterator[str]:
    apart = differences(native, generated)
    every = max(1, len(apart) // 10)
    yield "step   native  generated  |difference|"
    rows = zip(native.losses, generated.losses, apart, strict=True)
    for step, (a, b, between) in enumerate(rows, start=1):
        if step in (1, len(apart)) or step % every == 0:
            yield f"{step:4d}  {a:7.4f}  {b:9.4f}  {between:12.1e}"


def summary(native: Run, generated: Run) -> Iterator[str]:
    """As Markdown."""
    apart = differences(native, generated)
    yield "| | torch's own | generated |"
    yield "|---|---|---|"
    yield f"| first loss | {native.losses[0]:.4f} | {generated.losses[0]:.4f} |"
    yield f"| final loss | {native.losses[-1]:.4f} | {generated.losses[-1]:.4f} |"
    yield f"| largest difference of any step | | {max(apart):.1e} |"
    yield f"| milliseconds a step, median | {native.pace * 1e3:.0f} | {generated.pace * 1e3:.0f} |"
    yield f"| saved for backward, MB | {native.saved / 1e6:.1f} | {generated.saved / 1e6:.1f} |"


def write_csv(path: Path, native: Run, generated: Run) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("step", "native", "generated", "difference"))
        apart = differences(native, generated)
        rows = zip(native.losses, generated.losses, apart, strict=True)
        for step, (a, b, between) in enumerate(rows, start=1):
            writer.writerow((step, f"{a:.7f}", f"{b:.7f}", f"{between:.2e}"))


# -- the picture ----------------------------------------------------------------------------------

STYLE = """
.card{fill:#fff;stroke:#d0d7de}text{fill:#57606a;font:12px system-ui,sans-serif}
.title{fill:#24292f;font-size:14px;font-weight:600}.grid{stroke:#d8dee4;stroke-width:1}
.a,.b,.c{fill:none;stroke-linejoin:round}.a{stroke:#f0a35e;stroke-width:6}
.b{stroke:#0a5cc2;stroke-width:1.6}.c{stroke:#8250df;stroke-width:1.4}
@media(prefers-color-scheme:dark){.card{fill:#0d1117;stroke:#30363d}text{fill:#9198a1}
.title{fill:#e6edf3}.grid{stroke:#262c36}.a{stroke:#a8622a}.b{stroke:#79c0ff}.c{stroke:#bc8cff}}
"""
LEFT, RIGHT = 62, 664
NOTHING = 1e-8  # a difference of zero has no logarithm: it is drawn here


def across(part: float) -> float:
    """Where that part of all steps is done."""
    return LEFT + (RIGHT - LEFT) * part


@dataclass(frozen=True)
class Panel:
    """A field of the picture, and the numbers at its bottom and its top."""

    top: int
    bottom: int
    low: float
    high: float

    def y(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return self.bottom - min(1, max(0, part)) * (self.bottom - self.top)

    def curve(self, values: Sequence[float], kind: str) -> str:
        places = (across(i / len(values)) for i in range(1, len(values) + 1))
        points = (f"{x:.1f},{self.y(v):.1f}" for x, v in zip(places, values, strict=True))
        return f'<polyline class="{kind}" points="{" ".join(points)}"/>'

    def tick(self, value: float, label: str) -> str:
        y = f"{self.y(value):.1f}"
        line = f'<path class="grid" d="M{LEFT} {y}H{RIGHT}"/>'
        return line + f'<text x="{LEFT - 8}" y="{y}" dy="4" text-anchor="end">{label}</text>'


def steps_axis(count: int, y: int) -> Iterator[str]:
    """Every quarter of the steps, under a panel that ends at y."""
    for step in sorted({count * i // 4 for i in range(5)}):
        x = across(step / count)
        yield f'<path class="grid" d="M{x:.1f} {y}v5"/>'
        yield f'<text x="{x:.1f}" y="{y + 19}" text-anchor="middle">{step}</text>'
    yield f'<text x="{across(0.5):.0f}" y="{y + 36}" text-anchor="middle">step</text>'


def key(x: int, y: int, kind: str, label: str) -> str:
    """A line of the legend."""
    return f'<path class="{kind}" d="M{x} {y}h26"/><text x="{x + 34}" y="{y + 4}">{label}</text>'


def title(y: int, text: str) -> str:
    return f'<text class="title" x="{LEFT}" y="{y}">{text}</text>'


def power(exponent: int) -> str:
    return "0" if 10**exponent <= NOTHING else f"1e{exponent}"


def picture(native: Run, generated: Run) -> str:
    """Both losses above, how far they are apart below; on a card of its own, light or dark."""
    both = [*native.losses, *generated.losses]
    losses = Panel(44, 230, math.floor(min(both)), math.ceil(max(both)))
    logs = [math.log10(max(apart, NOTHING)) for apart in differences(native, generated)]
    apart = Panel(282, 372, math.floor(min(logs)), max(-3, math.ceil(max(logs))))
    body = [
        title(28, f"A GPT of {LAYERS} layers, trained twice: loss"),
        *(losses.tick(v, str(v)) for v in range(round(losses.low), round(losses.high) + 1)),
        losses.curve(native.losses, "a"),
        losses.curve(generated.losses, "b"),
        key(LEFT + 330, 62, "a", "torch&#39;s own operations"),
        key(LEFT + 330, 82, "b", "generated operations"),
        title(266, "Difference of the two losses"),
        *(apart.tick(v, power(v)) for v in range(round(apart.low), round(apart.high) + 1)),
        apart.curve(logs, "c"),
        *steps_axis(len(logs), apart.bottom),
    ]
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 420" role="img">'
    name = "<title>Loss of a small GPT with torch's own and with generated operations</title>"
    card = '<rect class="card" x=".5" y=".5" width="699" height="419" rx="8"/>'
    return "\n".join([head, name, f"<style>{STYLE}</style>", card, *body, "</svg>"]) + "\n"


def write(folder: Path, native: Run, generated: Run) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "train_gpt.csv", native, generated)
    (folder / "train_gpt.svg").write_text(picture(native, generated), "utf-8", newline="\n")


@click.command()
@click.option("--steps", type=click.IntRange(min=2), help=f"[default: {STEPS}]")
@click.option("--seed", default=0, show_default=True)
@click.option("--quick", is_flag=True, help=f"{QUICK_STEPS} steps, and no files unless --out.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for train_gpt.svg and train_gpt.csv.  [default: docs/images]",
)
def main(steps: int | None, seed: int, quick: bool, out: Path | None) -> None:
    """Train a small GPT with torch's own operations and with generated ones, and compare."""
    torch.set_num_threads(1)  # tensors this small gain nothing from more
    runs = train(steps or (QUICK_STEPS if quick else STEPS), seed)
    for line in (*table(*runs), "", *summary(*runs)):
        click.echo(line)
    folder = out or (None if quick else PICTURES)
    if folder:
        write(folder, *runs)


if __name__ == "__main__":
    main()
