"""The ceiling of the class2d figures: averages of perfect classes, made from the same images by the same restoration.

Classes are a spherical k-means of the true viewing directions; angles and shifts are the true ones. What these averages
do not reach (correlation, FRC) no classification into as many classes can be asked for.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.cluster.vq import kmeans2

from benchmarks import sticks
from benchmarks.class2d_quality import FIGURES
from benchmarks.tables import markdown_table
from vitreous.averages.class2d import Class2D, prepare_run
from vitreous.matching import Alignments, restore
from vitreous.particles import read_particles, write_mrc_stack
from vitreous.rotations import euler_to_matrix


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the defaults are the ones of the published table."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of make_data.py and metrics.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20240501, 20240502, 20240503], help="of the data")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.02], choices=[0.1, 0.02])
    parser.add_argument("--classes", type=int, default=50)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per data seed and SNR."""
    rows = []
    for seed in options.seeds:
        data = sticks.make_data(options.sticks, work / f"data-{seed}", seed=seed)
        for snr in options.snr:
            folder = work / f"run-{seed}-{snr}"
            folder.mkdir(parents=True, exist_ok=True)
            _write_perfect(data, folder, snr, options.classes)
            score = sticks.score_class2d(options.sticks, data, folder / "run_data.star", folder / "run_classes.mrcs")
            rows.append({"snr": snr, "seed": seed, **score})
            print(rows[-1], flush=True)
    return {"classes": options.classes, "rows": rows}


def _write_perfect(data: Path, folder: Path, snr: float, classes: int) -> None:
    """Averages and assignments of perfect classes as RELION-style files."""
    particles = read_particles(data / f"particles_snr{snr}.star")
    truth = read_particles(data / "truth.star").table
    angles = np.stack([truth[name] for name in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")], 1).astype(float)
    pose = euler_to_matrix(torch.from_numpy(angles)).numpy()
    label, centre = _spherical_kmeans(pose[:, :, 2], classes)
    psi = _in_plane(pose, _frame(centre)[label])
    origin_A = np.stack([truth["rlnOriginXAngst"], truth["rlnOriginYAngst"]], 1).astype(float)
    n = len(particles)
    alignments = Alignments(
        particle=np.arange(n), reference=label, psi_rad=psi, origin_A=origin_A, mirror=np.zeros(n, bool)
    )
    preparation = prepare_run(particles, Class2D(classes=classes)).preparation
    with torch.no_grad():
        averages = restore(particles.read, preparation, particles.ctf, alignments, np.arange(n) % 2, classes)
    write_mrc_stack(folder / "run_classes.mrcs", averages.full.numpy(), particles.pixel_size_A)
    assigned = particles.with_columns(rlnClassNumber=label + 1, rlnAnglePsi=np.rad2deg(psi))
    assigned.write(folder / "run_data.star")


def _spherical_kmeans(directions: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(labels (n,), centres (classes, 3) of length 1)."""
    centre, label = kmeans2(directions, classes, iter=60, minit="++", rng=np.random.default_rng(0))
    return label.astype(np.int64), centre / np.linalg.norm(centre, axis=1, keepdims=True)


def _frame(directions: np.ndarray) -> np.ndarray:
    """Poses (m, 3, 3) that look along directions (m, 3), in-plane angle 0."""
    rot, tilt = np.arctan2(directions[:, 1], directions[:, 0]), np.arccos(np.clip(directions[:, 2], -1, 1))
    angles = np.rad2deg(np.stack([rot, tilt, np.zeros_like(rot)], 1))
    return euler_to_matrix(torch.from_numpy(angles)).numpy()


def _in_plane(pose: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """psi (n,) in radians for which the frame turned by psi about its view axis comes nearest to the pose."""
    between = np.einsum("nji,njk->nik", frame, pose)
    return np.arctan2(between[:, 1, 0] - between[:, 0, 1], between[:, 0, 0] + between[:, 1, 1])


def table(figures: dict[str, Any]) -> str:
    """All runs."""
    header = ("SNR", "seed", "spread (deg)", "mirrors folded", "median (deg)", "cc", "FRC 0.5 mean (A)")
    rows = [(r["snr"], r["seed"], *(r[f] for f in FIGURES)) for r in figures["rows"]]
    text = f"5,000 particles of the 70S ribosome, {figures['classes']} classes of the true directions."
    return f"{text}\n\n{markdown_table((*header, 'FRC 0.5 median (A)', 'in-plane median (deg)'), rows)}"
