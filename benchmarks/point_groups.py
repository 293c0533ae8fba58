"""Ab initio structures of symmetric particles whose point group is not given: which one is named, are views right.

D2 (beta-galactosidase, from the atomic model) and C4 (blobs), simulated with `vitreous simulate`: 64 px of 5 A. Every
start is `abinitio` with `--symmetry auto` and one random start, one thread, in a process that runs already. Poses of
all particles are compared with the truth over both hands and all copies under the group that was found. CPU seconds
include reading and the pass that poses all particles.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import sticks
from benchmarks.atomic_scenes import DATA
from benchmarks.child import run_child
from benchmarks.tables import markdown_table
from vitreous.particles import Volume, read_particles, write_volume
from vitreous.rotations import compare_poses, symmetry_matrices
from vitreous.structures import Poses
from vitreous.structures.abinitio import Abinitio, abinitio

BOX, PIXEL_A = 64, 5.0
DIAMETERS_A = {"D2": 220.0, "C4": 190.0}
BETAGAL = "5a1a.pdb.gz"
BLOBS = np.array(  # x, y, z, width (A), height: a channel along z without mirror planes
    [(35, 5, 20, 11, 1), (30, 20, -10, 10, 1.2), (20, -12, -45, 12, 1), (45, 10, 40, 9, 0.8), (15, 15, 60, 11, 1),
     (50, -20, 5, 8, 0.9)], float,
)  # fmt: skip
NEAR_DEG, FRAME_DEG = 10.0, 15.0
FLIP = np.diag([1.0, 1.0, -1.0])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder of models/")
    parser.add_argument("--groups", nargs="+", default=list(DIAMETERS_A), choices=list(DIAMETERS_A))
    parser.add_argument("--particles", type=int, default=1000)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=20240701, help="of the data")
    parser.add_argument("--starts", type=int, default=5)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per group and start."""
    torch.set_num_threads(1)
    rows = []
    for name in options.groups:
        data = _simulated(options, name, work / f"{name}-{options.particles}-{options.snr:g}-{options.seed}")
        particles, truth = read_particles(data / "particles.star"), read_particles(data / "truth.star")
        for start in range(options.starts):
            began = time.process_time()
            settings = Abinitio(symmetry="auto", starts=1, seed=start, particle_diameter_A=DIAMETERS_A[name])
            found = abinitio(particles, settings)
            cost = time.process_time() - began
            group = found.starts[0].group
            error = pose_errors_deg(found.poses.rotation, Poses.from_particles(truth).rotation, found.symmetry)
            row = {"group": name, "start": start, "found": found.symmetry, "cpu_s": round(cost, 1)}
            row |= {
                "merit": None if group is None else round(float(group.merit), 3),
                "passes": found.starts[0].passes,
                "median_deg": round(float(np.median(error)), 2),
                "within_10_deg": round(float((error < NEAR_DEG).mean()), 4),
            }
            rows.append(row)
            print(row, flush=True)
    return {"rows": rows, "particles": options.particles, "snr": options.snr, "seed": options.seed}


def _simulated(options: argparse.Namespace, name: str, folder: Path) -> Path:
    if not (folder / "truth.star").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        what: list[str | Path] = ["--map", _blobs(folder.with_suffix(".mrc"))]
        if name == "D2":
            model = options.data / "models" / BETAGAL
            if not model.is_file():
                raise sticks.NotAvailable(f"the atomic models are not at {options.data / 'models'}; give --data")
            what = ["--pdb", model, "--box-px", str(BOX), "--pixel-size-A", str(PIXEL_A)]
        command = [sys.executable, "-m", "vitreous.cli", "simulate", *what, "-n", str(options.particles)]
        more = ["--snr", str(options.snr), "--seed", str(options.seed), "-o", folder, "--threads", "1", "--overwrite"]
        run_child([*command, *more], folder.with_suffix(".log"), threads=1)
    return folder


def _blobs(path: Path) -> Path:
    axis = (np.arange(BOX) - BOX // 2) * PIXEL_A
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    density = np.zeros((BOX, BOX, BOX))
    for element in symmetry_matrices("C4").numpy():
        for *centre, width, height in BLOBS:
            at = element @ np.array(centre)
            square = (x - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2
            density += height * np.exp(-square / (2 * width**2))
    write_volume(path, Volume(data=density.astype(np.float32), pixel_size_A=PIXEL_A))
    return path


def pose_errors_deg(found: np.ndarray, truth: np.ndarray, symmetry: str) -> np.ndarray:
    """(n,) angles to the nearest copy under a group that ``found`` has, after the best rotation, over both hands."""
    group = symmetry_matrices(symmetry).numpy()
    same = compare_poses(found, truth, group=group, within_deg=FRAME_DEG)
    here = FLIP @ found @ FLIP if same.other_hand else found
    copies = same.rotation @ group[:, None] @ here
    trace = np.einsum("gnab,nab->gn", copies, truth).max(0)
    return np.asarray(np.rad2deg(np.arccos(np.clip((trace - 1) / 2, -1, 1))))


def table(figures: dict[str, Any]) -> str:
    """A line per group of how many starts are right, and one per start."""
    rows = figures["rows"]
    lines = [
        (
            *(name, f"{sum(r['found'] == name for r in some)} of {len(some)}"),
            f"{sum(r['within_10_deg'] > 0.5 for r in some)} of {len(some)}",
        )
        for name in dict.fromkeys(r["group"] for r in rows)
        for some in [[r for r in rows if r["group"] == name]]
    ]
    each = [
        (
            *(r["group"], f"{r['start']}", r["found"], r["merit"], f"{r['passes']}", f"{r['median_deg']:.1f}°"),
            *(f"{r['within_10_deg']:.0%}", f"{r['cpu_s']:.0f}"),
        )
        for r in rows
    ]
    said = f"{figures['particles']:,} particles, SNR {figures['snr']:g}, data seed {figures['seed']}."
    of_groups = markdown_table(("group", "named", "most poses within 10°"), lines)
    header = ("group", "start", "named", "merit", "passes", "median error", "within 10°", "CPU s")
    return f"{said}\n\n{of_groups}\n\n{markdown_table(header, each)}"
