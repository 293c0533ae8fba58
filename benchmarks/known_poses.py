"""Maps from few images with known poses, and with a missing cone, beside direct Fourier inversion and RELION.

The data follow Joubert (2016), section 3.2: RNA polymerase II (PDB 1WCM without the chains D and G) at 15 A, images of
50 x 50 pixels of 4 A, in random directions or in directions that leave a cone of Fourier space without data. All
programs get the same images: exact ones, or 10,000 counts drawn from each (Poisson noise), for which the mixture has
the right noise model. Truth is the density at 15 A. "Masked": within the same soft support, taken from the truth, and
without negative values, for all programs.
"""

import argparse
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from benchmarks.child import run_child
from benchmarks.fourier_inversion import fourier_inversion
from benchmarks.record import REPOSITORY
from benchmarks.sticks import NotAvailable
from benchmarks.tables import markdown_table
from vitreous.mixtures import KnownPoses, reconstruct_known
from vitreous.particles import Table, image_name, read_volume, write_mrc_stack, write_star
from vitreous.quality import resolution_at, shell_correlation, unseen_cone
from vitreous.rotations import euler_to_matrix, matrix_to_euler
from vitreous.simulate import Atoms, gaussian_density, read_atoms, volume_from_atoms

BOX, PIXEL_A, RESOLUTION_A = 50, 4.0, 15.0
DRAWN = 10_000  # counts of an image with noise
FAINT = 0.02  # of the peak: where the support ends
DEFAULT = Path(os.path.relpath(REPOSITORY.parent / "shared" / "data" / "models" / "1wcm.pdb.gz", REPOSITORY))
RELION = "relion_reconstruct"
CROSSINGS = ("fsc_0.5_A", "fsc_0.143_A")
FIGURES = (*CROSSINGS, "fsc_to_40_A", "fsc_to_20_A", "cc")
Program = Callable[[np.ndarray, np.ndarray, Path], tuple[np.ndarray, float]]  # (images, poses, folder): map, CPU s


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--model", type=Path, default=DEFAULT, help="atoms of Pol II (1wcm)")
    parser.add_argument("--images", type=int, nargs="+", default=[5, 25], help="numbers of random directions")
    parser.add_argument("--cones", type=float, nargs="*", default=[15, 30, 45, 60], help="half angles, 25 images")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--components", type=int, default=KnownPoses().components)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per views, noise, seed and program."""
    if not (REPOSITORY / options.model).is_file():
        raise NotAvailable(f"the model is not at {options.model}; give --model")
    atoms = read_atoms(REPOSITORY / options.model, exclude_chains=("D", "G"))
    truth = volume_from_atoms(atoms, BOX, PIXEL_A, RESOLUTION_A).numpy()
    support, programs = soft_support(truth), _programs(options.components)
    cases = [(count, 0.0) for count in options.images] + [(25, cone) for cone in options.cones]
    rows = []
    for count, cone in cases:
        for seed in options.seeds:
            rotations = random_views(count, cone, seed)
            exact = project_atoms(atoms, rotations)
            gap = round(unseen_cone(rotations, np.eye(3)[None]).half_angle_deg, 1)
            for noise, images in (("none", exact), ("Poisson", drawn(exact, seed))):
                what = {"images": count, "cone_deg": cone, "unseen_deg": gap, "noise": noise, "seed": seed}
                for name, program in programs.items():
                    found, cpu_s = program(images, rotations, work)
                    scores = {"plain": score(found, truth), "masked": score((found * support).clip(min=0.0), truth)}
                    rows.append({**what, "program": name, **scores, "cpu_s": round(cpu_s, 2)})
                    print(rows[-1], flush=True)
    return {"components": options.components, "rows": rows}


def random_views(count: int, cone_deg: float, seed: int) -> np.ndarray:
    """Poses (n, 3, 3) with uniform viewing directions, none tilted by more than 90 degrees less ``cone_deg``."""
    rng = np.random.default_rng([seed, count, round(cone_deg)])
    lowest = np.sin(np.deg2rad(cone_deg))
    tilt = np.rad2deg(np.arccos(rng.uniform(lowest if cone_deg else -1.0, 1.0, count)))
    angles = np.stack([rng.uniform(-180, 180, count), tilt, rng.uniform(-180, 180, count)], axis=1)
    return euler_to_matrix(torch.from_numpy(angles)).numpy()


def project_atoms(atoms: Atoms, rotations: np.ndarray) -> np.ndarray:
    """Projections (n, BOX, BOX) of the density at ``RESOLUTION_A``: turned atoms, so that nothing is interpolated."""
    centre = np.average(atoms.positions_A, axis=0, weights=atoms.weights)
    sigma = RESOLUTION_A / (np.pi * np.sqrt(2.0))
    turned = ((atoms.positions_A - centre) @ rotation for rotation in rotations)
    return np.stack(
        [gaussian_density(place, atoms.weights, sigma, BOX, PIXEL_A).numpy().sum(axis=0) * PIXEL_A for place in turned]
    )


def drawn(images: np.ndarray, seed: int) -> np.ndarray:
    """Poisson counts, ``DRAWN`` of them in each image on average."""
    share = images / images.sum(axis=(1, 2), keepdims=True, dtype=np.float64)
    return np.random.default_rng([seed, len(images)]).poisson(DRAWN * share).astype(np.float32)


