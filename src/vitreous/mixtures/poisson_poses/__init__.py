"""Initial models from class averages with unknown poses."""

from vitreous.mixtures.poisson_poses.algorithm import State, initial_model_algorithm
from vitreous.mixtures.poisson_poses.result import Conformation, InitialModelResult
from vitreous.mixtures.poisson_poses.settings import InitialModel
from vitreous.mixtures.poisson_poses.task import initial_model

__all__ = [
    "Conformation",
    "InitialModel",
    "InitialModelResult",
    "State",
    "initial_model",
    "initial_model_algorithm",
]
