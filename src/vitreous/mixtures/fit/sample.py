"""Sampling a mixture's posterior as an iterative algorithm: EM steps to start from, then blocks of Gibbs steps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.mixtures.fit.data import FitData
from vitreous.mixtures.fit.em import em_start, one_em_step
from vitreous.mixtures.fit.settings import MixtureSampling
from vitreous.mixtures.gibbs_points import points_step
from vitreous.mixtures.model import Mixture, log_density
from vitreous.mixtures.posterior_maps import DensitySums, add_sample, no_samples, posterior_variance
from vitreous.mixtures.priors import sample_prior
from vitreous.randomness import generator
from vitreous.words import brief

__all__ = ["MixtureSamples", "SamplingState", "sampling_algorithm"]

_PROBES = 8  # places where the density is recorded at every step
_DIGITS = 7


@dataclass(frozen=True, kw_only=True)
class SamplingState:
    """A chain after ``iteration`` EM steps and blocks."""

    iteration: int
    seed: int  # of everything random from here on
    probes_A: np.ndarray  # (8, d) places whose density is followed
    mixture: Mixture
    sums: DensitySums


@dataclass(frozen=True, kw_only=True, eq=False)
class MixtureSamples:
    """Posterior mean and variance of the density (per A^d) on the grid, and the last sample, whose weights sum to 1."""

    __repr__ = brief

    mean: np.ndarray
    variance: np.ndarray
    mixture: Mixture
    samples: int


def sampling_algorithm(
    data: FitData, settings: MixtureSampling, *, shape: tuple[int, ...], pixel_size_A: float
) -> Algorithm[SamplingState, MixtureSamples]:
    """Samples of the posterior, their mean and variance on a grid of this shape.

    A step is one EM step while there are ``start_steps`` left, then a block of ``steps_between`` Gibbs steps. What a
    block tells has one entry for every Gibbs step: ``log_posteriors``, ``sigmas_A`` and ``log_densities`` (at eight
    places drawn from the data) of the mixture before the step. Random numbers depend on the seed and the step alone.
    """
    burn_in = -(-settings.burn_in_steps // settings.steps_between)
    first_sample = settings.start_steps + burn_in

    def init(seed: int) -> SamplingState:
        if settings.start_steps > 0:
            start = em_start(data, settings.components, seed)
        else:
            start = sample_prior(data.prior, settings.components, data.points_A.shape[1], generator(seed, "start"))
        rng = generator(seed, "places whose density is followed")
        probes = data.points_A[rng.choice(len(data.points_A), size=_PROBES, p=data.weights / data.total)]
        return SamplingState(iteration=0, seed=seed, probes_A=probes, mixture=start, sums=no_samples(shape))

    def step(state: SamplingState) -> tuple[SamplingState, Mapping[str, Any]]:
        if state.iteration < settings.start_steps:
            mixture, log_p = one_em_step(data, state.mixture)
            following = replace(state, iteration=state.iteration + 1, mixture=mixture)
            return following, {"stage": "em", "log_posterior": log_p, "sigma_A": mixture.sigma_A}
        block = state.iteration - settings.start_steps
        sampling = state.iteration >= first_sample
        mixture, traces = _block(data, state, settings, block)
        sums = add_sample(state.sums, mixture, pixel_size_A) if sampling else state.sums
        following = replace(state, iteration=state.iteration + 1, mixture=mixture, sums=sums)
        info = {
            "stage": "sampling" if sampling else "burn-in",
            "log_posterior": traces["log_posteriors"][-1],
            "sigma_A": mixture.sigma_A,
            **traces,
        }
        return following, info

    return Algorithm(
        init=init,
        step=step,
        done=lambda state: state.iteration >= first_sample + settings.samples,
        finalise=lambda state: MixtureSamples(
            mean=state.sums.mean,
            variance=posterior_variance(state.sums),
            mixture=state.mixture,
            samples=state.sums.samples,
        ),
    )


def _block(
    data: FitData, state: SamplingState, settings: MixtureSampling, block: int
) -> tuple[Mixture, dict[str, list[Any]]]:
    traces: dict[str, list[Any]] = {"log_posteriors": [], "sigmas_A": [], "log_densities": []}
    first, mixture = block * settings.steps_between, state.mixture
    for number in range(first, first + settings.steps_between):
        traces["sigmas_A"].append(mixture.sigma_A)
        traces["log_densities"].append([float(f"{v:.{_DIGITS}g}") for v in log_density(mixture, state.probes_A)])
        mixture, log_p = points_step(data.assign, mixture, data.prior, seed=state.seed, step=number)
        traces["log_posteriors"].append(log_p)
    return mixture, traces
