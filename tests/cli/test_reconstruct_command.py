"""``vitreous reconstruct``: folder, files, report, resume, and what it says about bad images and poses."""

import json

import numpy as np
import pytest
import torch

from vitreous.iterate import Interrupted
from vitreous.jobs import JobFolderError, job_status, read_manifest
from vitreous.jobs.options import RunOptions
from vitreous.jobs.posed_images import POSE_COLUMNS
from vitreous.jobs.results.known_poses import read_known_poses
from vitreous.jobs.results.reconstruct import read_reconstruction
from vitreous.jobs.tasks.initial import run_initial
from vitreous.jobs.tasks.reconstruct import run_reconstruct
from vitreous.mixtures import InitialModel, KnownPoses, Mixture, evaluate, project, read_pseudo_atoms
from vitreous.particles import open_stack, read_particles, read_volume, write_mrc_stack
from vitreous.quality import resolution_at
from vitreous.rotations import matrix_to_euler, random_rotations
from vitreous.volumes.reconstruction import ART, Gridding, LeastSquares, WeightedBackProjection

BOX, PIXEL = 20, 6.0
QUICK = KnownPoses(components=30, box_px=16, counts=500, burn_in_steps=20, samples=6, steps_between=4)
WORDS = [
    *("--K", 30, "--box-px", 16, "--counts", 500),
    *("--burn-in-steps", 20, "--samples", 6, "--steps-between", 4),
]
ORIGINS = np.random.default_rng(5).uniform(-8, 8, (10, 2))


def blobs() -> Mixture:
    rng = np.random.default_rng(3)
    return Mixture(means_A=rng.normal(size=(8, 3)) * 14, weights=np.full(8, 1 / 8), precision_per_A2=8.0**-2)


def write_images(folder, images, rotations, origins_A=None, name="images"):
    """A stack and the STAR file with its poses."""
    write_mrc_stack(folder / f"{name}.mrcs", images.astype(np.float32), PIXEL)
    angles = matrix_to_euler(torch.from_numpy(rotations)).numpy()
    columns = {column: angles[:, i] for i, column in enumerate(POSE_COLUMNS)}
    if origins_A is not None:
        columns |= {"rlnOriginXAngst": origins_A[:, 0], "rlnOriginYAngst": origins_A[:, 1]}
    read_particles(folder / f"{name}.mrcs").with_columns(**columns).write(folder / f"{name}.star")
    return folder / f"{name}.star"


@pytest.fixture(scope="module")
def posed(tmp_path_factory):
    """Ten projections of eight blobs with their poses and origins."""
    g = random_rotations(10, seed=1).numpy()
    images = project(blobs(), g, BOX, PIXEL, offsets_A=-ORIGINS)
    return write_images(tmp_path_factory.mktemp("images"), images, g, ORIGINS)


@pytest.fixture(scope="module")
def folder(posed, tmp_path_factory):
    path = tmp_path_factory.mktemp("reconstruct") / "out"
    run_reconstruct(posed, path, QUICK)
    return path


def history(path) -> list[dict]:
    file = path / "history.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def test_map_is_that_of_the_poses_and_files_agree_with_each_other(posed, folder):
    assert job_status(folder) == "finished"
    found, particles = read_known_poses(folder), read_particles(folder / "reconstruction_data.star")
    truth = evaluate(blobs(), BOX, PIXEL)
    mean = found.mean.data
    assert (mean * truth).sum() / np.sqrt((mean**2).sum() * (truth**2).sum()) > 0.93
    assert np.array_equal(particles.read(slice(None)), read_particles(posed).read(slice(None)))
    assert np.allclose(particles.origin_A, ORIGINS, atol=1e-4)
    assert list(particles.table.text("vtrSourceImage")) == list(read_particles(posed).table.text("rlnImageName"))
    mixture = read_pseudo_atoms(folder / "reconstruction.cif")
    again = project(mixture, found.rotations, BOX, PIXEL, offsets_A=-particles.origin_A)
    assert np.abs(again - found.projections).max() < 2e-3 * found.projections.max()
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(found.images, again, strict=True)]
    assert found.correlation == pytest.approx(expected, abs=2e-3)
    assert found.variance.data.max() > 0


def test_report_has_everything(folder):
    page = (folder / "report.html").read_text()
    wanted = ("10 images with known poses", "Posterior mean", "Log posterior", "unseen cone", "Viewing directions")
    assert [words for words in wanted if words not in page] == []
    assert page.count("data:image/png") == 6 + 2 * 10
    assert page.count("<canvas") == 1
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


