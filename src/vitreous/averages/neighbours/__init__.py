"""Nearest neighbours of particle images, whatever their rotation in the plane and their hand, and averages of them."""

from vitreous.averages.neighbours.averaging import NeighbourAverages, average_neighbours, refine_rotations
from vitreous.averages.neighbours.classes import ClassState, ClassSums, deal_folds, first_pass, next_pass
from vitreous.averages.neighbours.examples import NeighbourExamples, neighbour_examples
from vitreous.averages.neighbours.halves import half_correlation
from vitreous.averages.neighbours.pairs import into_frame, relative_rotations
from vitreous.averages.neighbours.principal import PrincipalImages, posterior_references, reference_norms
from vitreous.averages.neighbours.profiles import Profiles, exchange_mirror, profile_features, profile_images
from vitreous.averages.neighbours.result import NeighboursResult
from vitreous.averages.neighbours.search import NeighbourLists, nearest_profiles
from vitreous.averages.neighbours.settings import Neighbours
from vitreous.averages.neighbours.subset import diverse_subset
from vitreous.averages.neighbours.task import NeighboursPlan, NeighboursRun, neighbours, prepare_neighbours

__all__ = [
    "ClassState",
    "ClassSums",
    "NeighbourAverages",
    "NeighbourExamples",
    "NeighbourLists",
    "Neighbours",
    "NeighboursPlan",
    "NeighboursResult",
    "NeighboursRun",
    "PrincipalImages",
    "Profiles",
    "average_neighbours",
    "deal_folds",
    "diverse_subset",
    "exchange_mirror",
    "first_pass",
    "half_correlation",
    "into_frame",
    "nearest_profiles",
    "neighbour_examples",
    "neighbours",
    "next_pass",
    "posterior_references",
    "prepare_neighbours",
    "profile_features",
    "profile_images",
    "reference_norms",
    "refine_rotations",
    "relative_rotations",
]
