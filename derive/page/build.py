"""An op's page: everything that it shows is taken from one derivation and put in one template."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markupsafe import Markup

from derive.derivation import Derivation, differentiate
from derive.emit.backends import BACKENDS
from derive.emit.document import chapters, title
from derive.emit.environment import render
from derive.emit.files import command_of, source
from derive.notation.latex import loss_beside, loss_letter, name_latex
from derive.notation.op import Op
from derive.page import view
from derive.page.checks import Outcome, backends, checks
from derive.page.code import Module, backlinks, modules
from derive.page.graph import drawing
from derive.page.legend import legend
from derive.page.mathml import math, remark
from derive.page.rules import rules
from derive.plan.program import plan
from derive.plan.roles import kernel_class

FONT = Path(__file__).parent / "font" / "STIXTwoMath.woff2"


@dataclass(frozen=True)
class Download:
    """A file that the page carries."""

    name: str
    what: str
    url: str


def page(op: Op, found: Sequence[Outcome] = ()) -> str:
    """The whole page; `found`: what the checks of the code said."""
    derivation = differentiate(op)
    with loss_beside(op):
        return _render(op, derivation, found)


def _render(op: Op, derivation: Derivation, outcomes: Sequence[Outcome]) -> str:
    program = plan(op, derivation)
    code = tuple(modules(program, derivation))
    headline, rest = title(op)
    told = chapters(derivation, marked=True)
    found = view.numbers(derivation)
    return render(
        "html/op.html.jinja",
        font=_font(),
        op=op,
        headline=headline,
        title=remark(headline),
        remarks=remark(rest),
        legend=legend(derivation, told),
        command=command_of(op).removeprefix("derive generate "),
        kind=kernel_class(op),
        equations=list(view.tensors(derivation)),
        split=[view.equation(derivation, e) for e in op.equations],
        graph=drawing(derivation),
        loss=loss_letter(op) or "ℒ",
        gradients=list(view.gradients(derivation, told)),
        laws=list(view.laws(derivation)),
        results=[
            (n, math(name_latex(n), block=False), list(view.ways(derivation, n)))
            for n in (c.tensor.name for c in op.differentiable)
        ],
        theorems=list(view.theorems(derivation)),
        example=found[0] if found else None,
        numbers=found[1] if found else {},
        compared=view.compared(found[0]) if found else (),
        setting=view.setting(found[0]) if found else "",
        modules=code,
        links=backlinks(code),
        verified=backends(outcomes),
        checks=checks(derivation, outcomes),
        rules=rules(program, derivation),
        downloads=list(_downloads(op, code)),
    )


def _downloads(op: Op, code: Sequence[Module]) -> Iterator[Download]:
    latex = source(op, BACKENDS["latex"])
    yield Download(f"{op.name}.op", "the op", _data(op.text))
    yield Download(f"{op.name}.tex", "the derivation as LaTeX", _data(latex))
    for module in code:
        yield Download(
            f"{op.name}_{module.backend}.py", f"the code for {module.backend}", _data(module.text)
        )


def _data(text: str) -> str:
    return f"data:text/plain;charset=utf-8;base64,{b64encode(text.encode()).decode()}"


@cache
def _font() -> Markup:
    return Markup(b64encode(FONT.read_bytes()).decode())  # noqa: S704  # base64
