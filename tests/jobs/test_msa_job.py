"""The folder of a multivariate analysis: what other jobs take of it, and what is said of images without poses."""

import json

import numpy as np
import pytest

from vitreous import MSA, RunOptions, run_align, run_msa
from vitreous.averages.align import Align
from vitreous.jobs import select_particles
from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.results.msa import open_msa_folder
from vitreous.jobs.tasks.deconvolve import run_deconvolve
from vitreous.jobs.tasks.initial import run_initial
from vitreous.jobs.tasks.stability import run_stability
from vitreous.particles import Table, image_name, read_particles, read_star, write_mrc_stack, write_star
from vitreous.simulate import face_images, with_white_noise

BOX, COUNT = 24, 240


@pytest.fixture(scope="module")
def posed(tmp_path_factory):
    """Two faces, turned and shifted, with their poses, in a STAR file; the last three have no class."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(3)
    psi, origin = rng.uniform(-180, 180, COUNT), rng.normal(0, 1, (COUNT, 2))
    images = face_images(BOX, np.arange(COUNT) % 2, psi_deg=psi, origin_px=origin)
    write_mrc_stack(folder / "faces.mrcs", with_white_noise(images, 1.0, seed=3), 4.0)
    columns = {
        "rlnImageName": [image_name(i, "faces.mrcs") for i in range(COUNT)],
        "rlnAnglePsi": psi,
        "rlnOriginXAngst": 4.0 * origin[:, 0],
        "rlnOriginYAngst": 4.0 * origin[:, 1],
        "rlnClassNumber": np.where(np.arange(COUNT) < COUNT - 3, 1 + np.arange(COUNT) % 3, 0),
        "rlnOpticsGroup": np.ones(COUNT, int),
    }
    optics = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [4.0], "rlnImageSize": [BOX], "rlnOpticsGroupName": ["one"]}
    write_star(folder / "faces.star", {"optics": Table.from_arrays(optics), "particles": Table.from_arrays(columns)})
    return folder


@pytest.fixture(scope="module")
def done(posed):
    run_msa(posed / "faces.star", posed / "msa", MSA(factors=5))
    return posed / "msa"


def test_classes_and_coordinates_are_in_the_particle_file(done):
    found = read_particles(done / "run_data.star")
    number = found.table.numbers("rlnClassNumber").astype(int)
    assert (number[-3:] == 0).all()
    assert (found.table.numbers("vtrWeight")[-3:] == 0).all()
    assert set(number[:-3]) == {1, 2}
    truth = np.arange(COUNT - 3) % 2
    assert max((number[:-3] - 1 == truth).mean(), (number[:-3] - 1 != truth).mean()) > 0.99
    assert {"vtrFactor1", "vtrFactor2", "vtrKMeansClass", "vtrWardClass"} <= set(found.table.names)
    summary = json.loads((done / "job.json").read_text())["summary"]
    assert (summary["used_particles"], summary["classes"]) == (COUNT - 3, 2)
    assert "3 particles without a class are not used" in (done / "run.log").read_text()


def test_other_jobs_take_the_classes(done, tmp_path):
    dry = RunOptions(dry_run=True)
    for job in (run_deconvolve, run_stability, run_initial):
        assert job(done, tmp_path / "next", options=dry) is None
    chosen = select_particles(done, classes=[1])
    assert chosen.selected_count + chosen.excluded_count == COUNT
    assert len(read_star(chosen.class_averages)[""]) == 1
    run_deconvolve(done, tmp_path / "deconvolved")


def test_a_class_of_the_file_is_analysed_alone(posed, tmp_path):
    run_msa(posed / "faces.star", tmp_path / "one", MSA(factors=5, classes=2), of_class=2)
    assert len(read_particles(tmp_path / "one" / "run_data.star")) == COUNT // 3 - 1
    with pytest.raises(ValueError, match=r"no particle is in class 9 \(rlnClassNumber\); classes: 1, 2, 3"):
        run_msa(posed / "faces.star", tmp_path / "none", of_class=9)


def test_images_without_poses_are_used_as_they_stand_and_that_is_said(posed, tmp_path, capsys):
    run_msa(posed / "faces.mrcs", tmp_path / "o", MSA(factors=5, classes=2))
    words = "no poses (rlnAnglePsi, rlnOriginXAngst): images are used as they stand"
    assert words in capsys.readouterr().out
    assert words in (tmp_path / "o" / "report.html").read_text()


def test_noise_is_said_to_be_noise(tmp_path):
    images = np.random.default_rng(0).normal(size=(120, BOX, BOX)).astype(np.float32)
    write_mrc_stack(tmp_path / "noise.mrcs", images, 4.0)
    run_msa(tmp_path / "noise.mrcs", tmp_path / "o", MSA(factors=5))
    page = (tmp_path / "o" / "report.html").read_text()
    assert "nothing varies but noise" in page
    assert len(open_msa_folder(tmp_path / "o").averages) == 1
    assert json.loads((tmp_path / "o" / "job.json").read_text())["summary"]["found_signal"] is False


def test_masks_come_from_files(posed, tmp_path):
    write_mrc_stack(tmp_path / "nothing.mrcs", np.zeros((1, BOX, BOX), np.float32), 4.0)
    with pytest.raises(ValueError, match="mask: covers nothing"):
        run_msa(posed / "faces.star", tmp_path / "o", mask=tmp_path / "nothing.mrcs")
    assert not (tmp_path / "o").exists()
    upper = np.zeros((1, BOX, BOX), np.float32)
    upper[:, 6:12, 6:18] = 1
    write_mrc_stack(tmp_path / "eyes.mrcs", upper, 4.0)
    run_msa(posed / "faces.star", tmp_path / "o", MSA(factors=5, classes=2), mask=tmp_path / "eyes.mrcs")
    assert open_msa_folder(tmp_path / "o").kept["mask"].sum() == 72


def test_the_folder_of_an_alignment_is_taken_with_its_diameter(posed, tmp_path, capsys):
    run_align(
        posed / "faces.star", tmp_path / "aligned", Align(starts=1, iterations=2, folds=4, particle_diameter_A=70.0)
    )
    run_msa(tmp_path / "aligned", tmp_path / "o", MSA(factors=5), RunOptions(dry_run=True))
    assert "as in the classification: particle_diameter_A 70" in capsys.readouterr().out
    with pytest.raises(JobFolderError, match=r"has none of aligned.star, accounted.star, run_data.star"):
        run_msa(tmp_path, tmp_path / "o")
