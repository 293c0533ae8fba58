"""Fitting a mixture by EM as an iterative algorithm: one EM step per step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitreous.iterate import Algorithm
from vitreous.mixtures.em import em_step, start_at_data
from vitreous.mixtures.fit.data import FitData
from vitreous.mixtures.fit.settings import MixtureFit
from vitreous.mixtures.model import Mixture
from vitreous.mixtures.priors import log_prior
from vitreous.randomness import generator

__all__ = ["FitState", "em_start", "fit_algorithm", "one_em_step"]


@dataclass(frozen=True, kw_only=True)
class FitState:
    """A fit after ``iteration`` steps: the log posterior is that of the mixture before the last one."""

    iteration: int
    mixture: Mixture
    log_posterior: float
    gain: float  # in log posterior per count, from the mixture two steps ago to the one before; 1 while unknown


def fit_algorithm(data: FitData, settings: MixtureFit) -> Algorithm[FitState, Mixture]:
    """Maximum of the posterior; the weights of the result sum to 1. Starts at points drawn from the data."""

    def init(seed: int) -> FitState:
        start = em_start(data, settings.components, seed)
        return FitState(iteration=0, mixture=start, log_posterior=0.0, gain=1.0)

    def step(state: FitState) -> tuple[FitState, Mapping[str, Any]]:
        mixture, log_p = one_em_step(data, state.mixture)
        gain = 1.0 if state.iteration == 0 else (log_p - state.log_posterior) / data.total
        following = FitState(iteration=state.iteration + 1, mixture=mixture, log_posterior=log_p, gain=gain)
        return following, {"log_posterior": log_p, "sigma_A": mixture.sigma_A, "gain_per_count": gain}

    return Algorithm(
        init=init,
        step=step,
        done=lambda state: state.iteration >= settings.steps or state.gain < settings.tolerance,
        finalise=lambda state: state.mixture,
    )


def em_start(data: FitData, components: int, seed: int) -> Mixture:
    """Means drawn from the data."""
    rng = generator(seed, "start of the fit to a map")
    return start_at_data(data.points_A, data.weights, components, data.pixel_size_A, rng)


def one_em_step(data: FitData, mixture: Mixture) -> tuple[Mixture, float]:
    """(next mixture, log posterior of the one that was given)."""
    expected = data.expect(mixture)
    return em_step(mixture, expected, data.prior), float(expected.log_likelihood + log_prior(mixture, data.prior))
