"""``vitreous mixture``: folder, files, report, resume, and what it says about bad input."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitreous.iterate import Interrupted
from vitreous.jobs import job_status, read_history, read_manifest
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks.mixture import run_mixture
from vitreous.mixtures import Mixture, MixtureFit, MixtureSampling, evaluate, prepare_map, read_pseudo_atoms, translate
from vitreous.mixtures import sample_points as draw_points
from vitreous.particles import Volume, read_volume, write_mrc_stack, write_volume

PIXEL = 4.0
QUICK = MixtureFit(components=24, steps=40)
SAMPLING = MixtureSampling(components=24, start_steps=20, burn_in_steps=20, samples=10, steps_between=4, counts=20_000)


def truth() -> Mixture:
    rng = np.random.default_rng(5)
    return Mixture(
        means_A=rng.normal(size=(24, 3)) * 14, weights=rng.dirichlet(np.full(24, 9)), precision_per_A2=1 / 36
    )


@pytest.fixture(scope="module")
def density() -> np.ndarray:
    return evaluate(truth(), 24, PIXEL) * 1000.0


@pytest.fixture(scope="module")
def map_path(density, tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "map.mrc"
    write_volume(path, Volume(data=density - 0.02 * density.max(), pixel_size_A=PIXEL))
    return path


@pytest.fixture(scope="module")
def folder(map_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("mixture") / "out"
    run_mixture(map_path, path, QUICK)
    return path


def test_files_and_figures(map_path, folder):
    kept = read_volume(map_path).data.clip(min=0)
    written = read_volume(folder / "mixture.mrc")
    correlation = np.corrcoef(written.data.ravel(), kept.ravel())[0, 1]
    assert correlation > 0.98
    assert read_manifest(folder).summary["correlation"] == pytest.approx(correlation, abs=1e-4)
    assert written.data.sum() == pytest.approx(kept.sum(), rel=0.02)
    mixture = read_pseudo_atoms(folder / "mixture.cif")
    assert len(mixture) == 24
    assert not (folder / "mixture.pdb").exists()  # a B factor of 2,400 A^2 does not fit
    assert "too narrow" in (folder / "run.log").read_text()
    shown = evaluate(mixture, 24, PIXEL)
    assert np.corrcoef(shown.ravel(), written.data.ravel())[0, 1] > 0.9999
    rises = np.diff([entry["log_posterior"] for entry in read_history(folder)])
    assert (rises > 0).all()
    assert "negative" in " ".join(read_manifest(folder).messages)


def test_command_report_threshold_and_dry_run(vitreous, map_path, folder, density, tmp_path):
    level = 0.1 * density.max()
    words = ("mixture", map_path, "-o", tmp_path / "o", "--components", 20, "--steps", 4, "--threshold", level)
    ended = vitreous(*words, "--json")
    assert ended.code == 0, ended.err
    target = read_volume(tmp_path / "o" / "mixture_target.mrc").data
    assert target[target > 0].min() > level
    assert "not converged" in " ".join(read_manifest(tmp_path / "o").messages)
    (tmp_path / "o" / "report.html").unlink()
    assert vitreous("report", tmp_path / "o").code == 0
    page = (tmp_path / "o" / "report.html").read_text()
    assert page.count("<canvas") == 2
    dry = vitreous("mixture", map_path, "-o", tmp_path / "dry", "--dry-run")
    assert (dry.code, (tmp_path / "dry").exists(), "negative" in dry.out) == (0, False, True)


def test_interrupted_and_resumed_it_ends_alike(map_path, folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("vitreous.jobs.folder.Job.abort_requested", lambda job: len(read_history(job.path)) == 7)
        with pytest.raises(Interrupted):
            run_mixture(map_path, tmp_path / "o", QUICK)
    assert job_status(tmp_path / "o") == "aborted"
    run_mixture(map_path, tmp_path / "o", QUICK, RunOptions(resume=True))
    one, two = (read_volume(path / "mixture.mrc").data for path in (tmp_path / "o", folder))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("box", [12, 15, 24])
def test_smaller_grid_keeps_place_and_sum(density, box):
    volume = Volume(data=density, pixel_size_A=PIXEL)
    reduced = prepare_map(volume, MixtureFit(box_px=box))
    assert reduced.data.shape == (box,) * 3
    assert reduced.data.sum() * reduced.pixel_size_A**3 == pytest.approx(density.sum() * PIXEL**3, rel=0.02)
    for axis in range(3):
        centres = [
            np.average((np.arange(len(v.data)) - len(v.data) // 2) * v.pixel_size_A, weights=v.data.sum(others(axis)))
            for v in (volume, reduced)
        ]
        assert centres[0] == pytest.approx(centres[1], abs=0.3)


def others(axis: int) -> tuple[int, ...]:
    return tuple({0, 1, 2} - {axis})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: np.where(v == v.max(), np.nan, v), "NaN"),
        (lambda v: -v - 1, "above the threshold"),
    ],
)
def test_bad_maps_are_explained(vitreous, density, tmp_path, change, words):
    write_volume(tmp_path / "bad.mrc", Volume(data=change(density), pixel_size_A=PIXEL))
    ended = vitreous("mixture", tmp_path / "bad.mrc", "-o", tmp_path / "o")
    assert (ended.code, words in ended.err, "bad.mrc" in ended.err) == (1, True, True)
    assert not (tmp_path / "o").exists()


def gibbs_folder(tmp_path, volume: np.ndarray, **changes) -> Path:
    write_volume(tmp_path / "in.mrc", Volume(data=volume, pixel_size_A=PIXEL))
    run_mixture(tmp_path / "in.mrc", tmp_path / "gibbs", replace(SAMPLING, **changes))
    return tmp_path / "gibbs"


def test_gibbs_on_a_box_of_three_sides(density, tmp_path):
    box = density[1:23, :, 2:21]
    folder = gibbs_folder(tmp_path, box)
    target, mean, variance = (read_volume(folder / f"mixture_{n}.mrc").data for n in ("target", "mean", "variance"))
    assert target.shape == mean.shape == variance.shape == box.shape
    assert np.corrcoef(mean.ravel(), box.ravel())[0, 1] > 0.98
    assert mean.sum() == pytest.approx(box.sum(), rel=0.03)
    assert 0 < np.sqrt(variance.max()) < 0.5 * mean.max()
    assert read_volume(folder / "mixture.mrc").data.shape == box.shape
    summary, history = read_manifest(folder).summary, read_history(folder)
    assert summary["correlation"] == pytest.approx(np.corrcoef(mean.ravel(), box.ravel())[0, 1], abs=1e-4)
    assert 1 <= summary["effective_samples_log_posterior"] <= 40 * np.log10(40)
    assert {"r_hat_component_size", "effective_samples_log_density", "convergence"} <= set(summary)
    assert [entry["stage"] for entry in history] == ["em"] * 20 + ["burn-in"] * 5 + ["sampling"] * 10
    assert sum(len(entry["log_posteriors"]) for entry in history[20:]) == 60
    page = (folder / "report.html").read_text()
    assert page.count("<canvas") == 2
    for words in ("independent samples", "log density, the slowest of 8 places", "Posterior mean", "R-hat"):
        assert words in page


def test_an_interrupted_chain_ends_alike(density, tmp_path, monkeypatch):
    folder = gibbs_folder(tmp_path, density)
    with monkeypatch.context() as patch:
        patch.setattr("vitreous.jobs.folder.Job.abort_requested", lambda job: len(read_history(job.path)) == 29)
        with pytest.raises(Interrupted):
            run_mixture(tmp_path / "in.mrc", tmp_path / "o", SAMPLING)
    run_mixture(tmp_path / "in.mrc", tmp_path / "o", SAMPLING, RunOptions(resume=True))
    for name in ("mixture.mrc", "mixture_mean.mrc", "mixture_variance.mrc"):
        assert np.array_equal(read_volume(tmp_path / "o" / name).data, read_volume(folder / name).data)
    assert (
        read_manifest(tmp_path / "o").summary["r_hat_log_posterior"]
        == (read_manifest(folder).summary["r_hat_log_posterior"])
    )


@pytest.mark.parametrize("method", ["em", "gibbs"])
def test_one_image_of_a_stack(vitreous, density, tmp_path, method):
    images = np.stack([density.sum(axis) for axis in range(3)])
    write_mrc_stack(tmp_path / "i.mrcs", images, PIXEL)
    quick = ("--steps", 40) if method == "em" else ("--samples", 8, "--steps-between", 3, "--burn-in-steps", 9)
    words = ("mixture", tmp_path / "i.mrcs", "--method", method, "--K", 20, *quick)
    ended = vitreous(*words, "-o", tmp_path / "o")
    assert (ended.code, "the first of 3 images" in ended.out) == (0, True), ended.err
    ended = vitreous(*words, "-o", tmp_path / "two", "--image", 2)
    assert (ended.code, "the first of" in ended.out) == (0, False), ended.err
    for folder, image in (("o", images[0]), ("two", images[1])):
        found = read_volume(tmp_path / folder / "mixture.mrc").data
        assert found.shape == (1, 24, 24)
        assert np.corrcoef(found[0].ravel(), image.ravel())[0, 1] > 0.98
        assert (read_pseudo_atoms(tmp_path / folder / "mixture.cif").means_A[:, 2] == 0).all()
        page = (tmp_path / folder / "report.html").read_text()
        assert ("<canvas" in page, "Image and mixture" in page) == (False, True)
    for bad, number in (("numbered from 1", 4), ("numbered from 1", 0)):
        ended = vitreous(*words, "-o", tmp_path / "no", "--image", number)
        assert (ended.code, bad in ended.err) == (1, True)


def test_a_dark_particle_is_no_density(vitreous, density, tmp_path):
    image = np.round(200 * density.sum(0) / density.sum(0).max())
    for name, pixels in (("dark", 230 - image), ("grey", 55 + image)):
        write_mrc_stack(tmp_path / f"{name}.mrcs", pixels[None], PIXEL)
    refused = vitreous("mixture", tmp_path / "dark.mrcs", "-o", tmp_path / "no")
    assert (refused.code, "darker than its background" in refused.err) == (1, True)
    grey = vitreous("mixture", tmp_path / "grey.mrcs", "-o", tmp_path / "no", "--dry-run")
    assert (grey.code, "the background is 55 (highest value 255)" in grey.out) == (0, True)
    clear = vitreous("mixture", tmp_path / "grey.mrcs", "-o", tmp_path / "no", "--dry-run", "--threshold", 60)
    assert (clear.code, "the background is" in clear.out) == (0, False)


def test_an_image_with_negative_pixels_under_gibbs(vitreous, density, tmp_path):
    image = density.sum(0)
    write_mrc_stack(tmp_path / "i.mrcs", (image - image.mean())[None], PIXEL)
    ended = vitreous("mixture", tmp_path / "i.mrcs", "-o", tmp_path / "o", "--method", "gibbs", "--dry-run")
    assert (ended.code, "are negative" in ended.out, "vitreous deconvolve --single" in ended.out) == (0, True, True)
    write_mrc_stack(tmp_path / "dark.mrcs", -image[None] - 1, PIXEL)
    ended = vitreous("mixture", tmp_path / "dark.mrcs", "-o", tmp_path / "o", "--method", "gibbs")
    assert (ended.code, "nothing in the image is above the threshold 0" in ended.err) == (1, True)


@pytest.mark.parametrize("method", ["em", "gibbs"])
def test_points_keep_their_frame(vitreous, tmp_path, method):
    points = draw_points(translate(truth(), [100.0, -50.0, 7.0]), 2000, np.random.default_rng(1))
    np.savetxt(tmp_path / "p.csv", points, delimiter=",", header="x,y,z", comments="")
    quick = ("--steps", 30) if method == "em" else ("--samples", 8, "--steps-between", 3, "--burn-in-steps", 9)
    ended = vitreous(
        "mixture", tmp_path / "p.csv", "-o", tmp_path / "o", "--K", 24, "--box-px", 24, "--method", method, *quick
    )
    assert ended.code == 0, ended.err
    mixture = read_pseudo_atoms(tmp_path / "o" / "mixture.cif")
    assert np.allclose(mixture.weights @ mixture.means_A, points.mean(0), atol=1.0)
    summary = read_manifest(tmp_path / "o").summary
    assert np.allclose(summary["centre_of_points_A"], points.mean(0), atol=1e-5)
    assert summary["correlation"] > 0.95
    shown = read_volume(tmp_path / "o" / "mixture.mrc")
    assert shown.data.sum() * shown.pixel_size_A**3 == pytest.approx(2000, rel=0.03)
    (tmp_path / "o" / "report.html").unlink()
    assert vitreous("report", tmp_path / "o").code == 0
    assert "The points, blurred" in (tmp_path / "o" / "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("p.csv", "1,2,3\n4,nan,6\n", "line 2, column 2"),
        ("p.csv", "", "holds no points"),
        ("p.txt", "1 2 3 4\n", "found 4"),
        ("p.dat", "1 2 3\n", "by the end of the name"),
    ],
)
def test_bad_points_are_explained(vitreous, tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    ended = vitreous("mixture", tmp_path / name, "-o", tmp_path / "o", "--method", "gibbs")
    assert (ended.code, words in ended.err, name in ended.err) == (1, True, True)
    assert not (tmp_path / "o").exists()


def test_options_that_mean_nothing_are_refused(vitreous, map_path, tmp_path):
    (tmp_path / "p.csv").write_text("1,2,3\n")
    for words, said in (
        ((map_path, "--samples", 5), "--method gibbs"),
        ((map_path, "--method", "gibbs", "--steps", 5), "--method em"),
        ((map_path, "--image", "first"), "whole number"),
        ((tmp_path / "p.csv", "--image", 1), "neither an image number"),
    ):
        ended = vitreous("mixture", *words, "-o", tmp_path / "o")
        assert (ended.code != 0, said in ended.err) == (True, True), ended.err


def test_bad_settings_are_explained():
    for name in ("components", "steps", "counts", "box_px", "threshold"):
        with pytest.raises(ValueError, match=name):
            MixtureFit(**{name: -1})
