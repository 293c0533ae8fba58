"""``vitreous initial``: folder, files, report, resume, and what it says about bad averages."""

import json

import numpy as np
import pytest
import torch

from vitreous.iterate import Interrupted
from vitreous.jobs import JobFolderError, job_status, read_manifest
from vitreous.jobs.initial_folder import other_hand, read_initial
from vitreous.jobs.run_initial import _all_along_one_axis, run_initial
from vitreous.jobs.run_options import RunOptions
from vitreous.mixtures import GaussianInitialModel, InitialModel, Mixture, evaluate, mirror, project, read_pseudo_atoms
from vitreous.particles import Volume, open_stack, read_particles, read_volume, write_mrc_stack
from vitreous.rotations import euler_to_matrix, random_rotations

PIXEL = 6.0
QUICK = InitialModel(
    restarts=2, components=20, box_px=16, counts=200, rounds=3, rounds_annealed=2, global_rotations=60,
    fine_components=30, fine_box_px=16, fine_counts=400, burn_in_steps=4, samples=8, steps_between=2,
)  # fmt: skip
QUICK_GAUSSIAN = GaussianInitialModel(
    restarts=2, components=12, box_px=16, rounds=2, rounds_annealed=2, global_rotations=40, mixture_steps=2,
    pose_steps=1, fine_components=16, fine_box_px=16, burn_in_steps=2, samples=2, steps_between=1,
)  # fmt: skip


def words_of(settings: InitialModel | GaussianInitialModel) -> list:
    """What is not the default, as options."""
    changed = {name: value for name, value in vars(settings).items() if value != getattr(type(settings), name)}
    return [word for name, value in changed.items() for word in (f"--{name.replace('_', '-')}", value)]


WORDS, WORDS_GAUSSIAN = words_of(QUICK), words_of(QUICK_GAUSSIAN)


