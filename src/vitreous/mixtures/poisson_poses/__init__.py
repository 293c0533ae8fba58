"""Initial models from class averages with unknown poses."""

from vitreous.mixtures.poisson_poses.algorithm import PoissonState, initial_model_algorithm
from vitreous.mixtures.poisson_poses.settings import InitialModel
from vitreous.mixtures.poisson_poses.task import initial_model

__all__ = [
    "InitialModel",
    "PoissonState",
    "initial_model",
    "initial_model_algorithm",
]
