"""Angular reconstitution: orientations from common lines, image by image, then all of them again until none moves.

The score of a set of orientations is the sum over pairs (and over copies, with a point group) of the correlation of the
lines in which their planes meet; copies of one image meet, too. The first two images are drawn among their best
orientations (without a group all are alike for the first), and every further one takes the best of a grid of all, given
those that are placed already (van Heel 1987). Errors of the first ones would stay and be amplified, so then every image
is placed again, given all others, in random order, until none moves by more than half a step (coordinate ascent on the
score of Penczek 1996). The hand is chance.
"""

from dataclasses import dataclass

import numpy as np

from vitreous.randomness import generator
from vitreous.structures._kernels.lines import own_lines, place_image
from vitreous.structures.abinitio.directions import directions_for, slice_matrices
from vitreous.structures.from_averages.lines import PolarLines, correlation_tables
from vitreous.structures.from_averages.views import Views

__all__ = ["reconstitute"]

SWEEPS = 12
ATTEMPTS, ATTEMPTS_GROUP = 3, 8  # which images come first, and how they lie to the axes, decides much
FIRST_AMONG = 0.02  # the first two images are drawn from this share of their orientations


@dataclass(frozen=True, kw_only=True, eq=False)
class _Grid:
    tables: np.ndarray  # (n, n, 2h, 2h)
    matrices: np.ndarray  # (D, 3, 3)
    group: np.ndarray  # (g, 3, 3)
    half: int

    def scores(self, image: int, placed: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """(D, 2h) of all orientations of an image."""
        out = np.zeros((len(self.matrices), 2 * self.half), np.float32)
        place_image(self.tables[image], self.matrices, self.group, placed, rotations, self.half, out)
        own_lines(self.tables[image, image], self.matrices, self.group, self.half, out)
        return out

    def rotation(self, place: int) -> np.ndarray:
        """Of a flat index of the scores."""
        direction, turn = divmod(place, 2 * self.half)
        psi = -np.pi * turn / self.half
        c, s = np.cos(psi), np.sin(psi)
        return np.asarray(self.matrices[direction] @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]))


def reconstitute(views: Views, lines: PolarLines, seed: int, start: int) -> np.ndarray:
    """Rotations (n, 3, 3) of all averages: the best by score of a few attempts."""
    step = 180.0 / lines.half
    directions = directions_for(1.5 * step, views.group, seed=seed, purpose=("reconstitution", start))
    grid = _Grid(
        tables=correlation_tables(lines),
        matrices=slice_matrices(directions).numpy(),
        group=views.group.double().numpy(),
        half=lines.half,
    )
    attempts = ATTEMPTS_GROUP if len(views.group) > 1 else ATTEMPTS
    tried = [_attempt(grid, generator(seed, "reconstitution", start, index=a), step) for a in range(attempts)]
    return max(tried, key=lambda one: one[1])[0]


def _attempt(grid: _Grid, rng: np.random.Generator, step_deg: float) -> tuple[np.ndarray, float]:
    """Rotations (n, 3, 3), and twice their score."""
    n = len(grid.tables)
    rotations = np.tile(np.eye(3), (n, 1, 1))
    order = rng.permutation(n)
    for at in range(n):
        scores = grid.scores(order[at], order[:at], rotations).ravel()
        place = int(scores.argmax())
        if at <= 1:
            most = max(1, int(FIRST_AMONG * scores.size))
            place = int(rng.choice(np.argpartition(-scores, most - 1)[:most]))
        rotations[order[at]] = grid.rotation(place)
    for _ in range(SWEEPS):
        moved, total = 0, 0.0
        for image in rng.permutation(n):
            scores = grid.scores(image, np.delete(np.arange(n), image), rotations)
            new = grid.rotation(int(scores.argmax()))
            moved += int(np.trace(new.T @ rotations[image]) < 1 + 2 * np.cos(np.deg2rad(step_deg / 2)))
            rotations[image] = new
            total += float(scores.max())
        if moved == 0:
            break
    return rotations, total
