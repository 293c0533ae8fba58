"""Initial models from class averages by the methods that came before the Bayesian ones, on shared parts."""

from vitreous.structures.from_averages.algorithm import (
    CONTROLS,
    FromAveragesResult,
    FromAveragesState,
    Method,
    MethodModel,
    from_averages_algorithm,
)
from vitreous.structures.from_averages.fitting import Fit
from vitreous.structures.from_averages.methods import METHODS, method_of, model_from_averages, prepare_algorithm
from vitreous.structures.from_averages.score import CLAIMED, Score
from vitreous.structures.from_averages.settings import (
    AllMethods,
    ClusteredLines,
    CommonLines,
    FromAverages,
    ProjectionMatching,
    QuasiNewton,
    Ransac,
    Significant,
    Stochastic,
)
from vitreous.structures.from_averages.views import Views, prepare_views

__all__ = [
    "CLAIMED",
    "CONTROLS",
    "METHODS",
    "AllMethods",
    "ClusteredLines",
    "CommonLines",
    "Fit",
    "FromAverages",
    "FromAveragesResult",
    "FromAveragesState",
    "Method",
    "MethodModel",
    "ProjectionMatching",
    "QuasiNewton",
    "Ransac",
    "Score",
    "Significant",
    "Stochastic",
    "Views",
    "from_averages_algorithm",
    "method_of",
    "model_from_averages",
    "prepare_algorithm",
    "prepare_views",
]
