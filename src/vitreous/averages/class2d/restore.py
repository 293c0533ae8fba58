"""Class averages from the original pixels: one interpolation, multi-image Wiener filter, half-sets.

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
from vitreous.matching import ImagePreparation
from vitreous.optics import CTFParameters, ctf_2d, radial_to_plane
from vitreous.quality import ring_correlation, soft_disc

__all__ = ["Averages", "Poses", "aligned_images", "restore"]

SCALE_LIMITS = (0.05, 4.0)  # of the power of one class relative to all
FEWEST = 4  # members below which halves say nothing


@dataclass(frozen=True, kw_only=True)
class Poses:
    """m particles in classes: particle, class_index (from 0), half (0 or 1), psi_rad: (m,); origin_px (m, 2) raw."""

    particle: np.ndarray
    class_index: np.ndarray
    half: np.ndarray
    psi_rad: np.ndarray
    origin_px: np.ndarray

    def take(self, index: np.ndarray | slice) -> "Poses":
        """Some of them."""
        return Poses(
            particle=self.particle[index],
            class_index=self.class_index[index],
            half=self.half[index],
            psi_rad=self.psi_rad[index],
            origin_px=self.origin_px[index],
        )


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
    poses: Poses,
    *,
    device: str = "cpu",
) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """CTF-weighted images turned into the frame of their class, with C^2 in that frame.

    Yields (which poses, images (b, L, L), C^2 (b, L, L // 2 + 1)).
    """
    n, batch = preparation.box_px, max(8, preparation.batch // 4)  # the fine grid has four times the points
    for start in range(0, len(poses.particle), batch):
        part = poses.take(slice(start, start + batch))
        images = torch.from_numpy(np.ascontiguousarray(read(part.particle), dtype=np.float32)).to(device)
        images, _ = preparation.clean(images)
        ft = centred_rfft2(images) * shift_phase(torch.from_numpy(part.origin_px).float().to(device), n)
        if ctf is None:
            weight = torch.ones(len(images), n, n // 2 + 1, device=device)
        else:
            params = ctf.take(part.particle)
            ft = ft * ctf_2d(params, n, preparation.pixel_size_A, device=device)
            turned = replace(params, defocus_angle_deg=params.defocus_angle_deg + np.rad2deg(part.psi_rad))
            weight = ctf_2d(turned, n, preparation.pixel_size_A, device=device).square()
        yield slice(start, start + len(images)), _turn(ft, n, torch.from_numpy(part.psi_rad).float().to(device)), weight


def _turn(ft: torch.Tensor, n: int, psi: torch.Tensor) -> torch.Tensor:
    """Images X with transform ft -> A(r') = X(R(-psi) r'), cubic interpolation on a grid twice as fine."""
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


def restore(
    read: Callable[[np.ndarray], np.ndarray],
    preparation: ImagePreparation,
    ctf: CTFParameters | None,
    poses: Poses,
    n_classes: int,
    *,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Averages:
    """Wiener averages of all classes and of their halves."""
    n = preparation.box_px
    sums = torch.zeros(2 * n_classes, n, n, device=device)
    weights = torch.zeros(2 * n_classes, n, n // 2 + 1, device=device)
    slot = torch.from_numpy(poses.half * n_classes + poses.class_index).to(device)
    for part, images, weight in aligned_images(read, preparation, ctf, poses, device=device):
        sums.index_add_(0, slot[part], images)
        weights.index_add_(0, slot[part], weight)
        if progress is not None:
            progress(part.stop, len(poses.particle))
    halves_ft = centred_rfft2(sums).reshape(2, n_classes, n, -1)
    weights = weights.reshape(2, n_classes, n, -1)
    members = np.bincount(poses.class_index, minlength=n_classes)
    return _filtered(halves_ft, weights, torch.from_numpy(members).to(device), preparation)


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
    shell, multiplicity = shell_index_rfft2(n, device=weights.device), rfft2_multiplicity(n, device=weights.device)
    count = shell_sums(multiplicity, shell, n // 2 + 1)

    def shells(values: torch.Tensor) -> torch.Tensor:
        return shell_sums(values * multiplicity, shell, n // 2 + 1) / count

    a, b = centred_rfft2(masked[0]), centred_rfft2(masked[1])
    cross, noise = shells((a * b.conj()).real), shells((a - b).abs().square()) / 4
    power = shells(weights.sum(0))
    ssnr = _ssnr(cross, noise, power, enough, count)
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
