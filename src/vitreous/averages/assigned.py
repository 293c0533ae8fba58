"""From assigned particles to the result of a 2D classification: centred classes, averages, halves, figures, messages.

Every method that gives particles to class averages ends here, so that their results and files are the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.averages.result import Class2DResult
from vitreous.matching import (
    Alignments,
    Averages,
    NoiseTest,
    Outcome,
    PreparedParticles,
    Sums,
    claimed_resolution_A,
    corrected_frc,
    restore,
    signal_power,
    total,
    wiener,
)
from vitreous.processes import ALONE, Processes
from vitreous.randomness import uniforms
from vitreous.words import counted

__all__ = ["Assignment", "Progress", "finished_classes"]

CENTRING_DISC = 0.75  # of the particle's radius
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Outcomes of particles ``index`` with continuous poses, and class sums over all of them, (K,)."""

    index: np.ndarray
    outcome: Outcome
    members: np.ndarray
    square_members: np.ndarray


def finished_classes(
    found: Assignment,
    data: PreparedParticles,
    parts: tuple[Sums, ...],
    noise_power: torch.Tensor,
    noise: NoiseTest,
    read: Callable[[np.ndarray], np.ndarray],
    *,
    offset_range_A: float,
    seed: int,
    processes: Processes = ALONE,
    progress: Progress,
) -> Class2DResult:
    """Averages from the original pixels, and all that is said of classes and particles.

    parts: statistics of the folds, which say where the classes are centred; noise: what the test with noise found.
    """
    classes = len(found.members)
    alignments = found.outcome.alignments(found.index, data.pixel_size_A)
    alignments = alignments.recentred(_centring(parts, data, offset_range_A))
    averages = restore(
        read,
        data.preparation,
        data.ctf,
        alignments,
        _halves(alignments, classes, seed),
        classes,
        device=data.device,
        threads=data.threads,
        processes=processes,
        progress=lambda done, of: progress(done, of, "averages"),
    )
    return _result(noise_power, data, found, alignments, averages, noise)


def _halves(alignments: Alignments, classes: int, seed: int) -> np.ndarray:
    """Half (m,) of every particle, 0 or 1, dealt out in turn within its class."""
    key = uniforms(seed, "half", ids=alignments.particle)[:, 0]
    half = np.zeros(len(key), np.int64)
    for k in range(classes):
        mine = np.flatnonzero(alignments.reference == k)
        half[mine[np.argsort(key[mine])]] = np.arange(len(mine)) % 2
    return half


def _centring(parts: tuple[Sums, ...], data: PreparedParticles, offset_range_A: float) -> np.ndarray:
    """Centre of mass of every class average with respect to the centre of the box, (K, 2) in Angstrom.

    The mass is the density above a fifth of the maximum of the low-pass average, within a disc that follows it, so that
    neighbours at the rim do not pull; no class moves farther than a particle may.
    """
    every, rings = total(parts), min(8, data.basis.rings)
    averages = wiener(every.signal, every.power, signal_power(parts, data.basis))[
        :, :rings, : int(data.basis.q_max[rings - 1]) + 1
    ]
    pictures = data.picture(averages).cpu()
    mass = (pictures - 0.2 * pictures.amax((1, 2), keepdim=True)).clamp_min(0)
    axis = torch.arange(pictures.shape[-1]) - pictures.shape[-1] // 2
    radius = CENTRING_DISC * data.preparation.radius_px
    centre = torch.zeros(len(mass), 2)
    for _ in range(4):
        x, y = (axis - centre[:, i : i + 1] for i in (0, 1))
        near = mass * (x.square()[:, None, :] + y.square()[:, :, None] < radius**2)
        sums = near.sum((1, 2)).clamp_min(1e-12)
        centre = torch.stack([(near.sum(1) * axis).sum(1) / sums, (near.sum(2) * axis).sum(1) / sums], 1)
    reach = offset_range_A / data.preparation.pixel_size_A
    centre_px = centre * (reach / centre.norm(dim=1).clamp_min(reach))[:, None]
    return centre_px.double().numpy() * data.preparation.pixel_size_A


def _result(
    noise_power: torch.Tensor,
    data: PreparedParticles,
    found: Assignment,
    alignments: Alignments,
    averages: Averages,
    noise: NoiseTest,
) -> Class2DResult:
    """The result with classes in the order of their population; alignments are those of ``found``, centred."""
    n, pixel, box = len(data), data.preparation.pixel_size_A, data.preparation.box_px
    population = np.bincount(alignments.reference, minlength=len(found.members))
    order = np.argsort(-population, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    frc = corrected_frc(averages.frc.cpu().numpy(), noise.frc, data.basis)[order]
    resolution = claimed_resolution_A(frc, data.preparation)
    if not noise.found_signal:
        resolution = np.full_like(resolution, np.inf)  # a correlation of aligned noise is not a resolution
    outcome = found.outcome

    def spread(values: np.ndarray, fill: float = 0.0, dtype: type = np.float64) -> np.ndarray:
        out: np.ndarray = np.full(n, fill, dtype)
        out[found.index] = values
        return out

    unit = data.white_noise_power
    shells = np.arange(box // 2 + 1, dtype=np.float64)
    return Class2DResult(
        pixel_size_A=pixel,
        particle_diameter_A=data.preparation.particle_diameter_A,
        averages=averages.full[order].cpu().numpy(),
        averages_half=averages.halves[:, order].cpu().numpy(),
        frc=frc,
        ssnr=averages.ssnr[order].cpu().numpy(),
        resolution_A=resolution,
        population=population[order],
        distribution=(found.members / found.members.sum())[order],
        effective_number=(found.members**2 / np.maximum(found.square_members, 1e-12))[order],
        class_number=spread(rank[alignments.reference] + 1, dtype=np.int64),
        psi_deg=spread(alignments.psi_deg),
        origin_x_A=spread(alignments.origin_A[:, 0]),
        origin_y_A=spread(alignments.origin_A[:, 1]),
        weight=spread(np.ones(len(found.index))),
        max_probability=spread(outcome.max_probability),
        entropy=spread(outcome.entropy),
        effective_classes=spread(np.exp(outcome.entropy)),
        significant=spread(outcome.significant, dtype=np.int64),
        log_likelihood=spread(outcome.log_evidence),
        noise_power=np.stack([np.interp(shells, *_curve(p, data)) for p in noise_power.cpu().numpy() / unit]),
        noise_group=data.noise_group,
        found_signal=noise.found_signal,
        messages=_messages(noise, data, population),
    )


def _curve(values: np.ndarray, data: PreparedParticles) -> tuple[np.ndarray, np.ndarray]:
    """A curve over rings as (Fourier pixels of the raw box, values)."""
    shells = data.basis.k_per_px * data.basis.box_px
    return shells[: len(values)], values


def _messages(noise: NoiseTest, data: PreparedParticles, population: np.ndarray) -> list[str]:
    lines = []
    if not noise.found_signal:
        lines.append(
            "Nothing was found: the images match the class averages no better than pure noise does "
            f"({noise.excess:+.2f} nats per image, {noise.sigmas:.1f} standard errors); the averages are aligned noise."
        )
    refused = int(data.bad.sum())
    if refused:
        lines.append(f"{counted(refused, 'particle')} could not be used: class 0 and weight 0.")
    empty = int((population == 0).sum())
    if empty:
        lines.append(f"{counted(empty, 'class')} {'has' if empty == 1 else 'have'} no particles.")
    return lines