def soft_support(truth: np.ndarray) -> np.ndarray:
    """Where the truth is not faint, and a voxel more, with a soft edge of three voxels."""
    away = ndimage.distance_transform_edt(~ndimage.binary_dilation(truth > FAINT * truth.max()))
    return 0.5 * (1.0 + np.cos(np.pi * np.clip(away / 3.0, 0.0, 1.0)))


def score(found: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """FSC with the truth and correlation coefficient (about 0, as in the thesis)."""
    a, b = (np.ascontiguousarray(v, dtype=np.float32) for v in (found, truth))
    curve = shell_correlation(torch.from_numpy(a), torch.from_numpy(b))
    frequency = np.arange(len(curve)) / (len(truth) * PIXEL_A)
    crossing = (float(resolution_at(curve, t, len(truth), PIXEL_A)) for t in (0.5, 0.143))
    low = (float(curve[(frequency > 0) & (frequency <= 1 / d)].mean()) for d in (40.0, 20.0))
    cc = float((a * b).sum(dtype=np.float64) / np.sqrt((a**2).sum(dtype=np.float64) * (b**2).sum(dtype=np.float64)))
    values = (*(r if np.isfinite(r) else None for r in crossing), *low, cc)
    return {name: None if v is None else round(v, 4) for name, v in zip(FIGURES, values, strict=True)}


def _programs(components: int) -> dict[str, Program]:
    """Those that are there; the others are named."""
    settings = KnownPoses(components=components)
    # Compiled before the clock runs.
    reconstruct_known(np.ones((2, 8, 8)), np.stack([np.eye(3)] * 2), 4.0, KnownPoses(components=4, samples=1))

    def mixture(images: np.ndarray, rotations: np.ndarray, _: Path) -> tuple[np.ndarray, float]:
        start = time.process_time()
        found = reconstruct_known(images, rotations, PIXEL_A, settings, threads=1).mean.data
        return found, time.process_time() - start

    def inversion(images: np.ndarray, rotations: np.ndarray, _: Path) -> tuple[np.ndarray, float]:
        start = time.process_time()
        found = fourier_inversion(images, rotations)
        return found, time.process_time() - start

    found: dict[str, Program] = {"vitreous gmm": mixture, "Fourier inversion": inversion}
    if shutil.which(RELION):
        return {**found, RELION: _relion}
    print(f"left out: {RELION} is not installed")
    return found


def _relion(images: np.ndarray, rotations: np.ndarray, work: Path) -> tuple[np.ndarray, float]:
    work.mkdir(parents=True, exist_ok=True)
    write_mrc_stack(work / "images.mrcs", images.astype(np.float32), PIXEL_A)
    angles = matrix_to_euler(torch.from_numpy(rotations)).numpy()
    optics = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [PIXEL_A], "rlnImageSize": [BOX]}
    optics |= {"rlnImageDimensionality": [2], "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7]}
    particles = {
        "rlnImageName": [image_name(i, "images.mrcs") for i in range(len(images))],
        **{f"rlnAngle{name}": np.round(angles[:, i], 5) for i, name in enumerate(("Rot", "Tilt", "Psi"))},
        "rlnOpticsGroup": np.ones(len(images), int),
    }
    tables = {"optics": {**optics, "rlnAmplitudeContrast": [0.1]}, "particles": particles}
    write_star(work / "images.star", {name: Table.from_arrays(columns) for name, columns in tables.items()})
    command = [RELION, "--i", "images.star", "--o", "relion.mrc", "--pad", "2"]
    cost = run_child(command, work / "relion.log", cwd=work, threads=1)
    return read_volume(work / "relion.mrc").data, cost.cpu_s


def table(figures: dict[str, Any]) -> str:
    """Means over the seeds."""
    header = (
        *("images", "missing cone", "unseen", "noise", "program", "FSC 0.5 (A)", "FSC 0.143 (A)"),
        *("mean FSC to 1/40 A", "to 1/20 A", "CC", "masked: FSC 0.5 (A)", "to 1/40 A", "to 1/20 A", "CC", "CPU s"),
    )
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in figures["rows"]:
        groups.setdefault(tuple(row[key] for key in ("noise", "images", "cone_deg", "program")), []).append(row)
    rows = []
    for (noise, images, cone, program), group in sorted(groups.items(), key=lambda item: item[0][0] == "Poisson"):
        plain, masked = ([_mean(group, kind, name) for name in FIGURES] for kind in ("plain", "masked"))
        unseen, cpu = (round(float(np.mean([r[key] for r in group])), 1) for key in ("unseen_deg", "cpu_s"))
        what = (images, f"{cone:g}°" if cone else "-", f"{unseen:g}°", noise, program)
        rows.append((*what, *plain, masked[0], *masked[2:], cpu))
    seeds = len({row["seed"] for row in figures["rows"]})
    text = (
        f"{figures['components']} Gaussians; means over {seeds} seeds (a dash where a seed has no value), one thread. "
        "Unseen: half angle of the largest cone that no image has data in."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"


def _mean(group: list[dict[str, Any]], kind: str, name: str) -> float | None:
    values = [row[kind][name] for row in group]
    if any(value is None for value in values):
        return None
    return round(float(np.mean(values)), 1 if name in CROSSINGS else 3)
