"""Fitting a mixture to a map as an iterative algorithm: settings, the map made ready, one EM step per step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.mixtures.em import broad_prior, em_step, expect_grid, grid_data, start_at_data
from vitreous.mixtures.initial.reduce import overlaps
from vitreous.mixtures.model import Mixture
from vitreous.mixtures.priors import log_prior
from vitreous.particles import Volume
from vitreous.randomness import generator

__all__ = ["FitState", "MixtureFit", "fit_map_algorithm", "prepare_map"]


@dataclass(frozen=True, kw_only=True)
class MixtureFit:
    """Settings of :func:`fit_map_algorithm`.

    Parameters
    ----------
    components
        Number of Gaussians.
    threshold
        Density below this is set to zero, in the units of the map.
    steps
        Most EM steps.
    tolerance
        The fit ends when a step raises the log posterior by less than this per count.
    counts
        How many independent points the map is taken to be worth, against the prior.
    box_px
        Larger maps are brought to this many voxels per axis before the fit.
    seed
        Of the starting positions.
    """

    components: int = 500
    threshold: float = 0.0
    steps: int = 500
    tolerance: float = 1e-5
    counts: float = 1e6
    box_px: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("components", 1), ("steps", 1), ("box_px", 4)):
            if getattr(self, name) < low:
                raise ValueError(f"{name}: expected at least {low}, found {getattr(self, name)}")
        if not self.counts > 0:
            raise ValueError(f"counts: expected a positive number, found {self.counts}")
        for name in ("threshold", "tolerance"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected zero or a positive number, found {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class FitState:
    """A fit after ``iteration`` steps: the log posterior is that of the mixture before the last one."""

    iteration: int
    mixture: Mixture
    log_posterior: float
    gain: float  # in log posterior per count, from the mixture two steps ago to the one before; 1 while unknown


def prepare_map(volume: Volume, settings: MixtureFit) -> Volume:
    """A cubic map without what is below the threshold, on at most ``box_px`` voxels per axis over the same field.

    Raises ValueError for a map that is not cubic, for NaN, and where nothing is above the threshold.
    """
    data = volume.data
    if len(set(data.shape)) != 1:
        raise ValueError(
            f"expected a cubic map, found {' x '.join(map(str, data.shape[::-1]))} voxels; crop or pad it."
        )
    if not np.isfinite(data).all():
        raise ValueError(f"the map holds {np.count_nonzero(~np.isfinite(data))} value(s) that are NaN or infinite.")
    if not (data > settings.threshold).any():
        raise ValueError(f"nothing in the map is above the threshold {settings.threshold:g}: highest {data.max():.4g}.")
    kept = np.where(data > settings.threshold, data, 0.0).astype(np.float64)
    old, new = len(data), min(settings.box_px, len(data))
    if new == old:
        return Volume(data=kept, pixel_size_A=volume.pixel_size_A)
    pixel = volume.pixel_size_A * old / new
    along = overlaps(old, volume.pixel_size_A, new, pixel, 0.0)
    for axis in range(3):
        kept = np.moveaxis(np.tensordot(along, kept, axes=(1, axis)), 0, axis)
    return Volume(data=kept * (new / old) ** 3, pixel_size_A=pixel)


def fit_map_algorithm(target: Volume, settings: MixtureFit) -> Algorithm[FitState, Mixture]:
    """Maximum of the posterior for a map from :func:`prepare_map`; the weights of the result sum to 1.

    Starts at points drawn from the map; the means' prior is as wide as one Gaussian fitted to it.
    """
    data = grid_data(target.data, target.pixel_size_A, settings.counts)
    prior = broad_prior(data.points_A, data.weights)

    def init(seed: int) -> FitState:
        rng = generator(seed, "start of the fit to a map")
        start = start_at_data(data.points_A, data.weights, settings.components, data.pixel_size_A, rng)
        return FitState(iteration=0, mixture=start, log_posterior=0.0, gain=1.0)

    def step(state: FitState) -> tuple[FitState, Mapping[str, Any]]:
        expected = expect_grid(data, state.mixture)
        log_p = float(expected.log_likelihood + log_prior(state.mixture, prior))
        gain = 1.0 if state.iteration == 0 else (log_p - state.log_posterior) / settings.counts
        following = FitState(
            iteration=state.iteration + 1,
            mixture=em_step(state.mixture, expected, prior),
            log_posterior=log_p,
            gain=gain,
        )
        return following, {"log_posterior": log_p, "sigma_A": following.mixture.sigma_A}

    return Algorithm(
        init=init,
        step=step,
        done=lambda state: state.iteration >= settings.steps or state.gain < settings.tolerance,
        finalise=lambda state: state.mixture,
    )
