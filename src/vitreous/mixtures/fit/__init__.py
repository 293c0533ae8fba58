"""Fitting a mixture to what is seen directly: a map, an image or a cloud of points, by EM or by Gibbs sampling."""

from vitreous.mixtures.fit.data import FitData, cloud_data, cloud_grid, grid_fit_data, prepare_map
from vitreous.mixtures.fit.em import FitState, fit_algorithm
from vitreous.mixtures.fit.points import PointCloud, read_points
from vitreous.mixtures.fit.sample import MixtureSamples, SamplingState, sampling_algorithm
from vitreous.mixtures.fit.settings import MixtureFit, MixtureSampling

__all__ = [
    "FitData",
    "FitState",
    "MixtureFit",
    "MixtureSamples",
    "MixtureSampling",
    "PointCloud",
    "SamplingState",
    "cloud_data",
    "cloud_grid",
    "fit_algorithm",
    "grid_fit_data",
    "prepare_map",
    "read_points",
    "sampling_algorithm",
]
