"""Names in the spelling that half of the users type."""

from vitreous.averages.neighbours import Neighbours
from vitreous.jobs.tasks.neighbours import run_neighbours

__all__ = ["Neighbors", "run_neighbors"]

Neighbors, run_neighbors = Neighbours, run_neighbours
