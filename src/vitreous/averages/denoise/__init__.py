"""Denoised particle images: the covariance Wiener filter, from a particle set to pictures."""

from vitreous.averages.denoise.result import DenoiseModel, DenoiseResult
from vitreous.averages.denoise.settings import Denoise
from vitreous.averages.denoise.task import DenoiseRun, denoise, prepare_denoising

__all__ = ["Denoise", "DenoiseModel", "DenoiseResult", "DenoiseRun", "denoise", "prepare_denoising"]
