"""Several attempts at every restart of a symmetric particle, of which the best goes on.

A density of high symmetry is nearly a body of revolution while it has few details, and then other poses explain the
averages almost as well: all views from the side, say. Annealing ends there in about four of ten starts (D7), however
slow it is, because all poses would have to change together. Long before the end such a start has a far lower log
posterior, so that it need not go on. What attempts cost is saved on random rotations: with a point group of g elements
one of them is worth g.
"""

import numpy as np

from vitreous.mixtures.poisson_poses.settings import InitialModel

__all__ = ["attempts_of", "judged_after", "rotations_in_round"]

_MOST_ATTEMPTS = 4
_JUDGED_AT = 2.0 / 3.0  # of the annealing


def attempts_of(group: np.ndarray) -> int:
    """Starts that compete for a restart: 1 without symmetry."""
    return min(len(group), _MOST_ATTEMPTS)


def judged_after(settings: InitialModel) -> int:
    """The number of rounds after which the best attempts are chosen."""
    return max(1, min(round(_JUDGED_AT * settings.rounds_annealed), settings.rounds))


def rotations_in_round(settings: InitialModel, group: np.ndarray, round_: int) -> int:
    """Random rotations for every image: shared out among attempts while there are several."""
    together = attempts_of(group) if round_ < judged_after(settings) else 1
    return -(-settings.global_rotations // together)
