"""Nearest neighbours of noisy images: features, affinities, vector diffusion, and the chains that they make.

All functions work on arrays: principal components of denoised images with their posterior covariances
(:class:`ImagePosteriors`, made by :func:`image_posteriors` from the room ``covariance``) in, neighbour lists with
rotation, mirror state and affinity (:class:`NeighbourLists`) out.
"""

from vitreous.averages.neighbours.bispectrum import (
    all_triples,
    bispectrum,
    choose_triples,
    invariant_features,
    principal_axes,
)
from vitreous.averages.neighbours.chain import exhaustive_neighbours, image_posteriors, mahalanobis_neighbours
from vitreous.averages.neighbours.mahalanobis import (
    GroupForm,
    ImagePosteriors,
    PairForm,
    likelihood_form,
    mahalanobis_affinity,
    mahalanobis_form,
    up_to_order,
)
from vitreous.averages.neighbours.suspects import NeighbourLists, align_pairs, best_of, exhaustive_suspects, nearest
from vitreous.averages.neighbours.vdm import (
    VectorDiffusion,
    affinity_weights,
    diffusion_neighbours,
    vector_diffusion,
)

__all__ = [
    "GroupForm",
    "ImagePosteriors",
    "NeighbourLists",
    "PairForm",
    "VectorDiffusion",
    "affinity_weights",
    "align_pairs",
    "all_triples",
    "best_of",
    "bispectrum",
    "choose_triples",
    "diffusion_neighbours",
    "exhaustive_neighbours",
    "exhaustive_suspects",
    "image_posteriors",
    "invariant_features",
    "likelihood_form",
    "mahalanobis_affinity",
    "mahalanobis_form",
    "mahalanobis_neighbours",
    "nearest",
    "principal_axes",
    "up_to_order",
    "vector_diffusion",
]