def test_command_report_and_dry_run(vitreous, posed, folder, tmp_path):
    out = tmp_path / "o"
    ended = vitreous("reconstruct", posed, "-o", out, "--method", "gmm", "--threads", 1, "--json", *WORDS)
    assert ended.code == 0, ended.err
    assert [event["event"] for event in ended.events][-1] == "end"
    for name in ("reconstruction.mrc", "reconstruction_variance.mrc"):  # whatever the number of threads
        assert np.array_equal(read_volume(out / name).data, read_volume(folder / name).data)
    assert [entry["iteration"] for entry in history(out)] == list(range(1, 12))
    (out / "report.html").unlink()
    assert vitreous("report", out).code == 0
    assert (out / "report.html").is_file()
    dry = vitreous("reconstruct", posed, "-o", tmp_path / "dry", "--method", "gmm", "--dry-run", "--json")
    assert (dry.code, (tmp_path / "dry").exists()) == (0, False)
    assert dry.events[-1]["settings"] == {"method": "gmm", **vars(KnownPoses())}
    assert vitreous("reconstruct", posed, "-o", out, "--method", "sirt").code == 2


@pytest.mark.parametrize("steps", [2, 8])
def test_interrupted_and_resumed_it_ends_alike(posed, folder, tmp_path, monkeypatch, steps):
    with monkeypatch.context() as patch:
        patch.setattr("vitreous.jobs.folder.Job.abort_requested", lambda job: len(history(job.path)) == steps)
        with pytest.raises(Interrupted):
            run_reconstruct(posed, tmp_path / "o", QUICK)
    assert job_status(tmp_path / "o") == "aborted"
    with pytest.raises(JobFolderError, match="counts"):
        run_reconstruct(posed, tmp_path / "o", KnownPoses(), RunOptions(resume=True))
    run_reconstruct(posed, tmp_path / "o", QUICK, RunOptions(resume=True, threads=1))
    assert [entry["iteration"] for entry in history(tmp_path / "o")] == list(range(1, 12))
    for name in ("reconstruction.mrc", "reconstruction_variance.mrc"):
        assert np.array_equal(read_volume(tmp_path / "o" / name).data, read_volume(folder / name).data)


def test_folder_of_an_initial_model_is_taken(posed, tmp_path):
    quick = InitialModel(
        restarts=1, components=12, box_px=16, counts=100, rounds=2, rounds_annealed=1, global_rotations=40,
        fine_components=20, fine_box_px=16, fine_counts=200, burn_in_steps=2, samples=2, steps_between=1,
    )  # fmt: skip
    run_initial(posed, tmp_path / "initial", quick)
    run_reconstruct(tmp_path / "initial", tmp_path / "o", QUICK)
    expected = read_particles(tmp_path / "initial" / "initial_data.star").origin_A
    assert np.allclose(read_particles(tmp_path / "o" / "reconstruction_data.star").origin_A, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v - v.mean(), ("average 1", "negative", "deconvolve --single")),
        (lambda v: np.where(v == v.max(), np.nan, v), ("NaN",)),
        (lambda v: v[:1], ("one direction of view",)),
        (lambda v: 0 * v, ("zero everywhere",)),
    ],
)
def test_bad_images_are_explained(vitreous, tmp_path, change, words):
    g = random_rotations(4, seed=1).numpy()
    images = change(project(blobs(), g, BOX, PIXEL))
    star = write_images(tmp_path, images, g[: len(images)])
    ended = vitreous("reconstruct", star, "-o", tmp_path / "o", "--method", "gmm")
    assert ended.code == 1
    assert [word for word in ("images.star", *words) if word not in ended.err] == []
    assert not (tmp_path / "o").exists()


def test_missing_and_broken_poses_are_explained(vitreous, posed, classified, tmp_path):
    stack = posed.with_suffix(".mrcs")
    none = vitreous("reconstruct", stack, "-o", tmp_path / "o")
    assert (none.code, "no column rlnAngleRot, rlnAngleTilt, rlnAnglePsi;" in none.err) == (1, True)
    flat = vitreous("reconstruct", classified / "run_data.star", "-o", tmp_path / "o")
    assert (flat.code, "no column rlnAngleRot, rlnAngleTilt;" in flat.err) == (1, True)
    tilt = read_particles(posed).table.numbers("rlnAngleTilt")
    tilt[6] = np.nan
    read_particles(posed).with_columns(rlnAngleTilt=tilt).write(tmp_path / "broken.star")
    broken = vitreous("reconstruct", tmp_path / "broken.star", "-o", tmp_path / "o", "--method", "gmm")
    assert (broken.code, "1 pose(s) are no numbers" in broken.err, "nan" in broken.err) == (1, True, True)
    folder = vitreous("reconstruct", classified, "-o", tmp_path / "o")
    assert (folder.code, "`abinitio` or `initial`" in folder.err) == (1, True)
    assert not (tmp_path / "o").exists()


def test_notes_on_what_a_user_should_know(posed, tmp_path):
    images = open_stack(posed.with_suffix(".mrcs")).read(np.arange(4))
    g = random_rotations(1, seed=3).numpy().repeat(4, axis=0)
    star = write_images(tmp_path, np.concatenate([images[:3], 0 * images[3:]]), g)
    run_reconstruct(star, tmp_path / "o", KnownPoses(**{**vars(QUICK), "samples": 1}))
    notes = " ".join(read_manifest(tmp_path / "o").messages)
    for words in ("no origins", "left out: image 4", "do not determine the structure"):
        assert words in notes
    assert "do not determine the structure" in (tmp_path / "o" / "report.html").read_text()


