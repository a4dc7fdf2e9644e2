"""Pages: valid HTML that needs nothing else, whose links lead somewhere, whose headings have order.

What is seen is tested in `test_browser.py`; these tests read the text.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import html5lib
import pytest

import derive
from derive.catalogue import catalogue, load, load_all
from derive.derivation import differentiate
from derive.emit.backends import BACKENDS
from derive.emit.document import equation_row
from derive.emit.files import source
from derive.emit.narrative import narrative
from derive.errors import DeriveError
from derive.notation.op import Op
from derive.page.build import FONT, page
from derive.page.checks import CHECKS, RELATIONS, Outcome, checks
from derive.page.code import modules
from derive.page.example import Example, example
from derive.page.write import INDEX, index, pages, printed, write
from derive.plan.program import plan

HERE = Path(__file__).parent
UNSEEN = [op for file in sorted((HERE.parent / "ops").glob("*.op")) for op in load_all(file)]
SOME = ("layer_norm", "softmax", "matmul", "huber", "linear_solve", "causal_conv1d", "embedding")
HTML = "{http://www.w3.org/1999/xhtml}"
MATHML = "{http://www.w3.org/1998/Math/MathML}"
SVG = "{http://www.w3.org/2000/svg}"

AWKWARD = """# A <b>bold</b> & "quoted" title </script><script>alert(1)</script>.  Nobody 2024
op awkward(w_in[b,h], lam[h], l[b,h], L[h]; eps = 1e-5) -> class_[b,h], d_x_hat[b]

class_[b,h] = w_in[b,h] * lam[h] + l[b,h] * 1[b] * L[h]
d_x_hat[b]  = 1[h] * class_[b,h]^2 * eps
"""


@cache
def text_of(name: str) -> str:
    return printed(load(name))


def parsed(text: str) -> ET.Element:
    """As browsers read it; what they would have to mend is an error here."""
    parser = html5lib.HTMLParser(strict=True)
    return parser.parse(text)


def elements(root: ET.Element, *names: str) -> list[ET.Element]:
    return [e for e in root.iter() if isinstance(e.tag, str) and e.tag in names]


def check(text: str) -> ET.Element:
    """All that holds of every page."""
    root = parsed(text)
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert not [i for i, n in Counter(ids).items() if n > 1]
    links = [e.get("href", "") for e in elements(root, f"{HTML}a", f"{SVG}a")]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert all(link.startswith(("#", "data:text/plain")) for link in links)
    targets = [e.get(a, "") for e in root.iter() for a in ("src", "srcset", "data", "action")]
    assert not any(targets)
    assert not elements(root, f"{HTML}link", f"{HTML}img", f"{HTML}iframe", f"{HTML}object")
    style = "".join(e.text or "" for e in elements(root, f"{HTML}style"))
    urls = re.findall(r"url\((.*?)\)", style)
    assert all(url.startswith(("data:font/woff2", "#")) for url in urls), urls
    assert "@import" not in style
    levels = [int(e.tag[-1]) for e in elements(root, *(f"{HTML}h{k}" for k in range(1, 7)))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    described = {w for e in root.iter() for a in _NAMES for w in e.get(a, "").split()}
    assert described <= set(ids)
    return root


_ELEMENTS = """math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover
munderover mtable mtr mtd"""
_NAMES = ("aria-labelledby", "aria-describedby", "for")


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_page_of_the_catalogue_is_sound(name: str) -> None:
    root = check(text_of(name))
    assert root.find(f"{HTML}head/{HTML}title").text.startswith(f"{name}: ")
    assert elements(root, f"{HTML}main")
    assert elements(root, f"{HTML}nav")
    check_links(root, load(name))


def check_links(root: ET.Element, op: Op) -> None:
    """Every statement is linked to its equation, and back."""
    derivation = differentiate(op)
    program = plan(op, derivation)
    torch = next(m for m in modules(program, derivation) if m.backend == "torch")
    notes = {s.note for s in (*program.forward, *program.backward) if s.note}
    pieces = [p for part in torch.parts for p in part.pieces if p.equation]
    assert len({p.id for p in pieces if p.id}) == len(notes)
    assert all(p.anchor for p in pieces)
    by_id = {e.get("id"): e for e in root.iter() if e.get("id")}
    for equation in op.equations:
        back = [e.get("href", "") for e in by_id[f"eq-{equation.name}"].iter() if e.get("href")]
        wanted = any(p.anchor == f"eq-{equation.name}" for p in pieces)
        assert any(b.startswith("#torch-") for b in back) == wanted
        for b in back:
            leads = [e.get("href") for e in by_id[b[1:]].iter() if e.get("href")]
            assert leads == [f"#eq-{equation.name}"]


@pytest.mark.parametrize("op", UNSEEN[::4], ids=lambda op: op.name)
def test_so_is_that_of_an_op_that_nobody_has_seen(op: Op) -> None:
    check(page(op))


def test_what_a_user_writes_is_text() -> None:
    (op,) = derive.parse(AWKWARD)
    root = check(page(op))
    scripts = [e.text or "" for e in elements(root, f"{HTML}script")]
    assert len(scripts) == 1
    assert "alert" not in scripts[0]
    heading = elements(root, f"{HTML}h1")[0]
    assert "".join(heading.itertext()).startswith('A <b>bold</b> & "quoted" title </script>')


@pytest.mark.parametrize("name", SOME)
def test_formulas_are_well_formed(name: str) -> None:
    """Each as XML, known elements only, no error of the converter."""
    found = re.findall(r"<math.*?</math>", text_of(name), re.DOTALL)
    assert len(found) > 20
    known = set(_ELEMENTS.split())
    for formula in found:
        root = ET.fromstring(formula)
        assert {e.tag for e in root.iter()} <= known
        for e in root.iter():
            wanted = {"mfrac": 2, "msub": 2, "msup": 2, "msubsup": 3, "munder": 2, "mover": 2}
            assert len(e) == wanted.get(e.tag, len(e))


@pytest.mark.parametrize("name", SOME)
def test_it_tells_the_recorded_derivation(name: str) -> None:
    """A section for each gradient in order, a passage for each of the narrative's, every step."""
    root = parsed(text_of(name))
    sections = narrative(differentiate(load(name)))
    ids = [e.get("id", "") for e in elements(root, f"{HTML}section")]
    shown = [i.removeprefix("gradient-") for i in ids if i.startswith("gradient-")]
    assert shown == [s.component.tensor.name for s in sections]
    for section in sections:
        own = next(
            e
            for e in elements(root, f"{HTML}section")
            if e.get("id") == f"gradient-{section.component.tensor.name}"
        )
        passages = [e for e in own.iter() if "passage" in e.get("class", "").split()]
        assert len(passages) == len(section.passages)
        laws = {" ".join("".join(e.itertext()).split()) for e in elements(own, f"{HTML}td")}
        for passage in section.passages:
            for line in passage.lines:
                if line.law and "definition" not in line.law:
                    assert line.law in laws or len(passage.lines) < 3


