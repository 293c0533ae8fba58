"""Global search for poses: every image against many random rotations at once.

The log likelihood of all images under all rotations is one product, counts times log projections; the projections are
shared by all images. The present rotation of an image takes part beside the random ones, and one of them all is drawn
with its likelihood as weight. That leaves the posterior of the rotations as it is (iterated sampling importance
resampling, Andrieu, Doucet and Holenstein 2010), with any number of rotations: a good pose is not lost because no
random one came near it.
"""

import numpy as np
import torch

from vitreous.mixtures.counts import Counts
from vitreous.mixtures.gibbs_projections import PosedMixture
from vitreous.mixtures.model import Mixture, project, symmetrise
from vitreous.randomness import generator
from vitreous.rotations import quaternions_to_matrices

__all__ = ["draw_rotations_globally", "random_rotation_matrices"]

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
    rng = generator(seed, "global rotations", step)
    proposals = random_rotation_matrices(rotations, rng)
    mixture = symmetrise(model.mixture, group)
    n, box = len(data.counts), data.counts.shape[2]
    centred = _centred(data, model.offsets_A)
    score = np.empty((n, rotations + 1), np.float32)
    for start in range(0, rotations, _CHUNK_ROTATIONS):
        chosen = proposals[start : start + _CHUNK_ROTATIONS]
        score[:, start : start + len(chosen)] = centred @ _log_images(mixture, chosen, box, data.pixel_size_A).T
    present = _log_images(mixture, model.rotations, box, data.pixel_size_A)
    score[:, -1] = (centred * present).sum(axis=1)
    gumbel = rng.gumbel(size=score.shape)
    best = (power * score + gumbel).argmax(axis=1)
    return np.where((best == rotations)[:, None, None], model.rotations, proposals[np.minimum(best, rotations - 1)])


def random_rotation_matrices(count: int, rng: np.random.Generator) -> np.ndarray:
    """Rotations uniform on SO(3): float64 (count, 3, 3)."""
    return quaternions_to_matrices(torch.from_numpy(rng.standard_normal((count, 4)))).numpy()


def _log_images(mixture: Mixture, rotations: np.ndarray, box: int, pixel_size_A: float) -> np.ndarray:
    images = project(mixture, rotations, box, pixel_size_A).reshape(len(rotations), -1)
    images += np.float32(_FLOOR / (box * pixel_size_A) ** 2)
    return np.log(images, out=images)


def _centred(data: Counts, offsets_A: np.ndarray) -> np.ndarray:
    """Counts with every particle moved to the centre by whole pixels: float32 (n, pixels)."""
    counts = data.counts.astype(np.float32)
    moves = -np.rint(offsets_A / data.pixel_size_A).astype(int)
    for image, (x, y) in zip(counts, moves, strict=True):
        image[:] = np.roll(image, (y, x), axis=(0, 1))
    return counts.reshape(len(counts), -1)
