"""``vitreous initial``: folder, files, report, resume, and what it says about bad averages."""

import json
import shutil

import numpy as np
import pytest

from vitreous.iterate import Interrupted
from vitreous.jobs import JobFolderError, job_status, read_manifest
from vitreous.jobs.averages import find_averages, read_averages
from vitreous.jobs.options import RunOptions
from vitreous.jobs.results.initial import read_initial
from vitreous.jobs.results.reference import read_agreement
from vitreous.jobs.select import select_particles
from vitreous.jobs.tasks.initial import _not_to_be_trusted, run_initial
from vitreous.mixtures import (
    GaussianInitialModel,
    InitialModel,
    Mixture,
    evaluate,
    mirror,
    project,
    read_pseudo_atoms,
    rotate,
    summarise_trace,
    to_volume,
)
from vitreous.models import one_conformation
from vitreous.optics import ctf_2d
from vitreous.particles import Volume, open_stack, read_particles, read_volume, write_mrc_stack, write_volume
from vitreous.quality import other_hand
from vitreous.rotations import Agreement, random_rotations

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


def test_number_of_gaussians_from_the_data(vitreous, stack, tmp_path):
    words = [*WORDS[: WORDS.index("--fine-components")], *WORDS[WORDS.index("--fine-components") + 2 :]]
    ended = vitreous("initial", stack, "-o", tmp_path / "o", "--fine-components", "auto", *words)
    assert ended.code == 0, ended.err
    entry = next(entry for entry in history(tmp_path / "o") if "components" in entry)
    assert len(read_pseudo_atoms(tmp_path / "o" / "initial.cif")) == entry["components"]
    assert f"{entry['components']} Gaussians; log likelihood of held-out averages" in ended.out
    assert read_manifest(tmp_path / "o").settings["fine_components"] == "auto"
    page = (tmp_path / "o" / "report.html").read_text()
    assert "Number of Gaussians" in page
    assert page.count("<td>chosen</td>") == 1
    for wrong in ("2.7", "many"):
        assert vitreous("initial", stack, "-o", tmp_path / "no", "--fine-components", wrong).code == 2


def test_a_given_number_of_gaussians_needs_no_table(folder):
    assert "Number of Gaussians" not in (folder / "report.html").read_text()


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
        patch.setattr(
            "vitreous.mixtures.gaussian_noise.algorithm.random_start", None
        )  # it goes on, and does not start again
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
    assert planned == {"method": "gmm-gaussian", **vars(GaussianInitialModel())}
    ended = vitreous(*words, "gmm-gaussian", "--threads", 1, *WORDS_GAUSSIAN)
    assert ended.code == 0, ended.err
    assert np.array_equal(read_volume(tmp_path / "o" / "initial.mrc").data, read_volume(out / "initial.mrc").data)


