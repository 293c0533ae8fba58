"""Components chosen from the data: what held-out views say of every K, and how good the map with this K is.

Structures from ``../shared/data``, averages simulated from their atoms. The initial stage is replaced by poses that are
wrong by some degrees and a coarse mixture fitted with them, so that nothing but the refinement differs.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import binary_dilation, gaussian_filter
from scipy.spatial.transform import Rotation

from benchmarks.record import REPOSITORY
from benchmarks.sticks import NotAvailable
from benchmarks.tables import markdown_table
from vitreous.iterate import Algorithm, run
from vitreous.mixtures import (
    GaussianInitialModel,
    InitialModel,
    Mixture,
    Moves,
    gaussian_initial_model_algorithm,
    initial_model_algorithm,
    projection_step,
)
from vitreous.mixtures.averages import reduce_images
from vitreous.mixtures.conformations import single
from vitreous.mixtures.counts import count_images
from vitreous.mixtures.gaussian_noise.moves import with_poses
from vitreous.mixtures.gaussian_noise.noisy_stages import Chain, Sampler, sweep
from vitreous.mixtures.gaussian_noise.prepare import centred, checked_noisy_averages, default_noise_prior, reduced
from vitreous.mixtures.gibbs_projections import default_prior
from vitreous.models import InitialModelResult
from vitreous.quality import align_maps, centres_of_mass, resample_aligned, resolution_at, shell_correlation
from vitreous.randomness import generator
from vitreous.rotations import random_rotations
from vitreous.simulate import read_atoms

MODELS = REPOSITORY.parent / "shared" / "data" / "models"
STRUCTURES = {  # file, chains left out, pixel size for 50 pixels
    "Pol II": ("1wcm.pdb.gz", ("D", "G"), 4.0),
    "70S": ("ribosome70S_eftu_trna.pdb.gz", (), 6.4),
}
BOX_PX = 50
BLUR_A = 4.0  # of the atoms, standard deviation
FINER = 4  # pixels of the atoms' histograms per pixel
ONE = np.eye(3)[None]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--structures", nargs="+", default=list(STRUCTURES), choices=list(STRUCTURES))
    parser.add_argument("--methods", nargs="+", default=["gmm", "gmm-gaussian"], choices=["gmm", "gmm-gaussian"])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.3], help="standard deviation by the signal's")
    parser.add_argument("--components", type=int, nargs="+", default=[100, 200, 400, 500, 800])
    parser.add_argument("--averages", type=int, default=25)
    parser.add_argument("--pose-error-deg", type=float, default=6.0)
    parser.add_argument("--samples", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per structure, method, noise and number of components, and one for what was chosen."""
    if not MODELS.is_dir():
        raise NotAvailable(f"{MODELS} is not there")
    rows: list[dict[str, Any]] = []
    for name in options.structures:
        for noise in options.noise:
            truth, poses, images, pixel = _averages(name, options.averages, noise, options.seed)
            for method in options.methods:
                which = {"structure": name, "noise": noise, "method": method}
                seen = _masked(images, truth, poses, pixel) if method == "gmm" else images
                refine = _refinement(method, seen, pixel, poses, options)
                for components in (*options.components, "auto"):
                    rows.append({**which, **_one(refine, components, truth, pixel)})
                    print(rows[-1], flush=True)
    return {"averages": options.averages, "pose_error_deg": options.pose_error_deg, "rows": rows}


