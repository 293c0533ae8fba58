"""What every process of a test does: work on its share, and keep what it knows at the end."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "averages"))

from sets import settings, simulate

from vitreous.averages.class2d import class2d
from vitreous.averages.neighbours import Neighbours, neighbours
from vitreous.jobs.distributed import processes_of_this_job
from vitreous.processes import Processes
from vitreous.testing import ArrayParticles

N, BAD = 320, 5
NEIGHBOURS = Neighbours(classes=16, neighbours=6, particle_diameter_A=130.0, averages=8, runs=1, passes=4, seed=3)


def particles_of(snr: float) -> ArrayParticles:
    particles, truth = simulate(N, snr, 7)
    particles.images[BAD, 3, 3] = np.nan
    return ArrayParticles(
        images=particles.images, pixel_size_A=particles.pixel_size_A, shift_A=truth.origin_px * particles.pixel_size_A
    )


def result_of(method: str, processes: Processes) -> Any:
    if method == "class2d":
        return class2d(particles_of(0.2), settings(iterations=8), processes=processes)
    return neighbours(particles_of(0.3), NEIGHBOURS, processes=processes)


if __name__ == "__main__":
    with processes_of_this_job() as mine:
        result = result_of(sys.argv[1], mine)
    arrays = {name: value for name, value in vars(result).items() if isinstance(value, np.ndarray)}
    np.savez(Path(sys.argv[2]) / f"rank{mine.rank}.npz", **arrays)
