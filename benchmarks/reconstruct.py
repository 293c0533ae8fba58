"""Maps from particles with true poses: all Fourier methods beside relion_reconstruct on the same files.

The 70S benchmark (64 px, 5 A/px). Truth is the map that was projected; the mean FSC with it is over shells 1-23 (to 14
A). All maps are compared within the same three masks, because a method that masks its map (cg, art) gains by that alone
in a wider mask: a ball of 28 px (that of metrics.py), the particle's sphere of 280 A that cg and art are confined to,
and a tight one from the truth. CPU time is that of the work in a process that runs already, reading included, and of
the whole command; the rest of the latter is the start of Python and PyTorch, and the report.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from benchmarks import sticks
from benchmarks.child import run_child
from benchmarks.tables import markdown_table
from vitreous.matching import ImagePreparation
from vitreous.particles import ParticleSet, read_particles, read_star, read_volume
from vitreous.quality import shell_correlation, soft_ball
from vitreous.rotations import euler_to_matrix
from vitreous.volumes.reconstruction import (
    ART,
    Gridding,
    LeastSquares,
    PosedParticles,
    WeightedBackProjection,
    random_halves,
    reconstruct,
)

METHODS = {"gridding": Gridding(), "wbp": WeightedBackProjection(), "art": ART(), "cg": LeastSquares()}
RELION = "relion_reconstruct"
DIAMETER_A, LAST_SHELL = 280.0, 23
MASKS = ("ball", "sphere", "tight")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of make_data.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(sticks.REPORTED), help="of the data")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.02], choices=[0.1, 0.02])
    parser.add_argument("--particles", type=int, nargs="+", default=[2000, 5000])


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per seed, SNR, number of particles and program."""
    if shutil.which(RELION) is None:
        raise sticks.NotAvailable(f"{RELION} is not installed")
    rows = []
    for seed in options.seeds:
        data = sticks.ribosomes(options.sticks, work, seed)
        truth = torch.from_numpy(np.array(read_volume(data / "vol_true_64.mrc").data))
        masks = masks_of(truth)
        for snr in options.snr:
            for count in options.particles:
                star = with_true_poses(data, snr, count, work)
                for program, found, cost in _programs(star, work / "run"):
                    scores = {name: score(found, truth, mask) for name, mask in masks.items()}
                    rows.append({"seed": seed, "snr": snr, "particles": count, "program": program, **cost, **scores})
                    print(rows[-1], flush=True)
    return {"rows": rows}


def with_true_poses(data: Path, snr: float, count: int, folder: Path) -> Path:
    """A STAR file, in ``folder``, of the first particles with the poses that they were made with."""
    truth = read_star(data / "truth.star")["particles"]
    names = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst")
    particles = read_particles(data / f"particles_snr{snr}.star")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{data.name}_{count}_snr{snr}.star"
    particles.with_columns(**{n: truth.numbers(n) for n in names}).subset(np.arange(count)).write(path)
    return path


def masks_of(truth: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same three for all programs, (n, n, n) each."""
    smooth = ndimage.gaussian_filter(truth.numpy(), 1.5)
    grown = ndimage.binary_dilation(smooth > 0.05 * smooth.max(), iterations=3).astype(np.float32)
    tight = torch.from_numpy(ndimage.gaussian_filter(grown, 1.5))
    return {"ball": soft_ball(64, 28.0, 4.0), "sphere": soft_ball(64, 23.8, 4.2), "tight": tight}


def score(found: np.ndarray, truth: torch.Tensor, mask: torch.Tensor) -> float:
    """Mean FSC over shells 1-23."""
    curve = shell_correlation(torch.from_numpy(np.array(found, np.float32)) * mask, truth * mask)
    return round(float(curve[1 : LAST_SHELL + 1].mean()), 4)


def posed(particles: ParticleSet) -> PosedParticles:
    """The particles of a STAR file as a reconstruction takes them, with half-sets by chance."""
    angles = np.stack([particles.table.numbers(f"rlnAngle{name}") for name in ("Rot", "Tilt", "Psi")], axis=1)
    return PosedParticles(
        read=particles.read,
        preparation=ImagePreparation.for_box(particles.box_px, particles.pixel_size_A, DIAMETER_A),
        ctf=particles.ctf,
        rotations=euler_to_matrix(torch.from_numpy(angles)).numpy(),
        origins_A=particles.origin_A,
        half=random_halves(len(particles), 0),
    )


def _programs(star: Path, folder: Path) -> list[tuple[str, np.ndarray, dict[str, float]]]:
    torch.set_num_threads(1)
    particles = posed(read_particles(star))
    few = posed(read_particles(star).subset(np.arange(20)))
    found = []
    for name, settings in METHODS.items():
        reconstruct(few, settings)  # compiled before the clock runs
        start = time.process_time()
        volume = reconstruct(particles, settings).full.data
        cost = {"cpu_s": round(time.process_time() - start, 2)}
        if name == "gridding":
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "vitreous.cli", "reconstruct", star.resolve(), "-o", folder.resolve()]
            spent = run_child([*command, "--threads", "1"], folder.with_suffix(".log"), threads=1)
            cost |= {"command_cpu_s": round(spent.cpu_s, 2), "peak_MB": round(spent.peak_MB)}
        found.append((name, volume, cost))
    command = [RELION, "--i", star.name, "--o", "relion.mrc", "--ctf", "--pad", "2", "--j", "1"]
    spent = run_child(command, star.with_name("relion.log"), cwd=star.parent, threads=1)
    cost = {"cpu_s": round(spent.cpu_s, 2), "command_cpu_s": round(spent.cpu_s, 2), "peak_MB": round(spent.peak_MB)}
    return [*found, (RELION, read_volume(star.with_name("relion.mrc")).data, cost)]


def table(figures: dict[str, Any]) -> str:
    """Means over the seeds."""
    header = (
        "SNR",
        "particles",
        "program",
        *(f"mean FSC, {m}" for m in MASKS),
        "CPU s",
        "CPU s of the command",
        "peak MB",
    )
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in figures["rows"]:
        groups.setdefault((row["snr"], row["particles"], row["program"]), []).append(row)

    def mean(group: list[dict[str, Any]], name: str, digits: int) -> float | None:
        return round(float(np.mean([r[name] for r in group])), digits) if name in group[0] else None

    rows = [
        (*key, *(mean(g, m, 4) for m in MASKS), *(mean(g, n, 1) for n in ("cpu_s", "command_cpu_s", "peak_MB")))
        for key, g in groups.items()
    ]
    seeds = len({row["seed"] for row in figures["rows"]})
    return f"Means over {seeds} seeds of the data, one thread.\n\n{markdown_table(header, rows)}"
