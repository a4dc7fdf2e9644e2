"""What the documentation shows is what derive reads and prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from derive.errors import SourceError
from derive.notation.reader import read_ops

ROOT = Path(__file__).parent.parent
LANGUAGE = (ROOT / "docs/language.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")


def blocks(text: str) -> list[str]:
    return re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_op_that_is_shown_is_the_one_of_the_catalogue() -> None:
    op = (ROOT / "derive/ops/layer_norm.op").read_text("utf-8")
    assert op in blocks(LANGUAGE)
    assert op in blocks(README)


def test_the_refusals_that_are_shown_are_those_that_are_printed() -> None:
    source, shown = blocks(LANGUAGE)[1:]
    with pytest.raises(SourceError) as caught:
        read_ops(source, "my.op")
    assert str(caught.value) + "\n" == shown


def in_an_op(right: str) -> str:
    return f"op f(x[b], bias; eps = 1) -> y[b]\ny[b] = {right} + 0*eps + 0*1[b]*bias\n"


@pytest.mark.parametrize("right", ["x[b] + 1[b]*bias", "x[b] + eps", "x[b] + B", "x[b] + 2*eps/B"])
def test_what_may_be_added(right: str) -> None:
    assert read_ops(in_an_op(right))


@pytest.mark.parametrize("right", ["x[b] + bias", "max(x[b], bias)", "x[b] + eps*bias"])
def test_what_may_not_be_added(right: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_ops(in_an_op(right))
    assert [d.code for d in caught.value.diagnostics] == ["E302"]


def rows(section: str) -> list[str]:
    """What the tables of a section show in their first column, one entry for each piece of code."""
    text = LANGUAGE.partition(f"### {section}\n")[2].partition("\n### ")[0].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell)]


RELATIONS = {  # what a relation needs of a header
    "solve y: A[i,k]*y[k] = b[i]": "A[i,k], b[i]) -> y[k]",
    "solve y: delta[i,j] = x[i,k]*y[k,j]": "x[i,k]) -> y[k,j]",
    "solve y: A[b,i,k]*y[b,k] = c[b,i]": "A[b,i,k], c[b,i]) -> y[b,k]",
    "solve w: A[n,i]*A[n,k]*w[k] + lam*w[i] = A[n,i]*t[n]": "A[n,i], t[n]; lam = 1) -> w[k]",
    "solve x: x[i] = A[i,j]*x[j] + b[i]": "A[i,i], b[i]) -> x[i]",
}
CONDITIONS = """op f(x[b,h], z[i,j], u[c], t[b]: int[c], s[b]: int[c]; lambd = 1, ignore = -1
  ) -> y, r
