"""Particles as values on ring points, weighted so that a squared difference is a log likelihood."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.fourier import slice_points
from vitreous.matching import PreparedParticles
from vitreous.optics import ctf_at
from vitreous.particles.scratch import release
from vitreous.volumes import PADDING, RingPoints

__all__ = ["PointImages", "point_images", "point_quadratures", "window_A"]


@dataclass(frozen=True, kw_only=True)
class PointImages:
    """m particles at P ring points: x (m, P) and c (m, P), image and CTF times sqrt(weight / sigma^2).

    The log likelihood of a pose is ``- sum_p |x_p - c_p V(G k_p) exp(2 pi i k_p . o)|^2``; the CTF has its astigmatism.
    """

    x: torch.Tensor
    c: torch.Tensor
    points: RingPoints
    window_A: float

    @property
    def phase(self) -> float:
        """s of exp(i s (plane . o)): radians per sample of a prepared volume and Angstrom."""
        return 2 * math.pi / (PADDING * self.window_A)

    def take(self, index: np.ndarray) -> "PointImages":
        """Some of the particles."""
        return replace(self, x=self.x[torch.from_numpy(index)], c=self.c[torch.from_numpy(index)])

    def scaled(self, scale: np.ndarray) -> "PointImages":
        """With slices that are scaled by (m,)."""
        return replace(self, c=self.c * torch.from_numpy(scale).float()[:, None])

    def centred(self, origin_A: np.ndarray) -> torch.Tensor:
        """x of images shifted by their origins (m, 2): what a slice without shift is compared with."""
        shift = torch.from_numpy(origin_A).float() @ self.points.plane
        return self.x * torch.polar(torch.ones_like(shift), -self.phase * shift)

    def slices(self, volume_ft: torch.Tensor, rotation: np.ndarray) -> torch.Tensor:
        """c V(G k) (m, P) of a prepared volume: what centred images are compared with."""
        return self.c * slice_points(volume_ft, torch.from_numpy(rotation).float(), self.points.plane)


def window_A(data: PreparedParticles) -> float:
    """Field of the rings: ring r has the resolution window / r."""
    return data.basis.window_px * data.pixel_size_A


def point_images(
    data: PreparedParticles,
    index: np.ndarray,
    points: RingPoints,
    noise_power: torch.Tensor,
    defocus_A: np.ndarray | None = None,
    scale: np.ndarray | None = None,
) -> PointImages:
    """Particles ``index`` (m,) at the points of ``points``; noise_power (G, >= R) is sigma^2 of the noise groups.

    defocus_A: (m,) added to both defoci of the file; scale: (m,) contrast, which slices are multiplied by.
    """
    rings = points.rings
    packed = torch.from_numpy(np.ascontiguousarray(data.packed[index]))
    release(data.packed)
    values = points.to_points(data.basis.unpack(packed, rings))
    weight = _weight(data, index, points, noise_power)
    field = window_A(data)
    c = weight
    if data.ctf is not None:
        ctf = data.ctf.take(index)
        if defocus_A is not None and defocus_A.any():
            ctf = replace(ctf, defocus_u_A=ctf.defocus_u_A + defocus_A, defocus_v_A=ctf.defocus_v_A + defocus_A)
        k = points.plane / (PADDING * field)
        c = weight * ctf_at(ctf, k[0], k[1])
    found = PointImages(x=values * weight, c=c, points=points, window_A=field)
    return found.scaled(scale) if scale is not None and (scale != 1).any() else found


def point_quadratures(
    data: PreparedParticles, index: np.ndarray, points: RingPoints, noise_power: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sine and cosine of the phase whose sine is the CTF of the file, with the weights of :func:`point_images`.

    Each (m, P). ValueError for particles without CTF, and for those whose phases were flipped, which have lost it.
    """
    if data.ctf is None:
        raise ValueError("particles without CTF have no defocus")
    ctf = data.ctf.take(index)
    if np.any(ctf.phase_flipped):
        raise ValueError("of images whose phases were flipped the defocus cannot be refined")
    weight = _weight(data, index, points, noise_power)
    k = points.plane / (PADDING * window_A(data))
    ahead = replace(ctf, phase_shift_deg=ctf.phase_shift_deg + 90.0)
    return weight * ctf_at(ctf, k[0], k[1]), weight * ctf_at(ahead, k[0], k[1])


def _weight(data: PreparedParticles, index: np.ndarray, points: RingPoints, noise_power: torch.Tensor) -> torch.Tensor:
    inverse = 1 / noise_power[torch.from_numpy(data.noise_group[index]), : points.rings]
    return (inverse[:, points.ring] * points.weight).sqrt()
