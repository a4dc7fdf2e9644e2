"""Pages as a browser shows them: nothing overflows, brackets stretch, the graph turns round.

A page is put in a frame of some width, measured by a script, and what that found is read back, so
nothing but a Chromium is needed. Without one these tests are skipped; `DERIVE_CHROMIUM` names one,
`DERIVE_AXE` the file axe.min.js of axe-core.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from base64 import b64encode
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from derive.catalogue import load
from derive.page.write import index, printed

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = os.environ.get("DERIVE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
AXE = Path(os.environ.get("DERIVE_AXE", "node_modules/axe-core/axe.min.js"))

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: set DERIVE_CHROMIUM"),
    pytest.mark.slow,
]

MEASURE = """
const all = (d, what) => [...d.querySelectorAll(what)];
const frame = document.querySelector("iframe"), found = {};
frame.addEventListener("load", async () => {
  const d = frame.contentDocument, w = frame.contentWindow;
  await d.fonts.ready;
  found.fonts = [...d.fonts].map((f) => f.family + " " + f.status);
  all(d, "details").forEach((one) => { one.open = true; });
  await new Promise((done) => setTimeout(done, 300));
  found.width = d.documentElement.scrollWidth;
  const heights = all(d, "mo").filter((o) => o.textContent === "(").map((o) => o.offsetHeight
    || o.getBoundingClientRect().height);
  found.brackets = [Math.min(...heights), Math.max(...heights)];
  const back = d.querySelector("#way-back");
  const seen = (what) => w.getComputedStyle(d.querySelector(what)).display !== "none";
  found.before = [seen(".way-forward"), seen(".way-back")];
  back.checked = true;
  found.after = [seen(".way-forward"), seen(".way-back")];
  if (w.axe) {
    const told = await w.axe.run(d, { resultTypes: ["violations"] });
    found.axe = told.violations.map((v) => v.id + ": " + v.nodes[0].html);
  }
  document.body.innerHTML = "<pre id='found'></pre>";
  document.querySelector("#found").textContent = JSON.stringify(found);
});
frame.srcdoc = new TextDecoder().decode(Uint8Array.from(atob(PAGE), (c) => c.charCodeAt(0)));
"""


def measured(text: str, width: int, folder: Path) -> dict[str, Any]:
    """What the script finds in a page of that width."""
    if AXE.is_file():
        axe = AXE.read_text("utf-8").replace("</script", "<\\/script")
        text = text.replace("</body>", f"<script>{axe}</script></body>")
    script = MEASURE.replace("PAGE", json.dumps(b64encode(text.encode()).decode()))
    around = folder / "around.html"
    frame = f"<iframe style='border:0' width={width} height=800></iframe>"
    around.write_text(f"<!DOCTYPE html><body>{frame}<script>{script}</script>", "utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1500,900",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000",
        "--dump-dom", around.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    answer = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert answer, done.stderr[-2000:]
    return json.loads(unescape(answer[1]))


@cache
def text_of(name: str) -> str:
    return printed(load(name))


@pytest.mark.parametrize("width", [360, 800, 1400])
@pytest.mark.parametrize("name", ["layer_norm", "huber", "causal_attention", "linear_solve"])
def test_nothing_overflows_brackets_stretch_and_the_graph_turns(
    name: str, width: int, tmp_path: Path
) -> None:
    found = measured(text_of(name), width, tmp_path)
    assert found["width"] <= width
    assert [font.replace('"', "") for font in found["fonts"]] == ["STIX Two Math loaded"]
    least, most = found["brackets"]
    assert most > 1.8 * least > 0
    assert found["before"] == [True, False]
    assert found["after"] == [False, True]
    assert found.get("axe", []) == []


def test_the_index_can_be_searched(tmp_path: Path) -> None:
    script = """
<script>
const box = document.querySelector("#words");
box.value = "matrix inverse";
box.dispatchEvent(new Event("input"));
document.title = [...document.querySelectorAll(".index li")].filter((li) => !li.hidden)
  .map((li) => li.querySelector("a").getAttribute("href")).join(" ");
</script>
"""
    text = index([load(n) for n in ("inverse", "relu", "matmul")])
    file = tmp_path / "index.html"
    file.write_text(text.replace("</body>", f"{script}</body>"), "utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "<title>inverse.html</title>" in done.stdout
