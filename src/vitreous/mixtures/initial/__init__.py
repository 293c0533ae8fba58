"""Initial models from class averages with unknown poses."""

from vitreous.mixtures.initial.algorithm import State, initial_model_algorithm
from vitreous.mixtures.initial.result import Conformation, InitialModelResult
from vitreous.mixtures.initial.settings import InitialModel
from vitreous.mixtures.initial.task import initial_model

__all__ = [
    "Conformation",
    "InitialModel",
    "InitialModelResult",
    "State",
    "initial_model",
    "initial_model_algorithm",
]