def test_averages_that_still_have_their_ctf(vitreous, gaussian, tmp_path):
    averages, out = gaussian
    particles = read_particles(averages)
    optics = {"rlnVoltage": 300.0, "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1}
    columns = {name: np.full(7, value) for name, value in optics.items()}
    known = particles.with_columns(**columns, rlnDefocusU=np.linspace(12000, 30000, 7))
    known.write(tmp_path / "known.star")
    words = ("initial", "-o", tmp_path / "o", "--method", "gmm-gaussian", "--ctf-uncorrected", *WORDS_GAUSSIAN)
    ended = vitreous(*words, tmp_path / "known.star")
    assert ended.code == 0, ended.err
    found, manifest = read_initial(tmp_path / "o"), read_manifest(tmp_path / "o")
    assert manifest.settings["ctf_uncorrected"] is True
    assert "ctf_uncorrected" not in read_manifest(out).settings
    origins = read_particles(tmp_path / "o" / "initial_data.star").origin_A
    mixture = read_pseudo_atoms(tmp_path / "o" / "initial.cif")
    plain = project(mixture, found.rotations, 20, PIXEL, offsets_A=-origins)
    filtered = np.fft.irfft2(np.fft.rfft2(plain) * ctf_2d(known.ctf, 20, PIXEL).numpy(), s=(20, 20))
    assert np.abs(filtered - found.projections).max() < 2e-3 * np.abs(filtered).max()
    assert not np.array_equal(read_volume(tmp_path / "o" / "initial.mrc").data, read_volume(out / "initial.mrc").data)
    missing = vitreous(*words, averages, "--overwrite")
    assert (missing.code, "no column rlnDefocusU, rlnVoltage" in missing.err) == (1, True)
    known.with_columns(rlnDefocusU=[1e4, 1e4, np.nan, 1e4, 1e4, 1e4, 1e4]).write(tmp_path / "nan.star")
    unknown = vitreous(*words, tmp_path / "nan.star", "--overwrite")
    assert (unknown.code, "nan.star" in unknown.err, "not a number" in unknown.err) == (1, True, True)
    chosen = vitreous(
        "initial", tmp_path / "known.star", "-o", tmp_path / "p", "--ctf-uncorrected", "--dry-run", "--json"
    )
    assert chosen.events[-1]["settings"]["method"] == "gmm-gaussian"
    counts = vitreous("initial", tmp_path / "known.star", "-o", tmp_path / "p", "--ctf-uncorrected", "--counts", 500)
    assert (counts.code, "--counts belongs to the model of counts" in counts.err) == (1, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
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


def averages_8_bit(folder, *, dark=False):
    """Seven averages with a dark halo, each stretched to 8 bits by itself, as viewers export them."""
    images = project(blobs(), random_rotations(7, seed=1).numpy(), 20, PIXEL)
    images = images / images.max() - 0.3 * np.hypot(*(np.mgrid[:20, :20] - 10) / 6)[None] ** 2 * np.exp(
        -((np.hypot(*(np.mgrid[:20, :20] - 10)) / 6) ** 2)
    )
    images = images + 0.02 * np.random.default_rng(0).standard_normal(images.shape)
    images = -images if dark else images
    low, high = images.min(axis=(1, 2), keepdims=True), images.max(axis=(1, 2), keepdims=True)
    path = folder / "bytes.mrcs"
    write_mrc_stack(path, np.round(255 * (images - low) / (high - low)).astype(np.float32), PIXEL)
    return path


@pytest.mark.parametrize("dark", [False, True])
def test_averages_of_8_bits_go_to_the_model_that_suits_them(vitreous, tmp_path, dark):
    averages = averages_8_bit(tmp_path, dark=dark)
    shared = ("--components", 12, "--fine-components", 16, "--box-px", 16, "--fine-box-px", 16, "--restarts", 2)
    shared += ("--rounds", 2, "--rounds-annealed", 2, "--global-rotations", 40, "--mixture-steps", 2)
    shared += ("--burn-in-steps", 2, "--samples", 2, "--steps-between", 1)
    ended = vitreous("initial", averages, "-o", tmp_path / "o", *shared)
    assert ended.code == 0, ended.err
    manifest = read_manifest(tmp_path / "o")
    assert manifest.settings["method"] == "gmm-gaussian"
    said = " ".join(manifest.messages)
    assert "background of 7 of 7 averages is not zero" in said
    assert "the Gaussian noise model is taken" in said
    assert ("turned over" in said) == dark
    images = read_initial(tmp_path / "o").averages
    assert np.abs(np.median(images[:, [0, -1]], axis=(1, 2))).max() < 0.1 * images.max()
    assert images.max() > -2 * images.min()
    again = vitreous("initial", averages, "-o", tmp_path / "o", *shared, "--resume")
    assert again.code == 0, again.err
    refused = vitreous("initial", averages, "-o", tmp_path / "p", "--counts", 500)
    assert (refused.code, "--counts belongs to the model of counts" in refused.err) == (1, True)


def test_the_headline_says_what_is_not_to_be_trusted():
    one = Volume(data=np.ones((4, 4, 4), np.float32), pixel_size_A=1.0)
    together = Agreement(fraction=1.0, rotation=np.eye(3), other_hand=False, agrees=np.ones(3, bool))
    result = one_conformation(
        one, np.zeros((3, 3, 3)), np.zeros((3, 2)), scores=np.zeros(4), score="log posterior", agreements=[together] * 4
    )
    settled = {"log posterior": summarise_trace(np.tile([0.0, 1.0, 0.5], 20))}
    drifting = {"log posterior": summarise_trace(np.arange(40.0))}
    assert _not_to_be_trusted(result, None, settled, 0.9) == []
    (words,) = _not_to_be_trusted(result, None, drifting, 0.9)
    assert words.startswith("details and uncertainty (the refinement has not settled, R-hat ")
    assert float(words.rpartition(" ")[2].strip(")")) > 1.8
    assert "correlate by 0.20 only" in _not_to_be_trusted(result, None, settled, 0.2)[0]


def test_boxes_folders_and_pixel_sizes_are_explained(vitreous, classified, stack, tmp_path):
    write_mrc_stack(tmp_path / "small.mrcs", np.ones((1, 10, 10), np.float32), PIXEL)
    particles = read_particles(stack)
    names = [*particles.table.text("rlnImageName")[:2], f"000001@{tmp_path / 'small.mrcs'}"]
    particles.subset(np.arange(3)).with_columns(rlnImageName=names).write(tmp_path / "mixed.star")
    mixed = vitreous("initial", tmp_path / "mixed.star", "-o", tmp_path / "o")
    assert (mixed.code, "mixed boxes" in mixed.err) == (1, True)
    signed = vitreous("initial", classified, "-o", tmp_path / "o", "--dry-run", "--json")
    assert signed.events[-1]["settings"]["method"] == "gmm-gaussian"
    empty = vitreous("initial", tmp_path, "-o", tmp_path / "o", "--method", "gmm-gaussian")
    assert (empty.code, "no deconvolved.star" in empty.err) == (1, True)
    write_mrc_stack(tmp_path / "bare.mrcs", np.random.default_rng(0).standard_normal((8, 16, 16)), 0.0)
    bare = vitreous("initial", tmp_path / "bare.mrcs", "-o", tmp_path / "o")
    assert (bare.code, bare.err.count("bare.mrcs"), "--angpix" in bare.err) == (1, 1, True)
    other = vitreous("initial", stack, "-o", tmp_path / "o", "--method", "guess")
    assert other.code == 2


def test_model_is_compared_with_a_reference(vitreous, stack, folder, tmp_path):
    reference = to_volume(rotate(blobs(), random_rotations(1, seed=8)[0].numpy()), 24, 5.0)
    write_volume(tmp_path / "map.mrc", reference)
    words = ("initial", stack, "-o", tmp_path / "o", *WORDS, "--reference")
    ended = vitreous(*words, tmp_path / "map.mrc")
    assert ended.code == 0, ended.err
    model = read_volume(tmp_path / "o" / "initial.mrc").data
    assert np.array_equal(model, read_volume(folder / "initial.mrc").data)  # the reference has no part in it
    found, field_A = read_agreement(tmp_path / "o")
    aligned = read_volume(tmp_path / "o" / "initial_aligned.mrc")
    assert found.correlation >= found.mirrored_correlation
    assert found.correlation == pytest.approx(np.corrcoef(aligned.data.ravel(), reference.data.ravel())[0, 1], abs=1e-3)
    assert (len(found.fsc), field_A, aligned.pixel_size_A) == (13, 120.0, 5.0)
    page = (tmp_path / "o" / "report.html").read_text()
    assert page.count("data:image/png") == 6 + 2 * 7 + 6
    assert f"correlation {found.correlation:.3f}" in ended.out
    assert read_agreement(folder) is None
    for data, message in ((-reference.data, "nothing positive"), (reference.data[:20], "must be cubic")):
        write_volume(tmp_path / "bad.mrc", Volume(data=data, pixel_size_A=5.0))
        refused = vitreous(*words, tmp_path / "bad.mrc", "--overwrite")
        assert (refused.code, "bad.mrc" in refused.err, message in refused.err) == (1, True, True)


def test_empty_averages_of_any_value_are_left_out(stack, tmp_path):
    images = open_stack(stack).read(np.arange(7))
    images[[2, 5]] = 127.0
    write_mrc_stack(tmp_path / "bytes.mrcs", images, PIXEL)
    found, kept, notes = read_averages(tmp_path / "bytes.mrcs")
    assert np.array_equal(kept, images[[0, 1, 3, 4, 6]])
    assert (len(found), "average 3, 6" in notes[0]) == (5, True)


def test_averages_of_a_classification_are_found(classified, tmp_path):
    stack = open_stack(classified / "run_classes.mrcs")
    every = stack.read(np.arange(4))
    assert every.any(axis=(1, 2)).all()
    assert find_averages(classified) == classified / "run_model.star"
    shutil.copytree(classified, tmp_path / "c")
    select_particles(tmp_path / "c", classes=[2, 4])
    for path, expected in ((tmp_path / "c", every[[1, 3]]), (classified, every)):
        found, images, notes = read_averages(find_averages(path))
        assert np.array_equal(images, expected)
        assert (found.pixel_size_A, found.box_px, notes) == (pytest.approx(12.0), 24, [])
    assert read_averages(classified / "run_model.star", pixel_size_A=3.0)[0].pixel_size_A == 3.0


def test_a_single_view_is_told(tmp_path):
    view = project(blobs(), random_rotations(1, seed=3).numpy(), 20, PIXEL)
    write_mrc_stack(tmp_path / "one.mrcs", np.repeat(view, 5, axis=0), PIXEL)
    more = {"restarts": 1, "rounds": 30, "rounds_annealed": 24, "counts": 1000, "global_rotations": 500}
    quick = InitialModel(**{**vars(QUICK), **more, "fine_counts": 2000})
    run_initial(tmp_path / "one.mrcs", tmp_path / "o", quick)
    assert "do not determine the structure" in " ".join(read_manifest(tmp_path / "o").messages)
    assert "seen from about one direction" in (tmp_path / "o" / "report.html").read_text()
