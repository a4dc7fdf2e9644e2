"""What `derive show` prints on a terminal: signs, columns, the graph, lines that fit."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache

import pytest

from derive.catalogue import catalogue, load
from derive.derivation import Derivation, differentiate
from derive.emit.document import moves, text
from derive.emit.narrative import narrative
from derive.emit.terminal import Terminal

LONGEST = 26  # an unbroken factor, a name of the author's: no narrower line can hold it


@cache
def derived(name: str) -> Derivation:
    return differentiate(load(name))


def shown(name: str, width: int, *, trace: bool = False) -> str:
    d = derived(name)
    return Terminal(d.op, width, lambda words, _: words).shown(text(d, trace=trace))


def test_signs_columns_and_the_graph() -> None:
    lines = shown("layer_norm", 80).split("\n")
    start = lines.index("  m_b  = 1/H·1_h·x_bh")
    assert lines[start : start + 5] == [
        "  m_b  = 1/H·1_h·x_bh",
        "  μ_bh = x_bh − 1_h·m_b",
        "  v_b  = 1/H·1_h·μ_bh²",
        "  σ_b  = √(v_b + ε)",
        "  y_bh = μ_bh·γ_h/σ_b + 1_b·β_h",
    ]
    graph = lines.index("graph")
    assert lines[graph + 1 : graph + 10] == [
        "  y",
        "  ├─ γ",
        "  ├─ β",
        "  ├─ μ",
        "  │  ├─ x",
        "  │  └─ m",
        "  │     └─ x",
        "  └─ σ",
        "     └─ v",
    ]
    assert "  dγ_q = dy_bq·μ_bq/σ_b" in lines


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("name", sorted(catalogue()))
def test_lines_fit(name: str, width: int) -> None:
    for line in shown(name, width, trace=width == 40).split("\n"):
        assert len(line) <= width or max(map(len, re.split(r"[·\s]", line))) > LONGEST, line


def test_a_law_stands_beside_its_step_or_below_it() -> None:
    wide = shown("layer_norm", 80, trace=True)
    assert "    = μ_bh·δ_hq/σ_b         components are independent" in wide.split("\n")
    narrow = shown("layer_norm", 40, trace=True).split("\n")
    place = narrow.index("    = μ_bh·δ_hq/σ_b")
    assert narrow[place + 1] == "        components are independent"


def test_what_cannot_be_shortened_stays() -> None:
    assert "w_in" in Terminal(load("layer_norm"), 80, lambda w, _: w).spans("w_in[b,h]")[0].text
    spans = Terminal(load("cross_entropy"), 80, lambda w, _: w).spans("u[b,t[b]]*delta[q,t[p]]")
    assert [s.text for s in spans] == ["u[b,t[b]]", "·", "δ[q,t[p]]"]


def test_roles() -> None:
    d = derived("layer_norm")
    roles: dict[str, str] = {}
    Terminal(d.op, 80, lambda w, role: roles.setdefault(w, role) and w).shown(text(d))
    found = {roles[w] for w in ("x_bh",)}, roles["y_bh"], roles["dy_bq"], roles["ε"], roles["H"]
    assert found == ({"input"}, "output", "gradient", "number", "number")


def derive(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "derive", *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True)


def test_what_is_piped_stays_in_the_op_language() -> None:
    assert derive("show", "layer_norm").stdout == text(derived("layer_norm")) + "\n"
    assert "\x1b[" in derive("show", "layer_norm", "--color").stdout


def test_every_step_is_a_move_with_a_hint() -> None:
    d = derived("layer_norm")
    found = list(moves(d))
    assert len(found) >= sum(len(s.passages) for s in narrative(d))
    assert all(hint for hint, _ in found)
    laws = [hint for hint, lines in found if len(lines) == 1]
    assert laws[:3] == [
        "the derivative is linear",
        "components are independent",
        "insert the Jacobian",
    ]
    told = [line for _, lines in found for line in lines]
    trace = text(d, trace=True)
    assert all(line in trace for line in told)


def test_one_step_at_a_time() -> None:
    done = derive("show", "layer_norm", "--wrt", "m", "--next", given="\n\n")
    assert done.returncode == 0
    assert done.stdout.split("\n") == [
        "The derivative of mu[b,h] with respect to m[p] ? ",
        "  d(mu[b,h])/d(m[p])",
        "    = d/d(m[p])(x[b,h] - 1[h]*m[b])",
        "the derivative is linear ? ",
        "    = -1[h]*d(m[b])/d(m[p])",
        "components are independent ? ",
        "",
    ]
    assert derive("show", "layer_norm", "--wrt", "mm", "--next").returncode == 2
