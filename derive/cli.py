"""The command line: each command parses its options, calls one function, prints what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import click

from derive import __version__, completion, report
from derive.console import GOOD, WRONG, exit_code, for_reader, progress, put, say, walk, warn
from derive.options import Choice, Group, common_options, set_style
from derive.options import settings as _settings

FORMS = ("chain", "closed", "factored")
MOST_BYTES = 1 << 23  # of a paper


@click.group(
    cls=Group,
    params=common_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
OP is a name of the catalogue (`derive list`), a path to an .op file (FILE.op:NAME picks one op
of several), or a folder of them. With no OP: the ops that [tool.derive] of the nearest
pyproject.toml names; else those that the output folder's manifest records; else the catalogue.

Exit codes: 0 good; 1 stale, wrong, refuted; 2 usage, input or configuration; 3 a bug in derive;
130 interrupted.

\b
Completion, for bash (zsh and fish alike):
  eval "$(_DERIVE_COMPLETE=bash_source derive)"
""",
)
@click.version_option(__version__, prog_name="derive")
def cli() -> None:
    """Derive the gradients of tensor operations, and write the kernels that compute them."""


_op = click.argument("op", metavar="OP", shell_complete=completion.ops)
_ops = click.argument("ops", metavar="[OP]...", nargs=-1, shell_complete=completion.ops)
_out = click.option("--out", metavar="DIR", help="The output folder (default: generated).")
_backends = click.option(
    "--backend", "backends", metavar="NAME", multiple=True, shell_complete=completion.backends,
    help="Only this one; may be repeated.",
)  # fmt: skip
_style = click.option(
    "--output-format", "style", type=Choice(report.FORMATS), default="full", show_default=True,
    callback=set_style, help="How results, and errors, are told.",
)  # fmt: skip


@cli.command("list")
@_ops
@click.option(
    "--costs", "--cost", is_flag=True, help="What is saved, moved and computed, in sizes."
)
@click.pass_context
def list_ops(ctx: click.Context, ops: Sequence[str], costs: bool) -> None:
    """List ops: title, class of kernel, backends.

    \b
    derive list
    derive list layer_norm softmax --costs
    """
    from derive import commands
    from derive.commands import overview

    if costs:
        from derive.costs import HEADS

        click.echo(report.table(HEADS, commands.costs(ops), ctx.color))
        return
    heads = ("op", "title", "class", "backends")
    click.echo(report.table(heads, overview(ops), ctx.color, cut="title"))


_form = click.option(
    "--form", type=Choice(FORMS), default="closed", show_default=True,
    help="Gradients as computed, put together, or with names for what recurs.",
)  # fmt: skip


@cli.command()
@_op
@click.option(
    "--wrt", metavar="INPUT", shell_complete=completion.tensors,
    help="Only the gradient of this input.",
)  # fmt: skip
@click.option("--trace", is_flag=True, help="Every step, with the law it follows from.")
@click.option("--next", "stepwise", is_flag=True, help="Step by step: a hint, Enter, the step.")
@_form
def show(op: str, wrt: str | None, trace: bool, stepwise: bool, form: str) -> None:
    """Show equations, gradients, costs, theorems.

    On a terminal in the signs of mathematics; what is piped is in the op language.

    \b
    derive show layer_norm --wrt x --trace
    derive show layer_norm --wrt x --next    # find each step yourself
    """
    from derive import commands

    if stepwise:
        walk(commands.steps(op, wrt))
        return
    found = commands.derivations(op)
    texts = [(d.op, d.show(wrt=wrt, trace=trace, form=form)) for d in found]
    click.echo("\n\n".join(for_reader(op, text) for op, text in texts))


@cli.command()
@_op
@click.option(
    "--part", type=Choice(["forward", "steps", "result", "all"]), default="all",
    show_default=True, help="Which part of the derivation.",
)  # fmt: skip
@click.option("--standalone", is_flag=True, help="A document that compiles by itself.")
@_form
@click.option("-o", "file", type=click.File("w", "utf-8", lazy=True), default="-", metavar="FILE")
def latex(op: str, part: str, standalone: bool, form: str, file: IO[str]) -> None:
    """Print the derivation as LaTeX.

    \b
    derive latex layer_norm --standalone -o layer_norm.tex
    derive latex layer_norm --part result --form factored
    """
    from derive.commands import derivations

    texts = [d.latex(part=part, standalone=standalone, form=form) for d in derivations(op)]
    click.echo("\n".join(texts).rstrip("\n"), file=file)


