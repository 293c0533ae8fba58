"""The Gaussian noise model: class averages with negative pixels, without a mask, with their CTF."""

from vitreous.mixtures.gaussian_noise.algorithm import GaussianState, gaussian_initial_model_algorithm
from vitreous.mixtures.gaussian_noise.model import GaussianNoisePrior, NoisyImages, NoisyMixture, sample_noisy_prior
from vitreous.mixtures.gaussian_noise.moves import Sampler
from vitreous.mixtures.gaussian_noise.noisy_stages import Chain, sweep
from vitreous.mixtures.gaussian_noise.settings import GaussianInitialModel
from vitreous.mixtures.gaussian_noise.task import gaussian_initial_model

__all__ = [
    "Chain",
    "GaussianInitialModel",
    "GaussianNoisePrior",
    "GaussianState",
    "NoisyImages",
    "NoisyMixture",
    "Sampler",
    "gaussian_initial_model",
    "gaussian_initial_model_algorithm",
    "sample_noisy_prior",
    "sweep",
]
