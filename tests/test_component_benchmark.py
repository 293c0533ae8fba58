"""The measurement of the number of components: its averages are projections of its truth, and its table says all."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def test_images_are_sums_of_the_density_about_the_same_centre():
    from benchmarks.components import BOX_PX, _binned

    rng = np.random.default_rng(0)
    places, weights = rng.normal(size=(200, 3)) * 20, rng.uniform(1, 2, 200)
    density = _binned(places[:, ::-1], weights, 4.0, 2)
    image = _binned(places[:, 1::-1], weights, 4.0, 4)
    assert density.shape == (BOX_PX,) * 3
    assert np.corrcoef(density.sum(axis=0).ravel(), image.ravel())[0, 1] > 0.999
    axis = (np.arange(BOX_PX) - BOX_PX // 2) * 4.0
    assert image.sum(axis=0) @ axis / image.sum() == pytest.approx(weights @ places[:, 0] / weights.sum(), abs=0.3)
    assert image.sum() == pytest.approx(weights.sum(), rel=1e-6)


def test_table_has_what_was_chosen_and_why():
    from benchmarks.components import table

    row = {"structure": "70S", "noise": 0.3, "method": "gmm", "correlation": 0.95, "fsc_half_A": 20.0, "cpu_s": 9.0}
    rows = [
        {**row, "components": 500, "chosen": False},
        {**row, "components": 200, "chosen": True, "behind": {"100": [30, 4], "200": [0, 0]}, "choice_cpu_s": 2.5},
    ]
    text = table({"averages": 25, "pose_error_deg": 6.0, "rows": rows})
    assert "| 70S | 0.3 | gmm | 500 | 0.95 | 20 | 9 | - |" in text
    assert "| auto: 200 | 0.95 | 20 | 9.0 (choice 2.5) | 100: 30 ± 4, 200: 0 ± 0 |" in text


def test_refinement_starts_from_the_poses_that_it_is_given():
    from benchmarks.components import BOX_PX, _binned, _refinement

    from vitreous.rotations import random_rotations

    rng = np.random.default_rng(1)
    places, poses = rng.normal(size=(60, 3)) * 25, random_rotations(6, seed=2).numpy()
    images = np.stack([_binned((places @ g)[:, 1::-1], np.ones(60), 4.0, 1) for g in poses])
    refine = _refinement("gmm", images, 4.0, poses, Namespace(samples=1, seed=0, pose_error_deg=0.0))
    result, _, _ = refine(20)
    assert len(result.mixture) == 20
    assert result.poses_kept.fraction == 1.0
    assert result.mean.data.shape == (BOX_PX,) * 3
