"""The benchmarks of neighbours and denoising score what they say they score: on tiny data with known answers."""

from argparse import ArgumentParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vitreous.conventions import in_plane_matrix
from vitreous.particles import Volume, read_particles, write_volume
from vitreous.rotations import euler_to_matrix

ROOT = Path(__file__).resolve().parent.parent
BOX = 24


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture(scope="module")
def blob_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four blobs without symmetry."""
    z, y, x = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")
    centres = [(4, 1, 0, 1.0), (-3, 4, 2, 0.8), (0, -5, 3, 0.6), (-2, -1, -5, 1.2)]
    data = sum(w * np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 8) for a, b, c, w in centres)
    path = tmp_path_factory.mktemp("map") / "blobs.mrc"
    write_volume(path, Volume(data=np.asarray(data, np.float32), pixel_size_A=2.82))
    return path


def sticks_or_skip(name: str) -> Path:
    from benchmarks.sticks import DEFAULT

    if not (ROOT / DEFAULT / f"{name}.py").is_file():
        pytest.skip(f"the measuring stick {name}.py is not beside the repository")
    return DEFAULT


def test_views_have_the_snr_that_is_asked_for_and_are_read_as_particles(blob_map: Path, tmp_path: Path) -> None:
    from benchmarks.views import make_stack, make_views

    views = make_views(sticks_or_skip("cryosim"), blob_map, tmp_path / "v", seed=3, particles=300)
    assert views.clean.shape == views.filtered.shape == (300, BOX, BOX)
    assert views.signal_variance == pytest.approx(views.filtered.var(), rel=1e-4)
    particles = read_particles(make_stack(views, inverse_snr=10, seed=5))
    assert particles.pixel_size_A == pytest.approx(2.82)
    noise = particles.read(np.arange(300)) - views.filtered
    assert noise.var() / views.filtered.var() == pytest.approx(10, rel=0.02)
    assert particles.ctf is not None
    assert np.array_equal(particles.ctf.defocus_u_A, views.defocus_A)
    assert len(np.unique(views.defocus_A)) == 20


def test_stacks_of_a_sweep_go_and_come_back_the_same(blob_map: Path, tmp_path: Path) -> None:
    from benchmarks.views import add_view_options, cases

    parser = ArgumentParser()
    add_view_options(parser)
    stick = str(sticks_or_skip("cryosim"))
    options = parser.parse_args(
        ["--sticks", stick, "--map", str(blob_map), "--cache", str(tmp_path), "--seeds", "1", "2", "--inverse-snr", "2"]
    )
    seen = [(c.seed, c.first, c.star.with_suffix(".mrcs").read_bytes()[1024:]) for c in cases(options, tmp_path, 9)]
    assert [case[:2] for case in seen] == [(1, True), (2, False)]
    assert seen[0][2] != seen[1][2]
    assert not list(tmp_path.rglob("*.mrcs"))
    options.quick = True
    again = [case.star.with_suffix(".mrcs").read_bytes()[1024:] for case in cases(options, tmp_path, 9)]
    assert again == [seen[0][2]]


def test_scorer_knows_rotated_and_mirrored_images_from_others(blob_map: Path, tmp_path: Path) -> None:
    from benchmarks.view_scores import load_scorer, score_lists
    from benchmarks.views import make_views

    stick = sticks_or_skip("neighbours_score")
    views = make_views(stick, blob_map, tmp_path / "v", seed=3, particles=60)
    folder = SimpleNamespace(folder=tmp_path / "v", **doubled(views))
    scorer = load_scorer(stick, folder)
    assert (tmp_path / "v" / "scorer.pkl").is_file()
    n = len(views)
    index = np.arange(2 * n)
    partner = ((index + n) % (2 * n))[:, None]
    mirrored = np.ones((2 * n, 1), bool)
    right = score_lists(load_scorer(stick, folder), partner, mirrored)
    assert right["pairs"] == right["above_0.9"] == 2 * n
    assert right["view_median_deg"] == pytest.approx(0, abs=0.1)
    wrong = score_lists(scorer, partner, ~mirrored)
    assert wrong["above_0.95"] < n < right["above_0.95"]
    assert wrong["view_median_deg"] == pytest.approx(180, abs=0.1)
    with pytest.raises(ValueError, match="1 images have no neighbours"):
        score_lists(scorer, np.where(partner == 4, -1, partner), mirrored)


def doubled(views: object) -> dict[str, np.ndarray]:
    """Views, and all of them again as the mirror images y -> -y, which are the views from behind."""
    from benchmarks.view_scores import MIRROR

    mirror_image = np.roll(views.clean[:, ::-1], 1 - BOX % 2, axis=1)
    return {
        "clean": np.concatenate([views.clean, mirror_image]),
        "rotations": np.concatenate([views.rotations, views.rotations @ MIRROR]),
    }


@pytest.mark.parametrize("mirror", [False, True])
def test_angles_between_exact_neighbours_have_no_error(mirror: bool) -> None:
    """Points of image i are those of j, mirrored y -> -y and then turned: X_i(r) = (M X_j)(R(psi) r)."""
    from benchmarks.view_scores import MIRROR, in_plane_errors

    rng = np.random.default_rng(0)
    n = 40
    other = euler_to_matrix(torch.from_numpy(rng.uniform(-180, 180, (n, 3)))).numpy()
    psi = rng.uniform(-180, 180, n)
    turn = np.stack([np.block([[in_plane_matrix(a), np.zeros((2, 1))], [np.zeros((1, 2)), 1]]) for a in psi])
    mine = other @ (MIRROR if mirror else np.eye(3)) @ turn
    points = rng.normal(size=(3, 5))
    seen_by = [(np.swapaxes(g, 1, 2) @ points)[:, :2] for g in (mine, other)]
    flip = np.diag([1.0, -1.0 if mirror else 1.0])
    assert np.allclose(turn[:, :2, :2] @ seen_by[0], flip @ seen_by[1])

    rotations, index = np.concatenate([mine, other]), np.arange(n)[:, None]
    found = {"neighbours": np.concatenate([index + n, index + n]), "mirrored": np.full((2 * n, 1), mirror)}
    found["mirrored"][n:] = False  # the others are their own neighbours here
    angle = np.concatenate([psi, np.zeros(n)])[:, None]
    exact = in_plane_errors(rotations, **found, psi_deg=angle)
    assert exact["in_plane_90_deg"] == pytest.approx(0, abs=0.01)
    assert in_plane_errors(rotations, **found, psi_deg=angle - 7)["in_plane_90_deg"] == pytest.approx(7, abs=0.01)
    found["mirrored"] = ~found["mirrored"]
    assert in_plane_errors(rotations, **found, psi_deg=angle).get("in_plane_median_deg", 90) > 5


def test_relative_errors_are_those_of_the_definition() -> None:
    from benchmarks.view_scores import relative_errors

    rng = np.random.default_rng(1)
    clean = rng.normal(1, 1, (700, 5, 5))
    images = -(clean + rng.normal(0, 0.5, clean.shape))
    errors = relative_errors(images, clean)
    scale = (images * clean).sum() / (images**2).sum()
    whole, varying = np.linalg.norm(clean), np.linalg.norm(clean - clean.mean(0))
    as_it_is, fitted = np.linalg.norm(-images - clean), np.linalg.norm(scale * images - clean)
    assert errors["scale"] == pytest.approx(scale, rel=1e-3)
    assert errors["error"] == pytest.approx(as_it_is / whole, abs=1e-4)
    assert errors["mean_removed"] == pytest.approx(as_it_is / varying, abs=1e-4)
    assert errors["fitted"] == pytest.approx(fitted / whole, abs=1e-4)
    assert errors["fitted_mean_removed"] == pytest.approx(fitted / varying, abs=1e-4)


def test_tables_show_means_ranges_and_what_is_missing() -> None:
    from benchmarks import denoise, neighbours, neighbours_scaling

    cost = {
        "cpu_s": 10.0,
        "wall_s": 11.0,
        "peak_MB": 300,
        "stages": [{"stage": "search", "cpu_s": 9.0, "peak_MB": 250}],
    }
    seeds = {"inverse_snr": 40, "data_seed": 1}
    score = {"pairs": 100, "above_0.95": 20, "above_0.8": 90, "view_median_deg": 5.0, "within_10_deg": 0.75}
    ours = {"in_plane_median_deg": 1.0, "in_plane_90_deg": 3.0, "averages_fitted": 0.5}
    rows = [
        {"program": "vitreous", **seeds, "seed": 1, "above_0.9": 40, **score, **ours, **cost},
        {"program": "vitreous", **seeds, "seed": 2, "above_0.9": 60, **score, **ours, **cost, "peak_MB": 400},
        {"program": "ASPIRE", **seeds, "seed": 1, "above_0.9": 30, **score, **cost},
    ]
    text = neighbours.table({"particles": 10, "neighbours": 10, "rows": rows})
    assert "| vitreous | 1/40 | 2 | 50 (40 to 60) | 20 | 75 | 5 | 1 | 3 | 0.5 | 10 | 400 |" in text
    assert "| ASPIRE | 1/40 | 1 | 30 | 20 | 75 | 5 | - | - | - | 10 | 300 |" in text
    assert "| ASPIRE | 1/40 | search 9.0 (250) |" in text
    errors = {"error": 0.61, "mean_removed": 0.7, "fitted": 0.6}
    rows = [{"program": name, **seeds, "seed": 1, **errors, **cost} for name in ("vitreous", "ASPIRE")]
    text = denoise.table({"particles": 10, "rows": rows})
    assert "| vitreous | 1/40 | 1, 1 | 0.61 | 0.7 | 0.6 | 10 | 300 | search 9.0 (250) |" in text
    assert "| ASPIRE | 1/40 | 1, 1 | 0.61 | 0.7 | 0.6 |" in text
    text = neighbours_scaling.table({"rows": [{"particles": 1000, **seeds, "seed": 1, **cost}]})
    assert "| 1,000 | 1/40 | 10 | 10 | 11 | 300 | search 9.0 (250) |" in text


def test_peer_is_left_out_with_a_plain_message(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.neighbour_methods import available

    options = SimpleNamespace(aspire_python=None)
    assert available(options, ["vitreous", "ASPIRE"]) == ["vitreous"]
    assert "pip install aspire==0.14.3" in capsys.readouterr().out
    assert available(options, ["vitreous"]) == ["vitreous"]
    assert capsys.readouterr().out == ""
