"""FSC by direction: half maps compared in cones of Fourier space (after Tan et al. 2017, Nat. Methods 14, 793).

A double cone of 20 degrees (half angle) about a direction holds the waves that vary along it. Where views are missing,
the waves perpendicular to none of them are noise, and the cone's FSC falls earlier than that of the shell.
"""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.particles import Volume
from vitreous.quality import resolution_at
from vitreous.rotations import fibonacci_directions
from vitreous.volumes.half_maps import CLAIM, HalfMapFSC, check_halves, correct_fsc
from vitreous.volumes.masks import check_mask
from vitreous.volumes.shells import fsc_of_products, multiplicity, shell_index

__all__ = ["ConeFSC", "cone_fsc"]

_BEYOND = 1.5  # as far as this many times the frequency of the resolution cones are looked at
_LEAST = 12.0  # coefficients of a shell in a cone; of fewer the FSC is chance, and that of the shell stands for it


@dataclass(frozen=True, kw_only=True, eq=False)
class ConeFSC:
    """Curves of m cones over the shells (n // 2 + 1), and the resolution along their axes."""

    directions: np.ndarray  # (m, 3) unit vectors x, y, z of one hemisphere
    curves: np.ndarray  # (m, n // 2 + 1)
    resolutions_A: np.ndarray  # (m,) where the curve first falls below 0.143; inf where it does at once
    half_angle_deg: float

    @property
    def best_A(self) -> float:
        """Along the best direction."""
        return float(self.resolutions_A.min())

    @property
    def median_A(self) -> float:
        """Of all directions."""
        return float(np.median(self.resolutions_A))

    @property
    def worst_A(self) -> float:
        """Along the worst direction."""
        return float(self.resolutions_A.max())

    @property
    def worst_direction(self) -> np.ndarray:
        """(3,) x, y, z."""
        return self.directions[int(self.resolutions_A.argmax())]


def cone_fsc(
    half1: Volume,
    half2: Volume,
    fsc: HalfMapFSC,
    mask: Volume | None = None,
    *,
    directions: int = 100,
    half_angle_deg: float = 20.0,
) -> ConeFSC:
    """FSC in cones about ``directions`` evenly spread axes of half maps whose ``fsc`` is known.

    With a mask the curves are corrected by the shell's FSC of random phases. Beyond 1.5 times the frequency of the
    resolution, and where a cone holds fewer than twelve coefficients, the shell's FSC stands for that of the cone.
    Where the half maps claim no resolution none is claimed for any direction. Cost: one pass over the coefficients for
    every direction. Raises ValueError for maps or a mask that do not belong together.
    """
    check_halves(half1, half2)
    n = half1.box_px
    weight = None if mask is None else torch.from_numpy(check_mask(mask, half1).data)
    axes = fibonacci_directions(2 * directions)[:directions]  # the spiral begins at +z: a hemisphere
    highest = min(n // 2, int(_BEYOND * n * half1.pixel_size_A / fsc.resolution_A) + 2)
    sums = _cone_sums(_transforms(half1, half2, weight), axes, np.cos(np.deg2rad(half_angle_deg)), highest)
    counts, products = sums[..., 3], sums[..., :3]
    curves = fsc_of_products(*products.unbind(-1)).numpy()
    curves = np.where(counts.numpy() < _LEAST, fsc.masked, curves)
    curves = correct_fsc(curves, fsc.randomised, fsc.randomised_from)
    resolutions = resolution_at(torch.from_numpy(curves), CLAIM, n, half1.pixel_size_A).numpy()
    if not np.isfinite(fsc.resolution_A):
        resolutions = np.full(directions, np.inf)
    return ConeFSC(directions=axes.numpy(), curves=curves, resolutions_A=resolutions, half_angle_deg=half_angle_deg)


def _transforms(half1: Volume, half2: Volume, weight: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    data = [torch.from_numpy(np.ascontiguousarray(half.data)) for half in (half1, half2)]
    a, b = (torch.fft.rfftn(values if weight is None else values * weight) for values in data)
    return a, b


def _cone_sums(fts: tuple[torch.Tensor, torch.Tensor], axes: torch.Tensor, cosine: float, highest: int) -> torch.Tensor:
    """Sums of the products, the powers and of ones over shells up to ``highest``: float64 (m, n // 2 + 1, 4)."""
    n = fts[0].shape[0]
    shell = shell_index(n)
    inside = (shell > 0) & (shell <= highest)
    z, y, x = torch.nonzero(inside, as_tuple=True)
    index = shell[inside]
    signed = [torch.where(k > n // 2, k - n, k) for k in (x, y, z)]
    vectors = torch.stack(signed, dim=1).to(torch.float32)
    vectors /= vectors.norm(dim=1, keepdim=True)
    a, b = (ft[inside] for ft in fts)
    weight = multiplicity(n)[x]
    values = torch.stack(
        [a.real * b.real + a.imag * b.imag, a.abs() ** 2, b.abs() ** 2, torch.ones_like(a.real)], dim=1
    )
    values = values.to(torch.float64) * weight[:, None]
    out = torch.zeros(len(axes), n // 2 + 1, 4, dtype=torch.float64)
    for number, axis in enumerate(axes.to(torch.float32)):
        near = torch.nonzero((vectors @ axis).abs() >= cosine - 1e-6)[:, 0]
        out[number].index_add_(0, index[near], values[near])
    return out
