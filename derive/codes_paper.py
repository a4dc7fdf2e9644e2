"""The errors of papers in LaTeX, rows of the table of errors."""

from __future__ import annotations

from derive.code import Code

_OP = "op f(x[b,h]) -> y[b,h]\ny[b,h] = x[b,h]\n"

PAPER_ROWS = (
    Code(
        "E701", "unknown macro",
        "The macro or environment is none that the reader of papers knows, so what it prints is "
        "not guessed.",
        "Write names as `\\mathrm{name}`, equations in `aligned`, `gathered`, `align`, `gather`.",
        _OP, paper="$$ y_{b h} = \\foo x_{b h} $$",
    ),
    Code(
        "E702", "argument missing",
        "`\\frac` takes two arguments and `\\sqrt` one, each in braces; digits need none.",
        "Write `\\frac{x_b}{2}`, `\\frac12`, `\\sqrt{x_b}`.",
        _OP, paper="$$ y_{b h} = \\frac{x_{b h}} $$",
    ),
    Code(
        "E703", "subscript that can be read in two ways",
        "The indices, or the name, can be read in two ways; or TeX sets only the first letter "
        "below the line.",
        "Write spaces between indices, and braces around them: `y_{b h}`.",
        _OP, paper="$$ y_bh = x_{b h} $$",
    ),
    Code(
        "E704", "equality without a left side",
        "A row that begins with `=` continues the row above it in its display; here is none.",
        "Write the left side.",
        _OP, paper="$$ = x_{b h} $$",
    ),
    Code(
        "E705", "formula that can be read in two ways",
        "Print does not show what belongs together: what follows a divisor, how far a function "
        "reaches, what a power raises.",
        "Write brackets, or `\\frac{…}{…}`.",
        _OP, paper="$$ y_{b h} = 1 / 1 x_{b h} $$",
    ),
    Code(
        "E706", "display that never ends",
        "A display is opened, and the text ends before it is closed.",
        "Close it.",
        _OP, paper="$$ y_{b h} = x_{b h}",
    ),
    Code(
        "E707", "differential out of place",
        "A differential stands above or below the line of a derivative; below stands one "
        "component.",
        "Write `\\frac{\\partial y_{b}}{\\partial x_{c}}`.",
        _OP, paper="$$ y_{b h} = \\partial x_{b h} $$",
    ),
)  # fmt: skip
