"""Gibbs sampling of a 3D mixture, poses and offsets from projection images.

One step draws, in turn: the assignments of all counts; precision, weights and means with the missing (viewing)
direction integrated out; then the missing coordinates, which the rotations need; rotations; offsets. Each group can be
held fixed: with known poses this is a reconstruction, with a known mixture it is a local search for the poses.

With a point group the K components are an asymmetric unit: image i sees the copies ``S_g mu_k``, which is the unit in
the poses ``S_g^T G_i``, so that every image counts as many views.
"""

from dataclasses import dataclass, replace

import numpy as np

from vitreous.mixtures.conditionals import (
    draw_means_from_views,
    draw_missing_sums,
    draw_offsets,
    draw_precision,
    draw_weights,
    rotation_parameters,
    squared_distances,
)
from vitreous.mixtures.counts import Counts
from vitreous.mixtures.gibbs_points import run_assignment, single_gaussian_precision
from vitreous.mixtures.model import Mixture, image_centres
from vitreous.mixtures.priors import MixturePrior, log_prior
from vitreous.randomness import generator
from vitreous.rotations import sample_matrix_fisher

__all__ = ["Moves", "PosedMixture", "Views", "assign_views", "default_prior", "log_posterior", "projection_step"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PosedMixture:
    """A mixture (the asymmetric unit, with a point group) and the poses of n images."""

    mixture: Mixture
    rotations: np.ndarray  # (n, 3, 3) G
    offsets_A: np.ndarray  # (n, 2) where the particle sits, x and y from the centre


@dataclass(frozen=True, kw_only=True)
class Moves:
    """Which parameters a step draws, and the prior of the offsets: N(0, offset_sd_A^2) per axis."""

    mixture: bool = True
    rotations: bool = True
    offsets: bool = True
    offset_sd_A: float = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """Sufficient statistics of all counts, with one row for every image and group element: n g views."""

    members: np.ndarray  # (n g, K)
    first_A: np.ndarray  # (n g, K, 2) sums of positions, offsets taken off
    squares_A2: float  # sum of |x - t|^2 over all counts
    rotations: np.ndarray  # (n g, 3, 3)
    log_likelihood: float


def default_prior(data: Counts) -> MixturePrior:
    """Means as spread out as one Gaussian fitted to the images."""
    return MixturePrior(
        mean_precision_per_A2=single_gaussian_precision(float(data.squares_A2.sum()), 2.0 * float(data.totals.sum()))
    )


def assign_views(
    data: Counts, model: PosedMixture, group: np.ndarray, rng: np.random.Generator, *, threads: int = 1
) -> Views:
    """Assign all counts to components at random; ``group`` (g, 3, 3), the identity alone without symmetry."""
    mixture, n, g = model.mixture, len(model.rotations), len(group)
    views = views_of(model.rotations, group)
    centres = image_centres(mixture.means_A, views).reshape(n, g * len(mixture), 2)
    log_weights = np.tile(np.log(mixture.weights / g), g)[None]
    s = mixture.precision_per_A2
    members, first, log_totals = run_assignment(
        data, log_weights, centres + model.offsets_A[:, None], s, rng, threads=threads
    )
    squares = data.squares_A2.sum() - 2.0 * np.vdot(_sum_of_components(first), model.offsets_A)
    squares += data.totals @ (model.offsets_A**2).sum(axis=1)
    first -= members[:, :, None] * model.offsets_A[:, None]
    return Views(
        members=members.reshape(n * g, -1),
        first_A=first.reshape(n * g, -1, 2),
        squares_A2=float(squares),
        rotations=views,
        log_likelihood=float(log_totals.sum() + data.totals.sum() * np.log(s / (2 * np.pi))),
    )


def views_of(rotations: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The poses S_g^T G_i in which the images see the asymmetric unit: (n g, 3, 3), image by image."""
    return (group.swapaxes(1, 2)[None] @ rotations[:, None]).reshape(-1, 3, 3)


def projection_step(
    data: Counts,
    model: PosedMixture,
    prior: MixturePrior,
    *,
    group: np.ndarray,
    moves: Moves,
    seed: int,
    step: int,
    threads: int = 1,
) -> tuple[PosedMixture, float]:
    """One Gibbs step: (next model, log posterior of the model that was given).

    Random numbers depend on (seed, step) only, not on the number of threads.
    """
    rng = generator(seed, "mixture from projections", step)
    views = assign_views(data, model, group, rng, threads=threads)
    log_p = views.log_likelihood + log_prior(model.mixture, prior) + _log_prior_offsets(model, moves)
    following = model
    if moves.mixture:
        following = replace(following, mixture=draw_mixture(views, model.mixture, prior, rng))
    if moves.rotations:
        following = replace(following, rotations=draw_rotations(views, following, group, rng))
    if moves.offsets:
        following = replace(following, offsets_A=_offsets(data, views, following, group, moves, rng))
    return following, log_p


def log_posterior(data: Counts, model: PosedMixture, prior: MixturePrior, *, group: np.ndarray, moves: Moves) -> float:
    """Log posterior of mixture, poses and offsets, but for the constant of the data."""
    views = assign_views(data, model, group, generator(0, "log posterior"))
    return views.log_likelihood + log_prior(model.mixture, prior) + _log_prior_offsets(model, moves)


def draw_mixture(views: Views, mixture: Mixture, prior: MixturePrior, rng: np.random.Generator) -> Mixture:
    """Precision, weights and means, given the assignments and the poses."""
    centres = image_centres(mixture.means_A, views.rotations)
    squared = squared_distances(views.squares_A2, views.members, views.first_A, centres)
    precision = draw_precision(2.0 * views.members.sum(), squared, prior, rng)
    return Mixture(
        weights=draw_weights(views.members.sum(axis=0), prior, rng),
        means_A=draw_means_from_views(views.members, views.first_A, views.rotations, precision, prior, rng),
        precision_per_A2=precision,
    )


def draw_rotations(views: Views, model: PosedMixture, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All poses, each near its present value: the missing coordinates first, then the matrix Fisher distribution.

    Parameters F of the views of one image add up: ``tr(F_g^T S_g^T G) = tr((S_g F_g)^T G)``.
    """
    means, s = model.mixture.means_A, model.mixture.precision_per_A2
    depth = views.rotations[:, :, 2] @ means.T
    missing = draw_missing_sums(views.members, depth, s, rng)
    parameters = rotation_parameters(views.first_A, missing, means, s).reshape(len(model.rotations), len(group), 3, 3)
    return sample_matrix_fisher((group[None] @ parameters).sum(axis=1), rng)


def _offsets(
    data: Counts, views: Views, model: PosedMixture, group: np.ndarray, moves: Moves, rng: np.random.Generator
) -> np.ndarray:
    n = len(model.rotations)
    # The statistics were taken with the offsets of the assignment; putting these back gives the positions themselves.
    centres = image_centres(model.mixture.means_A, views_of(model.rotations, group))
    residuals = _sum_of_components(views.first_A) - (views.members[:, None, :] @ centres)[:, 0]
    residuals = residuals.reshape(n, -1, 2).sum(axis=1)
    residuals += data.totals[:, None] * model.offsets_A
    return draw_offsets(data.totals, residuals, model.mixture.precision_per_A2, moves.offset_sd_A**-2.0, rng)


def _sum_of_components(first: np.ndarray) -> np.ndarray:
    """(n, K, 2) to (n, 2), as a product: several times faster than a sum over the middle axis."""
    return np.ones(first.shape[1]) @ first


def _log_prior_offsets(model: PosedMixture, moves: Moves) -> float:
    if not moves.offsets:
        return 0.0
    scaled = model.offsets_A / moves.offset_sd_A
    return float(-0.5 * (scaled**2).sum() - scaled.size * np.log(moves.offset_sd_A * np.sqrt(2 * np.pi)))
