"""Multivariate statistical analysis: principal components or correspondence analysis, and classes in factor space."""

from vitreous.averages.msa.classify import agreement, choose_classes, kmeans, ward, ward_labels
from vitreous.averages.msa.metric import Metric, Moments, metric_of
from vitreous.averages.msa.noise_edge import NoiseEdge, noise_edge, significant_factors, split_variance
from vitreous.averages.msa.result import FactorMap, MSAResult
from vitreous.averages.msa.settings import MSA
from vitreous.averages.msa.task import MSARun, MSAState, msa, prepare_msa

__all__ = [
    "MSA",
    "FactorMap",
    "MSAResult",
    "MSARun",
    "MSAState",
    "Metric",
    "Moments",
    "NoiseEdge",
    "agreement",
    "choose_classes",
    "kmeans",
    "metric_of",
    "msa",
    "noise_edge",
    "prepare_msa",
    "significant_factors",
    "split_variance",
    "ward",
    "ward_labels",
]
