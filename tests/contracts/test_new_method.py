"""The page "How to add a method" is code: its method finds classes, keeps the contract, and is a command."""

import re
import sys
import types
from pathlib import Path

import cyclopts
import numpy as np
import pytest
import torch

from vitreous.cli.commands import command_of
from vitreous.iterate import run, state_from_arrays, state_to_arrays
from vitreous.jobs import job_status
from vitreous.jobs.function import function_of
from vitreous.jobs.tasks.table import TASKS, Entry
from vitreous.matching import ImagePreparation, prepare_particles
from vitreous.particles import Table, image_name, open_stack, read_star, write_mrc_stack, write_star
from vitreous.testing import Blobs

PAGE = Path(__file__).parents[2] / "docs" / "adding_a_method.md"
BOX, PIXEL_A, N = 32, 5.0, 240
SHAPES = [Blobs.random(200 + k, count=7, reach_px=8.5, width_px=1.5) for k in range(3)]


@pytest.fixture(scope="module")
def page():
    """The Python of the page as a module."""
    module = types.ModuleType("kmeans_of_the_page")
    sys.modules[module.__name__] = module  # dataclasses look for their module there
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    yield module
    del sys.modules[module.__name__]


@pytest.fixture(scope="module")
def star(tmp_path_factory):
    """240 particles of three shapes at SNR 0.5."""
    folder, rng = tmp_path_factory.mktemp("particles"), np.random.default_rng(4)
    clean = np.stack([SHAPES[i % 3].image(BOX, 360 * rng.random(), tuple(rng.normal(size=2))) for i in range(N)])
    images = clean + np.sqrt(clean.var() / 0.5) * rng.normal(size=clean.shape)
    write_mrc_stack(folder / "p.mrcs", images.astype(np.float32), PIXEL_A)
    columns = {"rlnImageName": [image_name(i, "p.mrcs") for i in range(N)], "rlnOpticsGroup": [1] * N}
    optics = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [PIXEL_A], "rlnImageSize": [BOX]}
    write_star(folder / "p.star", {"optics": Table.from_arrays(optics), "particles": Table.from_arrays(columns)})
    return folder / "p.star"


@pytest.fixture
def kmeans(page, monkeypatch):
    monkeypatch.setitem(TASKS, "kmeans", Entry(module=page.__name__, help="K-means with alignment."))
    return page


def test_its_command_finds_the_shapes(kmeans, star, tmp_path):
    app = cyclopts.App(result_action="return_value")
    app.command(command_of(kmeans.TASK), name="kmeans")
    words = ["kmeans", str(star), "-o", str(tmp_path / "o"), "--classes", "3", "--offset-range-A", "12", "--seed", "1"]
    app([*words, "--dry-run"], exit_on_error=False, print_error=False)
    assert not (tmp_path / "o").exists()
    app(words, exit_on_error=False, print_error=False)
    assert job_status(tmp_path / "o") == "finished"
    label = read_star(tmp_path / "o" / "kmeans.star")["particles"]["rlnClassNumber"].astype(int)
    shares = [np.bincount(label[k::3], minlength=4).max() / (N / 3) for k in range(3)]
    assert min(shares) > 0.9
    assert len({int(np.bincount(label[k::3]).argmax()) for k in range(3)}) == 3
    averages = open_stack(tmp_path / "o" / "kmeans.mrcs")
    assert len(averages) == 3
    assert "240 particles in 3 classes" in (tmp_path / "o" / "report.html").read_text()


def test_its_function_and_its_refusals(kmeans, star, tmp_path):
    with pytest.raises(ValueError, match="rings: expected at least 1"):
        kmeans.KMeans(rings=0)
    report = function_of(kmeans.TASK)(star, tmp_path / "f", kmeans.KMeans(classes=2, passes=2))
    assert report == tmp_path / "f" / "report.html"


def test_it_keeps_the_contract(page, star):
    from vitreous.particles import read_particles

    particles, settings = read_particles(star), page.KMeans(classes=3, offset_range_A=12.0, passes=4)

    def algorithm():
        preparation = ImagePreparation.for_box(BOX, PIXEL_A)
        data = prepare_particles(particles.read, N, preparation, rings=10, ctf=None)
        return page.kmeans_algorithm(lambda: data, settings)

    states: list = []
    with torch.no_grad():
        whole, _ = run(algorithm(), seed=1, save=states.append)
        kept = state_from_arrays(page.KMeansState, state_to_arrays(states[2]))
        resumed, _ = run(algorithm(), seed=7, state=kept)
    np.testing.assert_array_equal(whole.reference, resumed.reference)
    np.testing.assert_array_equal(whole.origin_A, resumed.origin_A)
