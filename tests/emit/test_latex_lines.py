"""LaTeX over lines: nothing is lost, every line has room, and a stock TeX is content."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from derive.catalogue import load
from derive.derivation import differentiate
from derive.emit.latex_lines import LINE, Row, broken, laid, text_width, width

LONG = (
    r"w_{b c} \left(\left(\operatorname{sigmoid}\left(-u_{b c}\right)\right)^{\gamma} "
    r"\frac{\partial u_{b c}}{\partial u_{p q}}+\gamma \operatorname{softplus}\left(-u_{b c}\right)"
    r" \left(1-\operatorname{sigmoid}\left(-u_{b c}\right)\right) \delta_{b p}\right)-x_{b c}"
)


def whole(lines: list[str]) -> str:
    text = "".join(lines).replace(r"\cdot ", " ")
    return re.sub(r"\\[bB]igl\(", r"\\left(", re.sub(r"\\[bB]igr\)", r"\\right)", text))


@pytest.mark.parametrize("room", [20.0, 30.0])
def test_nothing_is_lost_and_what_goes_on_begins_with_a_sign(room: float) -> None:
    lines = broken(LONG, room)
    assert len(lines) > 1
    assert whole(lines).split() == LONG.split()
    assert all(line.startswith(("+", "-", r"\cdot ")) for line in lines[1:])
    assert all(width(line) <= room for line in lines)


def test_what_fits_stays_as_it_is() -> None:
    row = Row("y_{b}", r"\frac{x_{b}}{\sigma_{b}}", "power rule")
    assert laid([row]) == [row]


def test_a_law_without_room_stands_below() -> None:
    row = Row("y_{b}", LONG, "this name of a law is nearly as long as the line it stands in, it is")
    *above, below = laid([row])
    assert below.right == rf"\text{{{row.law}}}"
    assert not any(r.law for r in above)


@pytest.mark.parametrize("name", ["focal", "poly_norm", "rope", "huber"])
def test_lines_fit_the_page(name: str) -> None:
    for line in differentiate(load(name)).latex().splitlines():
        if " & " in line:
            formula, _, law = line.removesuffix(r"\\").partition(r"&& \text")
            assert width(formula.replace("& =", "=")) + text_width(law) < LINE + 3


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no TeX here")
@pytest.mark.parametrize("name", ["focal", "silu"])
def test_a_stock_tex_sets_the_document_without_complaint(name: str, tmp_path: Path) -> None:
    (tmp_path / "op.tex").write_text(differentiate(load(name)).latex(standalone=True), "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "op.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
