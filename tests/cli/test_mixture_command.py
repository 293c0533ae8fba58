"""``vitreous mixture``: folder, files, report, resume, and what it says about bad maps."""

import numpy as np
import pytest

from vitreous.iterate import Interrupted
from vitreous.jobs import job_status, read_history, read_manifest
from vitreous.jobs.run_mixture import run_mixture
from vitreous.jobs.run_options import RunOptions
from vitreous.mixtures import Mixture, MixtureFit, evaluate, prepare_map, read_pseudo_atoms
from vitreous.particles import Volume, read_volume, write_volume

PIXEL = 4.0
QUICK = MixtureFit(components=24, steps=40)


@pytest.fixture(scope="module")
def density() -> np.ndarray:
    rng = np.random.default_rng(5)
    truth = Mixture(
        means_A=rng.normal(size=(24, 3)) * 14, weights=rng.dirichlet(np.full(24, 9)), precision_per_A2=1 / 36
    )
    return evaluate(truth, 24, PIXEL) * 1000.0


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
        (lambda v: v[:, :, :10], "cubic"),
        (lambda v: np.where(v == v.max(), np.nan, v), "NaN"),
        (lambda v: -v - 1, "above the threshold"),
    ],
)
def test_bad_maps_are_explained(vitreous, density, tmp_path, change, words):
    write_volume(tmp_path / "bad.mrc", Volume(data=change(density), pixel_size_A=PIXEL))
    ended = vitreous("mixture", tmp_path / "bad.mrc", "-o", tmp_path / "o")
    assert (ended.code, words in ended.err, "bad.mrc" in ended.err) == (1, True, True)
    assert not (tmp_path / "o").exists()


def test_bad_settings_are_explained():
    for name in ("components", "steps", "counts", "box_px", "threshold"):
        with pytest.raises(ValueError, match=name):
            MixtureFit(**{name: -1})
