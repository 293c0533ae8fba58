"""Averages from the original pixels: one interpolation, multi-image Wiener filter, half-sets.

Every image is multiplied by its CTF and shifted in Fourier space (exact), and turned once in real space by cubic
interpolation on a grid twice as fine. Sums are kept for two halves of every class:

    A = gain * sum_i S_i R_i C_i X_i / sum_i C_i^2(turned),    gain(s) = SSNR / (1 + SSNR)    (SCIENCE.md section 1)

with the SSNR of each class from the cross power of its halves: the signal's spectrum is shared by the classes up to a
factor, the noise per image is common, so that shells of small classes are not filtered by their own scatter.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.fourier import (
    centred_irfft2,
    centred_rfft2,
    fourier_pad,
    rfft2_multiplicity,
    shell_index_rfft2,
    shell_sums,
    shift_phase,
)
from vitreous.matching.alignments import Alignments
from vitreous.matching.prepare import ImagePreparation
from vitreous.matching.workers import ordered_map
from vitreous.optics import CTFParameters, ctf_2d, ctf_weight, radial_to_plane
from vitreous.processes import ALONE, Processes
from vitreous.quality import resolution_at, ring_correlation, soft_disc, without_dips

__all__ = ["Averages", "aligned_images", "claimed_resolution_A", "mirrored", "restore", "turn_images", "turned_ctf"]

SCALE_LIMITS = (0.05, 4.0)  # of the power of one class relative to all
FRC_THRESHOLD = 0.143
FEWEST = 4  # members below which halves say nothing


@dataclass(frozen=True, kw_only=True)
class Averages:
    """full (K, L, L), halves (2, K, L, L), frc (K, F) of the masked halves, ssnr (K, F) of the full averages."""

    full: torch.Tensor
    halves: torch.Tensor
    frc: torch.Tensor
    ssnr: torch.Tensor


def aligned_images(
    read: Callable[[np.ndarray], np.ndarray],
    preparation: ImagePreparation,
    ctf: CTFParameters | None,
    alignments: Alignments,
    *,
    device: str = "cpu",
    threads: int = 1,
) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """CTF-weighted images brought into the frame of their reference, with C^2 in that frame.

    Yields (which alignments, images (b, L, L), C^2 (b, L, L // 2 + 1)), in order, whatever the number of threads.
    """
    n, batch = preparation.box_px, max(8, preparation.batch // 4)  # the fine grid has four times the points

    def aligned(start: int) -> tuple[slice, torch.Tensor, torch.Tensor]:
        part = alignments.take(slice(start, start + batch))
        images = torch.from_numpy(np.ascontiguousarray(read(part.particle), dtype=np.float32)).to(device)
        images, _ = preparation.clean(images)
        origin_px = torch.from_numpy(part.origin_A / preparation.pixel_size_A).float().to(device)
        ft = centred_rfft2(images) * shift_phase(origin_px, n)
        if ctf is None:
            weight = torch.ones(len(images), n, n // 2 + 1, device=device)
        else:
            own = ctf.take(part.particle)
            ft = ft * ctf_weight(own, ctf_2d(own, n, preparation.pixel_size_A, device=device))
            weight = ctf_2d(turned_ctf(ctf, part), n, preparation.pixel_size_A, device=device).square()
        turned = turn_images(ft, n, torch.from_numpy(part.psi_rad).float().to(device))
        mirror = torch.from_numpy(part.mirror).to(device)[:, None, None]
        if part.mirror.any():
            turned = torch.where(mirror, mirrored(turned), turned)
        return slice(start, start + len(images)), turned, weight

    yield from ordered_map(aligned, range(0, len(alignments), batch), threads if device == "cpu" else 1)


def turned_ctf(ctf: CTFParameters, alignments: Alignments) -> CTFParameters:
    """The CTFs of particles as they are after the particles have been turned, and reflected, onto their references."""
    params = ctf.take(alignments.particle)
    angle = params.defocus_angle_deg + np.rad2deg(alignments.psi_rad)
    return replace(params, defocus_angle_deg=np.where(alignments.mirror, -angle, angle))


def mirrored(images: torch.Tensor) -> torch.Tensor:
    """Images (..., n, n) reflected about the centre: x -> -x. For even n the first column stays where it is."""
    flipped = torch.flip(images, dims=(-1,))
    return torch.roll(flipped, 1, dims=-1) if images.shape[-1] % 2 == 0 else flipped


def turn_images(ft: torch.Tensor, n: int, psi: torch.Tensor) -> torch.Tensor:
    """Images X with transform ft -> A(r') = X(R(-psi) r'), (b, n, n), cubic interpolation on a grid twice as fine.

    ft: (b, n, n // 2 + 1), centred; psi: (b,) in radians.
    """
    fine = centred_irfft2(fourier_pad(ft, n, 2 * n), 2 * n)
    axis = torch.arange(n, device=psi.device, dtype=torch.float32) - n // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    c, s = torch.cos(psi)[:, None, None], torch.sin(psi)[:, None, None]
    at = torch.stack([c * x + s * y, -s * x + c * y], -1)
    # grid_sample counts from -1 at the first to +1 at the last pixel; pixel 2 (n // 2) or n is the fine centre.
    at = (2 * at + (2 * n) // 2) * (2 / (2 * n - 1)) - 1
    return torch.nn.functional.grid_sample(fine[:, None], at, mode="bicubic", padding_mode="zeros", align_corners=True)[
        :, 0
    ]


def claimed_resolution_A(frc: np.ndarray, preparation: ImagePreparation) -> np.ndarray:
    """(K,) where the FRC of halves (K, F) falls below 0.143, in Angstrom; nothing finer than what the images hold."""
    curves = torch.from_numpy(without_dips(frc))
    found = resolution_at(curves, FRC_THRESHOLD, preparation.box_px, preparation.pixel_size_A).numpy()
    return np.asarray(np.maximum(found, preparation.finest_A or 0.0))


def restore(
    read: Callable[[np.ndarray], np.ndarray],
    preparation: ImagePreparation,
    ctf: CTFParameters | None,
    alignments: Alignments,
    half: np.ndarray,
    n_references: int,
    *,
    device: str = "cpu",
    threads: int = 1,
    processes: Processes = ALONE,
    progress: Callable[[int, int], None] | None = None,
) -> Averages:
    """Wiener averages of all references and of their halves; half: (m,) 0 or 1 for every alignment.

    progress: receives alignments done, of how many.
    """
    n = preparation.box_px
    mine = np.flatnonzero(alignments.particle % processes.size == processes.rank)
    own = alignments if processes.size == 1 else alignments.take(mine)
    sums = torch.zeros(2 * n_references, n, n, device=device)
    weights = torch.zeros(2 * n_references, n, n // 2 + 1, device=device)
    slot = torch.from_numpy(half[mine] * n_references + own.reference).to(device)
    for part, images, weight in aligned_images(read, preparation, ctf, own, device=device, threads=threads):
        sums.index_add_(0, slot[part], images)
        weights.index_add_(0, slot[part], weight)
        if progress is not None:
            progress(part.stop, len(own))
    every = processes.add(_HalfSums(images=sums, weights=weights))
    halves_ft = centred_rfft2(every.images).reshape(2, n_references, n, -1)
    weights = every.weights.reshape(2, n_references, n, -1)
    members = np.bincount(alignments.reference, minlength=n_references)
    return _filtered(halves_ft, weights, torch.from_numpy(members).to(device), preparation)


@dataclass(frozen=True, kw_only=True)
class _HalfSums:
    images: torch.Tensor
    weights: torch.Tensor


def _filtered(
    sums: torch.Tensor, weights: torch.Tensor, members: torch.Tensor, preparation: ImagePreparation
) -> Averages:
    """Sums of C X and of C^2, (2, K, L, L // 2 + 1) each, -> averages."""
    n = preparation.box_px
    floor = 1e-3 * weights.amax((2, 3), keepdim=True).clamp_min(1e-3)
    mask = soft_disc(n, preparation.radius_px, 0.15 * preparation.radius_px, device=weights.device)
    halves = centred_irfft2(sums / (weights + floor), n)
    masked = halves * mask
    enough = (members >= FEWEST)[:, None]
    frc = torch.where(enough, ring_correlation(masked[0], masked[1]), 0.0)
    frc[:, preparation.shells + 1 :] = 0.0  # nothing is there, whatever correlates
    shell, multiplicity = shell_index_rfft2(n, device=weights.device), rfft2_multiplicity(n, device=weights.device)
    count = shell_sums(multiplicity, shell, n // 2 + 1)

    def shells(values: torch.Tensor) -> torch.Tensor:
        return shell_sums(values * multiplicity, shell, n // 2 + 1) / count

    a, b = centred_rfft2(masked[0]), centred_rfft2(masked[1])
    cross, noise = shells((a * b.conj()).real), shells((a - b).abs().square()) / 4
    power = shells(weights.sum(0))
    ssnr = _ssnr(cross, noise, power, enough, count)
    ssnr[:, preparation.shells + 1 :] = 0.0
    gain = radial_to_plane(ssnr / (1 + ssnr), n)
    total = sums.sum(0) / (weights.sum(0) + floor.sum(0))
    return Averages(
        full=centred_irfft2(total * gain, n),
        halves=centred_irfft2(sums / (weights + floor) * gain, n),
        frc=frc,
        ssnr=ssnr,
    )


def _ssnr(
    cross: torch.Tensor, noise: torch.Tensor, power: torch.Tensor, enough: torch.Tensor, count: torch.Tensor
) -> torch.Tensor:
    """SSNR (K, F) from cross power, noise power and sum of C^2 of K classes: shared spectra, a scale per class."""
    tiny = torch.finfo(cross.dtype).tiny
    weight = power * enough
    signal = ((cross * weight).sum(0) / weight.sum(0).clamp_min(tiny)).clamp_min(0)
    per_image = (noise * power * weight).sum(0) / weight.sum(0).clamp_min(tiny)
    reliable = (count * signal / (signal + per_image / power.clamp_min(1e-6))).nan_to_num(0.0)
    scale = (cross * reliable).sum(1) / (signal * reliable).sum(1).clamp_min(tiny)
    signal = signal * scale.clamp(*SCALE_LIMITS)[:, None]
    ssnr = signal * power / per_image.clamp_min(tiny)
    ssnr = torch.where(per_image > 0, ssnr, 0.0)
    # The mean of the image is fixed by the background; it is filtered like the first shell.
    ssnr[:, 0] = ssnr[:, 1]
    return ssnr
