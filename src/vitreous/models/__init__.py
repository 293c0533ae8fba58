"""What methods that make structures hand over, whichever room they are in."""

from vitreous.models.initial_model import Conformation, InitialModelResult, one_conformation

__all__ = ["Conformation", "InitialModelResult", "one_conformation"]
