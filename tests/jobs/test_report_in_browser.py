"""The page's script does what the page promises, in a real browser."""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest
from made_up import made_up_job

from vitreous.jobs import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

PROBE = """<script>
const found = {};
const command = () => document.getElementById("command").textContent.split("--classes ")[1];
const order = () => [...document.querySelectorAll(".card")].map((card) => card.dataset.class).join("");
const click = (selector) => document.querySelector(selector).click();
const slide = (id, value) => {
  const slider = document.getElementById(id);
  slider.value = value;
  slider.dispatchEvent(new Event("input"));
};
found.fromAddress = command();
click("[data-pick=none]"); found.none = [command(), document.getElementById("copy").disabled];
click("[data-pick=all]"); found.all = command();
click(".card[data-class='2'] input"); click("[data-pick=invert]"); found.invert = command();
slide("min-size", 10); found.bySize = command();
slide("min-size", 0); slide("max-resolution", 15); found.byResolution = command();
found.chosen = document.getElementById("chosen").textContent;
found.filled = [...document.querySelectorAll("circle.on")].map((c) => c.dataset.class);
found.bySizeOrder = order();
click("input[name=sort][value=resolution]"); found.byResolutionOrder = order();
click("[data-open='3']"); found.opened = document.getElementById("detail-title").textContent;
found.picture = document.querySelector("dialog img").src.startsWith("data:image/png");
click("[data-step='1']"); found.next = document.getElementById("detail-title").textContent;
click("[data-close]"); found.closed = !document.getElementById("detail").open;
found.address = location.hash;
const out = document.createElement("pre");
out.id = "probe";
out.textContent = JSON.stringify(found);
document.body.append(out);
</script></body>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")
def test_selection_sorting_and_details(tmp_path):
    report = write_report(made_up_job(tmp_path))
    page = report.with_name("probe.html")
    page.write_text(report.read_text(encoding="utf-8").replace("</body>", PROBE), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    options += ["--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run(
        [str(BROWSER), *options, f"{page.as_uri()}#select=1,4"], capture_output=True, text=True, timeout=60, check=True
    )
    match = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert match, done.stderr[-500:]
    assert json.loads(unescape(match.group(1))) == {
        "fromAddress": "1,4",
        "none": ["…", True],
        "all": "1,2,3,4,5",
        "invert": "2",
        "bySize": "1,2",
        "byResolution": "2",
        "chosen": "1 of 5 classes, 14 particles (24.1 %)",
        "filled": ["2"],
        "bySizeOrder": "12345",
        "byResolutionOrder": "21345",
        "opened": "Class 3",
        "picture": True,
        "next": "Class 4",
        "closed": True,
        "address": "#select=2",
    }