y = sum[b](sum[h](sum[i](sum[j](sum[c](1[b,h,i,j,c]*where({}, 1, 0))))))
r = 1[b]*x[b,h]*1[h]*z[i,j]*1[i,j]*u[c]*1[c]*lambd*ignore*where(t[b] < s[b], 1, 0)
"""


@pytest.mark.parametrize("condition", rows("Conditions"))
def test_conditions_that_are_shown_are_read(condition: str) -> None:
    assert read_ops(CONDITIONS.format(condition))


INTEGERS = """op f(x[b,c], W[c,h], u[b,c], v[b,c], t[b]: int[c]; ignore = -1) -> y, r
y = {}
r = 1[b]*1[c]*x[b,c]*W[c,h]*1[h]*u[b,c]*v[b,c]*ignore*where(t[b] == 0, 1, 0)
"""
PLACES = """op f(x[b,s], z[b,s,c], q[n,i,j], w[k,c], v[k,l], r[d], a[j]) -> y, u
y = {}
u = 1[b]*x[b,s]*1[s]*z[b,s,c]*w[k,c]*1[k]*v[k,l]*1[l]*q[n,i,j]*1[n,i,j]*r[d]*1[d]*a[j]
"""


OTHERS = {"x[b,s-k,c]": "z[b,s-k,c]", "x[n,": "q[n,", "w[k,l]": "v[k,l]", "*x[j]": "*a[j]"}


def summed(shown: str) -> str:
    """With each letter in two factors."""
    letters = dict.fromkeys(re.findall(r"\b[a-z]\b(?!\[)", shown))
    return f"1[{','.join(letters)}]*{shown}"


@pytest.mark.parametrize("shown", rows("Integers"))
def test_labels_that_are_shown_are_read(shown: str) -> None:
    assert read_ops(INTEGERS.format(summed(shown.replace("t[b,s]", "t[b]"))))


@pytest.mark.parametrize("shown", rows("Arithmetic as an index"))
def test_arithmetic_that_is_shown_is_read(shown: str) -> None:
    text = (
        shown.replace("x[b,s-k,c]", "z[b,s-k,c]")
        .replace("x[n,", "q[n,")
        .replace("w[k,l]", "v[k,l]")
    )
    assert read_ops(PLACES.format(summed(text.replace("*x[j]", "*a[j]"))))


@pytest.mark.parametrize("line", rows("Relations"))
def test_relations_that_are_shown_are_read(line: str) -> None:
    assert read_ops(f"op f({RELATIONS[line]}\n{line}\n")


HEADERS = {  # of the lines in "What cannot be said (yet)"; without one, refused lines have x[b,h]
    "where(x[b,h] > 0, x[b,h], 0)": "x[b,h]) -> y[b,h]",
    "where(x[b,h] > 0, where(x[b,h] < 1, x[b,h], 0), 0)": "x[b,h]) -> y[b,h]",
    "y[...,h] = x[...,h]": "x[b,h]) -> y[b,h]",
    "h[t] = tanh(h[t-1] + x[t])": "x[t]) -> h[t]",
    "solve h: h[t] = a[t]*h[t-1] + x[t]": "a[t], x[t]) -> h[t]",
    "m[h] = 0.9*m[h] + 0.1*mean[b](x[b,h])": "x[b,h], m[h]) -> m[h]",
    "m2[h] = 0.9*m[h] + 0.1*mean[b](x[b,h])": "x[b,h], m[h]) -> m2[h]",
    "y[b,h] = u[b,h]*x[b,h]/(1 - p)": "x[b,h], u[b,h]; p = 0.1) -> y[b,h]",
    "y[b,k] = x[b,2*k]": "x[b,h]) -> y[b,k]",
    "y[b,h] = cat(x[b,h], u[b,h])": "x[b,h], u[b,h]) -> y[b,h]",
    "where(h < 2, x[b,h], u[b,h])": "x[b,h], u[b,h]) -> y[b,h]",
    "y[t[b],h] = x[b,h]": "x[b,h], t[b]: int[c]) -> y[c,h]",
    "y[c,h] = delta[c,t[b]]*x[b,h]": "x[b,h], w[c], t[b]: int[c]) -> y[c,h], z\nz = w[c]*1[c]",
    "y[b] = x[b,r[t[b]]]": "x[b,h], t[b]: int[c], r[c]: int[h]) -> y[b]",
    "x[b,h]*p[h]": "x[b,h], p[h]) -> y[b]",
    "y[b,h] = x[b,h]^u[b,h]": "x[b,h], u[b,h]) -> y[b,h]",
    "exp(u[b,h]*log(x[b,h]))": "x[b,h], u[b,h]) -> y[b,h]",
    "exp(sum[h](log(x[b,h])))": "x[b,h]) -> y[b]",
    "x[n,s*K+0]": "x[n,s*K+k]; K = 2) -> y[n,s]",
    "max[h](x[b,h])": "x[b,h]) -> y[b]",
}


def op_with(line: str) -> str:
    """An op that has a line of the table, or an expression, or outputs."""
    if line.startswith("->"):
        return f"op f(x[b,h]) {line}\nt[b] = max[h](x[b,h])\n"
    left = re.match(r"(\w+(\[[^=]*\])?) =", line)
    header = HEADERS.get(line, f"x[b,h]) -> {left[1] if left else 'y[b,h]'}")
    target = re.findall(r"-> (\w+(?:\[[^\]]*\])?)", header)[0]
    return f"op f({header}\n{line if ' = ' in line else f'{target} = {line}'}\n"


UNSAID = re.findall(
    r"^\| (.*?) \| (E\d{3}) \| (.*?) \|$",
    LANGUAGE.partition("## What cannot be said (yet)\n")[2].partition("\n## ")[0],
    re.MULTILINE,
)


@pytest.mark.parametrize(("wanted", "code", "instead"), UNSAID)
def test_what_cannot_be_said_is_refused_and_what_is_offered_is_read(
    wanted: str, code: str, instead: str
) -> None:
    line = re.findall(r"`([^`]+)`", wanted)[-1]
    with pytest.raises(SourceError) as caught:
        read_ops(op_with(line))
    assert [d.code for d in caught.value.diagnostics] == [code]
    for offered in re.findall(r"`([^`]+)`", instead):
        assert offered not in HEADERS or read_ops(op_with(offered))


def test_the_table_of_what_cannot_be_said_is_found() -> None:
    assert len(UNSAID) > 15
    assert set(HEADERS) <= set(re.findall(r"`([^`]+)`", str(UNSAID)))
