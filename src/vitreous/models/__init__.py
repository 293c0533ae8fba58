"""What methods that make structures hand over, whichever room they are in."""

from vitreous.models.initial_model import Conformation, InitialModelResult, one_conformation
from vitreous.models.projections import project_map

__all__ = ["Conformation", "InitialModelResult", "one_conformation", "project_map"]