def test_what_a_step_changed_is_marked() -> None:
    root = parsed(text_of("layer_norm"))
    marked = [e for e in elements(root, f"{MATHML}mrow") if e.get("class") == "new"]
    assert len(marked) > 30
    assert "color:" not in "".join(e.get("style", "") for e in root.iter())


@pytest.mark.parametrize("name", SOME)
def test_code_is_shown_and_carried_as_it_is_generated(name: str) -> None:
    op = load(name)
    root = parsed(text_of(name))
    carried = {
        e.get("download"): b64decode(e.get("href", "").partition(",")[2]).decode()
        for e in elements(root, f"{HTML}a")
        if e.get("download")
    }
    assert carried[f"{name}.op"] == op.text
    assert carried[f"{name}.tex"] == source(op, BACKENDS["latex"])
    for backend in ("torch", "triton"):
        assert carried[f"{name}_{backend}.py"] == source(op, BACKENDS[backend])
    shown = "".join("".join(e.itertext()) for e in elements(root, f"{HTML}pre"))
    for line in source(op, BACKENDS["torch"]).splitlines():
        assert line in shown


def test_a_page_is_quick_small_and_the_same_each_time() -> None:
    one = text_of("layer_norm")
    assert one == page(load("layer_norm"))
    assert len(one) < 1_000_000
    assert FONT.stat().st_size < 100_000


def test_the_font_has_the_signs_of_all_pages() -> None:
    """Those it was subset to; `derive/page/font/README.md` tells how."""
    text = (FONT.parent / "README.md").read_text("utf-8")
    allowed: set[int] = set()
    for part in re.findall(r"U\+([0-9A-F]+)(?:-([0-9A-F]+))?", text):
        allowed |= set(range(int(part[0], 16), int(part[1] or part[0], 16) + 1))
    for name in catalogue():
        found = re.findall(r"<math.*?</math>", text_of(name), re.DOTALL)
        signs = {c for f in found for c in "".join(ET.fromstring(f).itertext())}
        assert {ord(c) for c in signs if not c.isspace()} <= allowed, name