def blobs() -> Mixture:
    rng = np.random.default_rng(3)
    return Mixture(means_A=rng.normal(size=(8, 3)) * 18, weights=np.full(8, 1 / 8), precision_per_A2=8.0**-2)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Seven projections of eight blobs, and an empty image."""
    path = tmp_path_factory.mktemp("averages") / "averages.mrcs"
    images = project(blobs(), random_rotations(7, seed=1).numpy(), 20, PIXEL)
    write_mrc_stack(path, np.concatenate([images, np.zeros((1, 20, 20), np.float32)]), PIXEL)
    return path


@pytest.fixture(scope="module")
def folder(stack, tmp_path_factory):
    path = tmp_path_factory.mktemp("initial") / "out"
    run_initial(stack, path, QUICK)
    return path


def test_files_agree_with_each_other(stack, folder):
    assert job_status(folder) == "finished"
    found = read_initial(folder)
    particles = read_particles(folder / "initial_data.star")
    assert np.array_equal(particles.read(slice(None)), open_stack(stack).read(np.arange(7)))
    assert list(particles.table.text("vtrSourceImage")) == [f"{i:06d}@{stack}" for i in range(1, 8)]
    mixture = read_pseudo_atoms(folder / "initial.cif")
    again = project(mixture, found.rotations, 20, PIXEL, offsets_A=-particles.origin_A)
    assert np.abs(again - found.projections).max() < 2e-3 * found.projections.max()
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(found.averages, again, strict=True)]
    assert found.correlation == pytest.approx(expected, abs=2e-3)
    assert found.variance.data.max() > 0
    assert len(found.restarts) == 2
    assert found.restarts.numbers("vtrRefined").sum() == 1


def test_convergence_of_the_refinement_is_reported(folder):
    summary, page = read_manifest(folder).summary, (folder / "report.html").read_text()
    assert {"convergence", "effective_samples_log_posterior", "r_hat_component_size"} <= set(summary)
    assert summary["effective_samples_component_size"] <= 8 * np.log10(8) + 0.1
    for words in ("Samples of the refinement", "effective samples", f"of the refinement; {summary['convergence']}"):
        assert words in page


def test_other_hand_gives_the_same_images_in_mirrored_poses(folder):
    mean, mirrored = (read_volume(folder / name) for name in ("initial.mrc", "initial_other_hand.mrc"))
    assert np.array_equal(other_hand(mean).data, mirrored.data)
    for box in (20, 21):
        density = Volume(data=evaluate(blobs(), box, PIXEL), pixel_size_A=PIXEL)
        inner = (slice(1, None),) * 3
        assert np.allclose(other_hand(density).data[inner], evaluate(mirror(blobs()), box, PIXEL)[inner], atol=1e-12)


def test_report_says_what_must_be_known(folder):
    page = (folder / "report.html").read_text()
    assert "hand is not determined" in page
    assert "restarts" in page
    assert page.count("data:image/png") == 6 + 2 * 7
    assert "average 8" in " ".join(read_manifest(folder).messages)
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


def test_command_report_and_dry_run(vitreous, stack, folder, tmp_path):
    ended = vitreous("initial", stack, "-o", tmp_path / "o", "--method", "gmm", "--threads", 1, "--json", *WORDS)
    assert ended.code == 0, ended.err
    assert [event["event"] for event in ended.events][-1] == "end"
    one, two = (read_volume(path / "initial.mrc").data for path in (tmp_path / "o", folder))
    assert np.array_equal(one, two)  # whatever the number of threads
    (tmp_path / "o" / "report.html").unlink()
    assert vitreous("report", tmp_path / "o").code == 0
    assert (tmp_path / "o" / "report.html").is_file()
    dry = vitreous("initial", stack, "-o", tmp_path / "dry", "--dry-run")
    assert (dry.code, (tmp_path / "dry").exists(), "7 averages" in dry.out) == (0, False, True)


def test_interrupted_and_resumed_it_ends_alike(stack, folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("vitreous.jobs.folder.Job.abort_requested", lambda job: len(history(job.path)) == 5)
        with pytest.raises(Interrupted):
            run_initial(stack, tmp_path / "o", QUICK)
    assert job_status(tmp_path / "o") == "aborted"
    run_initial(stack, tmp_path / "o", QUICK, RunOptions(resume=True))
    assert [entry["iteration"] for entry in history(tmp_path / "o")] == list(range(1, 14))
    for name in ("initial.mrc", "initial_variance.mrc"):
        assert np.array_equal(read_volume(tmp_path / "o" / name).data, read_volume(folder / name).data)


def test_two_conformations_have_maps_and_labels(vitreous, stack, tmp_path):
    words = ("--conformations", 2, "--label-rounds", 2, "--label-counts", 400)
    ended = vitreous("initial", stack, "-o", tmp_path / "o", "--threads", 1, *words, *WORDS)
    assert ended.code == 0, ended.err
    found, manifest = read_initial(tmp_path / "o"), read_manifest(tmp_path / "o")
    assert not (tmp_path / "o" / "initial.mrc").exists()
    particles = read_particles(tmp_path / "o" / "initial_data.star")
    labels = particles.table.numbers("rlnClassNumber").astype(int)
    assert [one.averages for one in found.conformations] == np.bincount(labels, minlength=3)[1:].tolist()
    assert ((labels == 1) | (labels == 2)).all()
    assert (particles.table.numbers("vtrClassProbability") >= 0.5).all()
    for number, one in enumerate(found.conformations, start=1):
        stem = f"initial_conformation{number}"
        assert np.array_equal(read_volume(tmp_path / "o" / f"{stem}.mrc").data, one.mean.data)
        mixture, rows = read_pseudo_atoms(tmp_path / "o" / f"{stem}.cif"), labels == number
        again = project(mixture, found.rotations[rows], 20, PIXEL, offsets_A=-particles.origin_A[rows])
        assert np.abs(again - found.projections[rows]).max(initial=0.0) < 2e-3 * found.projections.max()
    assert manifest.summary["populations"] == sorted(manifest.summary["populations"], reverse=True)
    assert ("no average shows conformation 2" in " ".join(manifest.messages)) == (2 not in labels)
    page = (tmp_path / "o" / "report.html").read_text()
    assert page.count("data:image/png") == 6 + 9 + 2 * 7
    assert f"Conformation 2: {found.conformations[1].averages} of 7 averages" in page
    assert "An initial model of 2 conformations" in page


def history(path) -> list[dict]:
    file = path / "history.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


@pytest.fixture(scope="module")
def gaussian(stack, tmp_path_factory):
    """(averages with negative pixels, the folder of their model under Gaussian noise)."""
    path = tmp_path_factory.mktemp("gaussian")
    images = open_stack(stack).read(np.arange(7))
    noise = np.random.default_rng(9).normal(size=images.shape) * 0.2
    write_mrc_stack(path / "signed.mrcs", (images / images.std() + noise - 1.0).astype(np.float32), PIXEL)
    run_initial(path / "signed.mrcs", path / "out", QUICK_GAUSSIAN)
    return path / "signed.mrcs", path / "out"


def test_gaussian_folder_is_complete(gaussian):
    averages, out = gaussian
    found, manifest = read_initial(out), read_manifest(out)
    assert open_stack(averages).read(np.arange(7)).min() < -0.5
    assert (manifest.task, manifest.settings["method"], job_status(out)) == ("initial", "gmm-gaussian", "finished")
    assert manifest.settings["power_first"] == QUICK_GAUSSIAN.power_first
    assert "counts" not in manifest.settings
    assert [entry["stage"] for entry in history(out)] == ["initial"] * 2 + ["refinement"] * 4
    assert found.restarts.numbers("vtrLogPosterior") == pytest.approx(history(out)[1]["log_posteriors"], abs=0.01)
    again = project(read_pseudo_atoms(out / "initial.cif"), found.rotations, 20, PIXEL,
                    offsets_A=-read_particles(out / "initial_data.star").origin_A)  # fmt: skip
    assert np.abs(again - found.projections).max() < 2e-3 * found.projections.max()
    page = (out / "report.html").read_text()
    missing = [
        words for words in ("gmm-gaussian", "Log posterior of every restart", "Posterior mean") if words not in page
    ]
    assert missing == []
    assert page.count("data:image/png") == 6 + 2 * 7


@pytest.mark.parametrize("steps", [1, 4])
def test_gaussian_interrupted_and_resumed_it_ends_alike(gaussian, tmp_path, monkeypatch, steps):
    averages, out = gaussian
    with monkeypatch.context() as patch:
        patch.setattr("vitreous.jobs.folder.Job.abort_requested", lambda job: len(history(job.path)) == steps)
        with pytest.raises(Interrupted):
            run_initial(averages, tmp_path / "o", QUICK_GAUSSIAN)
    with pytest.raises(JobFolderError, match=r"other settings.*method"):
        run_initial(write_positive(averages, tmp_path), tmp_path / "o", QUICK, RunOptions(resume=True))
    with monkeypatch.context() as patch:
        patch.setattr("vitreous.mixtures.gaussian.algorithm.random_start", None)  # it goes on, and does not start again
        run_initial(averages, tmp_path / "o", QUICK_GAUSSIAN, RunOptions(resume=True, threads=1))
    assert [entry["iteration"] for entry in history(tmp_path / "o")] == list(range(1, 7))
    for name in ("initial.mrc", "initial_variance.mrc"):
        assert np.array_equal(read_volume(tmp_path / "o" / name).data, read_volume(out / name).data)


def write_positive(averages, folder):
    """The same averages without their negative pixels."""
    images = open_stack(averages).read(np.arange(7))
    write_mrc_stack(folder / "positive.mrcs", images.clip(min=0), PIXEL)
    return folder / "positive.mrcs"


def test_gaussian_command_refuses_settings_of_the_other_method(vitreous, gaussian, tmp_path):
    averages, out = gaussian
    words = ("initial", averages, "-o", tmp_path / "o", "--method")
    for method, option, value in (("gmm-gaussian", "--fine-counts", 10000), ("gmm", "--power-first", 0.001)):
        refused = vitreous(*words, method, option, value)
        other = {"gmm": "gmm-gaussian", "gmm-gaussian": "gmm"}[method]
        assert (refused.code, f"{option} is a setting of --method {other} and" in refused.err) == (1, True)
    assert not (tmp_path / "o").exists()
    dry = vitreous(*words, "gmm-gaussian", "--dry-run", "--json")
    planned = dry.events[-1]["settings"]
    assert {**planned, "threads": 2} == {"method": "gmm-gaussian", **vars(GaussianInitialModel())}
    ended = vitreous(*words, "gmm-gaussian", "--threads", 1, *WORDS_GAUSSIAN)
    assert ended.code == 0, ended.err
    assert np.array_equal(read_volume(tmp_path / "o" / "initial.mrc").data, read_volume(out / "initial.mrc").data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v - v.mean(), ("negative", "deconvolve --single")),
        (lambda v: np.where(v == v.max(), np.nan, v), ("NaN",)),
        (lambda v: v[:1], ("one direction of view",)),
        (lambda v: 0 * v, ("zero everywhere",)),
    ],
)
def test_bad_averages_are_explained(vitreous, stack, tmp_path, change, words):
    images = open_stack(stack).read(np.arange(7))
    write_mrc_stack(tmp_path / "bad.mrcs", change(images).astype(np.float32), PIXEL)
    ended = vitreous("initial", tmp_path / "bad.mrcs", "-o", tmp_path / "o")
    assert ended.code == 1
    assert [word for word in ("bad.mrcs", *words) if word not in ended.err] == []
    assert not (tmp_path / "o").exists()


def test_boxes_folders_and_pixel_sizes_are_explained(vitreous, classified, stack, tmp_path):
    write_mrc_stack(tmp_path / "small.mrcs", np.ones((1, 10, 10), np.float32), PIXEL)
    particles = read_particles(stack)
    names = [*particles.table.text("rlnImageName")[:2], f"000001@{tmp_path / 'small.mrcs'}"]
    particles.subset(np.arange(3)).with_columns(rlnImageName=names).write(tmp_path / "mixed.star")
    mixed = vitreous("initial", tmp_path / "mixed.star", "-o", tmp_path / "o")
    assert (mixed.code, "mixed boxes" in mixed.err) == (1, True)
    wrong = vitreous("initial", classified, "-o", tmp_path / "o")
    assert (wrong.code, "vitreous deconvolve" in wrong.err) == (1, True)
    other = vitreous("initial", stack, "-o", tmp_path / "o", "--method", "sgd")
    assert other.code == 2


def test_views_along_one_axis_are_recognised():
    tilts = torch.tensor([[0.0, 5.0, 30.0], [90.0, 12.0, 80.0], [10.0, 175.0, 3.0]], dtype=torch.float64)
    rotations = euler_to_matrix(tilts).numpy()
    assert _all_along_one_axis(rotations, "C1")
    assert not _all_along_one_axis(random_rotations(6, seed=2).numpy(), "C1")
    side = euler_to_matrix(torch.tensor([[0.0, 90.0, 0.0], [180.0, 88.0, 0.0], [90.0, 90.0, 10.0]]).double()).numpy()
    assert not _all_along_one_axis(side, "C1")
    assert _all_along_one_axis(side, "C4")


def test_a_single_view_is_told(tmp_path):
    view = project(blobs(), random_rotations(1, seed=3).numpy(), 20, PIXEL)
    write_mrc_stack(tmp_path / "one.mrcs", np.repeat(view, 5, axis=0), PIXEL)
    more = {"restarts": 1, "rounds": 30, "rounds_annealed": 24, "counts": 1000, "global_rotations": 500}
    quick = InitialModel(**{**vars(QUICK), **more, "fine_counts": 2000})
    run_initial(tmp_path / "one.mrcs", tmp_path / "o", quick)
    assert "do not determine the structure" in " ".join(read_manifest(tmp_path / "o").messages)
    assert "seen from about one direction" in (tmp_path / "o" / "report.html").read_text()
