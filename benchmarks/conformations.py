"""Initial models of two conformations from mixed averages: who shows what, and do the maps differ where they should?

Averages are projections of two atomic models of one particle at 15 A, as many of each, in random views, without
noise; which shows which is not told. Every restart is compared with the truth: images whose conformation is right (up
to its name), and images whose pose is right too (within 20 degrees, for every conformation in a frame and hand of its
own). The maps of the refined restart are compared with both models, each in its own best alignment over both hands;
their difference with the true difference in the alignment of the first one.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.record import REPOSITORY
from benchmarks.sticks import NotAvailable
from benchmarks.tables import markdown_table
from vitreous.iterate import run
from vitreous.mixtures import InitialModel, Mixture, initial_model_algorithm
from vitreous.mixtures.conformation_agreement import compare_conformations
from vitreous.mixtures.conformations import PosedMixtures
from vitreous.models import InitialModelResult
from vitreous.quality import align_maps, resample_aligned
from vitreous.rotations import random_rotations
from vitreous.simulate import Atoms, gaussian_density, read_atoms

MODELS = Path(os.path.relpath(REPOSITORY.parent / "shared" / "data" / "models", REPOSITORY))
PAIRS = {  # name -> (file, chains left out) of both, box, A per pixel
    "70S with and without EF-Tu": (("ribosome70S_eftu_trna", ()), ("ribosome70S_variant0", ()), 64, 5.0),
    "Pol II with and without Rpb4/7": (("1wcm", ()), ("1wcm", ("D", "G")), 64, 3.0),
}
RESOLUTION_A = 15.0
SIGMA_A = RESOLUTION_A / (np.pi * np.sqrt(2.0))
RIGHT_DEG = 20.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the defaults are the ones of the published table."""
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the atomic models")
    parser.add_argument("--views", type=int, default=25, help="of each conformation")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of the views")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--restarts", type=int, default=4)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per pair of models and seed."""
    rows = []
    for name, (*models, box, pixel) in PAIRS.items():
        atoms = [_atoms(REPOSITORY / options.models / f"{file}.pdb.gz", left_out) for file, left_out in models]
        for seed in options.seeds:
            rows.append({"pair": name, "seed": seed, **_measure_one(atoms, box, pixel, seed, options)})
            print(rows[-1], flush=True)
    return {"views": options.views, "threads": options.threads, "rows": rows}


def table(figures: dict[str, Any]) -> str:
    """The restarts, best first, and the maps."""
    header = ("averages", "seed", "labels right", "labels and poses right", "behind the best", "CPU s")
    restarts = [
        (r["pair"], r["seed"], *(", ".join(f"{v:g}" for v in r[k]) for k in ("labels", "poses", "behind")), r["cpu_s"])
        for r in figures["rows"]
    ]
    columns = ("averages", "seed", "CC of the truths", "own truth", "the other's truth", "difference")
    maps = [
        (r["pair"], r["seed"], r["truths"], *(", ".join(f"{v:.3f}" for v in r[k]) for k in ("own", "other")),
         r["difference"])
        for r in figures["rows"]
    ]  # fmt: skip
    text = (
        f"{figures['views']} averages of each of two conformations, {figures['threads']} threads. Shares of the images "
        "in every restart, the best by log posterior first:"
    )
    return (
        f"{text}\n\n{markdown_table(header, restarts)}\n\nCorrelation of the maps:\n\n{markdown_table(columns, maps)}"
    )


def _atoms(path: Path, left_out: tuple[str, ...]) -> Atoms:
    if not path.is_file():
        raise NotAvailable(f"{path.name} is not there; give --models")
    return read_atoms(path, exclude_chains=left_out)


def _measure_one(atoms: list[Atoms], box: int, pixel: float, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    rotations = random_rotations(2 * options.views, seed=seed).numpy()
    labels = np.tile([0, 1], options.views)
    images = np.stack([_view(atoms[c], g, box, pixel) for c, g in zip(labels, rotations, strict=True)])
    settings = InitialModel(conformations=2, restarts=options.restarts, seed=seed)
    start = time.process_time()
    result, state = run(initial_model_algorithm(images, pixel, settings, threads=options.threads), seed=seed)
    spent = time.process_time() - start
    order = np.argsort(-state.log_posteriors)
    found = [_right(state.restarts[r], labels, rotations) for r in order]
    return {
        "labels": [right for right, _ in found],
        "poses": [right for _, right in found],
        "behind": [round(float(state.log_posteriors.max() - state.log_posteriors[r])) for r in order],
        "cpu_s": round(spent, 1),
        **_maps(result, atoms, labels),
    }


def _view(atoms: Atoms, rotation: np.ndarray, box: int, pixel: float) -> np.ndarray:
    """A projection of sum 1, nowhere negative, with the centre of mass at the image centre."""
    centred = atoms.positions_A - np.average(atoms.positions_A, axis=0, weights=atoms.weights)
    x, y = (centred @ rotation[:, :2]).T
    edges = (np.arange(box + 1) - box // 2 - 0.5) * pixel
    image = np.histogram2d(y, x, bins=(edges, edges), weights=atoms.weights)[0]
    return gaussian_filter(image / atoms.weights.sum(), SIGMA_A / pixel, mode="constant")


def _right(model: PosedMixtures, labels: np.ndarray, rotations: np.ndarray) -> tuple[float, float]:
    """(share of the images with the right label, with the right label and pose)."""
    same = float((model.labels == labels).mean())
    truth = PosedMixtures(
        mixtures=model.mixtures,
        populations=np.full(2, 0.5),
        labels=labels,
        rotations=rotations,
        offsets_A=np.zeros((len(labels), 2)),
    )
    poses = compare_conformations(model, truth, group=np.eye(3)[None], within_deg=RIGHT_DEG)
    return round(max(same, 1.0 - same), 3), round(poses.fraction, 3)


def _maps(result: InitialModelResult[Mixture], atoms: list[Atoms], labels: np.ndarray) -> dict[str, Any]:
    """Correlations; the truths, by the labels that won, are in the frame of the atomic models."""
    box, pixel = result.mean.data.shape[0], result.mean.pixel_size_A
    own = (0, 1) if (result.labels == labels).mean() >= 0.5 else (1, 0)
    centre = np.average(atoms[own[0]].positions_A, axis=0, weights=atoms[own[0]].weights)
    truths = [
        gaussian_density(
            atoms[c].positions_A - centre, atoms[c].weights / atoms[c].weights.sum(), SIGMA_A, box, pixel
        ).numpy()
        for c in own
    ]
    means = [conformation.mean.data for conformation in result.conformations]
    alignments = [[align_maps(m, pixel, t, pixel, resolution_A=2 * RESOLUTION_A) for t in truths] for m in means]
    found = [
        [_correlation(resample_aligned(m, pixel, a, box, pixel), t) for a, t in zip(row, truths, strict=True)]
        for m, row in zip(means, alignments, strict=True)
    ]
    framed = [resample_aligned(m, pixel, alignments[0][0], box, pixel) for m in means]
    return {
        "truths": _correlation(*truths),
        "own": [found[0][0], found[1][1]],
        "other": [found[0][1], found[1][0]],
        "difference": _correlation(framed[0] - framed[1], truths[0] - truths[1]),
    }


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return round(float(np.corrcoef(a.ravel(), b.ravel())[0, 1]), 3)
