"""LaTeX to MathML, and prose that holds mathematics to HTML."""

from __future__ import annotations

import re
from functools import cache
from html import escape

from markupsafe import Markup
from math_core import LatexToMathML

_CHANGED = '<mrow style="color:#FF0000;">'  # what \textcolor{red} becomes
_NEW = '<mrow class="new">'
# `{w_{in}}_{a b}`, which TeX needs, with all that stands below on one line
_BELOW = re.compile(r"\{((?:\\mathrm\{[^{}]*\}|[^{}])*)_\{\\mathrm\{([^{}]*)\}\}\}_\{")
_AS_CODE = Markup("<code>{}</code>")
_CODE = re.compile(r"`([^`]+)`")
_MATHEMATICS = re.compile(r"\$(.*?)\$")


@cache
def _converter() -> LatexToMathML:
    return LatexToMathML()


def math(latex: str, *, block: bool = True) -> Markup:
    """A formula; `\\textcolor{red}` marks what a step changed, and becomes a class."""
    latex = _BELOW.sub(r"\1_{\\mathrm{\2}\\,", latex)
    made = _converter().convert_with_local_state(latex, displaystyle=block)
    made = made.replace("&ApplyFunction;", "\N{FUNCTION APPLICATION}").replace(_CHANGED, _NEW)
    return Markup(made)  # noqa: S704  # made of formulas that derive printed; text in it is escaped


def prose(text: str) -> Markup:
    """Text in which $…$ is mathematics."""
    parts = _MATHEMATICS.split(text)
    made = (math(p, block=False) if k % 2 else Markup(escape(p)) for k, p in enumerate(parts))  # noqa: S704  # escaped
    return Markup().join(made)


def remark(text: str) -> Markup:
    """Text in which `…` is code."""
    parts = enumerate(_CODE.split(text))
    return Markup().join(_AS_CODE.format(p) if k % 2 else Markup(escape(p)) for k, p in parts)  # noqa: S704  # escaped


def count_latex(text: str) -> str:
    """A count of operations, `4*B*H^2 + B`, as LaTeX."""
    return re.sub(r"\^(\d+)", r"^{\1}", text.replace("*", r"\,"))
