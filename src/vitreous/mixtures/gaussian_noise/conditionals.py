"""Distributions of scale, background and noise of the images, given everything else, and with the first two integrated.

For one image with projection p (CTF applied) the log likelihood is quadratic in scale and background, whose priors are
normal (the scale's cut at zero). What is needed of p are three sums, so that the same formulas serve one projection and
a thousand. ``power`` multiplies the log likelihood (annealing).

Equations 5.31 to 5.48 and appendix D of Joubert (2016), with proper priors and every image on its own, and with PN/2
where 5.47 and D.3 have PN.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtri_exp

from vitreous.mixtures.gaussian_noise.model import GaussianNoisePrior

__all__ = [
    "Overlaps",
    "draw_noise_precisions",
    "draw_scales_and_backgrounds",
    "integrated_log_likelihood",
    "overlaps",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlaps:
    """Sums over the pixels of an image y and a projection p: arrays that broadcast against each other."""

    pp: np.ndarray
    py: np.ndarray
    p1: np.ndarray
    yy: np.ndarray
    y1: np.ndarray
    pixels: int


def overlaps(images: np.ndarray, projected: np.ndarray) -> Overlaps:
    """Of every image (n, L, L) with its own projection: fields (n,)."""
    n = len(images)
    y, p = images.reshape(n, -1).astype(np.float64), projected.reshape(n, -1).astype(np.float64)
    return Overlaps(
        pp=(p * p).sum(1), py=(p * y).sum(1), p1=p.sum(1), yy=(y * y).sum(1), y1=y.sum(1), pixels=y.shape[1]
    )


def integrated_log_likelihood(
    sums: Overlaps, noise_precisions: np.ndarray, prior: GaussianNoisePrior, *, power: float = 1.0
) -> np.ndarray:
    """log of the integral of likelihood^power times prior over scale and background, in the shape of ``sums``.

    The factor of the noise precision that does not depend on the projection, (beta / 2 pi)^(power pixels / 2), is
    included.
    """
    beta = power * noise_precisions
    curvature, linear, background = _scale_terms(sums, beta, prior)
    constant = 0.5 * power * sums.pixels * np.log(noise_precisions / (2 * np.pi)) - 0.5 * beta * sums.yy
    constant = constant + (beta * sums.y1) ** 2 / (2 * background) - 0.5 * np.log(background * prior.background_sd**2)
    at_peak = linear**2 / (2 * curvature) - 0.5 * np.log(curvature * prior.scale_sd**2)
    return constant + at_peak + np.log(2.0) + log_ndtr(linear / np.sqrt(curvature))


def draw_scales_and_backgrounds(
    sums: Overlaps,
    noise_precisions: np.ndarray,
    prior: GaussianNoisePrior,
    rng: np.random.Generator,
    *,
    power: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """(scales, backgrounds), jointly: scales normal above zero with backgrounds integrated, then backgrounds normal."""
    beta = power * noise_precisions
    curvature, linear, background = _scale_terms(sums, beta, prior)
    sd = 1.0 / np.sqrt(curvature)
    below = log_ndtr(linear * sd)  # log of the share of the normal distribution that is above zero
    scales = sd * (linear * sd - ndtri_exp(np.log(1.0 - rng.random(linear.shape)) + below))
    scales = np.maximum(scales, np.finfo(float).tiny)
    centre = beta * (sums.y1 - scales * sums.p1) / background
    return scales, centre + rng.standard_normal(linear.shape) / np.sqrt(background)


def draw_noise_precisions(
    squared: np.ndarray, pixels: int, prior: GaussianNoisePrior, rng: np.random.Generator, *, power: float = 1.0
) -> np.ndarray:
    """beta_i ~ Gamma(a + pixels / 2, b + squared / 2), from the squared residuals (n,) of every image."""
    shape = prior.noise_shape + 0.5 * power * pixels
    return rng.gamma(shape, size=squared.shape) / (prior.noise_rate + 0.5 * power * squared)


def _scale_terms(
    sums: Overlaps, beta: np.ndarray, prior: GaussianNoisePrior
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Curvature and linear term of the log density of the scale, background integrated; curvature of the background."""
    background = beta * sums.pixels + prior.background_sd**-2.0
    curvature = beta * sums.pp + prior.scale_sd**-2.0 - (beta * sums.p1) ** 2 / background
    linear = beta * sums.py - beta**2 * sums.y1 * sums.p1 / background
    return curvature, linear, background
