"""Noise aligned to a reference: averages, their correlation with the reference, and what theory says.

Images of white noise are brought to the reference as particles are: all rotations and shifts on the rings of the
matching core, then below its steps. The theory is that of :mod:`vitreous.quality.aligned_noise`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from vitreous.averages.model_bias.settings import ModelBias
from vitreous.matching import (
    Alignments,
    ImagePreparation,
    PreparedParticles,
    best,
    expect,
    offset_within_box,
    prepare_particles,
    refined,
    ring_limit,
    rows_at,
)
from vitreous.matching.workers import one_thread
from vitreous.quality import AlignedNoise, aligned_noise
from vitreous.randomness import normal_images
from vitreous.require import settings_with
from vitreous.words import brief

__all__ = ["ModelBiasResult", "model_bias"]

MOST_RINGS = 32
BATCH = 512
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelBiasResult:
    """C averages of aligned noise, box L. Correlations are over all frequencies that were used for alignment."""

    __repr__ = brief

    pixel_size_A: float
    resolution_A: float  # finest that was used
    reference: np.ndarray  # (L, L) as the noise met it: masked, without finer detail
    counts: np.ndarray  # (C,) images in every average
    averages: np.ndarray  # (C, L, L)
    unaligned: np.ndarray  # (L, L) average of the same images as they are, of as many as the last one has
    correlation: np.ndarray  # (C,) with the reference
    theory: np.ndarray  # (C,)
    unaligned_correlation: np.ndarray  # (C,)
    peaks: np.ndarray  # (n,) of every image: inner product with the reference, in standard deviations of the noise
    noise: AlignedNoise  # the theory


def model_bias(
    reference: np.ndarray,
    settings: ModelBias | None = None,
    *,
    pixel_size_A: float = 1.0,
    threads: int | None = None,
    progress: Progress = lambda done, of, what: None,
    **overrides: Any,
) -> ModelBiasResult:
    """Align noise to a reference (L, L) (see :class:`ModelBias` for the settings; keywords override them).

    Raises ValueError for a reference that is not a square image with contrast, and settings that do not fit it.
    """
    chosen, image = settings_with(ModelBias, settings, overrides), np.asarray(reference, np.float32)
    _check(image)
    own = torch.get_num_threads() if threads is None else threads
    with torch.no_grad(), one_thread():
        return _measured(image, chosen, pixel_size_A, own, progress)


def _check(image: np.ndarray) -> None:
    if image.ndim != 2 or image.shape[0] != image.shape[1]:
        raise ValueError(f"reference: expected a square image (L, L), found {image.shape}")
    if not np.isfinite(image).all() or image.std() == 0:
        raise ValueError("reference: expected an image with contrast and finite values, found none")


def _measured(
    image: np.ndarray, settings: ModelBias, pixel_size_A: float, threads: int, progress: Progress
) -> ModelBiasResult:
    box, n = len(image), settings.counts[-1]
    preparation = ImagePreparation.for_box(box, pixel_size_A, settings.particle_diameter_A, normalise=False)
    rings = min(MOST_RINGS, preparation.working_basis(MOST_RINGS).rings)

    def prepared(read: Callable[[np.ndarray], np.ndarray], count: int) -> PreparedParticles:
        return prepare_particles(read, count, preparation, rings=rings, ctf=None, threads=threads)

    template = prepared(lambda index: (image - image.mean())[None], 1)
    rings = min(rings, ring_limit(template, settings.resolution_limit_A))
    data = prepared(lambda index: normal_images(settings.seed, "model bias", ids=index, box_px=box), n)
    target = template.tile(np.arange(1), rings, torch.ones(1, rings)).data
    offset_A = offset_within_box(settings.offset_range_A, preparation)
    found = _aligned(data, target, rings, offset_A, lambda done: progress(done, n, "aligning noise"))
    window_A = data.basis.window_px * data.pixel_size_A
    noise = aligned_noise(
        image,
        radius_px=preparation.radius_px,
        offset_px=offset_A / pixel_size_A,
        highest_per_px=(rings + 0.5) / window_A * pixel_size_A,
    )
    sums, peaks = _sums(data, found, target, settings.counts)
    still, _ = _sums(data, Alignments.from_shifts(np.arange(n), np.zeros(n, int), np.zeros(n), np.zeros((n, 2))),
                     target, settings.counts)  # fmt: skip
    counts = np.array(settings.counts)
    return ModelBiasResult(
        pixel_size_A=pixel_size_A,
        resolution_A=window_A / rings,
        reference=data.picture(target)[0].numpy(),
        counts=counts,
        averages=data.picture(sums / torch.from_numpy(counts).float()[:, None, None]).numpy(),
        unaligned=data.picture(still[-1:] / n)[0].numpy(),
        correlation=_correlations(data, sums, target),
        theory=noise.correlation(counts),
        unaligned_correlation=_correlations(data, still, target),
        peaks=peaks,
        noise=noise,
    )


def _aligned(
    data: PreparedParticles, target: torch.Tensor, rings: int, offset_A: float, progress: Callable[[int], None]
) -> Alignments:
    """Every image at its best pose on the reference."""
    plan = data.search(rings, offset_A)
    white = torch.full((1, data.basis.rings), data.white_noise_power)
    references = plan.references(
        target * (data.white_noise_power / target.abs().square().sum()).sqrt(), ctf_harmonics=1,
        log_class_prior=torch.zeros(1), offset_sd_px=np.inf,
    )  # fmt: skip
    parts = []
    for start in range(0, len(data), BATCH):
        index = np.arange(start, min(start + BATCH, len(data)))
        _, outcome = expect(data, index, plan, references, white, choice=best)
        outcome = refined(data, index, outcome, references[1], white, offset_sd_px=np.inf)
        parts.append(outcome.alignments(index, data.pixel_size_A))
        progress(index[-1] + 1)
    return Alignments(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in vars(parts[0])})


def _sums(
    data: PreparedParticles, at: Alignments, target: torch.Tensor, counts: tuple[int, ...]
) -> tuple[torch.Tensor, np.ndarray]:
    """Sums (C, R, Q) of the first images at their alignments, and the inner product (n,) of each with the reference."""
    basis = data.basis.truncated(target.shape[1])
    white = torch.full((1, data.basis.rings), data.white_noise_power)
    total, sums, peaks = torch.zeros_like(target[0]), [], []
    edges = sorted({*range(0, len(at), BATCH), 0, *counts})
    for start, stop in pairwise(edges):
        _, own = rows_at(data, at.take(slice(start, stop)), white, basis)
        total = total + own.sums.signal.sum(0) * data.white_noise_power
        peaks.append(_inner(data, own.sums.signal, target))
        if stop in counts:
            sums.append(total)
    norm = (_inner(data, target, target) / data.white_noise_power).sqrt()
    return torch.stack(sums), (torch.cat(peaks) / norm).numpy()


def _inner(data: PreparedParticles, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Over independent Fourier coefficients: (n,)."""
    basis = data.basis.truncated(a.shape[1])
    return ((a.conj() * b).real * basis.multiplicity * basis.ring_weight[:, None]).sum((1, 2))


def _correlations(data: PreparedParticles, sums: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    norms = _inner(data, sums, sums) * _inner(data, target, target)
    return np.asarray((_inner(data, sums, target) / norms.sqrt()).numpy(), np.float64)