@cli.command()
@_ops
@click.option("--all", "everything", is_flag=True, help="The whole catalogue.")
@click.option("--verify", "verified", is_flag=True, help="With what `derive verify` finds.")
@click.option(
    "-o", "folder", metavar="DIR", default="pages", show_default=True, help="Where they go.",
)  # fmt: skip
def page(ops: Sequence[str], folder: str, **wanted: bool) -> None:
    """Write a web page of each derivation.

    A page is one file, readable anywhere, that needs nothing else.

    Beside several pages stands an index.html with a search box.

    \b
    derive page layer_norm             # pages/layer_norm.html
    derive page my_op.op softmax -o site
    """
    from derive.commands import write_pages

    changed = write_pages(ops, folder, **wanted, progress=progress("printing"))
    for path in changed:
        say(f"wrote {path.as_posix()}")
    if not changed:
        say("up to date")


@cli.command()
@_op
@click.argument("equation", metavar="'LHS = RHS'", required=False)
@click.option("--latex", "as_latex", is_flag=True, help="Print the proof as LaTeX.")
@click.option(
    "--from", "file", type=click.File("rb"), metavar="FILE",
    help="Equations, one a line; or a paper in Markdown or TeX (.md, .tex).",
)  # fmt: skip
@click.pass_context
def prove(
    ctx: click.Context, op: str, equation: str | None, as_latex: bool, file: IO[bytes] | None
) -> None:
    """Prove an equation, or refute it with numbers.

    In the equation `dy` is the cotangent of the output y, `dt` the gradient of t, and
    `d(y[b,h])/d(sigma[p])` a Jacobian.

    \b
    derive prove layer_norm '1[h]*mu[b,h] = 0'
    derive prove layer_norm --from by_hand.txt    # the first wrong line, and why
    derive prove layer_norm --from paper.md
    """
    from derive.commands import proofs, unreadable
    from derive.scaffold import decoded

    text = decoded(file.read(MOST_BYTES), file.name) if file else None
    found = proofs(op, equation, text, file.name if file else "")
    click.echo(report.proofs(found, as_latex))
    if error := unreadable(found):
        raise error
    ctx.exit(GOOD if all(found) else WRONG)


@cli.command()
@_ops
@_out
@_backends
def generate(ops: Sequence[str], out: str | None, backends: Sequence[str]) -> None:
    """Write the code of ops.

    With no OP, files that derive wrote are removed if their op is gone.

    \b
    derive generate my_op.op
    derive generate layer_norm --backend triton --out kernels
    """
    from derive.commands import write_all
    from derive.project import request

    asked = request(ops, out, backends)
    done = write_all(asked, progress("deriving"))
    for line in report.written(done, asked.out):
        say(line)
    for path in done.kept:
        warn(f"{asked.out / path}: its op is gone, but it was edited by hand: it stays")


@cli.command()
@_ops
@_out
@_backends
@click.option("--diff", is_flag=True, help="Show what `derive generate` would change.")
@_style
@click.pass_context
def check(
    ctx: click.Context,
    ops: Sequence[str],
    out: str | None,
    backends: Sequence[str],
    diff: bool,
    style: str,
) -> None:
    """Check that the generated files are up to date. Writes nothing.

    \b
    derive check
    derive check my_op.op --diff
    derive check --output-format github    # annotations, in a workflow
    """
    from derive.commands import check_all
    from derive.emit.check import remedy
    from derive.project import request

    asked = request(ops, out, backends)
    found = check_all(asked, progress("deriving"))
    if found or style == "json":
        click.echo(report.findings(found, asked.out, style, diff))
    count = len(asked.commands)
    files = "1 file" if count == 1 else f"{count} files"
    mend = f"{len(found)} to mend; all: {remedy(found, asked.command)}"
    say(mend if found else f"{files} up to date")
    ctx.exit(WRONG if found else GOOD)


@cli.command()
@_ops
@_backends
@click.option(
    "--mutate", is_flag=True,
    help="Then make every small mistake on purpose: which does no check notice?",
)  # fmt: skip
@_style
@click.pass_context
def verify(
    ctx: click.Context, ops: Sequence[str], backends: Sequence[str], mutate: bool, style: str
) -> None:
    """Verify the gradients of the generated code.

    \b
    derive verify my_op.op
    derive verify layer_norm --mutate    # would a mistake be noticed?
    """
    from derive.commands import mutations, verdicts

    found = verdicts(ops, backends, progress("verifying"))
    failed = any(verdict.failed for verdict in found)
    if failed or not mutate:
        put(report.verdicts(found, style, _settings.verbose, ctx.color))
        ctx.exit(WRONG if failed else GOOD)
    mutants = mutations(ops, backends, progress("mutating"))
    put(report.mutations(mutants, style, _settings.verbose, ctx.color))
    ctx.exit(WRONG if any(mutant.is_live for mutant in mutants) else GOOD)


