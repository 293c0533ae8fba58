"""Global search for poses: every image against many random rotations of every conformation at once.

The log likelihood of all images under all rotations is one product, counts times log projections; the projections are
shared by all images. The present rotation R_0 of an image takes part beside the random ones R_1 to R_M, under all
conformations c, and one pair of them all is drawn with probability proportional to pi_c p(x | c, R_m). That leaves the
posterior of label and rotation as it is, with any number of rotations: for the rotation it is iterated sampling
importance resampling (Andrieu, Doucet and Holenstein 2010) with uniform proposals and the label summed over,
sum_c pi_c p(x | c, R), and the label is then drawn given the rotation. A good pose is not lost because no random one
came near it. Where conformations have frames of their own, R_0 is one more random rotation to the others; where they
share a frame, it lets an image change its conformation in its place.
"""

from collections.abc import Sequence

import numpy as np
import torch

from vitreous.mixtures.counts import Counts
from vitreous.mixtures.gibbs_projections import PosedMixture
from vitreous.mixtures.model import Mixture, project, symmetrise
from vitreous.randomness import generator
from vitreous.rotations import quaternions_to_matrices

__all__ = ["draw_poses_globally", "draw_rotations_globally", "log_likelihoods", "random_rotation_matrices"]

_CHUNK_ROTATIONS = 250
_FLOOR = 1e-12  # of a uniform density over the image: keeps the log of an empty pixel finite


def draw_rotations_globally(
    data: Counts,
    model: PosedMixture,
    *,
    rotations: int,
    group: np.ndarray,
    seed: int,
    step: int,
    power: float = 1.0,
) -> np.ndarray:
    """One rotation for every image, from its present one and ``rotations`` uniform ones: (n, 3, 3).

    ``power`` < 1 flattens the likelihood (annealing). Offsets are taken into account by moving the counts' images to
    the nearest pixel. Random numbers depend on (seed, step) only.
    """
    _, turned = draw_poses_globally(
        data,
        (model.mixture,),
        np.ones(1),
        model.rotations,
        model.offsets_A,
        rotations=rotations,
        group=group,
        seed=seed,
        step=step,
        power=power,
    )
    return turned


def draw_poses_globally(
    data: Counts,
    mixtures: Sequence[Mixture],
    populations: np.ndarray,
    present: np.ndarray,
    offsets_A: np.ndarray,
    *,
    rotations: int,
    group: np.ndarray,
    seed: int,
    step: int,
    power: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """A conformation (n,) and a rotation (n, 3, 3) for every image, as :func:`draw_rotations_globally`.

    C mixtures with populations (C,); ``present`` (n, 3, 3) takes part beside ``rotations`` uniform ones.
    """
    rng = generator(seed, "global rotations", step)
    proposals = random_rotation_matrices(rotations, rng)
    whole = [symmetrise(mixture, group) for mixture in mixtures]
    n, box = len(data.counts), data.counts.shape[2]
    centred = _centred(data, offsets_A)
    score = np.empty((n, len(whole), rotations + 1), np.float32)
    for c, mixture in enumerate(whole):
        for start in range(0, rotations, _CHUNK_ROTATIONS):
            chosen = proposals[start : start + _CHUNK_ROTATIONS]
            score[:, c, start : start + len(chosen)] = centred @ _log_images(mixture, chosen, box, data.pixel_size_A).T
        score[:, c, -1] = (centred * _log_images(mixture, present, box, data.pixel_size_A)).sum(axis=1)
    with np.errstate(divide="ignore"):
        log_populations = np.log(populations)[:, None]
    gumbel = rng.gumbel(size=score.shape)
    best = (power * score + log_populations + gumbel).reshape(n, -1).argmax(axis=1)
    labels, chosen = np.divmod(best, rotations + 1)
    turned = np.where((chosen == rotations)[:, None, None], present, proposals[np.minimum(chosen, rotations - 1)])
    return labels, turned


def log_likelihoods(
    data: Counts, mixture: Mixture, rotations: np.ndarray, offsets_A: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """Log density (per A^2) of the counts of every image in a pose: float64 (n,)."""
    whole, box = symmetrise(mixture, group), data.counts.shape[2]
    images = _log_images(whole, rotations, box, data.pixel_size_A, offsets_A)
    return np.einsum("np,np->n", data.counts.reshape(len(images), -1), images.astype(np.float64))


def random_rotation_matrices(count: int, rng: np.random.Generator) -> np.ndarray:
    """Rotations uniform on SO(3): float64 (count, 3, 3)."""
    return quaternions_to_matrices(torch.from_numpy(rng.standard_normal((count, 4)))).numpy()


def _log_images(
    mixture: Mixture, rotations: np.ndarray, box: int, pixel_size_A: float, offsets_A: np.ndarray | None = None
) -> np.ndarray:
    images = project(mixture, rotations, box, pixel_size_A, offsets_A=offsets_A).reshape(len(rotations), -1)
    images += np.float32(_FLOOR / (box * pixel_size_A) ** 2)
    return np.log(images, out=images)


def _centred(data: Counts, offsets_A: np.ndarray) -> np.ndarray:
    """Counts with every particle moved to the centre by whole pixels: float32 (n, pixels)."""
    counts = data.counts.astype(np.float32)
    moves = -np.rint(offsets_A / data.pixel_size_A).astype(int)
    for image, (x, y) in zip(counts, moves, strict=True):
        image[:] = np.roll(image, (y, x), axis=(0, 1))
    return counts.reshape(len(counts), -1)
