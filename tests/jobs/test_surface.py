"""The surface on a page: what the script gets, and that it makes closed surfaces, in a real browser."""

import base64
import re
import shutil
import subprocess

import numpy as np
import pytest

from vitreous.jobs.report.page import Columns, Page, Section
from vitreous.jobs.report.surface import content_reach, surface
from vitreous.jobs.report.writer import write_page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def ball(n: int, radius: float, hole: float = 0.0) -> np.ndarray:
    """A ball, or a shell with a hollow, of soft edges."""
    axis = np.arange(n) - n // 2
    r = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 + 0.0)
    outer = 1 / (1 + np.exp(2 * (r - radius)))
    return outer - 1 / (1 + np.exp(2 * (r - hole))) if hole else outer


def test_the_script_gets_the_density():
    density = ball(31, 6.0)
    data = surface(density, 2.0, title="a ball").data
    values = np.frombuffer(base64.b64decode(data["values"]), "<u2").reshape((data["size"],) * 3)
    reach = content_reach(density)
    assert data["size"] == 2 * reach + 1 + 4
    assert data["pixel_A"] == 2.0
    inner = slice(15 - reach, 15 + reach + 1)
    assert np.abs(values[2:-2, 2:-2, 2:-2] / 65535 - density[inner, inner, inner] / density.max()).max() < 1e-4
    assert values[0].max() == values[-1].max() == 0


def test_large_maps_become_small():
    data = surface(ball(140, 50.0), 1.0, title="a large ball").data
    assert data["size"] <= 60
    assert data["pixel_A"] == 2.0


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")
def test_surfaces_are_closed(tmp_path):
    left, right = surface(ball(28, 8.3), 2.0, title="ball"), surface(ball(40, 14.2, 7.1), 2.0, title="shell")
    section = Section(name="surfaces", title="Surfaces", panels=(Columns(left=(left,), right=(right,)),))
    page = write_page(tmp_path, Page(kind="test", headline="Two surfaces.", sections=(section,)))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    options += ["--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run(
        [str(BROWSER), *options, page.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    found = re.findall(r'data-vertices="(\d+)" data-triangles="(\d+)"', done.stdout)
    # Euler: V - E + F = 2 per closed surface without handles, and E = 3 F / 2; the shell has two surfaces.
    assert [int(v) - int(t) // 2 for v, t in found] == [2, 4]
    assert all(int(t) > 500 for _, t in found)
