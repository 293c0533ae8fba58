"""The benchmarks of initial models score what they say they score: on tiny data with known answers."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from vitreous.particles import Volume, read_volume, write_star, write_volume
from vitreous.particles.table import Table
from vitreous.rotations import random_rotations

ROOT = Path(__file__).resolve().parent.parent
RUN = {
    "averages": 25, "box_px": 50, "poses_right_by_restart": [1.0, 0.96], "restarts_right": 1,
    "poses_right_refined": 1.0,
    "correlation": 0.98, "resolution_A": 14.0, "other_hand_correlation": 0.8, "restarts": 2, "restarts_agreeing": 2,
    "restart_s": 5.0, "refinement_s": 12.0, "cpu_s": 30.0, "wall_s": 20.0, "peak_MB": 400,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def atom(serial: int, name: str, residue: str, chain: str, number: int, xyz: tuple[float, float, float]) -> str:
    x, y, z = xyz
    start = f"ATOM  {serial:5d}  {name:3s} {residue:>3s} {chain}{number:4d}    "
    return f"{start}{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           {name[0]}  "


def write_model(path: Path, *parts: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        file.write("\n".join(line for part in parts for line in ["HEADER    A PART", *part]) + "\nEND\n")


def test_poses_of_a_scene_are_those_of_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An atom off the centre appears where its pose puts it; the second ring is a turned copy of the first."""
    from benchmarks import atomic_scenes

    from vitreous.particles import open_stack

    light, heavy = (0.0, 0.0, 10.0), (30.0, 0.0, 10.0)
    lines = [atom(1, "C", "ALA", "A", 1, light), atom(2, "U", "ALA", "A", 2, heavy)]
    write_model(tmp_path / "models" / "two.pdb.gz", lines)
    kind = atomic_scenes.Structure(file="two.pdb.gz", images=4, box_px=32, pixel_size_A=5.0, truth_at_A=20.0)
    monkeypatch.setitem(atomic_scenes.STRUCTURES, "two", kind)
    scene = atomic_scenes.make_scene(tmp_path, "two", tmp_path / "scene", seed=3)
    images = open_stack(scene.averages).read(np.arange(4))
    atoms = atomic_scenes.atoms_of(tmp_path, kind, tmp_path)
    peak = atoms.positions_A[atoms.weights.argmax()]
    seen = (scene.rotations.swapaxes(1, 2) @ peak)[:, :2] / 5.0 + 16
    for image, (x, y) in zip(images, seen, strict=True):
        row, column = np.unravel_index(image.argmax(), image.shape)
        assert abs(row - y) < 1.0
        assert abs(column - x) < 1.0
    assert read_volume(scene.truth).data.shape == (32, 32, 32)
    noisy = atomic_scenes.make_scene(tmp_path, "two", tmp_path / "noisy", seed=3, snr=2.0)
    noise = open_stack(noisy.averages).read(np.arange(4)) - images
    assert images.var() / noise.var() == pytest.approx(2.0, rel=0.1)

    ring = atomic_scenes.Structure(**{**vars(kind), "two_rings": True})
    whole = atomic_scenes.atoms_of(tmp_path, ring, tmp_path).positions_A
    assert len(whole) == 4
    assert np.allclose(whole[:, 2], [10, 10, -10, -10], atol=0.01)


def test_large_subunit_is_the_part_with_the_long_rna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import atomic_scenes

    monkeypatch.setattr(atomic_scenes, "LARGE_SUBUNIT_NUCLEOTIDES", 3)
    small = [atom(i, "P", "U", "A", i, (0.0, 0.0, float(i))) for i in range(1, 4)]
    large = [atom(i, "P", "U", "A", i, (50.0, 0.0, float(i))) for i in range(1, 6)]
    write_model(tmp_path / "models" / "whole.pdb.gz", small, large)
    kind = atomic_scenes.Structure(
        file="whole.pdb.gz", images=1, box_px=8, pixel_size_A=4.0, truth_at_A=20.0, large_subunit=True
    )
    assert len(atomic_scenes.atoms_of(tmp_path, kind, tmp_path / "work").weights) == 5


