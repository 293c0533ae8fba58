"""A pass over the particles: components of what the mean map leaves over, or classes of it.

Classes. ``y_i = c_i A_i D_k + noise`` with probability pi_k (:mod:`.sums`), so EM is

    gamma_ik ~ pi_k exp(2 Re <c A D_k, y_i> - |c A D_k|^2)
    D_k = sum_i gamma_ik A^T c y_i / (sum_i gamma_ik A^T c^2 + 1 / tau_k^2)

(Scheres 2012 with a prior about the mean map). A particle is compared with maps that its fold is left out of, so it
never meets its own noise, and, until classes have been compared between the halves, with those of its own half only.

Components. ``y_i = c_i A_i sum_j z_ij W_j + noise``, z ~ N(0, 1): probabilistic principal components of the volume from
its slices (Tagare, Kucukelbir, Sigworth, Wang and Rao 2015), by power iteration: z from the present W, made white; then
W from z, as a map of every component is solved for. K classes of points span K - 1 components, and along these the
particles of two maps are apart by the whole difference of the maps, while a random split of n particles begins with
1 / sqrt(n) of it.

Contrast and poses. An image whose contrast or pose is a little wrong leaves over what the slice of M changes by, and a
map that is shifted explains all images that are shifted its way. So both models are fitted to what is orthogonal to
these six directions of every image (:func:`without_nuisance`): the likelihood at the best small change of contrast and
pose, in linear approximation, for the price of three more slices.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from scipy.special import logsumexp

from vitreous.matching import own_half, survey, total
from vitreous.matching.folds import Against
from vitreous.processes import by_process, joined
from vitreous.structures.class3d.residuals import Nuisance, fits, in_tiles, residuals, without_nuisance
from vitreous.structures.class3d.state import Labels, Scene
from vitreous.structures.class3d.sums import (
    ClassSums,
    add_residuals,
    difference_maps,
    difference_power,
    prepared_all,
    zero_class_sums,
)
from vitreous.structures.refine.images import PointImages

__all__ = [
    "Label",
    "Labeller",
    "at_poses",
    "class_pass",
    "component_pass",
    "gains",
    "half_folds",
    "inserted",
    "log_shares",
    "power_apart",
    "power_of",
    "responsibilities",
]

Label = Callable[[np.ndarray], tuple[PointImages, Labels]]  # particles -> what is left of them, what was found
Labeller = Callable[[Scene, tuple[torch.Tensor, ...], np.ndarray], Label]  # maps of differences, log shares

COMPONENT_POWER = 0.1  # of that of the mean map: prior of components
SMALL = 1e-3  # scores nearer to zero than this are inserted as if they were this large


def inserted(
    scene: Scene, values: np.ndarray, *, components: bool = False, plain: bool = False
) -> tuple[ClassSums, ...]:
    """Statistics of every fold, the particles having these scores or probabilities (n, q).

    plain: with what contrast and errors of poses do, as a pass that finds poses inserts them.
    """
    parts = []
    for fold in scene.folds:
        sums = zero_class_sums(values.shape[1], scene.rings)
        mine = by_process(fold, scene.processes)[scene.processes.rank]
        for tile, images in in_tiles(scene, mine, lambda t: _left_over(scene, t, plain)):
            add_residuals(sums, images, scene.rotation[tile], *_weights(values[tile], components))
        parts.append(scene.processes.add(sums))
    return tuple(parts)


def _left_over(scene: Scene, tile: np.ndarray, plain: bool) -> PointImages:
    return residuals(scene, tile) if plain else without_nuisance(scene, tile)[0]


def _weights(values: np.ndarray, components: bool) -> tuple[np.ndarray, np.ndarray]:
    if not components:
        return values, values
    z = np.where(np.abs(values) < SMALL, np.copysign(SMALL, values), values)
    return z, z * z


def component_pass(scene: Scene, parts: tuple[ClassSums, ...]) -> np.ndarray:
    """White scores (n, q) of all particles in the components of the other folds of their half."""
    q = len(parts[0])
    tau2 = (COMPONENT_POWER * scene.mean_power).expand(q, -1)

    def match(others: ClassSums, _: tuple[ClassSums, ...], index: np.ndarray) -> tuple[ClassSums, Labels]:
        volumes = prepared_all(difference_maps(others, scene.points.basis, tau2, scene.group))

        def score(tile: np.ndarray) -> np.ndarray:
            images, nuisance = without_nuisance(scene, tile)
            product, square = fits(images, volumes, scene.rotation[tile], nuisance)
            return np.linalg.solve(2 * square + np.eye(q), 2 * product[..., None])[..., 0]

        found = [z for _, z in in_tiles(scene, index, score)]
        empty = nobody(q)
        n = len(index)
        filled = replace(empty, gain=np.zeros(n), rotation=np.zeros((n, 3, 3)), origin_A=np.zeros((n, 2)))
        return zero_class_sums(1, 1), replace(filled, values=np.concatenate([empty.values, *found]))

    _, index, found = survey(list(enumerate(scene.folds)), parts, match, against=own_half, processes=scene.processes)
    out = np.zeros((len(scene.data), q))
    out[index] = found.values
    for members in half_folds(scene.folds):
        out[members] = _white(out[members])
    return out


def _white(score: np.ndarray) -> np.ndarray:
    """Scores (m, q) with mean 0 and unit covariance, the strongest direction first."""
    centred = score - score.mean(0)
    u, s, v = np.linalg.svd(centred, full_matrices=False)
    sign = np.sign(v[np.arange(len(v)), np.abs(v).argmax(1)])
    return u * sign * np.sqrt(len(score)) * (s > 1e-12)


def class_pass(
    scene: Scene,
    parts: tuple[ClassSums, ...],
    posterior: np.ndarray,
    *,
    against: Against[ClassSums],
    labeller: Labeller | None = None,
) -> tuple[tuple[ClassSums, ...], np.ndarray, Labels]:
    """One EM pass: (statistics of the folds, particles, what was found of them).

    posterior: (n, K) that the statistics were made with, for the shares of the classes; against: ``own_half`` or
    ``left_out``; labeller: how particles find their classes, at their poses unless given.
    """
    apart, label = against is own_half, labeller or at_poses
    half_of = np.zeros(len(scene.data), np.int64)
    half_of[np.concatenate(scene.folds[1::2])] = 1
    shares = [log_shares(posterior[members]) for members in half_folds(scene.folds)]
    power = [power_apart(scene, parts, half) for half in (0, 1)]
    if not apart:
        shares = [log_shares(posterior[np.concatenate(scene.folds)])] * 2
        power = [power_of(scene, parts[0::2], parts[1::2])] * 2

    def match(others: ClassSums, _: tuple[ClassSums, ...], index: np.ndarray) -> tuple[ClassSums, Labels]:
        sums = zero_class_sums(len(others), scene.rings)
        half = int(half_of[index[0]]) if len(index) else 0
        maps = difference_maps(others, scene.points.basis, power[half], scene.group)
        found = [nobody(len(others))]
        for _tile, (images, labels) in in_tiles(scene, index, label(scene, maps, shares[half])):
            found.append(labels)
            add_residuals(sums, images, labels.rotation, labels.values, labels.values)
        return sums, joined(found)

    given, index, labels = survey(
        list(enumerate(scene.folds)), parts, match, against=against, processes=scene.processes
    )
    return tuple(given), index, labels


def at_poses(scene: Scene, maps: tuple[torch.Tensor, ...], log_share: np.ndarray) -> Label:
    """Classes of particles at the poses that they have."""
    volumes = prepared_all(maps)

    def label(tile: np.ndarray) -> tuple[PointImages, Labels]:
        images, nuisance = without_nuisance(scene, tile)
        rotation = scene.rotation[tile]
        values, gain = responsibilities(gains(images, volumes, rotation, nuisance), log_share, hard=scene.hard)
        return images, Labels(values=values, gain=gain, rotation=rotation, origin_A=scene.origin_A[tile])

    return label


def gains(
    images: PointImages, volumes_ft: tuple[torch.Tensor, ...], rotation: np.ndarray, nuisance: Nuisance
) -> np.ndarray:
    """Log likelihoods (m, K) of residuals under differences, less that under the mean map, contrast and pose aside."""
    product, square = fits(images, volumes_ft, rotation, nuisance)
    return np.asarray(2 * product - np.diagonal(square, axis1=1, axis2=2))


def responsibilities(gain: np.ndarray, log_share: np.ndarray, *, hard: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (m, K) and the log likelihood (m,) of the mixture, from log likelihoods (m, K) of its parts.

    hard: 1 for the most probable one, and its log likelihood.
    """
    joint = gain + log_share
    if hard:
        best = joint.argmax(1)
        return np.eye(gain.shape[1])[best], np.take_along_axis(gain, best[:, None], 1)[:, 0]
    value = logsumexp(joint, axis=1)
    return np.exp(joint - value[:, None]), np.asarray(value)


def log_shares(posterior: np.ndarray) -> np.ndarray:
    """Logarithms of the shares of classes (K,), with one particle more in each."""
    return np.log((posterior.sum(0) + 1) / (len(posterior) + posterior.shape[1]))


def half_folds(folds: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The particles of the two halves."""
    return np.concatenate(folds[0::2]), np.concatenate(folds[1::2])


def power_of(scene: Scene, a: tuple[ClassSums, ...], b: tuple[ClassSums, ...]) -> torch.Tensor:
    """tau_k^2 (K, rings) from what two sets of folds have in common."""
    return difference_power(total(a), total(b), scene.rings, scene.group, scene.fudge)


def power_apart(scene: Scene, parts: tuple[ClassSums, ...], half: int) -> torch.Tensor:
    """The same within one of the halves, from its own halves."""
    return power_of(scene, parts[half::4], parts[half + 2 :: 4])


def nobody(classes: int) -> Labels:
    """A process may have none of a small fold."""
    return Labels(
        values=np.zeros((0, classes)), gain=np.zeros(0), rotation=np.zeros((0, 3, 3)), origin_A=np.zeros((0, 2))
    )
