"""Models from particles under either name; words for particles given as averages, and the other way round."""

import numpy as np
import pytest

from vitreous.cli.handed_over import hand_over
from vitreous.jobs.tasks.abinitio import run_abinitio
from vitreous.jobs.tasks.initial import run_initial
from vitreous.particles import write_mrc_stack

HEAD = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnImagePixelSize #2\n_rlnImageSize #3\n1 6.0 16\n\n"


def images(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 16, 16)).astype(np.float32)


@pytest.fixture
def particles(tmp_path):
    """250 images of two micrographs."""
    write_mrc_stack(tmp_path / "p.mrcs", images(250), 6.0)
    rows = "".join(f"{i + 1:06d}@{tmp_path}/p.mrcs mic{i % 2}.mrc 1\n" for i in range(250))
    names = "data_particles\n\nloop_\n_rlnImageName #1\n_rlnMicrographName #2\n_rlnOpticsGroup #3\n"
    (tmp_path / "p.star").write_text(HEAD + names + rows)
    return tmp_path / "p.star"


@pytest.fixture
def averages(tmp_path):
    """Three classes, as RELION's table has them."""
    write_mrc_stack(tmp_path / "c.mrcs", np.abs(images(3)), 6.0)
    rows = "".join(f"{i + 1:06d}@{tmp_path}/c.mrcs 0.3\n" for i in range(3))
    (tmp_path / "c.star").write_text(
        "data_model_classes\n\nloop_\n_rlnReferenceImage #1\n_rlnClassDistribution #2\n" + rows
    )
    return tmp_path / "c.star"


@pytest.mark.parametrize("words", [["--method", "em"], ["--method=sgd"]])
def test_methods_of_particles_are_the_other_job(words):
    given, notes = hand_over(["initial", "p.star", "-o", "out", *words])
    assert given == ["abinitio", "p.star", "-o", "out", *words]
    assert "takes particles" in notes[0]


@pytest.mark.parametrize("words", [["--method", "gmm"], [], ["--method"]])
def test_all_else_is_left_alone(words):
    assert hand_over(["initial", "c.star", *words]) == (["initial", "c.star", *words], [])
    assert hand_over(["class2d", "--method", "em"]) == (["class2d", "--method", "em"], [])


def test_the_command_makes_the_folder_of_the_other_job(vitreous, particles, tmp_path):
    ended = vitreous("initial", particles, "-o", tmp_path / "o", "--method", "em", "--starts", 1, "--dry-run")
    assert ended.code == 0
    assert "expectation maximisation" in ended.out
    assert "the job is `vitreous abinitio`" in ended.err


def test_particles_for_averages(particles, tmp_path):
    with pytest.raises(ValueError, match=r"250 images, each of a micrograph: these are particles.*--method em"):
        run_initial(particles, tmp_path / "o")
    write_mrc_stack(tmp_path / "many.mrcs", images(1000), 6.0)
    with pytest.raises(ValueError, match="class averages are fewer than 1,000"):
        run_initial(tmp_path / "many.mrcs", tmp_path / "o")


def test_averages_for_particles(averages, tmp_path):
    with pytest.raises(ValueError, match=r"a table of 3 class averages, and particles are expected.*vitreous initial"):
        run_abinitio(averages, tmp_path / "o")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "deconvolved.star").write_text(averages.read_text())
    with pytest.raises(ValueError, match="the folder of deconvolved averages"):
        run_abinitio(tmp_path / "folder", tmp_path / "o")
