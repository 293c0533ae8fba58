"""Maps of 128 pixels of 2.5 A: from a random start to a refined map, and what reconstructions from true poses reach.

A 70S ribosome from an atomic model; projections, CTF (1 to 2.5 micrometres of defocus), shifts within 4 px and white
noise are made with cryosim.py of the scoring scripts, SNR over all pixels. The *floor* is our own reconstruction from
the poses that the particles were made with. All maps are compared with the true one within one ball of 140 A; a *shell*
is a Fourier pixel of the box. CPU seconds are those of the whole process, start of Python included, but for our
reconstructions, which run in a process that runs already.
"""

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import sticks
from benchmarks.atomic_scenes import DATA
from benchmarks.child import run_child
from benchmarks.random_starts import random_start
from benchmarks.reconstruct import RELION, posed
from benchmarks.tables import markdown_table
from benchmarks.truth_scores import Frame, frame_of, fsc_figures, pose_figures
from vitreous.particles import Volume, read_particles, read_volume, write_mrc_stack, write_volume
from vitreous.simulate import read_atoms, volume_from_atoms
from vitreous.structures import Poses
from vitreous.volumes.reconstruction import Gridding, LeastSquares, reconstruct

BOX, PIXEL_A, MODEL = 128, 2.5, "ribosome70S_variant0.pdb.gz"
TRUTH_A, BALL_PX, MOST_SHIFT_PX = 5.0, 56.0, 4.0
GROUPS, AT_ONCE = 7, 100
COLUMNS = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of cryosim.py")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of models/")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20240701], help="of the data")
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--particles", type=int, default=5000)
    parser.add_argument("--starts", type=int, default=1, help="random starts of every data set")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per data set and map."""
    rows = []
    for seed in options.seeds:
        folder = work / f"s{seed}_{options.snr:g}_{options.particles}"
        star = made(options, folder, seed)
        true_map, particles = read_volume(folder / "truth.mrc"), read_particles(star)
        truth = Poses.from_particles(particles)
        common = {"seed": seed, "snr": options.snr, "particles": options.particles}
        for start in range(options.starts):
            run = random_start(star, options.particles, start, folder / f"start{start}")
            frame = frame_of(run.refined, truth)
            score = {**pose_figures(run.refined, truth, frame), **fsc_figures(run.volume, true_map, frame, BALL_PX)}
            rows.append({**common, "map": f"random start {start}, refined", **score, **run.figures})
            print(rows[-1], flush=True)
        for name, volume, cost in _from_true_poses(star):
            at_home = Frame(mirrored=False, rotation=np.eye(3), shift_A=np.zeros(3))
            rows.append({**common, "map": name, **fsc_figures(volume, true_map, at_home, BALL_PX), **cost})
            print(rows[-1], flush=True)
    return {"rows": rows, "box_px": BOX, "pixel_size_A": PIXEL_A}


def made(options: argparse.Namespace, folder: Path, seed: int) -> Path:
    """``particles.star`` with true poses, and ``truth.mrc``, made once."""
    star = folder / "particles.star"
    if star.is_file():
        return star
    model = options.data / "models" / MODEL
    if not model.is_file():
        raise sticks.NotAvailable(f"the atomic models are not at {options.data / 'models'}; give --data")
    folder.mkdir(parents=True, exist_ok=True)
    density = volume_from_atoms(read_atoms(model), BOX, PIXEL_A, TRUTH_A).numpy()
    write_volume(folder / "truth.mrc", Volume(data=density / density.max(), pixel_size_A=PIXEL_A))
    rng, n = np.random.default_rng(seed), options.particles
    angles = np.stack(
        [rng.uniform(-180, 180, n), np.rad2deg(np.arccos(rng.uniform(-1, 1, n))), rng.uniform(-180, 180, n)]
    )
    shifts = rng.uniform(-MOST_SHIFT_PX, MOST_SHIFT_PX, (2, n))
    group = rng.integers(0, GROUPS, n)
    images = _images(options, density / density.max(), angles, shifts, np.linspace(10000, 25000, GROUPS)[group])
    images += rng.normal(0, np.sqrt(images.var(axis=(1, 2)).mean() / options.snr), images.shape).astype(np.float32)
    write_mrc_stack(folder / "particles.mrcs", images, PIXEL_A)
    star.write_text(_table(angles, shifts, group))
    return star


def _images(
    options: argparse.Namespace, density: np.ndarray, angles: np.ndarray, shifts: np.ndarray, defocus_A: np.ndarray
) -> np.ndarray:
    sim = sticks.stick_module(options.sticks, "cryosim")
    projector = sim.Projector(density.astype(np.float32), pad=2)
    k2 = (projector.KX**2 + projector.KY**2) / (BOX * PIXEL_A) ** 2
    out = np.empty((angles.shape[1], BOX, BOX), np.float32)
    for i in range(0, len(out), AT_ONCE):
        part = slice(i, i + AT_ONCE)
        ctf = np.stack([sim.ctf2d(k2, d, 300.0, 2.0, 0.1) for d in defocus_A[part]])
        out[part] = projector.images(*angles[:, part], *shifts[:, part], ctf)
    return out


def _table(angles: np.ndarray, shifts: np.ndarray, group: np.ndarray) -> str:
    optics = ("rlnOpticsGroupName", "rlnOpticsGroup", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast",
              "rlnImagePixelSize", "rlnImageSize", "rlnImageDimensionality")  # fmt: skip
    names = ("rlnImageName", "rlnMicrographName", "rlnOpticsGroup", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
    defocus = np.linspace(10000, 25000, GROUPS)[group]
    lines = [
        f"{i + 1:06d}@particles.mrcs mic_{g + 1:03d}.mrc 1 {d:.1f} {d:.1f} 0 {a[0]:.5f} {a[1]:.5f} {a[2]:.5f} "
        f"{o[0]:.5f} {o[1]:.5f}"
        for i, (g, d, a, o) in enumerate(zip(group, defocus, angles.T, PIXEL_A * shifts.T, strict=True))
    ]
    return "\n".join(
        [
            *("data_optics", "", "loop_", *(f"_{name}" for name in optics)),
            *(f"opticsGroup1 1 300 2.0 0.1 {PIXEL_A} {BOX} 2", ""),
            *("data_particles", "", "loop_", *(f"_{name}" for name in (*names, *COLUMNS)), *lines, ""),
        ]
    )


def _from_true_poses(star: Path) -> list[tuple[str, Volume, dict[str, float]]]:
    torch.set_num_threads(1)
    particles, found = read_particles(star), []
    few = posed(particles.subset(np.arange(20)))
    for name, settings in {"gridding": Gridding(), "least squares": LeastSquares()}.items():
        reconstruct(few, settings)  # compiled before the clock runs
        began = time.process_time()
        volume = reconstruct(posed(particles), settings).full
        found.append((f"true poses, {name}", volume, {"cpu_s": round(time.process_time() - began, 1)}))
    if shutil.which(RELION) is not None:
        command = [RELION, "--i", star.name, "--o", "relion.mrc", "--ctf", "--pad", "2", "--j", "1"]
        cost = run_child(command, star.with_name("relion.log"), cwd=star.parent, threads=1)
        found.append((f"true poses, {RELION}", read_volume(star.with_name("relion.mrc")), cost.figures()))
    return found


def table(figures: dict[str, Any]) -> str:
    """A line per map."""
    field = figures["box_px"] * figures["pixel_size_A"]
    header = (
        *("SNR", "particles", "data", "map", "median error", "within 10°", "FSC 0.5 with truth, A", "shell"),
        *("0.143, A", "claimed, A", "CPU s", "peak MB"),
    )
    rows = [
        (
            *(f"{r['snr']:g}", f"{r['particles']:,}", f"{r['seed']}", r["map"]),
            *(f"{r['median_deg']:.2f}°" if "median_deg" in r else None,),
            *(f"{r['within_10_deg']:.1%}" if "within_10_deg" in r else None,),
            *(f"{r['fsc_0.5_A']:.2f}", f"{field / r['fsc_0.5_A']:.1f}"),
            *(f"{value:.2f}" if (value := r.get(name)) else None for name in ("fsc_0.143_A", "claimed_A")),
            *(f"{r['cpu_s']:.0f}", f"{r['peak_MB']:.0f}" if "peak_MB" in r else None),
        )
        for r in figures["rows"]
    ]
    return markdown_table(header, rows)
