"""Nearest neighbours of particle images, whatever their rotation in the plane and their hand, and averages of them.

Two ways lead to neighbour lists (:class:`NeighbourLists`: index, mirror state, rotation, affinity). Likelihood profiles
under class averages, the default of the task, work on :class:`PrincipalImages`. The chains of
:mod:`vitreous.averages.neighbours.chain` compare images with images: features, Mahalanobis affinity, vector diffusion,
on :class:`ImagePosteriors`.
"""

from vitreous.averages.neighbours.averaging import NeighbourAverages, average_neighbours, refine_rotations
from vitreous.averages.neighbours.bispectrum import (
    all_triples,
    bispectrum,
    choose_triples,
    invariant_features,
    principal_axes,
)
from vitreous.averages.neighbours.candidates import NeighbourLists, align_pairs, best_of, exhaustive_candidates, nearest
from vitreous.averages.neighbours.chain import exhaustive_neighbours, image_posteriors, mahalanobis_neighbours
from vitreous.averages.neighbours.classes import ClassState, ClassSums, deal_folds, first_pass, next_pass
from vitreous.averages.neighbours.examples import NeighbourExamples, neighbour_examples
from vitreous.averages.neighbours.halves import half_correlation
from vitreous.averages.neighbours.mahalanobis import (
    GroupForm,
    ImagePosteriors,
    PairForm,
    likelihood_form,
    mahalanobis_affinity,
    mahalanobis_form,
    up_to_order,
)
from vitreous.averages.neighbours.pairs import into_frame, relative_rotations
from vitreous.averages.neighbours.principal import (
    PrincipalImages,
    image_posteriors_of,
    posterior_references,
    reference_norms,
)
from vitreous.averages.neighbours.profiles import Profiles, exchange_mirror, profile_features, profile_images
from vitreous.averages.neighbours.result import NeighboursResult
from vitreous.averages.neighbours.search import nearest_profiles
from vitreous.averages.neighbours.settings import Neighbours
from vitreous.averages.neighbours.subset import diverse_subset
from vitreous.averages.neighbours.task import NeighboursPlan, NeighboursRun, neighbours, prepare_neighbours
from vitreous.averages.neighbours.vector_diffusion import (
    VectorDiffusion,
    affinity_weights,
    diffusion_neighbours,
    vector_diffusion,
)

__all__ = [
    "ClassState",
    "ClassSums",
    "GroupForm",
    "ImagePosteriors",
    "NeighbourAverages",
    "NeighbourExamples",
    "NeighbourLists",
    "Neighbours",
    "NeighboursPlan",
    "NeighboursResult",
    "NeighboursRun",
    "PairForm",
    "PrincipalImages",
    "Profiles",
    "VectorDiffusion",
    "affinity_weights",
    "align_pairs",
    "all_triples",
    "average_neighbours",
    "best_of",
    "bispectrum",
    "choose_triples",
    "deal_folds",
    "diffusion_neighbours",
    "diverse_subset",
    "exchange_mirror",
    "exhaustive_candidates",
    "exhaustive_neighbours",
    "first_pass",
    "half_correlation",
    "image_posteriors",
    "image_posteriors_of",
    "into_frame",
    "invariant_features",
    "likelihood_form",
    "mahalanobis_affinity",
    "mahalanobis_form",
    "mahalanobis_neighbours",
    "nearest",
    "nearest_profiles",
    "neighbour_examples",
    "neighbours",
    "next_pass",
    "posterior_references",
    "prepare_neighbours",
    "principal_axes",
    "profile_features",
    "profile_images",
    "reference_norms",
    "refine_rotations",
    "relative_rotations",
    "up_to_order",
    "vector_diffusion",
]