def test_restarts_are_right_when_all_their_poses_are(tmp_path: Path) -> None:
    from benchmarks.initial_program import model_figures, poses_figures, stage_seconds

    g = random_rotations(8, seed=1).numpy()
    frame, flip = random_rotations(1, seed=2).numpy()[0], np.diag([1.0, 1.0, -1.0])
    wrong = g.copy()
    wrong[2] = random_rotations(1, seed=5).numpy()[0]
    (tmp_path / "checkpoints").mkdir()
    found = {"restarts.0.rotations": frame @ g, "restarts.1.model.posed.rotations": frame @ wrong}
    np.savez(tmp_path / "checkpoints" / "it000002.npz", **found, **{"refined.rotations": flip @ g @ flip})
    figures = poses_figures(tmp_path, g, "C1")
    assert figures == {"poses_right_by_restart": [1.0, 0.875], "restarts_right": 1, "poses_right_refined": 1.0}

    z, y, x = np.meshgrid(*[np.arange(16.0) - 8] * 3, indexing="ij")
    blobs = [(5, 0, 0, 1.0), (-1, 5, 0, 0.6), (-1, -1, 5, 1.4), (-2, -2, -4, 0.8)]
    data = sum(w * np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 2) for a, b, c, w in blobs)
    for name in ("initial.mrc", "truth.mrc"):
        write_volume(tmp_path / name, Volume(data=np.asarray(data, np.float32), pixel_size_A=8.0))
    table = Table.from_arrays({"vtrAgreeingFraction": [1.0, 0.5, 0.9]})
    write_star(tmp_path / "initial_restarts.star", {"": table})
    figures = model_figures(tmp_path, tmp_path / "truth.mrc")
    assert figures["restarts"] == 3
    assert figures["restarts_agreeing"] == 2
    assert figures["correlation"] > 0.98 > figures["other_hand_correlation"] + 0.02
    steps = [{"seconds": 3.0, "stage": "initial"}, {"seconds": 1.5, "stage": "refinement"}]
    (tmp_path / "history.jsonl").write_text("".join(f"{json.dumps(step)}\n" for step in steps))
    assert stage_seconds(tmp_path, restarts=4, threads=2) == {"restart_s": 1.5, "refinement_s": 1.5}


def test_points_become_counts_about_their_centre(tmp_path: Path) -> None:
    from benchmarks.initial_real import POINTS_BOX_PX, points_as_images

    points = np.array([[90.0, 80.0], [94.0, 80.0], [98.0, 80.0], [94.0, 80.0]])
    np.savez(tmp_path / "points.npz", **{"10": points + 7.0, "9": points})
    images = points_as_images(tmp_path / "points.npz")
    middle = POINTS_BOX_PX // 2
    assert images.shape == (2, POINTS_BOX_PX, POINTS_BOX_PX)
    assert np.array_equal(images[0], images[1])
    assert images[0, middle, middle - 2 : middle + 3].tolist() == [1.0, 0.0, 2.0, 0.0, 1.0]


def test_tables_show_what_was_measured() -> None:
    from benchmarks import gibbs_step, initial_models, initial_real

    runs = [{"case": "Pol II", "seed": seed, **RUN} for seed in (1, 2)]
    runs[1] |= {"resolution_A": 16.0, "restarts_right": 2}
    unresolved = {"case": "50S", "seed": 1, **RUN, "resolution_A": None}
    text = initial_models.table({"threads": 2, "rows": [*runs, unresolved]})
    assert "| Pol II: 25 of 50 x 50 | gmm | 2 | 3 of 4 | 2 of 2 | 0.98 | 15.0 (16.0) | 5 | 12 | 20 | 30 | 400 |" in text
    assert "not reached by 1 of 1" in text
    assert "| Pol II | 1 | 100, 96 | 0.98 | 0.8 | 14 | 20 | 30 |" in text
    rows = [{"set": "80S ribosome", "method": "gmm", "commands": 1, **RUN}]
    text = initial_real.table({"threads": 2, "rows": rows})
    assert "| 80S ribosome | 25 | C1 | gmm | 1 | 2 of 2 | 0.98 | 0.8 | 14 | 20 | 30 | 400 |" in text
    timed = {"step_ms": 4.0, "fastest_step_ms": 3.9, "cpu_ms": 4.1, "assignment_ms": 3.0, "mixture_ms": 0.5}
    timed |= {"box_px": 32, "sigma_A": 5.0, "threads": 1, "rotations_ms": 0.25, "machine_GFLOPs": 90.0}
    figures = {"components": 500, "images": 25, "counts": 10_000, "steps": 3, "rows": [timed]}
    assert "| 32 x 32 | 5 | 1 | 4 | 3.9 | 4.1 | 3 | 0.5 | 0.25 | 90 |" in gibbs_step.table(figures)
