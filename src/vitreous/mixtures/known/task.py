"""From images with poses to a map in one call."""

from collections.abc import Callable
from typing import Any

import numpy as np

from vitreous.iterate import run
from vitreous.mixtures.known.algorithm import KnownPosesResult, known_poses_algorithm
from vitreous.mixtures.known.settings import KnownPoses
from vitreous.require import settings_with

__all__ = ["reconstruct_known"]


def reconstruct_known(
    images: np.ndarray,
    rotations: np.ndarray,
    pixel_size_A: float,
    settings: KnownPoses | None = None,
    *,
    origins_A: np.ndarray | None = None,
    threads: int = 2,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> KnownPosesResult:
    """A map from images (n, L, L) of known poses, particles white, nowhere negative; with its uncertainty.

    ``rotations`` (n, 3, 3) are the G of :mod:`vitreous.conventions`; ``origins_A`` (n, 2) are the shifts that centre
    the images (rlnOriginXAngst and YAngst), by default 0. The Poisson (count) model of Joubert (2016), sections 2.4 and
    3.2: Gibbs sampling of a Gaussian mixture; the posterior mean and variance are taken on a grid. The images
    are shared out among ``threads``, on which the result does not depend. ``on_step`` receives what each block of steps
    logs.

    Raises ValueError, naming the image (from 1), for NaN, negative or all-zero images; for images of different boxes, a
    single one, an unknown symmetry, and for rotations or origins that are not one for each image.
    """
    settings = settings_with(KnownPoses, settings, {})
    algorithm = known_poses_algorithm(images, rotations, pixel_size_A, settings, origins_A=origins_A, threads=threads)
    result, _ = run(algorithm, seed=settings.seed, on_step=on_step)
    return result