def test_the_index_leads_to_every_page() -> None:
    ops = [load(name) for name in SOME]
    root = parsed(index(ops))
    links = [e.get("href") for e in elements(root, f"{HTML}a") if e.get("href") != "#main"]
    assert links == [f"{name}.html" for name in SOME]


def test_several_pages_have_an_index_and_one_has_none(tmp_path: Path) -> None:
    one = pages([load("relu")])
    assert list(one) == ["relu.html"]
    several = pages([load("relu"), load("silu")])
    assert list(several) == ["relu.html", "silu.html", f"{INDEX}.html"]
    assert [p.name for p in write(several, tmp_path)] == list(several)
    assert write(several, tmp_path) == []


def test_what_derive_did_not_write_stays(tmp_path: Path) -> None:
    (tmp_path / "relu.html").write_text("<p>mine</p>")
    with pytest.raises(DeriveError, match="not made by derive"):
        write(pages([load("relu")]), tmp_path)
    assert (tmp_path / "relu.html").read_text() == "<p>mine</p>"
    (tmp_path / "relu.html").unlink()
    (tmp_path / "relu.html").symlink_to(tmp_path / "elsewhere.html")
    with pytest.raises(DeriveError, match="symbolic link"):
        write(pages([load("relu")]), tmp_path)


def test_the_checks_that_are_listed_are_those_of_the_command() -> None:
    from derive.verify import run

    assert [check.name for check in CHECKS] == [name for name, _ in run.CHECKS]
    for name in ("layer_norm", "matmul"):
        derivation = differentiate(load(name))
        shown = {check.name for check in checks(derivation)}
        assert (RELATIONS in shown) == any(i.reason for i in derivation.identities)


def test_what_verification_found_stands_beside_its_check() -> None:
    found = [Outcome("torch", CHECKS[0].name, True, 3e-16, 1e-10)]
    text = page(load("relu"), found)
    check(text)
    assert "ok: 3.0e-16 of 1.0e-10" in text
    assert "of 1.0e-10" not in text_of("relu")


def test_the_example_is_worked_out_in_the_order_of_the_formula() -> None:
    lines = {line.component.tensor.name: line for line in example_of("layer_norm").back}
    formula, worked = (
        r"\frac{\partial l}{\partial v_{p}} \frac{2 \mu_{p q}}{H}",
        r"\frac{0.001656 \cdot 2 \cdot 0.3}{3}+\frac{1 \cdot \left(-1.8\right)}{1.283} = -1.402",
    )
    assert lines["dmu"].equation is not None
    shown = equation_row(load("layer_norm"), lines["dmu"].equation).right
    assert shown.startswith(formula)
    assert lines["dmu"].worked.endswith(worked)


def test_what_is_held_against_differences_is_not_zero() -> None:
    """The first row of a table, which no label may have chosen, would prove nothing."""
    found = example_of("embedding")
    assert found.derived == found.differences
    assert float(found.derived) != 0
    assert found.component in found.back[-1].worked


@cache
def example_of(name: str) -> Example:
    found = example(differentiate(load(name)))
    assert found is not None
    return found


def test_a_theorem_tells_its_symmetry_and_its_proof_leaves_nothing_out() -> None:
    sections = elements(parsed(text_of("layer_norm")), f"{HTML}section")
    (part,) = (s for s in sections if s.get("id") == "theorems")
    text = " ".join("".join(part.itertext()).split())
    assert "Because for any cb, adding cb to xbh leaves ybh as it is." in text
    for law in ("insert the gradient", "multiply out", "definition of y (5)", "the terms cancel"):
        assert law in text


def test_equations_are_numbered_and_steps_name_the_number() -> None:
    root = parsed(text_of("layer_norm"))
    numbers = [e.text for e in root.iter() if e.get("class") == "number"]
    assert numbers == [f"({k})" for k in range(1, 13)]
    laws = {" ".join("".join(e.itertext()).split()) for e in elements(root, f"{HTML}td")}
    assert "definition of μ (2)" in {law.replace("𝜇", "μ") for law in laws}