FOURIER = [Gridding(normalise=False), WeightedBackProjection(), ART(sweeps=1), LeastSquares(iterations=1)]


@pytest.fixture(scope="module")
def sixty(tmp_path_factory):
    """Sixty projections with noise, their poses and origins; the pose of the third is no number, the fifth is NaN."""
    rng, g = np.random.default_rng(7), random_rotations(60, seed=2).numpy()
    origins = rng.uniform(-8, 8, (60, 2))
    images = project(blobs(), g, BOX, PIXEL, offsets_A=-origins)
    images = images + 0.1 * images.std() * rng.normal(size=images.shape)
    images[4, 0, 0] = np.nan
    star = write_images(tmp_path_factory.mktemp("sixty"), images, g, origins)
    rot = read_particles(star).table.numbers("rlnAngleRot")
    rot[2] = np.nan
    read_particles(star).with_columns(rlnAngleRot=rot).write(star)
    return star


@pytest.mark.parametrize("settings", FOURIER, ids=lambda s: type(s).__name__)
def test_maps_and_halves_of_the_fourier_methods(sixty, tmp_path, settings):
    out = tmp_path / "o"
    run_reconstruct(sixty, out, settings)
    found, truth = read_reconstruction(out), evaluate(blobs(), BOX, PIXEL)
    for volume in (found.full.data, *(half.data for half in found.halves)):
        a, b = volume - volume.mean(), truth - truth.mean()
        assert (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()) > 0.8
    assert len(found.rotations) == 58  # less a pose and an image
    halves = read_particles(out / "reconstruction_data.star").table.numbers("rlnRandomSubset")
    assert sorted(set(halves)) == [1, 2]
    manifest = read_manifest(out)
    notes = " ".join(manifest.messages)
    for words in ("no weight: particle 3", "image 5", "no CTF is corrected", "rlnDefocusU", "half-sets by chance"):
        assert words in notes
    crossing = float(resolution_at(torch.from_numpy(found.fsc), 0.143, BOX, PIXEL))
    assert manifest.summary["fsc_0.143_A"] == pytest.approx(crossing, abs=0.01)
    page = (out / "report.html").read_text()
    for words in ("58 images with known poses", "Fourier shell correlation", "Viewing directions", "Half map 1"):
        assert words in page


def test_gridding_is_the_default_and_resumes_to_the_same_bits(vitreous, sixty, tmp_path, monkeypatch):
    monkeypatch.setattr("vitreous.volumes.reconstruction.algorithm.CHUNK", 16)
    assert vitreous("reconstruct", sixty, "-o", tmp_path / "whole").code == 0
    assert read_manifest(tmp_path / "whole").settings["method"] == "gridding"
    with monkeypatch.context() as patch:
        patch.setattr("vitreous.jobs.folder.Job.abort_requested", lambda job: len(history(job.path)) == 2)
        with pytest.raises(Interrupted):
            run_reconstruct(sixty, tmp_path / "o", Gridding())
    run_reconstruct(sixty, tmp_path / "o", Gridding(), RunOptions(resume=True, threads=2))
    assert len(history(tmp_path / "o")) == 4
    for name in ("reconstruction.mrc", "reconstruction_half1_unfil.mrc"):
        assert np.array_equal(read_volume(tmp_path / "o" / name).data, read_volume(tmp_path / "whole" / name).data)


def test_a_group_that_the_particles_do_not_have_is_said(sixty, tmp_path):
    run_reconstruct(sixty, tmp_path / "o", Gridding(symmetry="C4"))
    found = read_manifest(tmp_path / "o")
    assert any("Not the symmetry C4" in message for message in found.messages)
    assert found.summary["symmetry_agreement"] < 0.5


def test_half_sets_of_the_file_are_kept_or_refused(vitreous, sixty, tmp_path):
    particles = read_particles(sixty)
    given = np.repeat([1, 2], 30)
    particles.with_columns(rlnRandomSubset=given).write(sixty.with_name("given.star"))
    run_reconstruct(sixty.with_name("given.star"), tmp_path / "o")
    left = np.delete(given, [2, 4])
    assert np.array_equal(
        read_particles(tmp_path / "o" / "reconstruction_data.star").table.numbers("rlnRandomSubset"), left
    )
    particles.with_columns(rlnRandomSubset=given + 1).write(sixty.with_name("wrong.star"))
    ended = vitreous("reconstruct", sixty.with_name("wrong.star"), "-o", tmp_path / "w")
    assert (ended.code, "rlnRandomSubset is 3; expected 1 or 2" in ended.err) == (1, True)
    one = read_particles(sixty).subset(np.repeat([0], 4))
    one = one.with_columns(rlnAnglePsi=np.arange(4.0))  # once in every pose, or it would count as repeated
    one.write(sixty.with_name("one.star"))
    run_reconstruct(sixty.with_name("one.star"), tmp_path / "one")
    assert "do not determine the structure" in " ".join(read_manifest(tmp_path / "one").messages)
    unknown = vitreous("reconstruct", sixty, "-o", tmp_path / "u", "--symmetry", "X3")
    assert (unknown.code != 0, "symmetry" in unknown.err) == (True, True)
