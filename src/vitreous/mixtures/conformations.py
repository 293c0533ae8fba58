"""Several conformations: every image shows one of C mixtures.

Model, beside that of :mod:`vitreous.mixtures.gibbs_projections`: populations pi ~ Dirichlet(1, ..., 1), labels c_i with
p(c_i = c) = pi_c, and C mixtures theta_c = (means, weights, precision), each with the prior of a single one; the pose
(R_i, t_i) of an image is in the frame of its own conformation. The joint density is

    p(pi) prod_c p(theta_c) prod_i pi_{c_i} p(R_i) p(t_i) p(x_i | theta_{c_i}, R_i, t_i),

where p(x | theta, R, t) = prod over counts of sum_k w_k N(x; (R^T mu_k)_xy + t, 1 / s) is normalised over the plane, so
that conformations of any precision can be compared. The conditionals that a sampler needs:

    theta_c, (R, t)   the factors of one conformation hold its own images only: the steps for a single mixture, with
                      these images; without any, theta_c is drawn from its prior
    pi                Dirichlet(1 + n_c), n_c the number of images of conformation c
    c_i               proportional to pi_c p(x_i | theta_c, R_i, t_i)
    (c_i, R_i)        proportional to pi_c p(x_i | theta_c, R_i, t_i), R_i uniform: see
                      :mod:`vitreous.mixtures.global_rotations`

Conformations have no order: exchanging them with their labels changes nothing. Each may be turned by itself (with the
poses of its images), and mirrored by itself: frames and hands agree only as far as the start makes them agree.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaln

from vitreous.mixtures.counts import Counts
from vitreous.mixtures.gibbs_projections import Moves, PosedMixture, log_posterior, projection_step
from vitreous.mixtures.global_rotations import draw_poses_globally, log_likelihoods
from vitreous.mixtures.model import Mixture
from vitreous.mixtures.priors import MixturePrior, log_prior, sample_prior
from vitreous.randomness import generator

__all__ = [
    "PosedMixtures",
    "conformation_steps",
    "conformations_log_posterior",
    "draw_labels",
    "draw_labels_and_rotations",
    "draw_populations",
    "label_probabilities",
    "log_prior_labels",
    "single",
    "split",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class PosedMixtures:
    """C mixtures (asymmetric units, with a point group), and which one each of n images shows, in which pose."""

    mixtures: tuple[Mixture, ...]
    populations: np.ndarray  # (C,) pi
    labels: np.ndarray  # (n,) from 0
    rotations: np.ndarray  # (n, 3, 3) G, in the frame of the image's conformation
    offsets_A: np.ndarray  # (n, 2)

    def part(self, conformation: int, images: np.ndarray | None = None) -> PosedMixture:
        """One mixture with its images, or with other ``images`` (n,) bool."""
        rows = self.labels == conformation if images is None else images
        return PosedMixture(
            mixture=self.mixtures[conformation], rotations=self.rotations[rows], offsets_A=self.offsets_A[rows]
        )


def single(model: PosedMixture) -> PosedMixtures:
    """One conformation, which all images show."""
    return PosedMixtures(
        mixtures=(model.mixture,),
        populations=np.ones(1),
        labels=np.zeros(len(model.rotations), np.int64),
        rotations=model.rotations,
        offsets_A=model.offsets_A,
    )


def split(model: PosedMixtures, conformations: int, rng: np.random.Generator) -> PosedMixtures:
    """The first conformation as many equal ones with random labels: they begin in one frame, of one hand."""
    return replace(
        model,
        mixtures=model.mixtures[:1] * conformations,
        populations=np.full(conformations, 1.0 / conformations),
        labels=rng.permutation(np.arange(len(model.labels)) % conformations),
    )


def conformation_steps(
    data: Counts,
    model: PosedMixtures,
    prior: MixturePrior,
    *,
    group: np.ndarray,
    moves: Moves,
    seed: int,
    steps: range,
    threads: int = 1,
) -> tuple[PosedMixtures, float]:
    """Gibbs steps with fixed labels: (next model, log posterior of the model before the last step).

    Random numbers depend on (seed, steps) only.
    """
    log_p = log_prior_labels(model)
    mixtures, rotations, offsets = list(model.mixtures), model.rotations.copy(), model.offsets_A.copy()
    for c, mixture in enumerate(model.mixtures):
        rows = model.labels == c
        own = seed if c == 0 else int(generator(seed, "conformation", c).integers(2**62))
        if not rows.any():
            log_p += log_prior(mixture, prior)
            if moves.mixture:
                mixtures[c] = sample_prior(prior, len(mixture), 3, generator(own, "empty", steps.start))
            continue
        part, images, part_log_p = model.part(c), _images(data, rows), 0.0
        for step in steps:
            part, part_log_p = projection_step(
                images, part, prior, group=group, moves=moves, seed=own, step=step, threads=threads
            )
        mixtures[c], rotations[rows], offsets[rows] = part.mixture, part.rotations, part.offsets_A
        log_p += part_log_p
    return replace(model, mixtures=tuple(mixtures), rotations=rotations, offsets_A=offsets), log_p


def conformations_log_posterior(
    data: Counts, model: PosedMixtures, prior: MixturePrior, *, group: np.ndarray, moves: Moves
) -> float:
    """Log posterior of everything, but for the constant of the data; an empty conformation has its prior alone."""
    total = log_prior_labels(model)
    for c, mixture in enumerate(model.mixtures):
        rows = model.labels == c
        if rows.any():
            total += log_posterior(_images(data, rows), model.part(c), prior, group=group, moves=moves)
        else:
            total += log_prior(mixture, prior)
    return total


def draw_labels_and_rotations(
    data: Counts, model: PosedMixtures, *, rotations: int, group: np.ndarray, seed: int, step: int
) -> PosedMixtures:
    """Every image's label and rotation, from all conformations in its present rotation and in random ones."""
    labels, turned = draw_poses_globally(
        data,
        model.mixtures,
        model.populations,
        model.rotations,
        model.offsets_A,
        rotations=rotations,
        group=group,
        seed=seed,
        step=step,
    )
    return replace(model, labels=labels, rotations=turned)


