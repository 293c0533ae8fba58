"""From class averages of any sign to an initial model in one call."""

from collections.abc import Callable
from typing import Any

import numpy as np

from vitreous.iterate import run
from vitreous.mixtures.gaussian_noise.algorithm import gaussian_initial_model_algorithm
from vitreous.mixtures.gaussian_noise.settings import GaussianInitialModel
from vitreous.mixtures.model import Mixture
from vitreous.models import InitialModelResult
from vitreous.require import settings_with

__all__ = ["gaussian_initial_model"]


def gaussian_initial_model(
    images: np.ndarray,
    pixel_size_A: float,
    settings: GaussianInitialModel | None = None,
    *,
    ctf: np.ndarray | None = None,
    threads: int = 2,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> InitialModelResult[Mixture]:
    """An initial model from class averages (n, L, L) of different views, particles white; no mask, any normalisation.

    The Gaussian noise model of Joubert and Habeck, with a scale, a background and a noise level for every image:
    Hamiltonian Monte Carlo for a Gaussian mixture and for all poses from several random starts, with annealing; the
    start of the highest log posterior is refined with more components, and the posterior mean and variance are taken on
    a grid. ``ctf`` (n, L, L // 2 + 1) in the rfft layout is applied to the projections. Restarts, or parts of the
    images, are shared out among ``threads``, on which the result does not depend. ``on_step`` receives what each step
    logs.

    Raises ValueError, naming the average (from 1), for NaN or a constant average, and for averages of different boxes,
    a single view, a CTF of another shape, or an unknown symmetry.
    """
    settings = settings_with(GaussianInitialModel, settings, {})
    algorithm = gaussian_initial_model_algorithm(images, pixel_size_A, settings, ctf=ctf, threads=threads)
    result, _ = run(algorithm, seed=settings.seed, on_step=on_step)
    return result
