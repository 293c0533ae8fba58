"""Global search for poses under Gaussian noise: every image against many random rotations at once.

All that the likelihood needs of an image and a projection are their correlation and the norm of the projection, one
matrix product for all pairs (two with a CTF); scale and background are integrated out, so that this is a noise-weighted
correlation. As in :mod:`vitreous.mixtures.global_rotations` the present rotation takes part, which leaves the posterior
as it is.
"""

from dataclasses import replace

import numpy as np
import torch

from vitreous.fourier import centred_irfft2, centred_rfft2, rfft2_multiplicity, shift_phase
from vitreous.mixtures.gaussian_noise.conditionals import Overlaps, integrated_log_likelihood, overlaps
from vitreous.mixtures.gaussian_noise.forward import apply_ctf, projections
from vitreous.mixtures.gaussian_noise.model import NoisyImages, NoisyMixture
from vitreous.mixtures.gaussian_noise.moves import Sampler, redraw_image_parameters, with_poses
from vitreous.mixtures.gibbs_projections import PosedMixture
from vitreous.mixtures.global_rotations import random_rotation_matrices

__all__ = ["centred_images", "move_poses_globally", "pairwise_overlaps"]

_CHUNK_ROTATIONS = 250


def move_poses_globally(
    sampler: Sampler, model: NoisyMixture, rotations: int, rng: np.random.Generator
) -> NoisyMixture:
    """One rotation for every image, from its present one and ``rotations`` uniform ones; then scales and noise anew."""
    proposals = random_rotation_matrices(rotations, rng)
    images = centred_images(sampler.data, model.posed.offsets_A)
    data = replace(sampler.data, images=images)
    score = np.empty((len(images), rotations + 1))
    for start in range(0, rotations, _CHUNK_ROTATIONS):
        chosen = proposals[start : start + _CHUNK_ROTATIONS]
        sums = pairwise_overlaps(data, replace(model.posed, rotations=chosen), sampler)
        score[:, start : start + len(chosen)] = integrated_log_likelihood(
            sums, model.noise_precisions[:, None], sampler.prior, power=sampler.power
        )
    in_centre = replace(model.posed, offsets_A=np.zeros_like(model.posed.offsets_A))
    present = overlaps(images, projections(data, in_centre, sampler.group, threads=sampler.threads))
    score[:, -1] = integrated_log_likelihood(present, model.noise_precisions, sampler.prior, power=sampler.power)
    best = (score + rng.gumbel(size=score.shape)).argmax(axis=1)
    turned = np.where(
        (best == rotations)[:, None, None], model.posed.rotations, proposals[np.minimum(best, rotations - 1)]
    )
    model = with_poses(model, turned, model.posed.offsets_A)
    sums = overlaps(sampler.data.images, projections(sampler.data, model.posed, sampler.group, threads=sampler.threads))
    return redraw_image_parameters(sampler, model, sums, rng)


def centred_images(data: NoisyImages, offsets_A: np.ndarray) -> np.ndarray:
    """Images moved by minus their offsets (with the period of the box): float32 (n, L, L)."""
    ft = centred_rfft2(torch.from_numpy(data.images))
    shift = torch.from_numpy((-offsets_A / data.pixel_size_A).astype(np.float32))
    return centred_irfft2(ft * shift_phase(shift, data.box_px), data.box_px).numpy()


def pairwise_overlaps(data: NoisyImages, posed: PosedMixture, sampler: Sampler) -> Overlaps:
    """Of every image with its CTF and every pose of a list, offsets 0: fields (n, m), or (n, 1) for the image alone."""
    m, length = len(posed.rotations), data.box_px
    blank = NoisyImages(images=np.zeros((m, length, length), np.float32), pixel_size_A=data.pixel_size_A)
    plain = projections(blank, replace(posed, offsets_A=np.zeros((m, 2))), sampler.group, threads=sampler.threads)
    p, y = plain.reshape(m, -1), data.images.reshape(len(data), -1)
    p1 = np.broadcast_to(p.sum(axis=1, dtype=np.float64), (len(data), m))
    pp = np.broadcast_to(np.square(p).sum(axis=1, dtype=np.float64), (len(data), m))
    if data.ctf is not None:
        p1 = p1 * data.ctf[:, 0, :1]
        weight = np.square(data.ctf) * (rfft2_multiplicity(length).numpy() / length**2)
        power = np.square(np.abs(np.fft.rfft2(plain)))
        pp = weight.reshape(len(data), -1).astype(np.float64) @ power.reshape(m, -1).T
    return Overlaps(
        pp=pp,
        py=(apply_ctf(data.images, data.ctf).reshape(len(data), -1) @ p.T).astype(np.float64),
        p1=p1,
        yy=np.square(y, dtype=np.float64).sum(axis=1)[:, None],
        y1=y.sum(axis=1, dtype=np.float64)[:, None],
        pixels=length**2,
    )
