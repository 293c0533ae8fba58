"""Denoised particle images: the covariance Wiener filter, from a particle set to pictures."""

from vitreous.averages.denoise.result import DenoiseModel, DenoiseResult
from vitreous.averages.denoise.settings import Denoise
from vitreous.averages.denoise.task import DenoiseRun, DenoiseState, Sink, denoise, prepare_denoising

__all__ = [
    "Denoise",
    "DenoiseModel",
    "DenoiseResult",
    "DenoiseRun",
    "DenoiseState",
    "Sink",
    "denoise",
    "prepare_denoising",
]