def draw_labels(data: Counts, model: PosedMixtures, *, group: np.ndarray, seed: int, step: int) -> PosedMixtures:
    """Every image's label, in its present pose."""
    probabilities = label_probabilities(data, model, group)
    with np.errstate(divide="ignore"):
        score = np.log(probabilities) + generator(seed, "labels", step).gumbel(size=probabilities.shape)
    return replace(model, labels=score.argmax(axis=1))


def label_probabilities(data: Counts, model: PosedMixtures, group: np.ndarray) -> np.ndarray:
    """p(c_i = c) given the poses and everything else: (n, C)."""
    columns = [log_likelihoods(data, m, model.rotations, model.offsets_A, group) for m in model.mixtures]
    with np.errstate(divide="ignore"):
        score = np.stack(columns, axis=1) + np.log(model.populations)
    share = np.exp(score - score.max(axis=1, keepdims=True))
    return share / share.sum(axis=1, keepdims=True)


def draw_populations(model: PosedMixtures, *, seed: int, step: int) -> PosedMixtures:
    """pi ~ Dirichlet(1 + images of each conformation)."""
    counts = np.bincount(model.labels, minlength=len(model.mixtures))
    drawn = generator(seed, "populations", step).gamma(1.0 + counts)
    return replace(model, populations=drawn / drawn.sum())


def log_prior_labels(model: PosedMixtures) -> float:
    """Log density of labels and populations; 0 for a single conformation."""
    log_populations = np.log(np.maximum(model.populations, np.finfo(float).tiny))
    return float(gammaln(len(model.mixtures)) + log_populations[model.labels].sum())


def _images(data: Counts, rows: np.ndarray) -> Counts:
    return Counts(counts=data.counts[rows], pixel_size_A=data.pixel_size_A)
