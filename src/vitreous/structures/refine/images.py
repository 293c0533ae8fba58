"""Particles as values on ring points, weighted so that a squared difference is a log likelihood."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.fourier import slice_points
from vitreous.matching import PreparedParticles
from vitreous.optics import ctf_at
from vitreous.volumes import PADDING, RingPoints

__all__ = ["PointImages", "point_images", "window_A"]


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
    data: PreparedParticles, index: np.ndarray, points: RingPoints, noise_power: torch.Tensor
) -> PointImages:
    """Particles ``index`` (m,) at the points of ``points``; noise_power (G, >= R) is sigma^2 of the noise groups."""
    rings = points.rings
    packed = torch.from_numpy(np.ascontiguousarray(data.packed[index]))
    values = points.to_points(data.basis.unpack(packed, rings))
    inverse = 1 / noise_power[torch.from_numpy(data.noise_group[index]), :rings]
    weight = (inverse[:, points.ring] * points.weight).sqrt()
    field = window_A(data)
    if data.ctf is None:
        return PointImages(x=values * weight, c=weight, points=points, window_A=field)
    k = points.plane / (PADDING * field)
    ctf = ctf_at(data.ctf.take(index), k[0], k[1])
    return PointImages(x=values * weight, c=weight * ctf, points=points, window_A=field)
