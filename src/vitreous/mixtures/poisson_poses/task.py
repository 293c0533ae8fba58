"""From class averages to an initial model in one call."""

from collections.abc import Callable
from typing import Any

import numpy as np

from vitreous.iterate import run
from vitreous.mixtures.model import Mixture
from vitreous.mixtures.poisson_poses.algorithm import initial_model_algorithm
from vitreous.mixtures.poisson_poses.settings import InitialModel
from vitreous.models import InitialModelResult
from vitreous.require import settings_with

__all__ = ["initial_model"]


def initial_model(
    images: np.ndarray,
    pixel_size_A: float,
    settings: InitialModel | None = None,
    *,
    threads: int = 2,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> InitialModelResult[Mixture]:
    """An initial model from class averages (n, L, L) of different views, particles white, nowhere negative.

    The Poisson (count) model of Joubert and Habeck: Gibbs sampling of a Gaussian mixture and of all poses from several
    random starts, with annealing; the start of the highest log posterior is refined with more components, and the
    posterior mean and variance are taken on a grid. Restarts, or parts of the images, are shared out among
    ``threads``, on which the result does not depend. ``on_step`` receives what each step logs.

    Raises ValueError, naming the average (from 1), for NaN, negative or all-zero averages, and for averages of
    different boxes, a single view, or an unknown symmetry.
    """
    settings = settings_with(InitialModel, settings, {})
    algorithm = initial_model_algorithm(images, pixel_size_A, settings, threads=threads)
    result, _ = run(algorithm, seed=settings.seed, on_step=on_step)
    return result