def _averages(name: str, count: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """(true density on the grid of the images, poses, averages with white noise, pixel size)."""
    file, without, pixel = STRUCTURES[name]
    atoms = read_atoms(MODELS / file, exclude_chains=without)
    weights = np.asarray(atoms.weights, dtype=float)
    places = np.asarray(atoms.positions_A) - np.average(atoms.positions_A, axis=0, weights=weights)
    poses = random_rotations(count, seed=seed).numpy()
    images = np.stack([_binned((places @ g)[:, 1::-1], weights, pixel, FINER) for g in poses])
    images += generator(seed, "noise of averages").standard_normal(images.shape) * images.std() * noise
    return _binned(places[:, ::-1], weights, pixel, 2), poses, images, pixel


def _binned(places: np.ndarray, weights: np.ndarray, pixel: float, finer: int) -> np.ndarray:
    """Blurred weights on pixels, the origin at the centre of pixel ``BOX_PX // 2``; places (m, d) slow axis first."""
    edges = (np.arange(BOX_PX * finer + 1) / finer - BOX_PX // 2 - 0.5) * pixel
    density, _ = np.histogramdd(places, bins=[edges] * places.shape[1], weights=weights)
    density = gaussian_filter(density, BLUR_A * finer / pixel, mode="constant")
    blocks = density.reshape((BOX_PX, finer) * places.shape[1])
    return blocks.sum(axis=tuple(range(1, blocks.ndim, 2)))


def _masked(images: np.ndarray, truth: np.ndarray, poses: np.ndarray, pixel: float) -> np.ndarray:
    """As averages are after deconvolution: nowhere negative, and nothing far from the particle."""
    z, y, x = np.nonzero(truth > 0.02 * truth.max())
    places = (np.stack([x, y, z], axis=1) - BOX_PX // 2) * pixel
    masks = [_binned((places @ g)[:, 1::-1], np.ones(len(places)), pixel, 1) > 0 for g in poses]
    soft = [gaussian_filter(binary_dilation(mask, iterations=2).astype(float), 1.0) for mask in masks]
    return images.clip(min=0.0) * np.stack(soft)


def _refinement(
    method: str, images: np.ndarray, pixel: float, poses: np.ndarray, options: argparse.Namespace
) -> Callable[[int | str], tuple[InitialModelResult[Mixture], dict[str, Any], float]]:
    """A function that refines with a number of components: (result, what was logged of the choice, its CPU seconds)."""
    turns = generator(options.seed, "errors of poses").standard_normal((len(poses), 3)) / np.sqrt(3.0)
    start_poses = poses @ Rotation.from_rotvec(turns * np.deg2rad(options.pose_error_deg)).as_matrix()
    common = {"restarts": 1, "samples": options.samples, "seed": options.seed}
    settings = InitialModel(**common) if method == "gmm" else GaussianInitialModel(**common)
    make = initial_model_algorithm if method == "gmm" else gaussian_initial_model_algorithm
    start = _coarse_counts if method == "gmm" else _coarse_noisy
    fitted = start(images, pixel, make(images, pixel, settings, threads=1), settings, start_poses)

    def refine(components: int | str) -> tuple[InitialModelResult[Mixture], dict[str, Any], float]:
        algorithm: Algorithm = make(images, pixel, replace(settings, fine_components=components), threads=1)
        state = replace(
            algorithm.init(options.seed), iteration=settings.rounds, restarts=(fitted,), log_posteriors=np.zeros(1)
        )
        begin = time.process_time()
        state, info = algorithm.step(state)
        first = time.process_time() - begin
        result, _ = run(algorithm, seed=options.seed, state=state)
        return result, {**info, "first_step_cpu_s": first}, time.process_time() - begin

    return refine


def _coarse_counts(images: np.ndarray, pixel: float, algorithm: Algorithm, settings: Any, poses: np.ndarray) -> Any:
    centres = centres_of_mass(images, pixel)
    small = reduce_images(images, pixel, centres, settings.box_px)
    data = count_images(small.images, small.pixel_size_A, settings.counts)
    model = replace(algorithm.init(1).restarts[0].part(0), rotations=poses)
    moves = Moves(rotations=False, offsets=False)
    for step in range(60):
        model, _ = projection_step(data, model, default_prior(data), group=ONE, moves=moves, seed=1, step=step)
    return single(model)


def _coarse_noisy(images: np.ndarray, pixel: float, algorithm: Algorithm, settings: Any, poses: np.ndarray) -> Any:
    data = reduced(centred(checked_noisy_averages(images, pixel))[0], settings.box_px)
    sampler = Sampler(data=data, prior=default_noise_prior(data, settings.offset_sd_A), group=ONE)
    chain: Chain = algorithm.init(1).restarts[0]
    chain = replace(chain, model=with_poses(chain.model, poses, np.zeros((len(poses), 2))))
    rng = generator(1, "coarse mixture")
    for step in range(80):
        warm = replace(sampler, power=min(1.0, 0.001 ** (1.0 - step / 60)))
        chain, _ = sweep(warm, chain, rng, poses=False, target=settings.acceptance)
    return chain


def _one(
    refine: Callable[[int | str], tuple[InitialModelResult[Mixture], dict[str, Any], float]],
    components: int | str,
    truth: np.ndarray,
    pixel: float,
) -> dict[str, Any]:
    result, info, cpu_s = refine(components)
    fit = align_maps(result.mean.data, result.mean.pixel_size_A, truth, pixel, resolution_A=20.0, hands=(False,))
    aligned = resample_aligned(result.mean.data, result.mean.pixel_size_A, fit, BOX_PX, pixel)
    curve = shell_correlation(torch.from_numpy(aligned), torch.from_numpy(truth.astype(np.float32)))
    figures = {
        "components": len(result.mixture),
        "chosen": components == "auto",
        "correlation": round(float(np.corrcoef(aligned.ravel(), truth.ravel())[0, 1]), 4),
        "fsc_half_A": round(float(resolution_at(curve, 0.5, BOX_PX, pixel)), 1),
        "cpu_s": round(cpu_s, 1),
    }
    if components == "auto":
        tried = zip(info["components_tried"], info["behind"], info["standard_errors"], strict=True)
        figures["behind"] = {str(k): [round(loss), round(error)] for k, loss, error in tried}
        figures["choice_cpu_s"] = round(info["first_step_cpu_s"], 1)
    return figures


def table(figures: dict[str, Any]) -> str:
    """What each number of components gives, and what was chosen."""
    header = ("structure", "noise", "method", "K", "CC", "FSC 0.5 (A)", "CPU s", "behind the best ± error, for each K")
    rows = []
    for r in figures["rows"]:
        behind = ", ".join(f"{k}: {loss} ± {error}" for k, (loss, error) in r.get("behind", {}).items())
        number = f"auto: {r['components']}" if r["chosen"] else r["components"]
        cpu = f"{r['cpu_s']} (choice {r['choice_cpu_s']})" if r["chosen"] else r["cpu_s"]
        cells = (
            r["structure"],
            r["noise"],
            r["method"],
            number,
            r["correlation"],
            r["fsc_half_A"],
            cpu,
            behind or None,
        )
        rows.append(cells)
    text = (
        f"{figures['averages']} averages of {BOX_PX} x {BOX_PX} pixels, refinement from poses wrong by "
        f"{figures['pose_error_deg']:g} degrees (root mean square)."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"
