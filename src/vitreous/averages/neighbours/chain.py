"""Chains of the stages: from denoised coefficients to neighbour lists.

- :func:`mahalanobis_neighbours`, the published chain: bispectrum, vector diffusion, alignment, Mahalanobis affinity.
- :func:`exhaustive_neighbours`: likelihood ratios of all pairs in all rotations, then vector diffusion. Nothing is lost
  in features, and the ratio knows which images say little. Vector diffusion comes last: it weighs the evidence of
  hundreds of images, and ranking its result by the affinity of two noisy images again makes it worse.
"""

from vitreous.averages.covariance import DenoisedCoefficients, PrincipalBasis, principal_blocks, to_principal
from vitreous.averages.neighbours.bispectrum import invariant_features
from vitreous.averages.neighbours.candidates import NeighbourLists, align_pairs, best_of, exhaustive_candidates, nearest
from vitreous.averages.neighbours.mahalanobis import ImagePosteriors, likelihood_form, mahalanobis_form
from vitreous.averages.neighbours.vector_diffusion import (
    VectorDiffusion,
    affinity_weights,
    diffusion_neighbours,
    vector_diffusion,
)
from vitreous.fourier import FourierBessel

__all__ = ["exhaustive_neighbours", "image_posteriors", "mahalanobis_neighbours"]

_EDGES = 10  # per image in the graph of the published chain


def image_posteriors(
    basis: FourierBessel, principal: PrincipalBasis, denoised: DenoisedCoefficients
) -> ImagePosteriors:
    """The principal components of denoised images and their posterior covariances."""
    blocks = principal_blocks(principal, denoised.posterior)
    return ImagePosteriors(
        components=to_principal(principal, basis, denoised.coefficients),
        orders=principal.orders,
        variances=principal.variances,
        posterior=tuple(block for block in blocks if block.shape[-1]),
        group=denoised.group,
    )


def mahalanobis_neighbours(
    posteriors: ImagePosteriors, k: int, *, candidates: int = 50, eigenvectors: int = 100, seed: int = 0
) -> NeighbourLists:
    """The k nearest of n images by the published chain; with ``eigenvectors=0`` without vector diffusion.

    Suspects come from the bispectrum, improved by vector diffusion on a graph of the ten best of each image's
    candidates (all of them would be mostly wrong at low signal), and are ranked by the printed affinity.
    Raises ValueError for k > candidates.
    """
    if k > candidates:
        raise ValueError(f"{k} neighbours cannot be chosen from {candidates} candidates")
    features = invariant_features(posteriors.components, posteriors.orders, seed=seed)
    lists = nearest(features, candidates)
    if eigenvectors:
        graph = best_of(align_pairs(posteriors, lists.index, form=mahalanobis_form), min(_EDGES, candidates))
        lists = diffusion_neighbours(_diffusion(graph, eigenvectors, seed), candidates)
    return best_of(align_pairs(posteriors, lists.index, form=mahalanobis_form), k)


def exhaustive_neighbours(
    posteriors: ImagePosteriors, k: int, *, candidates: int = 50, eigenvectors: int = 100, seed: int = 0
) -> NeighbourLists:
    """The k nearest of n images by likelihood ratios of all pairs, then vector diffusion on the graph of candidates.

    Rotations are those that all paths through the graph agree on; the affinity is that of the diffusion, at most 1.
    """
    coarse = exhaustive_candidates(posteriors, candidates)
    graph = align_pairs(posteriors, coarse.index, form=likelihood_form)
    return diffusion_neighbours(_diffusion(graph, eigenvectors, seed), k)


def _diffusion(graph: NeighbourLists, eigenvectors: int, seed: int) -> VectorDiffusion:
    """Diffusion with edges weighted by affinity; a small graph has fewer eigenvectors."""
    most = min(eigenvectors, len(graph.index))
    return vector_diffusion(graph, affinity_weights(graph.affinity), eigenvectors=most, seed=seed)
