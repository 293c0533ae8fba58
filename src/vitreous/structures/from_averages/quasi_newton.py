"""Density and poses in one ascent: a quasi-Newton method on voxels, rotations and shifts together.

Projection matching improves poses and map in turn. Yang, Ng and Penczek (2005) minimise one cost over both,

    J(v, G, o) = sum_i sum_p |x_ip exp(-i s k_p . o_i) - c_ip V(G_i k_p)|^2 + sum_k share / tau^2(k) |V(k)|^2,

by L-BFGS, so that a step of the poses knows how the map follows. Theirs has finite differences for the poses; here all
derivatives are exact (those of trilinear interpolation, by reverse differentiation of it), and rotations are
``G_i exp([w_i]x)`` with w beginning at 0 in every stage, which has no poles. Rings are added from stage to
stage. An ascent ends in the maximum next to its start, and their program refines a model that is there: so poses from
common lines come first. It can also begin with random orientations; then the first stage is tried ``attempts`` times,
and the one of least cost goes on. That has ended in wrong models (``python -m benchmarks initial-methods``).

L-BFGS knows nothing of units. Variables are those in which a change by 1 is large alike: voxels in units of the root
mean square of the first map, rotations and shifts in those that move the rim of the particle, or the particle, by a
radian of phase at the outermost ring.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch.nn.functional import grid_sample

from vitreous.randomness import generator
from vitreous.rotations import random_rotations
from vitreous.structures.from_averages.common_lines import common_lines
from vitreous.structures.from_averages.fitting import Fit, map_of
from vitreous.structures.from_averages.projection_matching import SEARCH_RINGS
from vitreous.structures.from_averages.settings import CommonLines, QuasiNewton, shared_settings
from vitreous.structures.from_averages.views import FIRST_RINGS, Views
from vitreous.structures.refine.images import PointImages
from vitreous.volumes import PADDING, masked, prepared, prior_share

__all__ = ["Joint", "ascend", "quasi_newton"]

MEMORY = 10  # pairs of steps and gradients


def quasi_newton(views: Views, settings: QuasiNewton, seed: int, start: int) -> Fit:
    """Poses of all averages from those of common lines, or from the best of a few random orientations."""
    tried = [ascend(views, one, FIRST_RINGS, settings.steps) for one in _starts(views, settings, seed, start)]
    fit = min(tried, key=lambda one: one[1])[0]
    for rings in range(FIRST_RINGS + 1, min(views.rings, SEARCH_RINGS) + 1):
        fit, _ = ascend(views, fit, rings, settings.steps)
    return fit


def _starts(views: Views, settings: QuasiNewton, seed: int, start: int) -> list[Fit]:
    if settings.start_from == "lines":
        return [common_lines(views, shared_settings(CommonLines, settings), seed, start)]
    seeds = generator(seed, "quasi-Newton", index=start).integers(2**31, size=settings.attempts)
    return [Fit.at(random_rotations(len(views), seed=int(one)).numpy()) for one in seeds]


def ascend(views: Views, fit: Fit, rings: int, steps: int) -> tuple[Fit, float]:
    """Poses after a stage, and its cost."""
    joint = Joint.at(views, fit, rings)
    found = minimize(
        joint.cost, joint.origin(), jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": MEMORY}
    )
    return joint.fit(found.x), float(found.fun)


@dataclass(frozen=True, kw_only=True, eq=False)
class Joint:
    """The cost around a map (n, n, n) and poses, as a function of one vector.

    group: (g, 3, 3); prior: of every sample of a prepared volume; units: of voxels, rotations (radians), shifts (A).
    """

    images: PointImages
    volume: torch.Tensor
    start: Fit
    group: torch.Tensor
    prior: torch.Tensor
    units: tuple[float, float, float]
    energy: float

    @classmethod
    def at(cls, views: Views, fit: Fit, rings: int) -> "Joint":
        """Around poses, and the map that they imply at some rings."""
        volume, images = map_of(views, fit, rings), views.images_at(rings)
        radius = views.data.basis.radius_px / views.data.basis.window_px
        return cls(
            images=images,
            volume=volume,
            start=fit,
            group=views.group.float(),
            prior=_prior(views, rings, prepared(volume)),
            units=(
                float(volume.square().mean().sqrt()),
                1 / (2 * math.pi * rings * radius),
                views.window_A / (2 * math.pi * rings),
            ),
            energy=float(images.x.abs().square().sum()),
        )

    def origin(self) -> np.ndarray:
        """The vector of the start."""
        poses = 5 * len(self.start.rotation)
        return np.concatenate([(self.volume / self.units[0]).flatten().double().numpy(), np.zeros(poses)])

    def cost(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """J over the energy of the averages, and its gradient."""
        with torch.enable_grad():  # jobs run without
            return self._cost(torch.from_numpy(np.asarray(vector, np.float64)).requires_grad_())

    def _cost(self, x: torch.Tensor) -> tuple[float, np.ndarray]:
        volume, rotation, origin = self._parts(x)
        ft, plane = prepared(volume), self.images.points.plane
        shift = origin.float() @ plane
        centred = self.images.x * torch.polar(torch.ones_like(shift), -self.images.phase * shift)
        misfit = (self.prior * ft.abs().square()).sum()
        for element in self.group:
            slices = self.images.c * _interpolated(ft, element @ rotation.float(), plane)
            misfit = misfit + (centred - slices).abs().square().sum() / len(self.group)
        value = misfit.double() / self.energy
        (gradient,) = torch.autograd.grad(value, x)
        return float(value.detach()), gradient.numpy()

    def fit(self, vector: np.ndarray) -> Fit:
        """The poses of a vector."""
        _, rotation, origin = self._parts(torch.from_numpy(vector))
        u, _, v = torch.linalg.svd(rotation)
        return Fit(rotation=(u @ v).numpy(), origin_A=origin.numpy())

    def _parts(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        n, voxels = len(self.start.rotation), self.volume.numel()
        volume = (self.units[0] * x[:voxels]).reshape(self.volume.shape).float()
        turn, origin = x[voxels : voxels + 3 * n].reshape(n, 3), x[voxels + 3 * n :].reshape(n, 2)
        zero = torch.zeros(n, dtype=x.dtype)
        a, b, c = (self.units[1] * turn).unbind(1)
        skew = torch.stack([zero, -c, b, c, zero, -a, -b, a, zero], 1).reshape(n, 3, 3)
        rotation = torch.from_numpy(self.start.rotation) @ torch.linalg.matrix_exp(skew)
        volume = masked(volume, self.images.points.basis)
        return volume, rotation, torch.from_numpy(self.start.origin_A) + self.units[2] * origin


def _prior(views: Views, rings: int, volume_ft: torch.Tensor) -> torch.Tensor:
    """share / tau^2 of every sample of a prepared volume, linear between rings; beyond them as at the last one."""
    h = volume_ft.shape[-1] - 2
    axis, half = torch.arange(-h - 1, h + 2), torch.arange(h + 2)
    radius = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + half**2).sqrt() / PADDING
    curve = prior_share(views.data.basis.truncated(rings), rings) / views.tau2[:rings].double().numpy()
    return torch.from_numpy(np.interp(radius.numpy(), np.arange(1, rings + 1), curve)).float()


def _interpolated(volume_ft: torch.Tensor, matrices: torch.Tensor, plane: torch.Tensor) -> torch.Tensor:
    """What :func:`vitreous.fourier.slice_points` gives, in steps that can be differentiated."""
    h = volume_ft.shape[-1] - 2
    k = matrices[:, :, :2] @ plane
    side = torch.where(k[:, 0] < 0, -1.0, 1.0)
    place = k * side[:, None] + torch.tensor([0.0, h + 1.0, h + 1.0])[:, None]
    size = torch.tensor(volume_ft.shape[::-1], dtype=place.dtype)
    grid = (place * (2.0 / (size - 1.0))[:, None] - 1.0).transpose(1, 2)[None, :, :, None]
    channels = torch.view_as_real(volume_ft).permute(3, 0, 1, 2)[None]
    real, imag = grid_sample(channels, grid, mode="bilinear", align_corners=True)[0, ..., 0]
    return torch.complex(real, imag * side)
