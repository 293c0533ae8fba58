"""What noise that is aligned to a reference looks like: model bias, from theory.

Model. n images of white noise with D independent coefficients each, in units of their standard deviation. Image i is
turned and shifted to where its inner product with the reference A is largest. What all poses of A have in common (its
average B over all turns and shifts in reach, nearly its mean on every circle) does not depend on the pose, so that no
alignment can bring it about. Only A' = A - B is found in noise. Its inner product with an image as a function of the
pose, over |A'|, is a Gaussian random field of variance 1; an aligned image has the component M_i along A', the maximum
of the field, and noise in the D - 1 other directions. With c = |B|^2 / |A|^2, m = mean M and s = sd M, the average of n
aligned images has the component m along A' and noise of power (D - 1) / n beside it:

    correlation(n) = sqrt(1 - c) m / sqrt(m^2 + (s^2 + D - 1) / n).

It ends at sqrt(1 - c); half of that is reached with n = D / (3 m^2) images. On a single Fourier shell, with the share
p of the power of A' and d of the D coefficients, the averages of two halves of n images correlate by

    FRC = m^2 p / (m^2 p + 2 d / n).

The maximum. Near every pose the field changes by the metric -Hessian of its covariance: a turn by d psi by
``|dA / d psi| d psi`` and a shift by du by ``|grad A| / sqrt 2 |du|`` (averaged over directions), in units of |A'|.
Poses are a circle times a disc. In this metric the circle has the length l and the disc the radius r, the intrinsic
volumes of the product are L1 = l, L2 = pi r l, L3 = pi r^2 l, and the number of separate peaks above u is about the
expected Euler characteristic of what exceeds u (Adler and Taylor, Random Fields and Geometry, 2007, chapter 12),

    E(u) = e^(-u^2/2) [ L1 / (2 pi) + L2 u / (2 pi)^(3/2) + L3 (u^2 - 1) / (2 pi)^2 ].

Peaks come independently where there are many, and none may be above u at the first pose either, so that

    P(M < u) = Phi(u) exp(-E(u) / Phi(u)),

Phi being the normal distribution. For a single wave on a circle M is a Rayleigh variable: mean 1.25, found 1.19; for
nine waves of equal power the mean is 2.15 in simulation, found 2.10.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import j1, ndtr

from vitreous.quality.correlation import soft_disc

__all__ = ["AlignedNoise", "aligned_noise", "maximum_over_poses"]

HIGHEST_U, STEP_U = 12.0, 0.005
LEAST_LEFT = 1e-3  # of the power of a reference: what some pose changes
EDGE = 0.1  # of the radius: width of the mask's edge


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedNoise:
    """D, c and the mean and standard deviation of the maximum M of the module docstring, for one reference.

    power: (F,) share of the power of A' in every shell; shell_coefficients: (F,) of the D coefficients.
    """

    coefficients: float
    common: float
    mean: float
    sd: float
    power: np.ndarray
    shell_coefficients: np.ndarray

    def correlation(self, images: np.ndarray | float) -> np.ndarray:
        """Of the average of so many aligned images with the reference."""
        noise = (self.sd**2 + self.coefficients - 1) / np.asarray(images, np.float64)
        return np.asarray(np.sqrt(1 - self.common) * self.mean / np.sqrt(self.mean**2 + np.maximum(noise, 0)))

    def frc(self, images: float) -> np.ndarray:
        """Of the averages of two halves of so many aligned images in all, (F,)."""
        signal = self.mean**2 * self.power
        noise = 2 * self.shell_coefficients / images
        return np.where(noise > 0, signal / np.maximum(signal + noise, 1e-30), 0.0)


def aligned_noise(reference: np.ndarray, *, radius_px: float, offset_px: float, highest_per_px: float) -> AlignedNoise:
    """For a reference (L, L) within a disc, shifts within ``offset_px``, frequencies up to so many cycles per pixel.

    Raises ValueError for a reference that is constant within the disc at these frequencies, or not finite.
    """
    image, mask = _band(np.asarray(reference, np.float64), radius_px, highest_per_px)
    box, k = len(image), np.hypot(*np.meshgrid(np.fft.fftfreq(len(image)), np.fft.fftfreq(len(image))))
    transform = np.fft.fft2(image)
    total = float(np.square(np.abs(transform)).sum())
    if not np.isfinite(total) or total <= 1e-12 * max(float(np.square(reference).sum()), 1e-30) * box**2:
        raise ValueError("reference: expected an image with contrast and finite values, found none")
    shell = np.minimum(np.round(k * box).astype(int), box // 2 + 1).ravel()

    def shells(values: np.ndarray) -> np.ndarray:
        return np.bincount(shell, values.ravel(), box // 2 + 2)[: box // 2 + 1]

    inside = (k > 0) & (k <= highest_per_px)
    points, power = shells(inside.astype(float)), shells(np.square(np.abs(transform))) / total
    common = _common(transform, shells, points, offset_px) / total
    turn, slope = _changes(image, transform)
    left = max(1 - float(common.sum()), LEAST_LEFT)
    mean, sd = maximum_over_poses(2 * np.pi * turn / np.sqrt(left), slope * offset_px / np.sqrt(left))
    share = float(np.square(mask).sum()) / box**2
    return AlignedNoise(
        coefficients=share * float(points.sum()),
        common=1 - left,
        mean=mean,
        sd=sd,
        power=np.maximum(power - common, 0) / np.maximum(power - common, 0).sum(),
        shell_coefficients=share * points,
    )


def _common(
    transform: np.ndarray, shells: Callable[[np.ndarray], np.ndarray], points: np.ndarray, offset_px: float
) -> np.ndarray:
    """Power by shell (F,) of what all poses share: the mean on every circle, averaged over a disc of shifts."""
    box = len(transform)
    centred = transform * np.exp(2j * np.pi * (box // 2) * np.add.outer(*[np.fft.fftfreq(box)] * 2))
    circle = shells(centred.real) / np.maximum(points, 1)
    reach = 2 * np.pi * np.arange(len(points)) / box * offset_px
    blur = np.where(reach > 1e-6, 2 * j1(reach) / np.maximum(reach, 1e-6), 1.0)
    return np.asarray(points * np.square(circle) * np.abs(blur))


def _changes(image: np.ndarray, transform: np.ndarray) -> tuple[float, float]:
    """How fast the image changes, in units of its norm: per radian of a turn, per pixel of a shift."""
    box, energy = len(image), float(np.square(image).sum())
    axis = 2j * np.pi * np.fft.fftfreq(box)
    dx, dy = (np.fft.ifft2(transform * a).real for a in (axis[None, :], axis[:, None]))
    place = np.arange(box) - box // 2
    turn = np.square(place[None, :] * dy - place[:, None] * dx).sum() / energy
    slope = (np.square(dx) + np.square(dy)).sum() / (2 * energy)
    return float(np.sqrt(turn)), float(np.sqrt(slope))


def _band(reference: np.ndarray, radius_px: float, highest_per_px: float) -> tuple[np.ndarray, np.ndarray]:
    """The reference without its mean, masked and without frequencies beyond the highest one; and the mask."""
    box, edge = len(reference), EDGE * radius_px
    mask = soft_disc(box, radius_px - edge, edge, dtype=torch.float64).numpy()
    flat = reference - (reference * mask).sum() / mask.sum()
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(box), np.fft.fftfreq(box)))
    cut = np.fft.fft2(flat * mask) * ((k > 0) & (k <= highest_per_px))
    return np.fft.ifft2(cut).real, mask


def maximum_over_poses(length: float, radius: float) -> tuple[float, float]:
    """Mean and standard deviation of the largest value over a circle of that length times a disc of that radius."""
    u = np.arange(-HIGHEST_U, HIGHEST_U, STEP_U)
    volumes = np.array([length, np.pi * radius * length, np.pi * radius**2 * length])
    densities = np.stack([np.ones_like(u), u / np.sqrt(2 * np.pi), (u**2 - 1) / (2 * np.pi)]) / (2 * np.pi)
    above = np.exp(-(u**2) / 2) * (volumes @ densities)
    # The formula holds for large u: going down from there it may only rise.
    risen, below = np.maximum.accumulate(above[::-1])[::-1], np.maximum(ndtr(u), 1e-300)
    exceeds = 1 - below * np.exp(-risen / below)
    density = -np.diff(exceeds)
    middle = u[:-1] + STEP_U / 2
    mean = float((density * middle).sum() / density.sum())
    return mean, float(np.sqrt((density * (middle - mean) ** 2).sum() / density.sum()))