@cli.command()
@click.argument("name")
@click.option(
    "--from", "paper", metavar="FILE",
    help="A paper in Markdown or TeX (.md, .tex): its forward equations are the op.",
)  # fmt: skip
@click.option(
    "--output", "outputs", metavar="TENSOR", multiple=True,
    help="With --from: this tensor, and the equations it needs; may be repeated.",
)  # fmt: skip
def new(name: str, paper: str | None, outputs: Sequence[str]) -> None:
    """Write NAME.op: an op file to start from.

    \b
    derive new my_norm
    derive new layer_norm --from paper.md

    Of a paper the display equations are read in which one component stands on the left,
    `t_{b h} = ...`, and that speak of no derivative. Tensors that none of them defines are the
    inputs, numbers without an index the parameters. What is to be checked is marked `# check:`.
    """
    from derive.scaffold import new as write_new
    from derive.scaffold import new_from

    if paper is None:
        if outputs:
            raise click.UsageError("--output is about a paper: --from FILE")
        click.echo(write_new(name, Path()))
        return
    path, notes = new_from(paper, name, Path(), outputs)
    click.echo(path)
    for note in notes:
        say(f"{paper}: {note}")


@cli.command()
@_ops
@_backends
@click.option(
    "--against", "rivals", metavar="WHO", multiple=True, default=("torch,composed",),
    show_default=True,
    help="torch, composed, compile, liger, quack, MODULE:FUNCTION; commas part several.",
)  # fmt: skip
@click.option("--size", "sizes", metavar="N=NUMBER", multiple=True, help="A size; may be repeated.")
@click.option("--dtype", type=Choice(["fp32", "bf16", "fp16", "fp64"]), default="fp32",
              show_default=True, help="The type of the inputs.")  # fmt: skip
@click.option("--device", type=Choice(["cpu", "cuda"]), help="Where  [default: a GPU if there is]")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of a CPU.")
@click.option("--seconds", type=click.FloatRange(0.01), default=4.0, show_default=True,
              help="How long each op is measured.")  # fmt: skip
@click.option("--plot", metavar="FILE", help="A picture too: .svg, .png or .pdf.")
@click.option("--tune", metavar="FILE", help="Measure settings of kernels; write a table.")
@_style
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    ops: Sequence[str],
    backends: Sequence[str],
    rivals: Sequence[str],
    tune: str | None,
    **options: Any,
) -> None:
    """Measure time and memory, beside others.

    \b
    derive bench layer_norm
    derive bench layer_norm --size B=128 --size H=16384 --against torch,compile
    derive bench my_op.op --against my_kernels:my_op --plot my_op.svg
    derive bench layer_norm rms_norm softmax --tune templates/triton/tuned.json

    composed: the generated forward pass with torch's own autograd. compile: torch's own function,
    or the composed one, compiled; and ours for torch, compiled. A function of yours takes what the
    op takes. Shares of a copy say how near a run comes to moving what it must move, once, at the
    speed of a copy. --tune: how much a program takes at once is measured for each length of rows;
    `derive generate` reads the table.
    """
    from derive.bench.command import setting_of, told
    from derive.commands import benchmarks

    if tune is not None:
        from derive.commands import tuned

        count = tuned(ops, Path(tune), options["seconds"], progress("measuring"))
        say(f"wrote {tune}: {count} settings that are faster than the rule")
        return
    style = options.pop("style")
    setting, path = setting_of(backends=backends, against=rivals, **options)
    results, copy = benchmarks(ops, setting, progress("measuring"))
    put(told(results, setting, copy, style, ctx.color))
    if path is not None:
        from derive.bench.picture import draw

        draw(results, path, f"{setting.dtype} on {setting.device}")
        say(f"wrote {path}")


@cli.command()
@click.argument("code", shell_complete=completion.codes)
def explain(code: str) -> None:
    """Explain an error in full, by its code.

    \b
    derive explain E301
    """
    from derive.commands import explanation

    click.echo(report.explained(explanation(code)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; nothing is raised."""
    return exit_code(lambda: cli.main(arguments, prog_name="derive", standalone_mode=False))
